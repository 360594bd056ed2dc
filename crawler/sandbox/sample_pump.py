"""Moves a large sample to its reader in a thread of its own, while the caller works on what the reader makes of it.

Without it the reader waits while its rows are matched, and the matching waits while the reader parses.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from crawler.process.frames import HEADER
from crawler.sandbox.reader_client import ReaderConnection
from data.errors import WireError

RAW = b"D"
"""The kind under which the sample's own bytes are given."""
# Bytes that lie between both threads; then the reader waits.
MOST_BYTES = 4 * 2**20


class SamplePump:
    """For one sample; iterate over it once, to its end."""

    def __init__(
        self, talk: ReaderConnection, chunks: Iterable[bytes | bytearray], last_frame: Callable[[], bytes]
    ) -> None:
        """For what is left of a sample.

        Args:
            talk: with the sample's reader, in nobody else's hands from now on.
            chunks: of the sample; consumed in the thread.
            last_frame: asked after the last of them.
        """
        self._talk, self._chunks, self._last_frame = talk, chunks, last_frame
        self._ready = threading.Condition()
        self._queue: deque[tuple[bytes, bytes | bytearray]] = deque()
        self._bytes = 0
        self._over = self._dropped = False
        self._error: BaseException | None = None
        talk.take = self._said

    def __iter__(self) -> Iterator[tuple[bytes, bytes | bytearray]]:
        """(kind, payload) of the reader's frames and of the sample's own bytes, in order.

        Raises whatever `chunks` raised.
        """
        thread = threading.Thread(target=self._run, name="pump", daemon=True)
        thread.start()
        try:
            while True:
                with self._ready:
                    self._ready.wait_for(lambda: self._queue or self._over)
                    if not self._queue:
                        break
                    kind, payload = self._queue.popleft()
                    self._bytes -= len(payload)
                    self._ready.notify_all()
                yield kind, payload
        finally:
            with self._ready:
                self._dropped = True
                self._ready.notify_all()
            thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for chunk in self._chunks:
                self._put(RAW, chunk)
                self._talk.send(HEADER.pack(b"D", len(chunk)), chunk)
            self._talk.send(self._last_frame())
            self._talk.finish()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            with self._ready:
                self._over = True
                self._ready.notify_all()

    def _said(self, kind: bytes, payload: bytes) -> bool:
        if kind == RAW:
            raise WireError("a reader that gives the sample's own bytes back")
        self._put(kind, payload)
        return kind == b"Z"

    def _put(self, kind: bytes, payload: bytes | bytearray) -> None:
        with self._ready:
            self._ready.wait_for(lambda: self._bytes < MOST_BYTES or self._dropped)
            if self._dropped:
                # nobody listens any more; the rest of the sample is only taken off its socket
                return
            self._queue.append((kind, payload))
            self._bytes += len(payload)
            self._ready.notify_all()
