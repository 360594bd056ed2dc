"""Reads from response headers which bytes of which version of a file a response holds; pure functions.

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
class FileVersion:
    """The version of a file that a response belongs to, as far as its headers name it.

    Attributes:
        etag: the ETag header as it came, weak or strong; '' if absent.
        modified: the Last-Modified header; '' if absent.
        date: the Date header; '' if absent.
    """

    etag: str
    modified: str
    date: str = ""

    @classmethod
    def from_headers(cls, headers: Headers) -> FileVersion:
        """The version that the headers of a response name."""
        return cls(*(_text(headers, name) for name in ("ETag", "Last-Modified", "Date")))

    def validator(self) -> str:
        """The value for an If-Range header, '' if there is none.

        It is a strong ETag, or a Last-Modified time at least one second before the response was made.
        """
        if self.etag:
            return "" if self.etag.startswith("W/") else self.etag
        if not self.modified or not self.date:
            return ""
        try:
            # Within the same second the file may have changed again.
            over = (parsedate_to_datetime(self.date) - parsedate_to_datetime(self.modified)).total_seconds() >= 1
        except (ValueError, TypeError):
            return ""
        return self.modified if over else ""

    def differs(self, other: FileVersion) -> bool:
        """Whether both name a version and these versions are different."""
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified) and self.modified != other.modified


@dataclass(frozen=True, slots=True)
class ContentRange:
    """A Content-Range: bytes `first` to `last` (inclusive) of `total`; total is None if the server does not know it."""

    first: int
    last: int
    total: int | None


def content_range(headers: Headers) -> ContentRange | None:
    """The range of bytes that a 206 response holds; None if its Content-Range is missing or invalid."""
    match = _RANGE.fullmatch(_text(headers, "Content-Range"))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last, total)


def total_size(headers: Headers) -> int | None:
    """The size of the whole file in bytes, from the Content-Range of a 416 response; None if it does not name it."""
    match = _UNSATISFIED.fullmatch(_text(headers, "Content-Range"))
    return int(match[1]) if match else None


def _text(headers: Headers, name: str) -> str:
    return (headers.get(name) or b"").decode("latin-1").strip()
