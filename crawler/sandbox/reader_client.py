"""The examiner's side of a reader's socket: hands the sample over while it takes what the reader makes of it."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Callable

from crawler.process.frames import CHUNK, HEADER, SMALL_FRAME
from crawler.sandbox.reader_session import ReaderSession
from data.errors import WireError

MAX_READER_FRAME = 4 * 2**20
# What a frame of a reader that lies makes of whoever understands it.
INVALID_FRAME_ERRORS = (WireError, struct.error, KeyError, TypeError, ValueError)


class ReaderConnection:
    """One sample's talk with its reader.

    Attributes:
        ended: nothing more comes from the reader. ended_well: because it said so.
        take: who gets the frames. broken: what was wrong with what it said or did not say; '' while it keeps to the protocol.
    """

    def __init__(self, reader: ReaderSession, take: Callable[[bytes, bytes], bool], patience: float) -> None:
        """For one sample.

        Args:
            reader: at the beginning of a sample.
            take: gets each frame's kind and payload; True at the last one. Whatever it raises of `INVALID_FRAME_ERRORS` is the
                reader's fault.
            patience: seconds in which the reader neither takes nor says anything.
        """
        self.ended = self.ended_well = False
        self.broken = ""
        self.take = take
        self._reader, self._patience = reader, patience
        self._incoming = bytearray()
        self._outgoing = memoryview(b"")
        reader.socket.setblocking(False)

    def send(self, *parts: bytes | bytearray) -> None:
        """Hand bytes to the reader; one that is gone takes nothing more."""
        for part in (b"".join(parts),) if sum(map(len, parts)) <= SMALL_FRAME else parts:
            self._outgoing = memoryview(part)
            while self._outgoing and not self.ended:
                self._turn()
        self._outgoing = memoryview(b"")

    def finish(self) -> None:
        """Take what the reader still says, to its end."""
        while not self.ended:
            self._turn()

    def _turn(self) -> None:
        """One round of poll: send what can be sent, take what has come."""
        poll = select.poll()
        poll.register(self._reader.socket, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        ready = poll.poll(1000 * self._patience)
        if not ready:
            # it neither takes nor says anything, whatever it claims to wait for
            self._break(f"the reader was silent for {self._patience:g} seconds")
        for _, events in ready:
            if events & select.POLLOUT and self._outgoing:
                try:
                    self._outgoing = self._outgoing[self._reader.socket.send(self._outgoing) :]
                except (BrokenPipeError, ConnectionResetError):
                    # it may still have said things before it went: they are read below, then the end of stream
                    self._outgoing = memoryview(b"")
                except BlockingIOError:
                    continue
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._receive()

    def _receive(self) -> None:
        try:
            data = self._reader.socket.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return
        self._incoming += data
        while len(self._incoming) >= HEADER.size and not self.ended:
            kind, size = HEADER.unpack_from(self._incoming)
            if size > MAX_READER_FRAME:
                self._break("the reader announced a frame over its limit")
                return
            if len(self._incoming) < HEADER.size + size:
                return
            payload = bytes(self._incoming[HEADER.size : HEADER.size + size])
            del self._incoming[: HEADER.size + size]
            try:
                self.ended = self.ended_well = self.take(kind, payload)
            except INVALID_FRAME_ERRORS:
                self.misunderstood()

    def misunderstood(self) -> None:
        """What the reader said made no sense: nothing more is asked of it, nor told to it.

        Whatever hostile input made it say that: the class of the error says nothing a person needs.
        """
        self._break("the reader broke its protocol")
        self.ended_well = False
        with contextlib.suppress(OSError):
            # wakes a thread that waits for the reader
            self._reader.socket.shutdown(socket.SHUT_RDWR)

    def _break(self, detail: str) -> None:
        self.broken = detail
        self.ended = True
