"""The older form of xz: one LZMA stream behind thirteen bytes of header, which has no magic bytes."""

from __future__ import annotations

import lzma
import re

from crawler.readers.archives.compressed_stream import Decoded, inner_name, unpack
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "lzma"

_NEVER = re.compile(rb"(?!)")
_ENDINGS = (".lzma", ".tlz")
_USUAL = 0x5D
_ENDLESS = 2**64 - 1
# larger is no size that any tool would write
_MOST = 2**40
_LEAST = 16


def sniff(head: bytes, name: str) -> float:
    """Likely if its header makes sense and its first bytes can be unpacked."""
    if len(head) < _LEAST or head[0] >= 225 or head[13] != 0:
        return 0.0
    if head[0] != _USUAL and not name.lower().endswith(_ENDINGS):
        return 0.0
    window, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    # dictionaries are 2^n or 2^n + 2^(n-1) bytes
    top = window & -window
    if window < 4096 or window not in (top, 3 * top) or not (size == _ENDLESS or size < _MOST):
        return 0.0
    try:
        found = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=2**29).decompress(head[:4096], 4096)
    except (lzma.LZMAError, EOFError) as error:
        # too large a dictionary is for the reader to say
        return 0.98 if "emory" in str(error) and name.lower().endswith(_ENDINGS) else 0.0
    return 0.98 if found or size == 0 else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Unpack its one stream."""

    def make() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=limits.memory // 2)

    stream = Decoded(source, limits, _NEVER, make, (lzma.LZMAError, EOFError))
    unpack(stream, inner_name(source.name, *_ENDINGS), out)
