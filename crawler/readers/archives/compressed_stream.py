"""Compressed streams, unpacked piece by piece under the ratio limit; each codec's marks and names are left to its reader."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

from crawler.readers.core.limits import PIECE, RATIO_FLOOR, Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import SIGNATURE_REACH, SignatureFinder
from crawler.readers.core.source import Source

# what one damaged place costs: the output of a slice is lost when decoding fails inside it. Slices are whole, however
# the bytes come, so that the same sample always gives the same.
SLICE = 4096
_UNPACKED_SLICE = 2**18
# what is handed on at a time: frames and observers are paid for by the piece
_JOINED = 2**20


class Stream:
    """What is compressed behind the place where the source stands.

    Attributes:
        unpacked: bytes so far.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self.unpacked = 0
        self.source = source
        self.limits = limits
        self._begin = source.position

    @property
    def packed(self) -> int:
        """Bytes of the source so far."""
        return self.source.position - self._begin

    def amplification(self) -> float:
        """Unpacked bytes for one byte of the whole sample."""
        return float(self.source.amplification() * self.unpacked / max(1, self.packed))

    def parts(self) -> Iterator[bytes]:
        """Unpacked bytes as the codec gives them, at most a few hundred KiB each.

        Raises:
            Damaged: the data ends or goes wrong.
        """
        raise NotImplementedError

    def pieces(self) -> Iterator[bytes]:
        """Unpacked bytes, all of those before any damage.

        Raises:
            Damaged: as `parts`; "ratio" where the limit is passed.
        """
        waiting: list[bytes] = []
        have = 0
        damage: Damaged | None = None
        try:
            for part in self.parts():
                self.unpacked += len(part)
                if self.unpacked > RATIO_FLOOR and self.amplification() > self.limits.max_ratio:
                    raise Damaged("ratio", f"it unpacks to more than {self.limits.max_ratio:g} times its size")
                waiting.append(part)
                have += len(part)
                if have >= _JOINED:
                    yield b"".join(waiting)
                    waiting, have = [], 0
        except Damaged as error:
            damage = error
        if have:
            yield b"".join(waiting)
        if damage is not None:
            raise damage


class Decoder(Protocol):
    """The decoders of `bz2` and `lzma`."""

    @property
    def eof(self) -> bool:
        """The stream is over."""
        ...

    @property
    def needs_input(self) -> bool:
        """Nothing more comes without more bytes."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the stream in the bytes given last."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Unpacked bytes, at most so many."""
        ...


class Restarting(Stream):
    """Streams one behind the other, read as one file; after damage it goes on with the next stream that begins.

    Args:
        magic: what a stream begins with. padding: zero bytes may stand between streams.

    Attributes:
        wrong: streams that are damaged.
    """

    def __init__(self, source: Source, limits: Limits, magic: re.Pattern[bytes], *, padding: bool = False) -> None:
        super().__init__(source, limits)
        self.wrong = 0
        self._magic = magic
        self._padding = padding

    def one(self) -> Iterator[bytes]:
        """The stream that begins here, as `parts`."""
        raise NotImplementedError

    def parts(self) -> Iterator[bytes]:
        """All streams."""
        while True:
            try:
                yield from self.one()
            except Damaged as error:
                if error.code != "damaged":
                    raise
                self.wrong += 1
                if not self._next_stream():
                    raise
                # half a line before the damage and half a line behind it are not one line
                yield b"\n"
                continue
            self._over_zeros()
            if self._magic.match(self.source.peek(16)) is None:
                return

    def _over_zeros(self) -> None:
        source = self.source
        while self._padding and source.peek(1) == b"\0":
            piece = source.piece()
            source.step_back(len(piece.lstrip(b"\0")))

    def _next_stream(self) -> bool:
        source = self.source
        while data := source.peek(PIECE):
            found = self._magic.search(data)
            other = SignatureFinder(data[: found.start() + SIGNATURE_REACH] if found else data).find()
            if other is not None and (not found or other < found.start()):
                # what begins there is examined by itself
                source.skip(other)
                return False
            if found:
                source.skip(found.start())
                return True
            source.skip(len(data) if len(data) < PIECE else PIECE - SIGNATURE_REACH)
        return False


class Decoded(Restarting):
    """Streams of a decoder that Python brings."""

    def __init__(
        self,
        source: Source,
        limits: Limits,
        magic: re.Pattern[bytes],
        make: Callable[[], Decoder],
        refused: tuple[type[Exception], ...],
        *,
        padding: bool = False,
    ) -> None:
        super().__init__(source, limits, magic, padding=padding)
        self._make = make
        self._refused = refused

    def one(self) -> Iterator[bytes]:
        """The stream that begins here."""
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
                        raise Damaged("cut", "the compressed data ends before its end")
                part = decoder.decompress(data, _UNPACKED_SLICE)
                if part:
                    yield part
        except self._refused as error:
            if "emory" in str(error):
                raise Damaged("memory", "it needs more memory to be unpacked than the limit") from error
            # a next stream is looked for behind this one's mark, within the bytes that were taken last
            source.step_back(min(len(data), max(0, source.position - start - 1)))
            raise Damaged("damaged", "the compressed data is damaged") from error
        source.step_back(len(decoder.unused_data))


def unpack(stream: Stream, name: str, out: Output) -> None:
    """Read what a stream unpacks to as one member; what follows it is left."""
    member = Source(stream.pieces(), name, stream.amplification)
    read_member(member, out)
    if isinstance(stream, Restarting) and stream.wrong:
        out.problem("damaged", f"{stream.wrong} compressed streams are damaged", incomplete=True)
    if member.damage is not None:
        out.mark_end_unknown()


def inner_name(name: str, *endings: str) -> str:
    """The name of a compressed file without its compression: a.csv.xz is a.csv, a.txz is a.tar."""
    for ending in endings:
        if name.lower().endswith(ending):
            return name[: -len(ending)] + (".tar" if ending.startswith(".t") else "")
    return ""
