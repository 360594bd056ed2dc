"""Looks at the files of a large body before it is fetched: the ends of zip and 7z archives by Range, a torrent, a listing.

Every request goes through the crawl's own engine: allow-list, robots.txt and rate hold. What follows from a look is
`crawler.alerts.preview_verdict`'s, in the runner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from scrapy.http import Response

from crawler.preview.seven_zip_directory import HEAD, find_header, packed_header, read_header, unpack_header
from crawler.preview.torrent_file import read_torrent
from crawler.preview.zip_directory import find_directory, read_directory
from crawler.process.control_frames import FileListPreview
from crawler.transport.content_ranges import FileVersion, content_range
from crawler.transport.errors import Trouble
from crawler.transport.streamed_response import STREAM, StreamedResponse
from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, encode_fingerprints
from data.model import Post

EARLY = "tocsin_early"
"""The key of a request's `meta`: it asks for the end of a file alone."""
# One byte in so many is fetched for a look, at most.
SHARE = 1000
# The end of an archive without a long comment, and the most that is asked for at once where its size is known.
TAIL, LONG_TAIL = 4096, 2**16
_ARCHIVE = re.compile(r"\.(zip|jar|zipx|apk|xlsx|docx|7z)$", re.IGNORECASE)
_SEVEN_ZIP = re.compile(r"\.7z$", re.IGNORECASE)
_TORRENT = re.compile(r"\.torrent$", re.IGNORECASE)
_EXACT = re.compile(r"\d{1,18}")


class Fetch(Protocol):
    """Asks for an address over the crawl's road."""

    async def __call__(
        self, url: str, headers: Mapping[str, str] | None = None, meta: dict[str, Any] | None = None
    ) -> Response | Trouble:
        """Its answer."""
        ...


def exact_size(post: Post) -> int:
    """The size that a listing says to the byte; 0 where it says none, or a rounded one."""
    text = post.fields.get("size", "").strip()
    return int(text) if _EXACT.fullmatch(text) else 0


def tail_header(url: str, above: int, size: int = 0) -> dict[str, str]:
    """What asks for the end of an archive instead of the whole; {} where it is none, or too small for a look.

    Args:
        url: of the file.
        above: size from which a look is made.
        size: of the file, 0 where it is not known.
    """
    if not _ARCHIVE.search(file_name(url)) or 0 < size < above:
        return {}
    return {"Range": f"bytes=-{min(max(size // SHARE - HEAD, TAIL), LONG_TAIL)}", "Accept-Encoding": "identity"}


def is_tail(response: Response) -> bool:
    """Whether an answer is to a request for an end of a file, and not the file itself."""
    asked = response.request
    return bool(asked is not None and asked.meta.get(EARLY) and response.status in (206, 416))


async def look_at_archive(
    response: Response, fetch: Fetch, above: int, printer: FileFingerprinter
) -> FileListPreview | None:
    """What the end of an archive says of its files; None where it says nothing, or a look is not worth it.

    Args:
        response: for which `is_tail` holds.
        fetch: asks for its address once more.
        above: size from which a look is made.
        printer: of the case.
    """
    ends = _Ends.of(response, fetch)
    if ends is None or ends.total < above:
        return None
    asked = response.url if response.request is None else response.request.url
    try:
        if _SEVEN_ZIP.search(file_name(asked)):
            found = await _seven_zip_files(ends)
        else:
            found = await _zip_files(ends)
    except InputError:
        # the examiner gets it whole, and tells what it is
        return None
    return None if found is None else _told(*found, ends.fetched, ends.total, printer)


