"""Reports members that an archive lists and whose bytes are not read: links, devices, encrypted files."""

from __future__ import annotations

import re

from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, UNKNOWN

# a drive letter, a root, or a step upwards anywhere
_OUTSIDE = re.compile(r"^(?:[A-Za-z]:|[/\\])|(?:^|[/\\])\.\.(?:[/\\]|$)")


def report_empty_member(out: Output, name: str) -> None:
    """Report a member that has no bytes: a link or a device."""
    out.begin(name, EMPTY)
    out.end(0)


def report_locked_member(out: Output, name: str) -> None:
    """Report a member that is encrypted, of which only the name is known."""
    out.begin(name, UNKNOWN)
    out.problem("locked", "it is encrypted and was not read", incomplete=True)
    out.end(0)


def report_unread_member(out: Output, name: str) -> None:
    """Report a member that the archive lists and that no reader can decompress."""
    out.begin(name, UNKNOWN)
    out.problem("unread", "it could not be decompressed and was not read", incomplete=True)
    out.end(0)


def points_outside(target: str) -> bool:
    """True if the target of a link lies outside the archive."""
    return _OUTSIDE.search(target) is not None
