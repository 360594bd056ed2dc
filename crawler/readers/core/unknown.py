"""What no reader claims: read over up to a packed file that begins inside it; everything else is left to the byte pass.

Whoever opens a zip looks for its end, not for its beginning: a picture, a program or three bytes in front hide it from a
look at the first bytes, and from nobody else.
"""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN
from crawler.readers.core.signatures import skip_to_archive
from crawler.readers.core.source import Source

FORMAT = UNKNOWN
# what stands there as it is is found by reading
EMBEDDED_SEARCH = "encoded"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Never: it is taken where nobody else is."""
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Read over what is unknown; what begins inside it is told and read by whoever asked."""
    skip_to_archive(source)
