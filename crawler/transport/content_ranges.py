"""What the headers of an answer say of which bytes of which version of a file it holds; pure functions.

Source: RFC 9110, sections 8.8 (validators), 13.1.5 (If-Range), 14.4 (Content-Range).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from scrapy.http import Headers

_RANGE = re.compile(r"bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes\s+\*/(\d{1,19})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a file an answer is of, as far as it says.

    Attributes:
        etag: as it came, weak or strong. modified: the Last-Modified header. date: the Date header. All '' where absent.
    """

    etag: str
    modified: str
    date: str = ""

    @classmethod
    def of(cls, headers: Headers) -> Version:
        """From the headers of an answer."""
        return cls(*(_text(headers, name) for name in ("ETag", "Last-Modified", "Date")))

    def validator(self) -> str:
        """What may stand in If-Range: a strong ETag, or a time that was over when the answer was made; '' for neither."""
        if self.etag:
            return "" if self.etag.startswith("W/") else self.etag
        if not self.modified or not self.date:
            return ""
        try:
            # within the same second the file may have changed again
            over = (parsedate_to_datetime(self.date) - parsedate_to_datetime(self.modified)).total_seconds() >= 1
        except (ValueError, TypeError):
            return ""
        return self.modified if over else ""

    def differs(self, other: Version) -> bool:
        """Whether both name a version, and not the same one."""
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified) and self.modified != other.modified


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `first` to `last` of `total`; total is None where the server does not know."""

    first: int
    last: int
    total: int | None


def part_of(headers: Headers) -> Part | None:
    """What a 206 holds; None where its Content-Range is missing or makes no sense."""
    match = _RANGE.fullmatch(_text(headers, "Content-Range"))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        return None
    return Part(first, last, total)


def whole_size(headers: Headers) -> int | None:
    """How many bytes a 416 says there are; None where it does not say."""
    match = _UNSATISFIED.fullmatch(_text(headers, "Content-Range"))
    return int(match[1]) if match else None


def _text(headers: Headers, name: str) -> str:
    return (headers.get(name) or b"").decode("latin-1").strip()
