"""What a crawl has of one post while it is in hand: the item that goes through the pipelines, and its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scrapy.http import Response

from crawler.process.control_frames import Announcements
from crawler.transport.errors import Trouble
from crawler.transport.resumed_download import Download
from data.model import Finding, Post

NOTHING_ANNOUNCED = Announcements(rules=(), deadlines=())


@dataclass(frozen=True, slots=True)
class ListingRow:
    """What is known of a post from its listing row: keyed id, keyed version, masked address, and its fields."""

    id: str
    version: str
    address: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes of one part of a post.

    Attributes:
        problem: why they are not all, '' where they are. early: id of the event of an early look at it. download: where they come from while they are examined; `body`
            is empty then.
    """

    name: str
    url: str
    body: bytes = field(repr=False)
    problem: str = ""
    download: Download | None = field(default=None, repr=False)
    early: str = ""

    def beginning(self, size: int) -> bytes:
        """Its first bytes, as far as they are here."""
        return self.body[:size] if self.download is None else self.download.head(size)


@dataclass(slots=True)
class FetchedPost:
    """The item of every platform: one post on its way through the pipelines.

    Attributes:
        row: as listed. changed: it was known and its version changed.
        first: the answer to the first request for it, or why there is none.
        findings: filled by the examining pipeline. trouble: what kept it from being examined: it stays due.
        left: codes of parts that were not read and are not asked for again.
        links: posts of other sources that this one leads to, by their address.
        page: fields of its own page, where that was read.
        early: by number of a finding, the event of the early look at its sample.
        announced: `rules` of the incident that match its text, `deadlines` that it announces.
    """

    post: Post
    row: ListingRow
    changed: bool
    first: Response | Trouble | None
    findings: list[Finding] = field(default_factory=list)
    trouble: Trouble | None = None
    left: Counter[str] = field(default_factory=Counter)
    links: dict[str, Post] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)
    announced: Announcements = NOTHING_ANNOUNCED
    early: dict[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Nothing of the post: Scrapy writes items into its log."""
        return f"<FetchedPost with {len(self.findings)} findings>"
