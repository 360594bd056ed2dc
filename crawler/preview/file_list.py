"""Previews of large bodies: lists the files of a body before it is downloaded.

The file list comes from the end of a zip or 7z archive (fetched by HTTP Range), from a torrent file, or from the
listing itself. Every request goes through the crawl's own engine, so that allow-list, robots.txt and rate apply. What
follows from a preview is decided in the runner, by `crawler.alerts.preview_verdict`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from scrapy.http import Response

from crawler.preview.seven_zip_directory import HEAD, compressed_header, decompress_header, find_header, read_header
from crawler.preview.torrent_file import read_torrent
from crawler.preview.zip_directory import find_directory, read_directory
from crawler.process.control_frames import FileListPreview
from crawler.transport.content_ranges import FileVersion, content_range
from crawler.transport.errors import Trouble
from crawler.transport.streamed_response import STREAM, StreamedResponse
from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, encode_fingerprints
from data.model import Post

PREVIEW = "tocsin_preview"
"""A key of a request's `meta`: the request asks for the end of a file only."""
# At most one byte in this many is fetched for a preview.
SHARE = 1000
# Bytes: the end of an archive that has no long comment, and the most that is requested at once if the size is known.
TAIL, LONG_TAIL = 4096, 2**16
_ARCHIVE = re.compile(r"\.(zip|jar|zipx|apk|xlsx|docx|7z)$", re.IGNORECASE)
_SEVEN_ZIP = re.compile(r"\.7z$", re.IGNORECASE)
_TORRENT = re.compile(r"\.torrent$", re.IGNORECASE)
_EXACT = re.compile(r"\d{1,18}")


class Fetch(Protocol):
    """Requests an address through the crawl's engine."""

    async def __call__(
        self, url: str, headers: Mapping[str, str] | None = None, meta: dict[str, Any] | None = None
    ) -> Response | Trouble:
        """The answer, or why there is none."""
        ...


def exact_size(post: Post) -> int:
    """The size of a post's body as its listing states it, if it is exact to the byte; else 0."""
    text = post.fields.get("size", "").strip()
    return int(text) if _EXACT.fullmatch(text) else 0


def tail_header(url: str, above: int, size: int = 0) -> dict[str, str]:
    """Headers that request the end of an archive only; {} if the file is not an archive, or too small for a preview.

    Args:
        url: of the file.
        above: bytes; larger archives are previewed.
        size: of the file, 0 if it is not known.
    """
    if not _ARCHIVE.search(file_name(url)) or 0 < size < above:
        return {}
    return {"Range": f"bytes=-{min(max(size // SHARE - HEAD, TAIL), LONG_TAIL)}", "Accept-Encoding": "identity"}


def is_tail(response: Response) -> bool:
    """Whether an answer is the end of a file that `tail_header` requested, and not the whole file."""
    asked = response.request
    return bool(asked is not None and asked.meta.get(PREVIEW) and response.status in (206, 416))


async def preview_archive(
    response: Response, fetch: Fetch, above: int, fingerprinter: FileFingerprinter
) -> FileListPreview | None:
    """The file list from the end of an archive; None if there is none there, or the archive is too small.

    Args:
        response: for which `is_tail` holds.
        fetch: requests its address once more.
        above: bytes; larger archives are previewed.
        fingerprinter: of the case.
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
        # the examiner gets the whole file and reports what it is
        return None
    return None if found is None else _preview(*found, ends.fetched, ends.total, fingerprinter)


class _Ends:
    """Reads ranges of a file whose last bytes have arrived; other ranges are requested, up to 1/`SHARE` of the file.

    Attributes:
        total: size of the file. fetched: bytes that have arrived.
    """

    def __init__(self, response: Response, fetch: Fetch, first: int, total: int) -> None:
        self.total, self.fetched = total, len(response.body)
        self._response, self._fetch, self._first = response, fetch, first
        self._version = FileVersion.from_headers(response.headers)

    @classmethod
    def of(cls, response: Response, fetch: Fetch) -> _Ends | None:
        """From the answer to a request for the end; None if it is something else."""
        part = content_range(response.headers) if response.status == 206 else None
        if part is None or part.total is None or part.last != part.total - 1:
            return None
        if len(response.body) != part.last - part.first + 1:
            return None
        return cls(response, fetch, part.first, part.total)

    @property
    def tail(self) -> bytes:
        """The bytes at the end of the file that arrived first."""
        return self._response.body

    async def read(self, start: int, size: int, *, whole: bool = True) -> bytes | None:
        """A range of the file; None if it does not arrive, or is larger than what may still be fetched.

        With `whole` false, a range that is too large is shortened at its end instead.
        """
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
            # more bytes than were requested
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
    """Kind of archive, files, and whether the list is complete; None if it is not zip, or the list is not available."""
    directory = find_directory(ends.tail, ends.total)
    if directory is None:
        return None
    data = await ends.read(directory.start, directory.size, whole=False)
    if data is None:
        return None
    files, complete = read_directory(data, directory.entries)
    return ("zip", files, complete) if files else None


async def _seven_zip_files(ends: _Ends) -> tuple[str, list[FileEntry], bool] | None:
    """The same for a 7z archive, whose names may be encrypted; raises InputError if it is damaged."""
    head = await ends.read(0, HEAD)
    location = None if head is None else find_header(head, ends.total)
    header = None if location is None else await ends.read(location.start, location.size)
    if header is None or location is None or not location.holds(header):
        return None
    inner = compressed_header(header)
    if inner is not None:
        if inner.locked:
            return "7z, locked", [], False
        data = await ends.read(inner.location.start, inner.location.size)
        if data is None:
            return None
        header = decompress_header(inner, data)
    files = read_header(header)
    return ("7z", files, True) if files else None


def preview_torrent(name: str, body: bytes, fingerprinter: FileFingerprinter) -> FileListPreview | None:
    """The file list of a torrent file; None if the body is not a torrent file."""
    if not _TORRENT.search(name):
        return None
    try:
        files = read_torrent(body)
    except InputError:
        # the examiner gets the body like any other file and reports what it is
        return None
    # a torrent may claim sizes whose sum no signed number of 64 bits holds: then the largest one is reported
    total = min(sum(file.size for file in files), 2**63 - 1)
    return _preview("torrent", files, True, len(body), total, fingerprinter)


def preview_from_listing(post: Post, url: str, above: int, fingerprinter: FileFingerprinter) -> FileListPreview | None:
    """One large file as its listing states it; None if the listing does not state its size to the byte."""
    size = exact_size(post)
    if size < above or _ARCHIVE.search(file_name(url)):
        return None
    return preview_of_file(post.title or file_name(url), size, fingerprinter)


def preview_of_file(name: str, size: int, fingerprinter: FileFingerprinter) -> FileListPreview:
    """One file of which a page states name and size."""
    return _preview("listing", [FileEntry(name, size)], True, 0, size, fingerprinter)


def _preview(
    how: str, files: list[FileEntry], complete: bool, fetched: int, total: int, fingerprinter: FileFingerprinter
) -> FileListPreview:
    """A preview as it is sent to the runner."""
    rows = ((*fingerprinter.fingerprints(file), file.size) for file in files)
    return FileListPreview(how=how, complete=complete, files=encode_fingerprints(rows), fetched=fetched, total=total)


def file_name(address: str) -> str:
    """The file name at the end of an address; `page` if there is none."""
    return urlsplit(address).path.rpartition("/")[2] or "page"
