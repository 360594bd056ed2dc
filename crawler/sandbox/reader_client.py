"""The examiner's side of a reader's socket: sends the sample while it receives the frames of the reader."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable

from crawler.process.frames import CHUNK, HEADER, SMALL_FRAME
from crawler.sandbox.reader_session import ReaderSession
from data.errors import WireError

MAX_READER_FRAME = 4 * 2**20
# The fork server ends a reader that works for longer than its limit, and knows the reason better. A reader that only
# pretends to wait, and sends a byte from time to time, is given up after this much longer.
DRIP_FACTOR = 1.1
# Errors that an invalid frame of a reader causes in the code that parses it.
INVALID_FRAME_ERRORS = (WireError, struct.error, KeyError, TypeError, ValueError)


class ReaderConnection:
    """Exchanges the frames of one sample with its reader.

    Attributes:
        ended: no more frames come from the reader.
        ended_well: the reader sent its last frame.
        take: gets the frames.
        broken: how the reader broke the protocol, '' if it did not.
    """

    def __init__(
        self,
        reader: ReaderSession,
        take: Callable[[bytes, bytes], bool],
        max_silence: float,
        peer: socket.socket | None = None,
    ) -> None:
        """Begin to exchange the frames of one sample.

        Args:
            reader: waits for a sample.
            take: gets the kind and the payload of each frame, and returns True at the last one. If it raises one of
                `INVALID_FRAME_ERRORS`, the reader has broken the protocol.
            max_silence: seconds after which a reader that neither receives nor sends anything is given up. The same
                limit, and a tenth more, holds for all times together in which the examiner waited for the reader.
            peer: the socket of the crawl or command that waits for the finding. Once its other end is closed, sending
                to and receiving from the reader raises ConnectionAbortedError.
        """
        self.ended = self.ended_well = False
        self.broken = ""
        self.take = take
        self._reader, self._max_silence, self._peer = reader, max_silence, peer
        self._waited = 0.0
        self._incoming = bytearray()
        self._outgoing = memoryview(b"")
        self._has_waited = False
        reader.socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(reader.socket, select.POLLIN)
        if peer is not None:
            self._poll.register(peer, select.POLLRDHUP)

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        """Send bytes to the reader; they are dropped if the reader has ended."""
        for part in (b"".join(parts),) if sum(map(len, parts)) <= SMALL_FRAME else parts:
            self._outgoing = memoryview(part)
            if not self._has_waited:
                # a reader that waits for its sample has room for a small one
                self._send_some()
            while self._outgoing and not self.ended:
                self._turn()
        self._outgoing = memoryview(b"")

    def finish(self) -> None:
        """Receive the remaining frames of the reader."""
        while not self.ended:
            self._turn()

    def _turn(self) -> None:
        """Poll once: send what can be sent and receive what has arrived."""
        self._has_waited = True
        self._poll.modify(self._reader.socket, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        began = time.monotonic()
        ready = self._poll.poll(1000 * self._max_silence)
        self._waited += time.monotonic() - began
        if self._peer is not None and any(number == self._peer.fileno() for number, _ in ready):
            raise ConnectionAbortedError("nobody waits for this sample any more")
        if self._waited > DRIP_FACTOR * self._max_silence:
            self._give_up(f"the examiner waited {self._waited:.0f} seconds for the reader, longer than its limit")
            return
        if not ready:
            # it neither received nor sent anything, even if its clock reports that it waits
            self._give_up(f"the reader was silent for {self._max_silence:g} seconds")
        for _, events in ready:
            if events & select.POLLOUT and self._outgoing:
                self._send_some()
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._receive()

    def _send_some(self) -> None:
        try:
            self._outgoing = self._outgoing[self._reader.socket.send(self._outgoing) :]
        except (BrokenPipeError, ConnectionResetError):
            # frames that the reader sent before it ended are still received, then the end of the stream
            self._outgoing = memoryview(b"")
        except BlockingIOError:
            pass

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
                self._give_up("the reader announced a frame larger than the limit")
                return
            if len(self._incoming) < HEADER.size + size:
                return
            payload = bytes(self._incoming[HEADER.size : HEADER.size + size])
            del self._incoming[: HEADER.size + size]
            try:
                self.ended = self.ended_well = self.take(kind, payload)
            except INVALID_FRAME_ERRORS:
                self.reject_frame()

    def reject_frame(self) -> None:
        """A frame of the reader was invalid: give the reader up and exchange nothing more with it.

        Hostile input can cause any error here, so its class would not help a person and is not reported.
        """
        self._give_up("the reader broke its protocol")
        self.ended_well = False
        with contextlib.suppress(OSError):
            # wakes a thread that waits for this reader
            self._reader.socket.shutdown(socket.SHUT_RDWR)

    def _give_up(self, detail: str) -> None:
        self.broken = detail
        self.ended = True
