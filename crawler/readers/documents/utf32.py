"""UTF-32 text, with four bytes for each character: the text is decoded and sent as a member in UTF-8.

Files in UTF-32 are rare. The byte pass reads UTF-8 and UTF-16 only, so it examines the bytes of that member.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "utf_32"
EMBEDDED_SEARCH = "raw"

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))


def _encoding(head: bytes) -> str:
    return next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), "")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.99 if the head begins with a byte order mark and valid characters follow."""
    encoding = _encoding(head)
    if not encoding:
        return 0.0
    try:
        head[4 : min(len(head), 4096) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    return 0.99


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Send the text as one member."""
    decoder = codecs.getincrementaldecoder(_encoding(source.read(4)))("replace")

    def pieces() -> Iterator[bytes]:
        while piece := source.piece():
            yield decoder.decode(piece).encode("utf-8", "replace")
        yield decoder.decode(b"", True).encode("utf-8", "replace")

    read_member(Source(pieces(), "", source.amplification), out)
