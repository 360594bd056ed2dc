"""cpio archives of all kinds, read by libarchive."""

from __future__ import annotations

import re
from typing import Literal

from crawler.readers.archives.libarchive_decoder import read_archive
from crawler.readers.core.output import Limits, Output, Source

FORMAT = "cpio"

_ASCII = re.compile(rb"07070[12][0-9A-Fa-f]{104}|070707[0-7]{70}")
# the older form is binary, in either order of bytes
_OLD = (b"\xc7\x71", b"\x71\xc7")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the digits of its first header."""
    return 1.0 if _ASCII.match(head) else 0.98 if _old(head) else 0.0


def _old(head: bytes) -> bool:
    """True if a binary header stands there: a mode that is a file's, and a name that ends where it says."""
    if not head.startswith(_OLD) or len(head) < 28:
        return False
    order: Literal["little", "big"] = "little" if head.startswith(_OLD[0]) else "big"
    mode, size = int.from_bytes(head[6:8], order), int.from_bytes(head[20:22], order)
    return mode >> 12 in (1, 2, 4, 6, 8, 10, 12) and 1 < size <= 4096 and head[25 + size : 26 + size] == b"\0"


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come."""
    read_archive(source, out, limits, "cpio")
