"""What no reader claims: looked through for an archive that begins inside it; everything else is left to the byte pass.

Whoever opens a zip looks for its end, not for its beginning: a picture, a program or three bytes in front hide it from a
look at the first bytes, and from nobody else.
"""

from __future__ import annotations

import re

from crawler.readers import UNKNOWN, read_member
from crawler.readers.base import Limits, Output, Source

FORMAT = UNKNOWN

_WINDOW, _OVERLAP = 2**18, 64
# signature and what must follow it, so that noise hardly ever looks like one: in 2 GB of it once in a hundred times
_SIGNATURES = (
    # version and system, flags, method, time, sizes, a short name
    (b"PK\x03\x04", re.compile(rb"[\x0a-\x3f][\0-\x14].[\0-\x08][\0\x08\x09\x0c\x0e\x5f\x63\x5d\x62]\0.{16}[^\0][\0\1]", re.DOTALL)),
    (b"7z\xbc\xaf\x27\x1c", re.compile(rb"\0[\0-\x04]")),
    (b"Rar!\x1a\x07", re.compile(rb"\0|\x01\0")),
    (b"\x1f\x8b\x08", re.compile(rb"[\0-\x1f].{4}[\0\x02\x04][\0-\x0d\xff]", re.DOTALL)),
    (b"BZh", re.compile(rb"[1-9]1AY&SY")),
    (b"\xfd7zXZ\0", re.compile(rb"\0[\0\x01\x04\x0a]")),
)  # fmt: skip


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Never: it is taken where nobody else is."""
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Read over what is unknown; an archive in it, and what follows that, is a member."""
    while data := source.peek(_WINDOW):
        at = _archive(data)
        if at is not None:
            source.skip(at)
            out.problem("inside", "an archive begins inside other bytes; it is examined by itself")
            read_member(Source(iter(source.piece, b""), "", source.amplification), out)
            return
        source.skip(len(data) if len(data) < _WINDOW else len(data) - _OVERLAP)


def _archive(data: bytes) -> int | None:
    """Where the first archive begins."""
    found = [at for signature, rest in _SIGNATURES if (at := _first(data, signature, rest)) is not None]
    return min(found, default=None)


def _first(data: bytes, signature: bytes, rest: re.Pattern[bytes]) -> int | None:
    at = data.find(signature)
    while at >= 0:
        if rest.match(data, at + len(signature)):
            return at
        at = data.find(signature, at + 1)
    return None
