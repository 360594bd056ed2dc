"""What a crawl reports to the runner about posts: rows of the listing, links to other sources, and refused hosts.

Ids and versions are keyed, addresses masked, and the posts themselves sealed, before anything is sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import ListingRow
from crawler.pages.extract import Listing
from crawler.pages.post_fields import listing_fields, version_of
from crawler.pages.post_identity import AddressMask, operator_words, post_id, seal_due
from crawler.process.control_frames import (
    LinkedPost,
    ListedAnswer,
    ListedFrame,
    ListedPost,
    PageProblem,
    Question,
    RowsFrame,
    SourceChangedFrame,
)
from crawler.process.job_frame import Job
from data.model import Post
from data.sources.definition import source_hosts

# A listing row that cannot be taken apart costs that row alone, and is reported.
BAD_ROW = "row: a row could not be taken apart, so its post is not read"
# Posts of one page of a listing that are reported to the runner in one frame, which stays well below its limit.
MAX_POSTS_IN_FRAME, MAX_BYTES_IN_FRAME = 500, 4 * 2**20
LARGE_ROW = "row: a row holds too much to be reported, so its post is not read"
# A row as it is reported takes about this much beside the sealed post.
ROW_BYTES = 4096

Ask = Callable[[Question[Any]], Awaitable[Any]]
"""Asks the runner, and returns the answer that belongs to the question."""


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
        self._ask, self._state = ask, state
        words = operator_words(job.definition)
        places = {self._source: source_hosts(job.definition), **job.follow}
        self._masks = {
            source: AddressMask(job.post_key, frozenset(host for host, _ in pairs), words)
            for source, pairs in places.items()
        }

    async def listed(
        self, posts: Iterable[Post], page_no: int, problems: Counter[str]
    ) -> tuple[dict[str, tuple[ListingRow, Post]], ListedAnswer]:
        """Report the posts of one page to the runner, in as many frames as they need.

        What is wrong with a row costs that row alone, and is counted in `problems`.

        Returns:
            The rows by the ids of their posts, and the runner's answer about all of them; if the crawl is stopped
            meanwhile, those that were reported until then.
        """
        rows: dict[str, tuple[ListingRow, Post]] = {}
        piece: dict[str, ListedPost] = {}
        answers: list[ListedAnswer] = []
        size = 0
        for post in posts:
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
                answers.append(await self._ask(ListedFrame(posts=tuple(piece.values()), page=page_no)))
                piece, size = {}, 0
                if self._state.stopped:
                    break
            rows[row.id], piece[row.id] = (row, post), listed
            size += len(listed.due) + ROW_BYTES
        if (piece or not answers) and not self._state.stopped:
            answers.append(await self._ask(ListedFrame(posts=tuple(piece.values()), page=page_no)))
        return rows, ListedAnswer(
            examine=tuple(dict.fromkeys(each for answer in answers for each in answer.examine)),
            changed=tuple(each for answer in answers for each in answer.changed),
            settled=sum(answer.settled for answer in answers),
            settled_ids=tuple(each for answer in answers for each in answer.settled_ids),
            start={name: page for answer in answers for name, page in answer.start.items()},
        )

    async def rows(self, listing: Listing) -> None:
        """Report the posts of a page for a person who checks a source."""
        posts = [{**post.to_json(), "id": post.native} for post in listing.posts[:MAX_POSTS_IN_FRAME]]
        # the first posts are enough for a person who checks a source; what is left out is reported
        while posts and sum(len(json.dumps(post)) for post in posts) > MAX_BYTES_IN_FRAME:
            posts = posts[: len(posts) // 2]
        problems = list(listing.problems)
        if len(posts) < len(listing.posts):
            problems.append(f"limit: only the first {len(posts)} of {len(listing.posts)} posts are shown")
        rows = RowsFrame(posts=tuple(posts), problems=tuple(problems), rows=listing.rows, dropped=listing.dropped)
        await self._ask(rows)

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
