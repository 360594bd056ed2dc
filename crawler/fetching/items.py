"""Values that a crawl holds of one post: its listing row, the item that goes through the pipelines, and its samples."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scrapy.http import Response

from crawler.pages.extract import ItemPart
from crawler.process.control_frames import Announcements, PostPart
from crawler.transport.errors import Trouble
from data.model import Finding, Post

FileResult = asyncio.Future[Trouble | None]
NOTHING_ANNOUNCED = Announcements(rules=(), deadlines=())


@dataclass(frozen=True, slots=True)
class ListingRow:
    """What the listing says about a post: keyed id, keyed version, masked address, and its fields."""

    id: str
    version: str
    address: str
    fields: Mapping[str, Any]


class BodyDownload(Protocol):
    """What the examining pipeline needs of a body that is read while it arrives; `Download` is the usual one."""

    trouble: Trouble | None
    changed: bool
    resumes: int

    @property
    def size(self) -> int:
        """Bytes of the decoded body, as the site announced; 0 if it announced none."""
        ...

    def head(self, size: int = 2**16) -> bytes:
        """The first bytes, as far as they have arrived."""
        ...

    def problem(self) -> str:
        """Why the body was not read completely; '' if it was."""
        ...

    def read(self) -> AsyncGenerator[bytes, None]:
        """The body from its first byte; sets `trouble` and `changed`."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True)
class FetchedSample:
    """The bytes of one part of a post, as they are sent to the examiner.

    Attributes:
        name: file name, or kind of part. url: its address.
        body: all bytes; empty if there is a `download`.
        problem: why the bytes are incomplete; '' if they are complete.
        download: the body while it is still being downloaded; it is examined as it arrives.
        preview_event: id of the event of the preview of its file list; '' without one.
        receipt: how it was received (`crawler.fetching.receipts`), for sealed evidence; '' if it is of the listing.
    """

    name: str
    url: str
    body: bytes = field(repr=False)
    problem: str = ""
    download: BodyDownload | None = field(default=None, repr=False)
    preview_event: str = ""
    receipt: str = field(default="", repr=False)

    def beginning(self, size: int) -> bytes:
        """The first `size` bytes, as far as they have arrived."""
        return self.body[:size] if self.download is None else self.download.head(size)


@dataclass(slots=True)
class LinksOfPost:
    """The links of one post that concern others than itself.

    Attributes:
        handed: posts of other sources that they lead to, by their address.
        files: addresses on the hosts of the source that end in the name of a data file, and that no rule names.
        hosts: undeclared host, or one where no source takes a link, or the service that it belongs to -> addresses of data
            files there.
        reads: of `files`, those that this post reads for all posts of the crawl that link to them -> what became of it,
            known when the post is stored: why it was not read, None if it was.
        shared: the same of files that other posts of the crawl read.
        done: of `reads`, those that were read, or that are not requested again.
    """

    handed: dict[str, Post] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    hosts: dict[str, set[str]] = field(default_factory=dict)
    reads: dict[str, FileResult] = field(default_factory=dict)
    shared: list[FileResult] = field(default_factory=list)
    done: set[str] = field(default_factory=set)


@dataclass(slots=True)
class FetchedPost:
    """The item of every platform: one post on its way through the pipelines.

    Attributes:
        row: as listed. changed: it was known, and its version has changed.
        first: the answer to the first request for it, or why there is none.
        findings: filled by the examining pipeline.
        trouble: why it could not be examined completely; such a post stays due.
        left: code -> number of parts that were not read and are not requested again.
        links: what its links lead to, beside itself.
        page_fields: fields of its own page, if that was read.
        parts: of its pages, and its files, that were new or changed. unchanged: its pages were read, and all parts of
            them were known.
        whole: the listing has all of it, so that nothing was requested for it.
        revisited: it is known, and read again although its listing shows no change.
        quoting: a reply of the feed that quotes something. others: what the other replies of the feed say.
        due: a reply of the feed that an earlier crawl did not examine, although its thread may name it as a known part.
        start: value of {page} or {offset} from which on it is read, 0 for its first page. last_page: that of the last
            page that was read.
        passwords: that its own text gives; they are tried on its archives and kept nowhere.
        preview_events: number of a finding -> id of the event of the preview of its sample.
        announced: rules of the incident that match its text, and deadlines that it announces.
    """

    post: Post
    row: ListingRow
    changed: bool
    first: Response | Trouble | None
    findings: list[Finding] = field(default_factory=list)
    trouble: Trouble | None = None
    left: Counter[str] = field(default_factory=Counter)
    links: LinksOfPost = field(default_factory=LinksOfPost)
    page_fields: dict[str, Any] = field(default_factory=dict)
    announced: Announcements = NOTHING_ANNOUNCED
    passwords: tuple[str, ...] = ()
    preview_events: dict[int, str] = field(default_factory=dict)
    parts: list[PostPart] = field(default_factory=list)
    unchanged: bool = False
    revisited: bool = False
    whole: bool = False
    quoting: ItemPart | None = field(default=None, repr=False)
    others: tuple[str, ...] = field(default=(), repr=False)
    start: int = 0
    last_page: int = 0
    due: bool = False

    def note_read(self, files: Iterable[str], trouble: Trouble | None, findings: int) -> None:
        """Note linked files as read, unless something went wrong meanwhile; the rest is what the post was before."""
        if self.trouble is trouble and (
            trouble is None or (len(self.findings) > findings and self.findings[-1].complete)
        ):
            self.links.done.update(files)

    def __repr__(self) -> str:
        """Contains nothing of the post, because Scrapy writes items into its log."""
        return f"<FetchedPost with {len(self.findings)} findings>"
