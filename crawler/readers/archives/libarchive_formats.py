"""Formats that libarchive reads from front to back: one entry for each, and how it is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from crawler.readers.archives.compressed_stream import inner_name
from crawler.readers.archives.libarchive_decoder import read_archive, read_filtered
from crawler.readers.archives.rar_listing import MAGIC4, MAGIC5, RarListing
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

_NOT_TRIED = "passwords that the post gives were not tried: libarchive cannot decrypt RAR"


@dataclass(frozen=True, slots=True)
class ArchiveFormat:
    """An archive format.

    Attributes:
        FORMAT: the name of the format, which is also that of libarchive.
        score: how sure the first bytes are of this format, 0..1.
    """

    FORMAT: str
    score: Callable[[bytes], float]

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """How sure the first bytes are of this format; file names are not considered."""
        return self.score(head)

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read all members in their order."""
        read_archive(source, out, limits, self.FORMAT)


@dataclass(frozen=True, slots=True)
class RarFormat(ArchiveFormat):
    """RAR archives of versions 2 to 5. Members that libarchive cannot open are listed by their headers."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read all members in their order."""
        kind = "rar5" if source.peek(len(MAGIC5)) == MAGIC5 else "rar"
        listing = RarListing(limits.max_entries)
        try:
            read_archive(source, out, limits, kind, listing=listing)
        finally:
            if out.passwords and (listing.locked or any(each.locked for each in listing.members)):
                out.problem_once("password", _NOT_TRIED)


@dataclass(frozen=True, slots=True)
class CompressedFormat(ArchiveFormat):
    """A compressed file: one member without a name of its own.

    Attributes:
        endings: endings of file names; the name of the member is the file name without the ending.
    """

    endings: tuple[str, ...] = ()

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Decompress it as one file."""
        read_filtered(source, out, limits, self.FORMAT, inner_name(source.name, *self.endings))


def _starts(*marks: bytes) -> Callable[[bytes], float]:
    return lambda head: 1.0 if head.startswith(marks) else 0.0


# ISO 9660: the first sixteen sectors are unused, and one type byte precedes the mark of the first descriptor
_ISO_AT = 16 * 2048 + 1
_LHA_METHOD = re.compile(rb"-(?:lh[0-7d]|lz[45s])-")
_CPIO_ASCII = re.compile(rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}")
# the older form of cpio is binary, in either byte order
_CPIO_BINARY = (b"\xc7\x71", b"\x71\xc7")


def _iso9660(head: bytes) -> float:
    return 1.0 if head[_ISO_AT : _ISO_AT + 5] == b"CD001" else 0.0


def _lha(head: bytes) -> float:
    """Sure if the method of the first member and the level of its header are possible."""
    return 1.0 if _LHA_METHOD.match(head, 2) and len(head) > 20 and head[20] <= 3 else 0.0


def _lzip(head: bytes) -> float:
    """Sure by the magic bytes and a dictionary size that the format allows."""
    return 1.0 if head.startswith((b"LZIP\0", b"LZIP\x01")) and len(head) > 5 and 12 <= head[5] & 31 <= 29 else 0.0


def _compress(head: bytes) -> float:
    """Sure by the magic bytes and a code size that the format allows."""
    return 1.0 if head.startswith(b"\x1f\x9d") and len(head) > 3 and 9 <= head[2] & 31 <= 16 else 0.0


def _cpio(head: bytes) -> float:
    """Sure if the first header is one of digits; nearly sure if it is a binary header."""
    return 1.0 if _CPIO_ASCII.match(head) else 0.98 if _binary_cpio(head) else 0.0


def _binary_cpio(head: bytes) -> bool:
    """True if a binary header begins here: the mode is that of a file, and the name ends where the header says."""
    if not head.startswith(_CPIO_BINARY) or len(head) < 28:
        return False
    order: Literal["little", "big"] = "little" if head.startswith(_CPIO_BINARY[0]) else "big"
    mode, size = int.from_bytes(head[6:8], order), int.from_bytes(head[20:22], order)
    return mode >> 12 in (1, 2, 4, 6, 8, 10, 12) and 1 < size <= 4096 and head[25 + size : 26 + size] == b"\0"


READERS = (
    ArchiveFormat("ar", _starts(b"!<arch>\n", b"!<thin>\n")),
    ArchiveFormat("cab", _starts(b"MSCF\0\0\0\0")),
    CompressedFormat("compress", _compress, (".z", ".taz")),
    ArchiveFormat("cpio", _cpio),
    ArchiveFormat("iso9660", _iso9660),
    ArchiveFormat("lha", _lha),
    CompressedFormat("lzip", _lzip, (".lz", ".tlz")),
    RarFormat("rar", _starts(MAGIC4, MAGIC5)),
    ArchiveFormat("xar", _starts(b"xar!\0\x1c\0\x01")),
)
