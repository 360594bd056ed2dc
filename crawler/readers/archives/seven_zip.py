"""7z archives, read by libarchive from memory, for their list of members stands at the end.

Where it is cut off or all of it is too large for that, what was packed with LZMA is unpacked as it comes, without names.
"""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterator

from crawler.readers.archives.compressed_stream import Decoded
from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "7z"

_MAGIC = b"7z\xbc\xaf\x27\x1c"
_HEADER = 32
# LZMA2 begins with a chunk that sets everything; LZMA has a zero there
_LZMA2 = re.compile(rb"[\x01\xe0-\xff]")
_PIECE = 2**20
_TRIED = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its magic bytes."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members, or what can be unpacked without their list."""
    head = source.peek(_HEADER)
    packed = int.from_bytes(head[12:20], "little")
    end = _HEADER + packed + int.from_bytes(head[20:28], "little")
    # a header that was made so says where the archive ends; what follows it is not taken, and not given back
    sure = int.from_bytes(head[8:12], "little") == zlib.crc32(head[12:_HEADER])
    held = bytearray()
    while len(held) <= limits.hold and (piece := source.piece(min(_PIECE, end - len(held)) if sure else _PIECE)):
        held += piece
        if sure and len(held) >= end:
            break
    if len(held) > limits.hold:
        words = f"its list of members stands at its end, and it is larger than {limits.hold} bytes"
        out.problem("size", words, incomplete=True)
        _recover(_packed(held, source, packed), source, out, limits)
        read_embedded(held, source, out)
    elif len(held) < end:
        out.problem("cut", "the archive ends before its list of members", incomplete=True)
        _recover(_packed(held, source, packed), source, out, limits)
        read_embedded(held, source, out)
    else:
        read_archive(source, out, limits, "7zip", whole=held)
        # packed members are noise, those that are not packed are known again
        read_embedded(held, source, out, lambda at: len(held) if at >= end else at)
        source.put_back(bytes(held[end:]))


def _packed(held: bytearray, source: Source, size: int) -> Iterator[bytes]:
    """What stands between the header and the list: what is held, given back in pieces, and then the rest."""
    whole = memoryview(held)[_HEADER : _HEADER + size]
    for start in range(0, len(whole), _PIECE):
        yield bytes(whole[start : start + _PIECE])
    left = size - len(whole)
    while left and (piece := source.piece(min(_PIECE, left))):
        left -= len(piece)
        yield piece


class _Recovered(Decoded):
    """Packed streams one behind the other, to the first byte that is none of theirs."""

    def _next_stream(self) -> bool:
        return False


def _recover(pieces: Iterator[bytes], source: Source, out: Output, limits: Limits) -> None:
    body = Source(pieces, "", source.amplification)
    head = body.peek(_TRIED)
    window = limits.memory // 2
    if _LZMA2.match(head):
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": window}]
    else:
        # what 7-Zip takes if nobody says otherwise
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": 3, "lp": 0, "pb": 2}]

    def make() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)

    try:
        found = make().decompress(head, _TRIED)
    except (lzma.LZMAError, EOFError):
        found = b""
    if found:
        stream = _Recovered(body, limits, _LZMA2, make, (lzma.LZMAError, EOFError))
        read_member(Source(stream.pieces(), "", stream.amplification), out)
    body.drain()
