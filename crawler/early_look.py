"""Looks at the files of a large body before it is fetched: the end of a zip archive by Range, a torrent, a listing.

Every request goes through the crawl's own engine: allow-list, robots.txt and rate hold. What follows from a look is
`crawler.early`'s, in the runner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from scrapy.http import Response

from crawler.answers import file_name
from crawler.prints import File, Printer, packed
from crawler.torrent_file import read_torrent
from crawler.transport.errors import Trouble
from crawler.transport.ranges import Version, part_of
from crawler.transport.streamed import STREAM, StreamedResponse
from crawler.zip_directory import find_directory, read_directory
from data.errors import InputError
from data.model import Post

EARLY = "tocsin_early"
"""The key of a request's `meta`: it asks for the end of a file alone."""
# One byte in so many is fetched for a look, at most.
SHARE = 1000
# The end of an archive without a long comment, and the most that is asked for at once where its size is known.
TAIL, LONG_TAIL = 4096, 2**16
_ARCHIVE = re.compile(r"\.(zip|jar|zipx|apk|xlsx|docx)$", re.IGNORECASE)
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
    return {"Range": f"bytes=-{min(max(size // SHARE, TAIL), LONG_TAIL)}", "Accept-Encoding": "identity"}


def is_tail(response: Response) -> bool:
    """Whether an answer is to a request for an end of a file, and not the file itself."""
    asked = response.request
    return bool(asked is not None and asked.meta.get(EARLY) and response.status in (206, 416))


async def look_at_archive(response: Response, fetch: Fetch, above: int, printer: Printer) -> dict[str, Any] | None:
    """What the end of an archive says of its files; None where it says nothing, or a look is not worth it.

    Args:
        response: for which `is_tail` holds.
        fetch: asks for its address once more.
        above: size from which a look is made.
        printer: of the case.
    """
    part = part_of(response.headers) if response.status == 206 else None
    if part is None or part.total is None or part.last != part.total - 1 or part.total < above:
        return None
    if len(response.body) != part.last - part.first + 1:
        return None
    directory = find_directory(response.body, part.total)
    if directory is None:
        return None
    fetched = len(response.body)
    end = directory.start + directory.size
    if directory.start >= part.first:
        data = response.body[directory.start - part.first : end - part.first]
    else:
        wanted = min(directory.size, part.total // SHARE - fetched)
        if wanted <= 0:
            return None
        asked = response.request
        url = response.url if asked is None else asked.meta.get("redirect_urls", [asked.url])[0]
        version = Version.of(response.headers)
        last = directory.start + wanted - 1
        headers = {"Range": f"bytes={directory.start}-{last}", "Accept-Encoding": "identity"}
        answer = await fetch(url, headers, {STREAM: wanted})
        if isinstance(answer, StreamedResponse):
            # more than was asked for
            await answer.close()
            return None
        if isinstance(answer, Trouble) or answer.status != 206 or version.differs(Version.of(answer.headers)):
            return None
        got = part_of(answer.headers)
        if got is None or (got.first, got.last, got.total) != (directory.start, last, part.total):
            return None
        data = answer.body
        fetched += len(data)
    files, complete = read_directory(data, directory.entries)
    return _told("zip", files, complete, fetched, part.total, printer) if files else None


def look_at_torrent(name: str, body: bytes, printer: Printer) -> dict[str, Any] | None:
    """What a torrent file says of what it stands for; None where it is none."""
    if not _TORRENT.search(name):
        return None
    try:
        files = read_torrent(body)
    except InputError:
        # the examiner gets it like any other file, and tells what it is
        return None
    return _told("torrent", files, True, len(body), sum(file.size for file in files), printer)


def look_at_listing(post: Post, url: str, above: int, printer: Printer) -> dict[str, Any] | None:
    """What a folder says of one large file; None where it does not say its size to the byte."""
    size = exact_size(post)
    if size < above or _ARCHIVE.search(file_name(url)):
        return None
    return _told("listing", [File(post.title or file_name(url), size)], True, 0, size, printer)


def _told(how: str, files: list[File], complete: bool, fetched: int, total: int, printer: Printer) -> dict[str, Any]:
    """As it goes to the runner."""
    rows = ((*printer.prints(file), file.size) for file in files)
    return {"how": how, "complete": complete, "files": packed(rows), "fetched": fetched, "total": total}