class _Ends:
    """Bytes of a file of which the last ones came; others are asked for, up to a share of all.

    Attributes:
        total: size of the file. fetched: bytes that came.
    """

    def __init__(self, response: Response, fetch: Fetch, first: int, total: int) -> None:
        self.total, self.fetched = total, len(response.body)
        self._response, self._fetch, self._first = response, fetch, first
        self._version = FileVersion.from_headers(response.headers)

    @classmethod
    def of(cls, response: Response, fetch: Fetch) -> _Ends | None:
        """None where the answer is not the end of a file."""
        part = content_range(response.headers) if response.status == 206 else None
        if part is None or part.total is None or part.last != part.total - 1:
            return None
        if len(response.body) != part.last - part.first + 1:
            return None
        return cls(response, fetch, part.first, part.total)

    @property
    def tail(self) -> bytes:
        """The bytes at the end that came first."""
        return self._response.body

    async def read(self, start: int, size: int, *, whole: bool = True) -> bytes | None:
        """Some bytes; None where they do not come, or would be too many. Not all of them, where `whole` is false."""
        if start >= self._first:
            return self.tail[start - self._first : start - self._first + size]
        wanted = min(size, self.total // SHARE - self.fetched)
        if wanted <= 0 or (whole and wanted < size):
            return None
        asked = self._response.request
        url = self._response.url if asked is None else asked.meta.get("redirect_urls", [asked.url])[0]
        last = start + wanted - 1
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        answer = await self._fetch(url, headers, {STREAM: wanted})
        if isinstance(answer, StreamedResponse):
            # more than was asked for
            await answer.close()
            return None
        if (
            isinstance(answer, Trouble)
            or answer.status != 206
            or self._version.differs(FileVersion.from_headers(answer.headers))
        ):
            return None
        got = content_range(answer.headers)
        if got is None or (got.first, got.last, got.total) != (start, last, self.total):
            return None
        self.fetched += len(answer.body)
        return answer.body


async def _zip_files(ends: _Ends) -> tuple[str, list[FileEntry], bool] | None:
    """How it was looked at, files, and whether they are all; None where it is no zip archive, or they cannot be had."""
    directory = find_directory(ends.tail, ends.total)
    if directory is None:
        return None
    data = await ends.read(directory.start, directory.size, whole=False)
    if data is None:
        return None
    files, complete = read_directory(data, directory.entries)
    return ("zip", files, complete) if files else None


async def _seven_zip_files(ends: _Ends) -> tuple[str, list[FileEntry], bool] | None:
    """The same of a 7z archive, which may keep its names secret; raises InputError where it is damaged."""
    head = await ends.read(0, HEAD)
    place = None if head is None else find_header(head, ends.total)
    header = None if place is None else await ends.read(place.start, place.size)
    if header is None or place is None or not place.holds(header):
        return None
    inner = packed_header(header)
    if inner is not None:
        if inner.locked:
            return "7z, locked", [], False
        data = await ends.read(inner.place.start, inner.place.size)
        if data is None:
            return None
        header = unpack_header(inner, data)
    files = read_header(header)
    return ("7z", files, True) if files else None


def look_at_torrent(name: str, body: bytes, printer: FileFingerprinter) -> FileListPreview | None:
    """What a torrent file says of what it stands for; None where it is none."""
    if not _TORRENT.search(name):
        return None
    try:
        files = read_torrent(body)
    except InputError:
        # the examiner gets it like any other file, and tells what it is
        return None
    # a torrent may claim sizes whose sum no signed number of 64 bits holds: then the largest one is reported
    total = min(sum(file.size for file in files), 2**63 - 1)
    return _told("torrent", files, True, len(body), total, printer)


def look_at_listing(post: Post, url: str, above: int, printer: FileFingerprinter) -> FileListPreview | None:
    """What a folder says of one large file; None where it does not say its size to the byte."""
    size = exact_size(post)
    if size < above or _ARCHIVE.search(file_name(url)):
        return None
    return _told("listing", [FileEntry(post.title or file_name(url), size)], True, 0, size, printer)


def _told(
    how: str, files: list[FileEntry], complete: bool, fetched: int, total: int, printer: FileFingerprinter
) -> FileListPreview:
    """As it goes to the runner."""
    rows = ((*printer.fingerprints(file), file.size) for file in files)
    return FileListPreview(how=how, complete=complete, files=encode_fingerprints(rows), fetched=fetched, total=total)


def file_name(address: str) -> str:
    """The last part of an address."""
    return urlsplit(address).path.rpartition("/")[2] or "page"
