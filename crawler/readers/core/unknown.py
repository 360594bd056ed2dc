"""Files that no reader recognises: archives inside them are found, everything else is left to the byte pass.

Programs that open a zip search for its end, not for its beginning. So a zip behind a picture, a program or three stray
bytes can be opened by anybody, although its first bytes do not show it.
"""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN
from crawler.readers.core.signatures import skip_to_archive
from crawler.readers.core.source import Source

FORMAT = UNKNOWN
# archives as they are, not encoded, are found by `read`
EMBEDDED_SEARCH = "encoded"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Always 0: it is used when no other reader recognises a file."""
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Read on to the first archive, which the caller then reads as a member."""
    skip_to_archive(source)
