"""One running reader as the examiner sees it: its socket, how it ended, and ending it."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Self

import orjson

from crawler.sandbox.status_bytes import KILL


@dataclass(frozen=True, slots=True)
class ReaderExit:
    """How a reader ended.

    Attributes:
        code: its exit status, or None.
        signal: the number of the signal that ended it, or None.
        reason: a sentence for people, without content of the sample; '' if it read its sample to the end.
    """

    code: int | None
    signal: int | None
    reason: str


class ReaderSession:
    """One reader: send `D` and `E` frames on `socket`, take its frames from there (docs/protocols.md, section 3)."""

    def __init__(self, sock: socket.socket, status: socket.socket) -> None:
        self.socket = sock
        self._status = status
        self._exit: ReaderExit | None = None

    def fileno(self) -> int:
        """The file descriptor of the socket, for selectors."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the connection without waiting for the exit status; a reader that still runs is killed."""
        self.socket.close()
        self._status.close()

    def kill(self) -> None:
        """Kill the reader, if it has not ended, and close the socket."""
        self.socket.close()
        self._order_kill()

    def _order_kill(self) -> None:
        if self._exit is None:
            # it fails if the reader has ended already, which `wait` reports
            with contextlib.suppress(OSError):
                self._status.send(KILL)

    def wait(self, timeout: float | None = None) -> ReaderExit:
        """Wait until the reader has ended, and return how.

        Args:
            timeout: seconds; a reader that runs longer is killed, and the reason then says so.
        """
        if self._exit is None:
            self._exit = self._receive_exit(timeout)
            self._status.close()
        return self._exit

    def _receive_exit(self, timeout: float | None) -> ReaderExit:
        self._status.settimeout(timeout)
        try:
            try:
                report = self._status.recv(4096)
            except ConnectionResetError:
                # an order sent after the end of the reader was not received; the report of that end can still be read
                report = self._status.recv(4096)
        except TimeoutError:
            self._order_kill()
            return ReaderExit(None, None, "it did not end in time")
        except OSError:
            report = b""
        if not report:
            return ReaderExit(None, None, "the sandbox ended")
        return ReaderExit(**orjson.loads(report))

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Kill the reader and wait until it has ended."""
        self.kill()
        self.wait(5)
