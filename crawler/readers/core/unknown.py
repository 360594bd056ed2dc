"""Files that no reader recognises: archives inside them are found, everything else is left to the byte pass.

If their bytes are compressed, encrypted or a picture, the byte pass finds nothing in them, and they are reported as unread.

Programs that open a zip search for its end, not for its beginning. So a zip behind a picture, a program or three stray
bytes can be opened by anybody, although its first bytes do not show it.
"""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.opacity import OpacityMeter
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN
from crawler.readers.core.signatures import skip_to_archive
from crawler.readers.core.source import Source
from crawler.readers.core.unsupported_formats import is_font

FORMAT = UNKNOWN
# archives as they are, not encoded, are found by `read`
EMBEDDED_SEARCH = "encoded"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Always 0: it is used when no other reader recognises a file."""
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Read on to the first archive, which the caller then reads as a member; report opaque bytes before it."""
    if is_font(source.peek(8), source.name):
        out.mark_assessed()
    meter = OpacityMeter()
    skip_to_archive(source, meter.feed)
    if not out.assessed:
        meter.report(out)
