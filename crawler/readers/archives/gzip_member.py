"""gzip: one member, or several that follow each other, as one file. The registry chooses the reader of that file."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from crawler.readers.archives.auxiliary_data import AuxiliaryData
from crawler.readers.archives.inflate import Inflate
from crawler.readers.core.limits import MAX_NAME, Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from data.plural import counted

FORMAT = "gzip"

_MAGIC = b"\x1f\x8b\x08"
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
# the format does not limit the name and the comment in a header
_MAX_HEADER_FIELD = 65_536


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes."""
    return 1.0 if head.startswith(_MAGIC) and len(head) > 3 and not head[3] & 0xE0 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress all gzip members as one file."""
    stream = _Stream(source, limits)
    # the name is in the first header, which is read when the first byte is asked for
    member = Source(stream.pieces(), "", stream.amplification)
    member.peek(1)
    member.name = stream.name
    read_member(member, out)
    if stream.wrong:
        out.problem(
            "damaged", f"{counted(stream.wrong, 'checksum')} in it did not match the decompressed data", incomplete=True
        )
    if member.damage is not None:
        out.mark_end_unknown()
    stream.auxiliary.read_embedded(source, out)


class _Stream:
    """The members of one gzip file."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self.name = ""
        self.wrong = 0
        # fields of headers, which may hold anything
        self.auxiliary = AuxiliaryData()
        self._source = source
        self._limits = limits
        self._inflate: Inflate | None = None

    def amplification(self) -> float:
        return self._inflate.amplification() if self._inflate is not None else self._source.amplification()

    def pieces(self) -> Iterator[bytes]:
        source = self._source
        first = True
        while first or source.peek(3) == _MAGIC:
            name = self._header()
            if first:
                self.name = name
            first = False
            self._inflate = inflate = Inflate(source, self._limits)
            yield from inflate.pieces()
            trailer = source.read(8)
            if len(trailer) < 8:
                raise Damaged("cut", "the file ends inside a checksum")
            if struct.unpack("<II", trailer) != (inflate.crc, inflate.decompressed & 0xFFFFFFFF):
                self.wrong += 1
            source.skip_zeros()

    def _header(self) -> str:
        source = self._source
        head = source.read(10)
        if len(head) < 10:
            raise Damaged("cut", "the file ends inside a header")
        flags = head[3]
        if flags & _FEXTRA:
            size = source.read(2)
            self.auxiliary.add(source.read(int.from_bytes(size, "little")))
        name = self._text() if flags & _FNAME else b""
        self.auxiliary.add(name)
        if flags & _FCOMMENT:
            self.auxiliary.add(self._text())
        if flags & _FHCRC:
            source.skip(2)
        return name[:MAX_NAME].decode("latin-1")

    def _text(self) -> bytes:
        data = self._source.peek(_MAX_HEADER_FIELD)
        end = data.find(b"\0")
        if end < 0:
            raise Damaged("damaged", "a name or comment in a header does not end")
        self._source.skip(end + 1)
        return data[:end]
