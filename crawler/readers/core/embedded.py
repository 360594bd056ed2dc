"""Files that text formats carry as base64, read as members; which values are files is left to the formats' readers."""

from __future__ import annotations

import binascii
import re

from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output, Source

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def read_base64(name: str, value: bytes, out: Output) -> None:
    """Read a file written as base64 as a member of the open one; what is no base64 in it is skipped."""
    digits = _NOT_BASE64.sub(b"", value)
    if len(digits) % 4 == 1:
        out.problem("base64", "a file inside it is cut", incomplete=True)
        digits = digits[:-1]
    data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    if data:
        read_member(Source(iter([data]), name), out)
