"""Sends a large sample to its reader in a thread, while the caller processes the frames of the reader.

Without the thread, the reader waits while its rows are matched, and the matching waits while the reader parses.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from crawler.process.frames import HEADER
from crawler.sandbox.reader_client import ReaderConnection
from data.errors import WireError

RAW = b"D"
"""The kind under which the bytes of the sample itself are returned."""
# At most so many bytes wait between the two threads; then the reader has to wait.
MAX_WAITING = 4 * 2**20


class SamplePump:
    """Sends one sample; iterate over it once, to its end."""

    def __init__(
        self,
        connection: ReaderConnection,
        chunks: Iterable[bytes | bytearray],
        last_frame: Callable[[], bytes],
        for_reader: Callable[[bytes | bytearray], bytes | bytearray | memoryview] = lambda chunk: chunk,
    ) -> None:
        """Take over the rest of a sample.

        Args:
            connection: to the sample's reader; only the pump uses it from now on.
            chunks: of the sample; consumed in the thread.
            last_frame: returns the frame that ends the sample; called after the last chunk.
            for_reader: the part of a chunk that the reader gets; called in the thread, in order.
        """
        self._connection, self._chunks, self._last_frame = connection, chunks, last_frame
        self._for_reader = for_reader
        self._ready = threading.Condition()
        self._queue: deque[tuple[bytes, bytes | bytearray]] = deque()
        self._waiting = 0
        self._ended = self._abandoned = False
        self._error: BaseException | None = None
        connection.take = self._take_frame

    def __iter__(self) -> Iterator[tuple[bytes, bytes | bytearray]]:
        """(kind, payload) of the frames of the reader and of the bytes of the sample, in order.

        Raises whatever `chunks` raised.
        """
        thread = threading.Thread(target=self._run, name="pump", daemon=True)
        thread.start()
        try:
            while True:
                with self._ready:
                    self._ready.wait_for(lambda: self._queue or self._ended)
                    if not self._queue:
                        break
                    kind, payload = self._queue.popleft()
                    self._waiting -= len(payload)
                    self._ready.notify_all()
                yield kind, payload
        finally:
            with self._ready:
                self._abandoned = True
                self._ready.notify_all()
            thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for chunk in self._chunks:
                self._put(RAW, chunk)
                if len(part := self._for_reader(chunk)):
                    self._connection.send(HEADER.pack(b"D", len(part)), part)
            self._connection.send(self._last_frame())
            self._connection.finish()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
            self._error = error
        finally:
            with self._ready:
                self._ended = True
                self._ready.notify_all()

    def _take_frame(self, kind: bytes, payload: bytes) -> bool:
        if kind == RAW:
            raise WireError("a reader sent the bytes of the sample itself back")
        self._put(kind, payload)
        return kind == b"Z"

    def _put(self, kind: bytes, payload: bytes | bytearray) -> None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting < MAX_WAITING or self._abandoned)
            if self._abandoned:
                # the caller has stopped iterating; the rest of the sample is only received and dropped
                return
            self._queue.append((kind, payload))
            self._waiting += len(payload)
            self._ready.notify_all()
