"""Decompresses streams piece by piece and stops at the ratio limit.

Signatures and headers are left to the reader of each format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from crawler.readers.core.limits import PIECE, RATIO_FLOOR, Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import SIGNATURE_REACH, SignatureFinder
from crawler.readers.core.source import Source
from data.plural import counted

# The decoder gets so many bytes at a time. If it fails, the output of that slice is lost. Slices are always filled,
# however the bytes arrive, so that the same sample always has the same result.
SLICE = 4096
_MAX_PART = 2**18
# pieces of this size are passed on, because every piece costs a frame and a call of each observer
_PIECE = 2**20


class CompressedStream:
    """Compressed data that begins at the current place of a source.

    Attributes:
        decompressed: number of decompressed bytes so far.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self.decompressed = 0
        self.source = source
        self.limits = limits
        self._begin = source.position

    @property
    def compressed(self) -> int:
        """Number of bytes read from the source so far."""
        return self.source.position - self._begin

    def amplification(self) -> float:
        """Decompressed bytes for one byte of the whole sample."""
        return float(self.source.amplification() * self.decompressed / max(1, self.compressed))

    def parts(self) -> Iterator[bytes]:
        """Decompressed bytes as the decoder returns them, at most a few hundred KiB each.

        Raises:
            Damaged: the data ends early or is wrong.
        """
        raise NotImplementedError

    def pieces(self) -> Iterator[bytes]:
        """Decompressed bytes; those before a damaged place are all returned before the error.

        Raises:
            Damaged: as `parts`; with the code "ratio" if the ratio limit is exceeded.
        """
        waiting: list[bytes] = []
        have = 0
        damage: Damaged | None = None
        try:
            for part in self.parts():
                self.decompressed += len(part)
                if self.decompressed > RATIO_FLOOR and self.amplification() > self.limits.max_ratio:
                    raise Damaged("ratio", f"it decompresses to more than {self.limits.max_ratio:g} times its size")
                waiting.append(part)
                have += len(part)
                if have >= _PIECE:
                    yield b"".join(waiting)
                    waiting, have = [], 0
        except Damaged as error:
            damage = error
        if have:
            yield b"".join(waiting)
        if damage is not None:
            raise damage


class Decoder(Protocol):
    """What the decoders of `bz2` and `lzma` offer."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether the decoder returns nothing more before it gets more bytes."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The bytes behind the end of the stream in those given last."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decompressed bytes, at most `max_length`."""
        ...


class ConcatenatedStreams(CompressedStream):
    """Streams that follow each other and are read as one file. After damage, reading goes on with the next stream.

    Args:
        magic: matches the first bytes of a stream.
        padding: whether zero bytes may stand between streams.

    Attributes:
        wrong: number of damaged streams.
    """

    def __init__(self, source: Source, limits: Limits, magic: re.Pattern[bytes], *, padding: bool = False) -> None:
        super().__init__(source, limits)
        self.wrong = 0
        self._magic = magic
        self._padding = padding

    def one(self) -> Iterator[bytes]:
        """The decompressed bytes of the stream that begins here, as `parts`."""
        raise NotImplementedError

    def parts(self) -> Iterator[bytes]:
        """The decompressed bytes of all streams."""
        while True:
            try:
                yield from self.one()
            except Damaged as error:
                if error.code != "damaged":
                    raise
                self.wrong += 1
                if not self._next_stream():
                    raise
                # so that the half lines before and behind the damage do not become one line
                yield b"\n"
                continue
            if self._padding:
                self.source.skip_zeros()
            if self._magic.match(self.source.peek(16)) is None:
                return

    def _next_stream(self) -> bool:
        source = self.source
        while data := source.peek(PIECE):
            found = self._magic.search(data)
            other = SignatureFinder(data[: found.start() + SIGNATURE_REACH] if found else data).find()
            if other is not None and (not found or other < found.start()):
                # the archive that begins there is read as a member of its own
                source.skip(other)
                return False
            if found:
                source.skip(found.start())
                return True
            source.skip(len(data) if len(data) < PIECE else PIECE - SIGNATURE_REACH)
        return False


class DecoderStreams(ConcatenatedStreams):
    """Streams that a decoder of the standard library decompresses.

    Args:
        make: returns a new decoder.
        errors: exceptions that the decoder raises.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        magic: re.Pattern[bytes],
        make: Callable[[], Decoder],
        errors: tuple[type[Exception], ...],
        *,
        padding: bool = False,
    ) -> None:
        super().__init__(source, limits, magic, padding=padding)
        self._make = make
        self._errors = errors

    def one(self) -> Iterator[bytes]:
        """The decompressed bytes of the stream that begins here."""
        source = self.source
        start = source.position
        data = b""
        try:
            decoder = self._make()
            while not decoder.eof:
                data = b""
                if decoder.needs_input:
                    data = source.read(SLICE)
                    if not data:
                        raise Damaged("cut", "the compressed data ends too early")
                part = decoder.decompress(data, _MAX_PART)
                if part:
                    yield part
        except self._errors as error:
            if "emory" in str(error):
                raise Damaged("memory", "decompressing it takes more memory than the limit allows") from error
            # the search for the next stream begins behind the signature of this one, within the bytes that were read
            # last
            source.step_back(min(len(data), max(0, source.position - start - 1)))
            raise Damaged("damaged", "the compressed data is damaged") from error
        source.step_back(len(decoder.unused_data))


def read_decompressed(stream: CompressedStream, name: str, out: Output) -> None:
    """Read the decompressed stream as one member. Bytes behind the stream are left in the source."""
    member = Source(stream.pieces(), name, stream.amplification)
    read_member(member, out)
    if isinstance(stream, ConcatenatedStreams) and stream.wrong:
        out.problem(
            "damaged",
            f"{counted(stream.wrong, 'compressed stream')} in it could not be decompressed to the end",
            incomplete=True,
        )
    if member.damage is not None:
        out.mark_end_unknown()


def inner_name(name: str, *endings: str) -> str:
    """The name of the file inside a compressed file: a.csv for a.csv.xz, a.tar for a.txz; '' if no ending fits."""
    for ending in endings:
        if name.lower().endswith(ending):
            return name[: -len(ending)] + (".tar" if ending.startswith(".t") else "")
    return ""
