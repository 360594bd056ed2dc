"""The bytes of a sample or member, which a reader reads once from front to back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from crawler.readers.core.limits import MAX_NAME, PIECE, Damaged


class LineBlock(NamedTuple):
    """A block of whole lines: its size in bytes with its last line end, and the CRC-32 without that and without a mark."""

    size: int
    crc: int


class Source:
    """The bytes of one sample or member, read once from front to back.

    A reader gets one and mostly needs four methods: `peek` to look ahead, `piece` or `read` to take bytes, and
    `read_all` if its format needs random access. Bytes that a reader leaves unread are examined after it: they count as
    following the end of its format.

    If the container of a member is damaged, the stream ends there and the error is kept in `damage`. Whoever began the
    member reports it; a reader sees a shorter source and need not check for it.

    To read a member, a reader wraps the member's bytes in a new `Source`, gives it its own `amplification` and passes
    it to `members.read_member`.

    Args:
        chunks: the bytes in order, in pieces of any size.
        name: of the member as the container stores it; '' for the sample itself.
        amplification: returns how many bytes one byte of the whole sample has become in this source so far.
    """

    def __init__(
        self, chunks: Iterator[bytes], name: str = "", amplification: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.name = name[:MAX_NAME]
        self.bytes = 0
        self.damage: Damaged | None = None
        self.companions: dict[str, bytes] = {}
        """Files beside this one that belong to it: content by the ending of the name (`.frm`)."""
        self.joined = False
        """What it holds is shown with the rows of a file beside it."""
        self.guide: Sequence[LineBlock] = ()
        """The blocks of lines in which it is read, if it is a chunk of a file that was cut; () for a whole file."""
        self.amplification = amplification
        self._chunks = chunks
        # fetched bytes: those before `_at` were read, those behind it were not
        self._data = b""
        self._at = 0
        self._on_fetch: Callable[[bytes], None] | None = None
        self._on_read: Callable[[bytes], None] | None = None
        # where the bytes begin that were read and not yet passed to `_on_read`
        self._reported = 0

    @property
    def position(self) -> int:
        """Number of bytes read so far."""
        return self.bytes - (len(self._data) - self._at)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes without reading them; fewer only at the end."""
        if len(self._data) - self._at < size:
            parts = [self._data[self._at :]]
            have = len(parts[0])
            while have < size and (chunk := self._fetch()):
                parts.append(chunk)
                have += len(chunk)
            self.notify_observer()
            self._data, self._at, self._reported = b"".join(parts), 0, 0
        return self._data[self._at : self._at + size]

    def read(self, size: int) -> bytes:
        """Read the next `size` bytes; fewer only at the end."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def piece(self, size: int = PIECE) -> bytes:
        """Read the next bytes as they were fetched, at least one and at most `size`; empty only at the end."""
        if self._at >= len(self._data):
            self.notify_observer()
            self._data, self._at, self._reported = self._fetch(), 0, 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def step_back(self, size: int) -> None:
        """Make the last `size` bytes of the last `read` or `piece` unread again; no other call may come between."""
        self._at -= size

    def skip(self, size: int) -> int:
        """Read over `size` bytes and return how many there were."""
        left = size
        while left and (piece := self.piece(min(left, PIECE))):
            left -= len(piece)
        return size - left

    def skip_zeros(self) -> None:
        """Skip the zero bytes with which tapes, disks and some tools fill the last block of a file."""
        while self.peek(1) == b"\0":
            piece = self.piece()
            self.step_back(len(piece.lstrip(b"\0")))

    def read_all(self, limit: int) -> bytearray:
        """Read everything that is left into memory, for formats that need random access.

        If the stream ends in damage, the bytes before it are returned and the error stays in `damage`.

        Raises:
            Damaged: more than `limit` bytes are left. The rest of them is left to the byte pass.
        """
        held = bytearray()
        while piece := self.piece(2**20):
            held += piece
            if len(held) > limit:
                raise Damaged("size", f"this format has to be read in memory as a whole, and exceeds {limit} bytes")
        return held

    def drain(self) -> None:
        """Read everything that is left, so that an observer sees every byte."""
        while self.piece(2**20):
            pass

    # --- for `members`, and for containers that read a part of their bytes as a member -------------------------------

    def observe(self, observer: Callable[[bytes], None]) -> None:
        """Pass every byte to `observer` once and in order, as soon as it is fetched; first those already peeked at."""
        self._on_fetch = observer
        if self._at < len(self._data):
            observer(self._data[self._at :])

    def observe_read(self, observer: Callable[[bytes], None]) -> None:
        """Pass every byte that is read to `observer`, and no byte that is only peeked at.

        Call `notify_observer` or `take_rest` at the end, which pass on the last bytes.
        """
        self._on_read, self._reported = observer, self._at

    def notify_observer(self) -> None:
        """Pass the bytes that were read since the last time to the observer of `observe_read`.

        `step_back` must not go behind this place afterwards.
        """
        if self._on_read is not None and self._reported < self._at:
            self._on_read(self._data[self._reported : self._at])
            self._reported = self._at

    def take_rest(self) -> bytes:
        """Return the bytes that were fetched and not read. The source is not used any more."""
        self.notify_observer()
        data, self._data, self._at, self._reported = self._data[self._at :], b"", 0, 0
        self.bytes -= len(data)
        return data

    def put_back(self, data: bytes) -> None:
        """Make bytes that were read last unread again, however many; observers do not see them a second time."""
        self.notify_observer()
        self._data, self._at, self._reported = data + self._data[self._at :], 0, 0

    def _fetch(self) -> bytes:
        if self.damage is not None:
            return b""
        try:
            for chunk in self._chunks:
                if chunk:
                    self.bytes += len(chunk)
                    if self._on_fetch is not None:
                        self._on_fetch(chunk)
                    return chunk
        except Damaged as error:
            self.damage = error
        return b""


def in_pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of `PIECE` bytes or a little more: short ones, such as lines, cost more than their bytes do.

    If `chunks` ends in damage, the bytes before it come first.
    """
    parts: list[bytes] = []
    size = 0
    damage = None
    try:
        for chunk in chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= PIECE:
                yield b"".join(parts)
                parts, size = [], 0
    except Damaged as error:
        damage = error
    yield b"".join(parts)
    if damage is not None:
        raise damage


class HeldFile:
    """What `read_all` returned, as a file for libraries that seek; unlike `BytesIO` it does not copy the bytes.

    Args:
        data: must not change its size.
    """

    def __init__(self, data: bytearray) -> None:
        self._data = memoryview(data)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        end = len(self._data) if size is None or size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place, counted from the beginning, from here, or from the end."""
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def get_size(self) -> int:
        """The number of bytes."""
        return len(self._data)
