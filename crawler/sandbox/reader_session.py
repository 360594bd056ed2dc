"""One reader at work: its socket, its end, and ending it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Self

import orjson

from crawler.sandbox.fork_server import KILL


@dataclass(frozen=True, slots=True)
class ReaderExit:
    """How a reader ended.

    Attributes:
        code: its exit status, or None. signal: the number of the signal that ended it, or None.
        reason: a sentence for a person, without content; '' if it read its sample to the end.
    """

    code: int | None
    signal: int | None
    reason: str


class ReaderSession:
    """One reader: send `D` and `E` frames on `socket`, take its frames from there (docs/protocols.md, section 3)."""

    def __init__(self, sock: socket.socket, life: socket.socket) -> None:
        self.socket = sock
        self._life = life
        self._exit: ReaderExit | None = None

    def fileno(self) -> int:
        """Of the socket, for selectors."""
        return self.socket.fileno()

    def close(self) -> None:
        """Let the reader go without asking how it ends; one that still runs is ended."""
        self.socket.close()
        self._life.close()

    def kill(self) -> None:
        """End the reader, if it has not ended, and close the socket."""
        self.socket.close()
        self._say(KILL)

    def _say(self, order: bytes) -> None:
        if self._exit is None:
            try:
                self._life.send(order)
            except OSError:
                # it has ended already, which wait() tells
                return

    def wait(self, timeout: float | None = None) -> ReaderExit:
        """How the reader ended, once it has.

        Args:
            timeout: seconds; a reader that runs longer is killed, and its end then says so.
        """
        if self._exit is None:
            self._exit = self._ended(timeout)
            self._life.close()
        return self._exit

    def _ended(self, timeout: float | None) -> ReaderExit:
        self._life.settimeout(timeout)
        try:
            try:
                report = self._life.recv(4096)
            except ConnectionResetError:
                # an order that came after the reader's end was not taken; what was said of that end stands behind this
                report = self._life.recv(4096)
        except TimeoutError:
            self._say(KILL)
            return ReaderExit(None, None, "it did not end in time")
        except OSError:
            report = b""
        if not report:
            return ReaderExit(None, None, "the sandbox ended")
        return ReaderExit(**orjson.loads(report))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the reader and forget it."""
        self.kill()
        self.wait(5)
