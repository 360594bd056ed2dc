"""7z archives: libarchive reads them from memory, because the list of members stands at the end.

If the list is cut off or the archive is too large for memory, data compressed with LZMA is decompressed without the
names.
"""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator

from crawler.readers.archives.compressed_stream import DecoderStreams
from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.archives.seven_zip_passwords import SevenZipPasswords
from crawler.readers.archives.zip_passwords import OPENED, REFUSED
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "7z"

_MAGIC = b"7z\xbc\xaf\x27\x1c"
_HEADER = 32
# LZMA2 begins with a chunk that resets the decoder; LZMA has a zero there
_LZMA2 = re.compile(rb"[\x01\xe0-\xff]")
_PIECE = 2**20
_TEST_SIZE = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the magic bytes."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members, or what can be decompressed without their list."""
    head = source.peek(_HEADER)
    compressed = int.from_bytes(head[12:20], "little")
    end = _HEADER + compressed + int.from_bytes(head[20:28], "little")
    # with the right checksum the header is believed to tell where the archive ends, and nothing behind that is read
    header_is_valid = int.from_bytes(head[8:12], "little") == zlib.crc32(head[12:_HEADER])
    held = bytearray()
    while len(held) <= limits.hold and (
        piece := source.piece(min(_PIECE, end - len(held)) if header_is_valid else _PIECE)
    ):
        held += piece
        if header_is_valid and len(held) >= end:
            break
    if len(held) > limits.hold:
        sentence = f"it exceeds {limits.hold} bytes, so its list of members at the end cannot be used"
        out.problem("size", sentence, incomplete=True)
        _recover(_compressed_pieces(held, source, compressed), source, out, limits)
        read_embedded(held, source, out)
    elif len(held) < end:
        out.problem("cut", "the archive ends before its list of members", incomplete=True)
        _recover(_compressed_pieces(held, source, compressed), source, out, limits)
        read_embedded(held, source, out)
    else:
        rest = bytes(held[end:])
        opened = _open(held, out) if out.passwords else None
        read_archive(source, out, limits, "7zip", whole=opened or held)
        if opened is not None:
            source.put_back(rest)
            return
        # compressed members contain no signatures, and members stored uncompressed are recognised as already read
        read_embedded(held, source, out, lambda at: len(held) if at >= end else at)
        source.put_back(rest)


def _open(held: bytearray, out: Output) -> bytearray | None:
    """The archive without its encryption, if a password that came with it opens it."""
    passwords = SevenZipPasswords(out.passwords)
    try:
        opened = passwords.decrypt(held)
    except Damaged:
        # the archive is read as it is, and libarchive reports what is wrong with it
        return None
    if passwords.opened:
        out.problem_once("password", OPENED)
    if passwords.refused:
        out.problem_once("password", REFUSED)
    return opened


def _compressed_pieces(held: bytearray, source: Source, size: int) -> Iterator[bytes]:
    """The bytes between the header and the list of members: first those in memory, then the rest of the source."""
    whole = memoryview(held)[_HEADER : _HEADER + size]
    for start in range(0, len(whole), _PIECE):
        yield bytes(whole[start : start + _PIECE])
    left = size - len(whole)
    while left and (piece := source.piece(min(_PIECE, left))):
        left -= len(piece)
        yield piece


class _Recovered(DecoderStreams):
    """Compressed streams that follow each other, up to the first byte that is not part of one."""

    def _next_stream(self) -> bool:
        return False


def _recover(pieces: Iterator[bytes], source: Source, out: Output, limits: Limits) -> None:
    """Decompress the data of an archive without its list of members, and read it as one member."""
    body = Source(pieces, "", source.amplification)
    head = body.peek(_TEST_SIZE)
    window = limits.memory // 2
    if _LZMA2.match(head):
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": window}]
    else:
        # the defaults of 7-Zip
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": 3, "lp": 0, "pb": 2}]

    def make() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)

    try:
        found = make().decompress(head, _TEST_SIZE)
    except (lzma.LZMAError, EOFError):
        found = b""
    if found:
        stream = _Recovered(body, limits, _LZMA2, make, (lzma.LZMAError, EOFError))
        read_member(Source(stream.pieces(), "", stream.amplification), out)
    body.drain()
