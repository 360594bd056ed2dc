"""Signatures of archives, compressed files and binary formats, and the search for them in any bytes.

Only formats in whose bytes the byte pass finds nothing are searched for. A tar or a mail is readable wherever it
stands. "Archive" stands for all of these formats here.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from crawler.readers.core.source import Source

SIGNATURE_REACH = 160
"""An archive is recognised by so many of its first bytes."""
# the first search window is short, because where one archive follows another the next one is near
_WINDOWS = (2**12, 2**15, 2**18)
_CHECKED = 64
# codes of a `compress` file that are checked, nine bits each: each of them rules out half of all random bytes
_CODES = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """How the files of one format begin.

    The conditions are so strict that 2 GB of random bytes contain a false signature once in a hundred times.

    Attributes:
        mark: the bytes that are searched for.
        rest: must match directly behind the mark.
        before: how many bytes of the file stand before the mark.
        rare: a byte of the mark that hardly occurs in text, so that text is skipped quickly.
        check: must hold for the bytes from the mark on, if given.
    """

    mark: bytes
    rest: re.Pattern[bytes]
    before: int = 0
    rare: int = 0
    check: Callable[[bytes], bool] | None = None


def _has_block(data: bytes) -> bool:
    """Whether the first block of a zstd frame has a possible header."""
    try:
        size = zstandard.frame_header_size(data)
    except zstandard.ZstdError:
        return False
    number = int.from_bytes(data[size : size + 3], "little")
    return number >> 1 & 3 < 3 and number >> 3 <= 2**17


def _has_lzma(data: bytes) -> bool:
    """Whether the stream behind a header of LZMA alone can be decompressed as far as it is given."""
    try:
        lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=2**29).decompress(data, _CHECKED)
    except (lzma.LZMAError, EOFError, MemoryError) as error:
        # a dictionary that is too large is reported by the reader
        return isinstance(error, MemoryError) or "emory" in str(error)
    return True


def _has_codes(data: bytes) -> bool:
    """Whether the first codes of a `compress` file are possible: none names a table entry before it exists."""
    size = _CODES * 9 // 8
    codes = int.from_bytes(data[3 : 3 + size], "little")
    # the first code is a byte; the second may be the entry that is being made, 257 (256 clears the table)
    return (
        len(data) >= 3 + size
        and codes & 0x100 == 0
        and all(codes >> 9 * number & 0x1FF <= 0x100 + number for number in range(1, _CODES))
    )


def _of(mark: bytes, rest: bytes, rare: int, before: int = 0) -> Signature:
    return Signature(mark, re.compile(rest, re.DOTALL), before, rare)


# the flags of an LZ4 frame: version 1, a reserved bit
_LZ4 = bytes(value for value in range(0x40, 0x80) if not value & 2)
_LZIP = bytes(value for value in range(256) if 12 <= value & 31 <= 29)
SIGNATURES = (
    # version and system, flags, method, time, sizes, a short name
    _of(b"PK\x03\x04", rb"[\x0a-\x3f][\0-\x14].[\0-\x08][\0\x08\x09\x0c\x0e\x5f\x63\x5d\x62]\0.{16}[^\0][\0\1]", 4),
    _of(b"7z\xbc\xaf\x27\x1c", rb"\0[\0-\x04]", 0x1C),
    # the archive's own header follows: of RAR 4 behind two bytes, of RAR 5 behind a checksum and a size
    _of(b"Rar!\x1a\x07", rb"\0..s|\x01\0.{4}[\0-\x7f][\x01\x04]|\x01\0.{4}[\x80-\xff]{1,2}[\0-\x7f][\x01\x04]", 0x1A),
    _of(b"\x1f\x8b\x08", rb"[\0-\x1f].{4}[\0\x02\x04][\0-\x0d\xff]", 0x1F),
    # the level and the mark of the first block; its tables, which are binary, come behind them
    _of(b"BZh", rb"[1-9]1AY&SY", 0x26),
    _of(b"\xfd7zXZ\0", rb"\0[\0\x01\x04\x0a]", 0),
    # no dictionary, no reserved bit
    Signature(b"\x28\xb5\x2f\xfd", re.compile(rb"[\x00\x04\x20\x24\x40\x44\x60\x64\x80\x84\xa0\xa4\xc0\xc4\xe0\xe4]"),
        0, 0xFD, _has_block),
    _of(b"\x04\x22\x4d\x18", b"[" + re.escape(_LZ4) + rb"][\x40\x50\x60\x70]", 4),
    _of(b"LZIP\x01", b"[" + re.escape(_LZIP) + b"]", 1),
    _of(b"MSCF\0\0\0\0", rb".{4}\0\0\0\0.{4}\0\0\0\0[\0-\x05]\x01", 0),
    # a dictionary of 2^n or 3 * 2^n bytes, a size that is unknown or less than a terabyte, a zero
    Signature(b"\x5d\0\0", re.compile(
        rb"[\0\x01\x02\x03\x04\x06\x08\x0c\x10\x18\x20\x30\x40\x60\x80\xc0][\0-\x0c\x10\x20\x40]"
        rb"(?<!\0\0)(?:\xff{8}|.{5}\0\0\0)\0", re.DOTALL), 0, 0, _has_lzma),
    Signature(b"\x1f\x9d", re.compile(rb"[\x89-\x90]"), 0, 0x9D, _has_codes),
    _of(b"xar!\0\x1c\0\x01", rb"", 0),
    # the former attribute byte is always 0x20, then the level follows
    _of(b"-lh", rb"[1-7]-.{12}\x20[\0-\x03]", 0, 2),
    # the second line of a document is a comment of binary bytes, or its first object begins there
    _of(b"%PDF-", rb"[12]\.\d\s{1,2}(?:%[\x80-\xff]{3}|\d+ \d+ obj)", 0x25),
    _of(b"SQLite format 3\0", rb"..[\1\2][\1\2].\x40\x20\x20", 0),
    _of(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", rb"\0{16}.{2}[\x03\x04]\0\xfe\xff", 0x11),
    _of(b"PAR1", rb"\x15[\0\x04\x06]\x15", 0x15),
    _of(b"ARROW1\0\0", rb"\xff\xff\xff\xff", 0),
    _of(b"Standard Jet DB\0", rb"", 0, 4),
    _of(b"Standard ACE DB\0", rb"", 0, 4),
)  # fmt: skip


class SignatureFinder:
    """Finds where archives begin in bytes that do not change.

    Ask with increasing places: each byte is then searched once for each signature.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        # for each signature the next place found, -1 before the first search
        self._next = [-1] * len(SIGNATURES)

    def find(self, at: int = 0) -> int | None:
        """The first place at or after `at` where an archive begins; None if there is none."""
        for number, place in enumerate(self._next):
            if place < at:
                self._next[number] = self._search(SIGNATURES[number], at)
        first = min(self._next)
        return first if first < len(self._data) else None

    def _search(self, signature: Signature, start: int) -> int:
        data, mark = self._data, signature.mark
        if data.find(signature.rare, start) < 0:
            return len(data)
        at = data.find(mark, start + signature.before)
        while at >= 0:
            if signature.rest.match(data, at + len(mark)) and (
                signature.check is None or signature.check(bytes(data[at : at + _CHECKED]))
            ):
                return at - signature.before
            at = data.find(mark, at + 1)
        return len(data)


def is_archive_start(head: bytes) -> bool:
    """Whether an archive begins with the first of these bytes."""
    return SignatureFinder(head[:SIGNATURE_REACH]).find() == 0


def skip_to_archive(source: Source, passed: Callable[[bytes], None] | None = None) -> bool:
    """Read on to where the next archive begins; False if there is none, and the source is at its end.

    Args:
        source: read up to that place.
        passed: takes the bytes before that place, in order.
    """
    turn = 0
    while data := source.peek(window := _WINDOWS[min(turn, len(_WINDOWS) - 1)]):
        at = SignatureFinder(data).find()
        size = at if at is not None else len(data) if len(data) < window else window - SIGNATURE_REACH
        if passed is not None:
            passed(data[:size])
        source.skip(size)
        if at is not None:
            return True
        turn += 1
    return False
