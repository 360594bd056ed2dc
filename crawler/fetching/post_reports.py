"""What a crawl reports to the runner about posts: rows of the listing, links to other sources, and refused hosts.

Ids and versions are keyed, addresses masked, and the posts themselves sealed, before anything is sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from crawler.fetching.checked_posts import script_problem
from crawler.fetching.crawl_state import POST_COUNTS, CrawlState
from crawler.fetching.first_page import KeptPage, PostPages
from crawler.fetching.items import ListingRow
from crawler.pages.extract import Listing
from crawler.pages.html_text import text_of
from crawler.pages.post_fields import listing_fields, version_of
from crawler.pages.post_identity import AddressMask, host_id, operator_words, post_id, seal_due, seal_host, seal_rules
from crawler.process.control_frames import (
    EndFrame,
    LinkedHost,
    LinkedPost,
    ListedAnswer,
    ListedFrame,
    ListedPost,
    PageFrame,
    PageProblem,
    PagesFrame,
    Question,
    RowsFrame,
    SourceChangedFrame,
)
from crawler.process.job_frame import Job
from crawler.transport.errors import Trouble
from data.model import Post
from data.sources.definition import source_hosts

# A listing row that cannot be taken apart costs that row alone, and is reported.
BAD_ROW = "row: a row could not be taken apart, so its post is not read"
# Posts of one page of a listing that are reported to the runner in one frame, which stays well below its limit. While the
# next ones are taken apart, the first ones are fetched and examined.
MAX_POSTS_IN_FRAME, MAX_BYTES_IN_FRAME = 100, 4 * 2**20
# Posts that are shown to a person who checks a source.
MAX_POSTS_SHOWN = 500
LARGE_ROW = "row: a row holds too much to be reported, so its post is not read"
# A row as it is reported takes about this much beside the sealed post.
ROW_BYTES = 4096

Ask = Callable[[Question[Any]], Awaitable[Any]]
"""Asks the runner, and returns the answer that belongs to the question."""


@dataclass(slots=True)
class ListedPage:
    """What the runner answered about one page of a listing.

    Attributes:
        rows: ids of its posts. settled: those that an earlier walk settled. examine: those to be examined. unseen: how many no
            earlier page of this crawl showed.
    """

    rows: dict[str, None] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    examine: list[str] = field(default_factory=list)
    unseen: int = 0

    def add(self, rows: Iterable[str], answer: ListedAnswer, unseen: Collection[str]) -> None:
        """Add the answer about some of its posts."""
        self.rows |= dict.fromkeys(rows)
        self.settled += answer.settled_ids
        self.examine += answer.examine
        self.unseen += len(unseen)


class PostReports:
    """Reports the posts of one crawl."""

    def __init__(self, job: Job, ask: Ask, state: CrawlState) -> None:
        """For one crawl.

        Args:
            job: of the crawl.
            ask: asks the runner.
            state: of the crawl; once that is stopped, no further posts are reported.
        """
        self._post_key, self._mode, self._source = job.post_key, job.mode, job.definition.name
        self._ask, self._state, self._definition = ask, state, job.definition
        self._control = job.definition.health.control
        self._unseen = set(self._control)
        words = operator_words(job.definition)
        places = {self._source: source_hosts(job.definition), **job.follow}
        self._masks = {
            source: AddressMask(job.post_key, frozenset(host for host, _ in pairs), words)
            for source, pairs in places.items()
        }

    async def listed(
        self, posts: Iterable[Post], page_no: int, problems: Counter[str]
    ) -> AsyncIterator[tuple[dict[str, tuple[ListingRow, Post]], ListedAnswer]]:
        """Report the posts of one page to the runner, some at a time, so that the first can be requested meanwhile.

        What is wrong with a row costs that row alone, and is counted in `problems`. Nothing further is reported once the
        crawl is stopped. A page without posts is reported as well.

        Yields:
            Rows by the ids of their posts, and the runner's answer about them.
        """
        rows: dict[str, tuple[ListingRow, Post]] = {}
        piece: dict[str, ListedPost] = {}
        size, was_reported = 0, False
        for post in posts:
            self._unseen -= {post.native, post.url}
            try:
                row = self.row(post, problems)
                listed = self._listed_post(row, post)
            except Exception:  # noqa: BLE001 - whatever a site writes into one row, the other rows are read
                problems[BAD_ROW] += 1
                continue
            if len(listed.due) > MAX_BYTES_IN_FRAME:
                problems[LARGE_ROW] += 1
                continue
            if len(piece) >= MAX_POSTS_IN_FRAME or (piece and size + len(listed.due) > MAX_BYTES_IN_FRAME):
                yield rows, await self._ask(ListedFrame(posts=tuple(piece.values()), page=page_no))
                rows, piece, size, was_reported = {}, {}, 0, True
                if self._state.stopped:
                    break
            rows[row.id], piece[row.id] = (row, post), listed
            size += len(listed.due) + ROW_BYTES
        if (piece or not was_reported) and not self._state.stopped:
            yield rows, await self._ask(ListedFrame(posts=tuple(piece.values()), page=page_no))

    async def rows(self, listing: Listing, body: bytes) -> None:
        """Report the posts of a page, and its bytes if it has no posts, for a person who checks a source."""
        posts = [{**post.to_json(), "id": post.native} for post in listing.posts[:MAX_POSTS_SHOWN]]
        # the first posts are enough for a person who checks a source; what is left out is reported
        while posts and sum(len(json.dumps(post)) for post in posts) > MAX_BYTES_IN_FRAME:
            posts = posts[: len(posts) // 2]
        problems = list(listing.problems)
        if not posts and (problem := script_problem(body, text_of(body.decode("utf-8", "replace")))):
            problems.append(problem)
        if len(posts) < len(listing.posts):
            problems.append(f"limit: only the first {len(posts)} of {len(listing.posts)} posts are shown")
        rows = RowsFrame(posts=tuple(posts), problems=tuple(problems), rows=listing.rows, dropped=listing.dropped)
        await self._ask(rows)

    async def missing_control_posts(self) -> None:
        """Report control posts of the source that its listings did not show."""
        if self._unseen:
            detail = f"{len(self._unseen)} of {len(self._control)} control posts were not on the listing"
            await self.problem("control", detail, 0)

    async def page(self, page: KeptPage) -> None:
        """Send a page, sealed."""
        if sealed := page.sealed(self._source):
            await self._ask(PageFrame(sealed=sealed))

    async def post_pages(self, pages: PostPages) -> None:
        """Report what the pages of posts looked like, and send one of them if they look different from now on."""
        shape = pages.shape(self._definition) if self._mode == "crawl" else None
        if shape is not None and (await self._ask(PagesFrame(shape=shape))).page:
            await self.page(pages)

    async def problem(self, subject: str, message: str, page_no: int) -> None:
        """Report what is wrong with a page of the source, or with a rule of its incident."""
        facts = PageProblem(message=message, page=page_no)
        await self._ask(SourceChangedFrame(kind="source_changed", subject=subject, facts=facts))

    def row(self, post: Post, problems: Counter[str] | None = None) -> ListingRow:
        """What the listing says about a post; what is wrong with a value is counted in `problems`."""
        key = self._post_key
        fields = listing_fields(key, post, datetime.now(UTC), problems)
        return ListingRow(
            id=post_id(key, post.source, post.native),
            version=version_of(key, fields),
            address=self._masks.get(post.source, self._masks[self._source]).mask(post.url, post.native),
            fields=fields,
        )

    def _listed_post(self, row: ListingRow, post: Post) -> ListedPost:
        """A post as it is reported to the runner, sealed so that it can be fetched later."""
        due = seal_due(self._post_key, post)
        return ListedPost(id=row.id, version=row.version, address=row.address, fields=row.fields, due=due)

    def linked(self, posts: Iterable[Post]) -> tuple[LinkedPost, ...]:
        """Posts of other sources as they are reported to the runner, each sealed so that it can be fetched later."""
        found = []
        for post in posts:
            row = self.row(post)
            due = seal_due(self._post_key, post)
            found.append(LinkedPost(source=post.source, id=row.id, version=row.version, address=row.address, due=due))
        return tuple(found)

    def linked_hosts(self, hosts: Mapping[str, Collection[str]]) -> tuple[LinkedHost, ...]:
        """Hosts to which a post links as they are reported to the runner; `hosts` has the data files of each."""
        key = self._post_key
        return tuple(
            LinkedHost(id=host_id(key, host), sealed=seal_host(key, host), files=len(files))
            for host, files in hosts.items()
        )

    def end(
        self, trouble: Trouble | None, refused: Counter[str], requests: int, robots: Mapping[str, tuple[int, str]]
    ) -> EndFrame:
        """The report of the end of the crawl.

        Args:
            trouble: why it failed; None if it did not.
            refused: host that the source does not declare -> requests.
            requests: that were made.
            robots: the robots.txt files of the source.
        """
        counts = {name: self._state.counts[name] for name in POST_COUNTS}
        return EndFrame(
            state="failed" if trouble else "done",
            counts={**counts, "refused": refused.total(), "requests": requests},
            hosts=self.hosts(refused),
            code=trouble.code if trouble else "",
            error=trouble.detail if trouble else "",
            robots=seal_rules(self._post_key, robots) if robots else b"",
        )

    def hosts(self, refused: Counter[str]) -> dict[str, int]:
        """The hosts of most refused requests; names of undeclared hosts can be names of people, so they are keyed."""
        if self._mode == "check":
            # nothing of a check is stored, and the person at the terminal has to know the names
            return dict(refused.most_common(20))
        hosts: Counter[str] = Counter()
        for shown, count in refused.most_common(20):
            host, _, port = shown.rpartition(":")
            # an address without a host, such as that of a local file, has no name that could be keyed
            place = f"{self._masks[self._source].host(host.strip('[]'))}:{port}" if host else ""
            hosts[place] += count
        return dict(hosts)
