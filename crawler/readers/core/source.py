"""The bytes of a sample or member, read once from front to back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crawler.readers.core.limits import MAX_NAME, PIECE, Damaged


class Source:
    """The bytes of one sample or member, read once from front to back.

    Damage met on the way ends the stream and is kept in `damage`: readers see a short source and need not care.

    Args:
        chunks: the bytes in order, any cut.
        name: as the container says it, '' for the sample itself.
        amplification: how many bytes one byte of the whole sample has become here so far.
    """

    def __init__(
        self, chunks: Iterator[bytes], name: str = "", amplification: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.name = name[:MAX_NAME]
        self.bytes = 0
        self.damage: Damaged | None = None
        self.amplification = amplification
        self._chunks = chunks
        self._data = b""
        self._at = 0
        self._watch: Callable[[bytes], None] | None = None
        self._taken: Callable[[bytes], None] | None = None
        self._told = 0

    @property
    def position(self) -> int:
        """Bytes that were read so far."""
        return self.bytes - (len(self._data) - self._at)

    def observe(self, observer: Callable[[bytes], None]) -> None:
        """Hand every byte to the observer once, in order, those already peeked at included."""
        self._watch = observer
        if self._at < len(self._data):
            observer(self._data[self._at :])

    def observe_read(self, observer: Callable[[bytes], None]) -> None:
        """Hand every byte to the observer that is read, and none that is peeked at alone; `take_rest` hands on the last."""
        self._taken, self._told = observer, self._at

    def notify_observer(self) -> None:
        """Hand on what was read since the last time to who watches that; it cannot be gone back over any more."""
        if self._taken is not None and self._told < self._at:
            self._taken(self._data[self._told : self._at])
            self._told = self._at

    def take_rest(self) -> bytes:
        """What was fetched and not read; the source is over."""
        self.notify_observer()
        data, self._data, self._at, self._told = self._data[self._at :], b"", 0, 0
        self.bytes -= len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Put back bytes that were read last, in whatever pieces; whoever watches does not see them again."""
        self.notify_observer()
        self._data, self._at, self._told = data + self._data[self._at :], 0, 0

    def _fetch(self) -> bytes:
        if self.damage is not None:
            return b""
        try:
            for chunk in self._chunks:
                if chunk:
                    self.bytes += len(chunk)
                    if self._watch is not None:
                        self._watch(chunk)
                    return chunk
        except Damaged as error:
            self.damage = error
        return b""

    def peek(self, size: int) -> bytes:
        """Up to `size` of the next bytes, which stay to be read; fewer only at the end."""
        if len(self._data) - self._at < size:
            parts = [self._data[self._at :]]
            have = len(parts[0])
            while have < size and (chunk := self._fetch()):
                parts.append(chunk)
                have += len(chunk)
            self.notify_observer()
            self._data, self._at, self._told = b"".join(parts), 0, 0
        return self._data[self._at : self._at + size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def piece(self, size: int = PIECE) -> bytes:
        """The next bytes, at most `size` and at least one; empty only at the end."""
        if self._at >= len(self._data):
            self.notify_observer()
            self._data, self._at, self._told = self._fetch(), 0, 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def step_back(self, size: int) -> None:
        """Step back over the last `size` bytes of the piece that was read last."""
        self._at -= size

    def skip(self, size: int) -> int:
        """Read over `size` bytes; how many there were."""
        left = size
        while left and (piece := self.piece(min(left, PIECE))):
            left -= len(piece)
        return size - left

    def read_all(self, limit: int) -> bytearray:
        """All that is left, in memory, for formats that must be read in any order.

        Raises:
            Damaged: there is more than `limit` bytes; the rest is left to the byte pass. Where the stream is cut by
                damage, what came is given and the damage stays in `damage`.
        """
        held = bytearray()
        while piece := self.piece(2**20):
            held += piece
            if len(held) > limit:
                raise Damaged("size", f"its format needs all of it in memory, and it is larger than {limit} bytes")
        return held

    def drain(self) -> None:
        """Take what is left, so that whoever watches sees every byte."""
        while self.piece(2**20):
            pass
