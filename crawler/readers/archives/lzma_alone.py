"""The predecessor of xz: one LZMA stream behind a header of thirteen bytes, without magic bytes."""

from __future__ import annotations

import lzma
import re

from crawler.readers.archives.compressed_stream import DecoderStreams, inner_name, read_decompressed
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "lzma"

_NEVER = re.compile(rb"(?!)")
_ENDINGS = (".lzma", ".tlz")
_USUAL_PROPERTIES = 0x5D
_SIZE_UNKNOWN = 2**64 - 1
# no real file names a larger size
_MAX_SIZE = 2**40
_MIN_LENGTH = 16


def sniff(head: bytes, name: str) -> float:
    """Nearly sure if the header is possible and the first bytes can be decompressed."""
    if len(head) < _MIN_LENGTH or head[0] >= 225 or head[13] != 0:
        return 0.0
    if head[0] != _USUAL_PROPERTIES and not name.lower().endswith(_ENDINGS):
        return 0.0
    window, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    # dictionaries have 2^n or 2^n + 2^(n-1) bytes
    lowest_bit = window & -window
    if window < 4096 or window not in (lowest_bit, 3 * lowest_bit) or not (size == _SIZE_UNKNOWN or size < _MAX_SIZE):
        return 0.0
    try:
        found = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=2**29).decompress(head[:4096], 4096)
    except (lzma.LZMAError, EOFError) as error:
        # a dictionary that is too large is reported by `read`
        return 0.98 if "emory" in str(error) and name.lower().endswith(_ENDINGS) else 0.0
    return 0.98 if found or size == 0 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Decompress the file, which is one stream."""

    def make() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=limits.memory // 2)

    stream = DecoderStreams(source, limits, _NEVER, make, (lzma.LZMAError, EOFError))
    read_decompressed(stream, inner_name(source.name, *_ENDINGS), out)
