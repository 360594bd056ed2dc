"""UTF-32 text, with four bytes for each character: the text is decoded and sent as a member in UTF-8.

Files in UTF-32 are rare. The byte pass reads UTF-8 and UTF-16 only, so it examines the bytes of that member.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from crawler.readers.core.encoding import is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "utf_32"
EMBEDDED_SEARCH = "raw"

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"))


_MIN_SIZE = 32


def _encoding(head: bytes) -> str:
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), "")
    if marked or len(head) < _MIN_SIZE:
        return marked
    # without a mark, three bytes of every letter of the Latin alphabet are zero
    sample = head[: min(len(head), 4096) // 4 * 4]
    highest, lowest = sample[0::4], sample[3::4]
    if not any(lowest) and not any(sample[2::4]) and sample[1::4].count(0) * 2 > len(lowest):
        return _if_text(sample, "utf-32-le")
    if not any(highest) and not any(sample[1::4]) and sample[2::4].count(0) * 2 > len(highest):
        return _if_text(sample, "utf-32-be")
    return ""


def _if_text(sample: bytes, encoding: str) -> str:
    """The encoding if the sample is text in it: columns of small binary numbers have control characters."""
    return encoding if is_text(sample.decode(encoding, "replace").encode("utf-8", "replace")) else ""


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.99 if the head is valid UTF-32: with a byte order mark, or text of which most letters are Latin."""
    encoding = _encoding(head)
    if not encoding:
        return 0.0
    try:
        head[: min(len(head), 4096) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    return 0.99


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Send the text as one member."""
    encoding = _encoding(source.peek(4096))
    if source.peek(4) in dict(_BYTE_ORDER_MARKS):
        source.read(4)
    decoder = codecs.getincrementaldecoder(encoding)("replace")

    def pieces() -> Iterator[bytes]:
        while piece := source.piece():
            yield decoder.decode(piece).encode("utf-8", "replace")
        yield decoder.decode(b"", True).encode("utf-8", "replace")

    read_member(Source(pieces(), "", source.amplification), out)
