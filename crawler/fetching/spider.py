"""The base class of all platforms: reads a listing back to known posts, and fetches the posts that must be examined.

A platform sets `name` and `defaults`, and overrides `read_listing` or `read_item` if selectors are not enough. The
parts of a fetched post are read by `crawler.fetching.post_parts` and examined by `crawler.fetching.pipelines`. Blocked
pages are recognised by `crawler.pages.extract`, and requests are sent by `crawler.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, ListingRow
from crawler.fetching.listing_walk import Walk
from crawler.fetching.post_parts import PartLimits, PostParts
from crawler.fetching.responses import content_type, exception_of, listing_trouble
from crawler.fetching.runner_socket import Control
from crawler.pages import extract
from crawler.pages.extract import ItemPage, Listing
from crawler.pages.incident_rules import Rules
from crawler.pages.post_fields import listing_fields, version_of
from crawler.pages.post_identity import AddressMask, open_due, operator_words, post_id, seal_due
from crawler.pages.row_values import counted_problems
from crawler.preview.divided_posts import join_posts
from crawler.process.control_frames import (
    EndFrame,
    FileListPreview,
    Job,
    LinkedPost,
    ListedAnswer,
    ListedFrame,
    ListedPost,
    PageProblem,
    PartsFrame,
    PostPart,
    PostReference,
    PreviewFrame,
    Question,
    RowsFrame,
    SourceChangedFrame,
    WalkedFrame,
    WireValue,
)
from crawler.process.memory_limits import is_out_of_memory
from crawler.transport.errors import OUT_OF_MEMORY, Trouble, trouble_of
from data.errors import LeaseLost, SourceError
from data.model import Post
from data.sources.definition import Definition, feed_url, origins, source_hosts, start_url

A = TypeVar("A", bound=WireValue)
# A listing row that cannot be taken apart costs that row alone, and is reported.
BAD_ROW = "row: a row could not be taken apart, so its post is not read"
# Posts of one page of a listing that are reported to the runner in one frame, which stays well below its limit.
MAX_POSTS_IN_FRAME, MAX_BYTES_IN_FRAME = 500, 4 * 2**20
LARGE_ROW = "row: a row holds too much to be reported, so its post is not read"
# A row as it is reported takes about this much beside the sealed post.
ROW_BYTES = 4096
# Priorities of requests. The walk comes first: posts that it finds are due from then on, whatever happens to this
# process.
WALK, DUE, POST = 20, 10, 0


class SourceSpider(Spider):
    """One crawl of one source.

    Attributes:
        defaults: what the platform adds to a definition, with the keys of a source file.
        job: what the crawl is to do. due: posts of earlier crawls that are not examined yet. control: connection to the
            runner.
        definition: of the source.
        sample_sockets: to the examiner. dial_socket: for a crawl over Tor, the source of its connections.
        walk: how far the listing has been read.
        parts: reads the parts of posts. state: whether the crawl goes on, and its counts.
        refused: host that the source does not declare -> requests that were not sent.
    """

    name = ""
    defaults: ClassVar[Mapping[str, Any]] = {}
    parts: PostParts

    def __init__(
        self,
        *,
        job: Job,
        due: tuple[Post, ...],
        control: Control,
        sample_sockets: list[socket.socket] | None = None,
        dial_socket: socket.socket | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.due, self.control, self.definition = job, due, control, job.definition
        self.sample_sockets = sample_sockets or []
        self.dial_socket = dial_socket
        self.walk = Walk(job.settled, self._stop(), job.definition.list.max_pages)
        self.refused: Counter[str] = Counter()
        self.state = CrawlState()
        self._closing: asyncio.Task[None] | None = None
        self._walked = False
        self._mirrors = deque(origins(self.definition)[1:] if "{host}" in self._template() else ())
        self._requested: set[tuple[str, str]] = set()
        self._were_due: set[str] = set()
        self._folders: deque[str] = deque()
        words = operator_words(self.definition)
        places = {self.definition.name: source_hosts(self.definition), **job.follow}
        self._masks = {
            source: AddressMask(job.post_key, frozenset(host for host, _ in pairs), words)
            for source, pairs in places.items()
        }
        self._rules = Rules.of(job.rules.words, job.rules.expressions, job.rules.files)

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """As Scrapy makes it, with the crawl's settings and engine, which are needed to read posts."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        # Scrapy itself only writes a log line when a callback or a pipeline raises
        for signal in (signals.spider_error, signals.item_error):
            crawler.signals.connect(spider._note_error, signal=signal)
        spider.parts = PostParts(
            spider.definition,
            post_key=spider.job.post_key,
            follow=spider.job.follow,
            rules=spider._rules,
            limits=PartLimits.of(crawler.settings, spider.job.limits.wall),
            state=spider.state,
            send=spider._send,
            read_item=cls.read_item,
            report_preview=spider._report_preview,
            ask_parts=spider._ask_parts,
        )
        return spider

    def _note_error(self, failure: Failure, response: Any) -> None:
        """Make the crawl fail, because an exception ended the reading of a page or of a post.

        Args:
            failure: the exception.
            response: that was read; if reading its failure raised, that failure, which has the request as well.
        """
        request = getattr(response, "request", None)
        if request is not None and "post" in request.cb_kwargs:
            # Nothing of this post reaches the pipeline, which counts the others; it stays due.
            self.state.counts["unexamined"] += 1
        if is_out_of_memory(exception_of(failure)):
            self.state.trouble = self.state.trouble or OUT_OF_MEMORY
        detail = f"reading a page or a post failed with {failure.type.__name__ if failure.type else 'an error'}"
        self.state.trouble = self.state.trouble or Trouble("crash", detail, retry=True)

    # --- what a platform may override ----------------------------------------------------------------------------

    @classmethod
    def read_listing(
        cls, definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
    ) -> Listing:
        """The posts of one page of the listing; arguments and errors as `crawler.pages.extract.read_listing`."""
        return extract.read_listing(definition, body, url, content_type, page_no, status)

    @classmethod
    def read_item(
        cls, definition: Definition, post: Post, body: bytes, url: str, content_type: str = "", status: int = 200
    ) -> ItemPage:
        """The text of one page of a post; arguments and errors as `crawler.pages.extract.read_item`."""
        return extract.read_item(definition, post, body, url, content_type, status)

    # --- the walk ------------------------------------------------------------------------------------------------

    async def start(self) -> AsyncIterator[Any]:
        """Request the first page of the listing, and the posts that are still due."""
        await self.control.open()
        if self.job.mode == "crawl":
            # the runner would end this process a little later, and would not know what was read
            wall = self.job.limits.wall
            late = Trouble(
                "wall", f"the crawl took longer than {wall:g} s and was ended; its posts stay due", retry=True
            )
            asyncio.get_running_loop().call_later(wall, self.stop, late)
        for name, reason in self._rules.broken.items():
            await self._report_problem(name, reason, 0)
        # the feed first: replies that it shows need not be examined on the pages of their threads
        feed = feed_url(self.definition) if self.job.mode == "crawl" else ""
        if feed:
            yield Request(feed, self.parse_feed, errback=self.feed_failed, priority=WALK, dont_filter=True)
        else:
            yield self._listing_request(start_url(self.definition, datetime.now(UTC)), 1)
        for post in self.due:
            row = self._row(post)
            self._requested.add((row.id, row.version))
            self._were_due.add(row.id)
            yield self._post_request(extract.with_raw_address(self.definition, post), row, changed=False, priority=DUE)
        for sealed in self.job.revisit:
            post = open_due(self.job.post_key, sealed)
            yield self._post_request(post, self._row(post), changed=False, priority=POST - 1, revisited=True)

    def _stop(self) -> Any:
        pages = self.definition.list.pages
        return pages.stop if pages else "seen"

    def _template(self) -> str:
        return self.definition.list.url or self.definition.url

    def _listing_request(self, url: str, page_no: int, *, folder: bool = False) -> Request:
        return Request(
            url,
            self.parse,
            errback=self.listing_failed,
            priority=WALK,
            dont_filter=True,
            cb_kwargs={"page_no": page_no, "folder": folder},
        )

    async def parse(self, response: Response, page_no: int, folder: bool) -> AsyncIterator[Any]:
        """Read one page of the listing: report its posts, request those to examine, and continue or end the walk."""
        trouble: Trouble | None
        listing = Listing()
        try:
            listing = self.read_listing(
                self.definition, response.body, response.url, content_type(response), page_no, response.status
            )
            trouble = listing_trouble(response, listing)
            if self.definition.item is None:
                listing = replace(listing, posts=join_posts(listing.posts))
        except SourceError as error:
            trouble = Trouble("platform", str(error), retry=False)
        if trouble is not None:
            async for request in self._continue_without(trouble, page_no, folder):
                yield request
            return
        if self.job.mode == "check":
            await self._report_rows(listing)
            return
        problems: Counter[str] = Counter()
        rows, answer = await self._report_listed(listing.posts, page_no, problems)
        self.state.counts["listed"] += len(rows)
        if self.state.stopped:
            # what was reported is due, and the next crawl reports the rest
            return
        changed = set(answer.changed)
        for identity in answer.examine:
            row, post = rows[identity]
            if identity in changed or identity not in self._were_due:
                self.state.counts["changed" if identity in changed else "new"] += 1
            if (identity, row.version) in self._requested:
                continue
            self._requested.add((identity, row.version))
            yield self._post_request(post, row, changed=identity in changed, start=answer.start.get(identity, 0))
        self._folders.extend(listing.more)
        for problem in (*listing.problems, *counted_problems(problems)):
            subject, _, message = problem.partition(":")
            await self._report_problem(subject, message.strip(), page_no)
        if folder:
            self.walk.rows += listing.rows
            self.walk.met += len(answer.settled_ids)
            wanted = False
        else:
            wanted = self.walk.take_page(
                list(rows),
                answer.settled_ids,
                answer.examine,
                more=bool(listing.next_url) or self._at_limit(page_no),
            )
        if wanted and listing.next_url:
            yield self._listing_request(listing.next_url, page_no + 1)
        elif self._folders:
            yield self._listing_request(self._folders.popleft(), 1, folder=True)
        else:
            await self._end_walk()

    async def parse_feed(self, response: Response) -> AsyncIterator[Any]:
        """Read the feed of replies, of which those are examined that are new or were edited; then the listing."""
        async for item in self._replies_of_feed(response):
            yield item
        yield self._listing_request(start_url(self.definition, datetime.now(UTC)), 1)

    async def _replies_of_feed(self, response: Response) -> AsyncIterator[FetchedPost]:
        listing = extract.read_feed(
            self.definition, response.body, response.url, content_type(response), response.status
        )
        trouble = listing_trouble(response, listing)
        if trouble is None and not listing.posts and listing.rows:
            trouble = Trouble("platform", "no reply could be read from the feed of replies", retry=True)
        if trouble is not None:
            await self._report_problem("feed", trouble.detail, 0)
            return
        problems: Counter[str] = Counter()
        rows, answer = await self._report_listed(listing.posts, 0, problems)
        for identity in answer.examine:
            row, post = rows[identity]
            self.state.counts["changed" if identity in answer.changed else "new"] += 1
            self._requested.add((identity, row.version))
            yield FetchedPost(post, row, identity in answer.changed, None)
        for problem in (*listing.problems, *counted_problems(problems)):
            await self._report_problem("feed", problem.partition(":")[2].strip(), 0)

    async def feed_failed(self, failure: Failure) -> AsyncIterator[Any]:
        """The feed of replies did not arrive: replies are noticed by the listing alone."""
        await self._report_problem("feed", trouble_of(exception_of(failure)).detail, 0)
        yield self._listing_request(start_url(self.definition, datetime.now(UTC)), 1)

    def _at_limit(self, page_no: int) -> bool:
        """Whether this is the last page that the definition allows, of a listing that has several pages."""
        rules = self.definition.list
        return page_no >= rules.max_pages and bool(rules.next or rules.pages)

    async def _report_problem(self, subject: str, message: str, page_no: int) -> None:
        facts = PageProblem(message=message, page=page_no)
        await self.ask(SourceChangedFrame(kind="source_changed", subject=subject, facts=facts))

    async def _end_walk(self) -> None:
        self._walked = True
        gap = self.walk.gap and self.definition.health.overlap
        await self.ask(WalkedFrame(pages=self.walk.pages, rows=self.walk.rows, gap=gap, cut=self.walk.cut))

    async def listing_failed(self, failure: Failure) -> AsyncIterator[Any]:
        """A page of the listing did not arrive: try another mirror, or fail the crawl."""
        request: Request = failure.request  # type: ignore[attr-defined]
        trouble = trouble_of(exception_of(failure))
        async for again in self._continue_without(trouble, request.cb_kwargs["page_no"], request.cb_kwargs["folder"]):
            yield again

    async def _continue_without(self, trouble: Trouble, page_no: int, folder: bool) -> AsyncIterator[Any]:
        """Continue without a page of the listing, or fail the crawl."""
        if trouble.code == "absent" and page_no > 1 and not folder:
            # many sites answer 404 for the page after the last one
            self.walk.take_page([], (), (), more=False)
            if self._folders:
                yield self._listing_request(self._folders.popleft(), 1, folder=True)
            else:
                await self._end_walk()
        elif page_no == 1 and not folder and self._mirrors:
            yield self._listing_request(start_url(self.definition, datetime.now(UTC), self._mirrors.popleft()), 1)
        else:
            self.state.trouble = trouble

    async def _report_rows(self, listing: Listing) -> None:
        self.walk.take_page([post.native for post in listing.posts], (), (), more=False)
        self.state.counts["listed"] += len(listing.posts)
        self._walked = True
        posts = [{**post.to_json(), "id": post.native} for post in listing.posts[:MAX_POSTS_IN_FRAME]]
        # the first posts are enough for a person who checks a source; what is left out is reported
        while posts and sum(len(json.dumps(post)) for post in posts) > MAX_BYTES_IN_FRAME:
            posts = posts[: len(posts) // 2]
        problems = list(listing.problems)
        if len(posts) < len(listing.posts):
            problems.append(f"limit: only the first {len(posts)} of {len(listing.posts)} posts are shown")
        rows = RowsFrame(posts=tuple(posts), problems=tuple(problems), rows=listing.rows, dropped=listing.dropped)
        await self.ask(rows)

    # --- posts ---------------------------------------------------------------------------------------------------

    async def _report_listed(
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
                row = self._row(post, problems)
                listed = self._listed_post(row, post)
            except Exception:  # noqa: BLE001 - whatever a site writes into one row, the other rows are read
                problems[BAD_ROW] += 1
                continue
            if len(listed.due) > MAX_BYTES_IN_FRAME:
                problems[LARGE_ROW] += 1
                continue
            if len(piece) >= MAX_POSTS_IN_FRAME or (piece and size + len(listed.due) > MAX_BYTES_IN_FRAME):
                answers.append(await self.ask(ListedFrame(posts=tuple(piece.values()), page=page_no)))
                piece, size = {}, 0
                if self.state.stopped:
                    break
            rows[row.id], piece[row.id] = (row, post), listed
            size += len(listed.due) + ROW_BYTES
        if (piece or not answers) and not self.state.stopped:
            answers.append(await self.ask(ListedFrame(posts=tuple(piece.values()), page=page_no)))
        return rows, ListedAnswer(
            examine=tuple(dict.fromkeys(each for answer in answers for each in answer.examine)),
            changed=tuple(each for answer in answers for each in answer.changed),
            settled=sum(answer.settled for answer in answers),
            settled_ids=tuple(each for answer in answers for each in answer.settled_ids),
            start={name: page for answer in answers for name, page in answer.start.items()},
        )

    def _row(self, post: Post, problems: Counter[str] | None = None) -> ListingRow:
        key = self.job.post_key
        fields = listing_fields(key, post, datetime.now(UTC), problems)
        return ListingRow(
            id=post_id(key, post.source, post.native),
            version=version_of(key, fields),
            address=self._masks.get(post.source, self._masks[self.definition.name]).mask(post.url, post.native),
            fields=fields,
        )

    def _listed_post(self, row: ListingRow, post: Post) -> ListedPost:
        """A post as it is reported to the runner, sealed so that it can be fetched later."""
        due = seal_due(self.job.post_key, post)
        return ListedPost(id=row.id, version=row.version, address=row.address, fields=row.fields, due=due)

    def _post_request(
        self,
        post: Post,
        row: ListingRow,
        *,
        changed: bool,
        priority: int = POST,
        start: int = 0,
        revisited: bool = False,
    ) -> Any:
        """The request for the first part of a post; if it has no valid address, the post itself with that trouble.

        A thread with a new reply is read from its page `start` on.
        """
        if self.definition.feed is not None and post.body and "last" in post.fields and not post.raw:
            # a reply of the feed, which is due from an earlier crawl: the feed had all of it
            return FetchedPost(post, row, changed, None)
        url, headers, meta = self.parts.first_request(post, start)
        try:
            return Request(
                url,
                self.parse_post,
                headers=headers,
                errback=self.post_failed,
                priority=priority,
                dont_filter=True,
                meta=meta,
                cb_kwargs={"post": post, "row": row, "changed": changed, "start": start, "revisited": revisited},
            )
        except ValueError:
            # Scrapy refuses the address: it has no scheme, or is malformed
            return FetchedPost(post, row, changed, Trouble("refused", "the post has no address", retry=False))

    async def parse_post(
        self, response: Response, post: Post, row: ListingRow, changed: bool, start: int = 0, revisited: bool = False
    ) -> Any:
        """The first part of a post has arrived."""
        yield FetchedPost(post, row, changed, response, start=start, revisited=revisited)

    async def post_failed(self, failure: Failure) -> Any:
        """The first part of a post did not arrive."""
        given = failure.request.cb_kwargs  # type: ignore[attr-defined]
        trouble = trouble_of(exception_of(failure))
        yield FetchedPost(given["post"], given["row"], given["changed"], trouble, revisited=given["revisited"])

    def linked_posts(self, posts: Iterable[Post]) -> tuple[LinkedPost, ...]:
        """Posts of other sources as they are reported to the runner, each sealed so that it can be fetched later."""
        found = []
        for post in posts:
            row = self._row(post)
            due = seal_due(self.job.post_key, post)
            found.append(LinkedPost(source=post.source, id=row.id, version=row.version, address=row.address, due=due))
        return tuple(found)

    async def _send(self, request: Request) -> Response:
        """Send a request through the engine of the crawl, so that its allow-list, robots.txt and rate apply."""
        return await self.crawler.engine.download_async(request)

    async def _ask_parts(self, parts: Sequence[PostPart]) -> Collection[str]:
        """The ids of the parts of a post that are new or changed."""
        return frozenset((await self.ask(PartsFrame(parts=tuple(parts)))).examine)

    async def _report_preview(self, row: ListingRow, preview: FileListPreview) -> str:
        """Report a preview of a post's files to the runner; the id of its event."""
        post = PostReference(id=row.id, version=row.version, address=row.address)
        return (await self.ask(PreviewFrame(post=post, preview=preview))).event

    def _refused_hosts(self) -> dict[str, int]:
        """The hosts of most refused requests; names of undeclared hosts can be names of people, so they are keyed."""
        if self.job.mode == "check":
            # nothing of a check is stored, and the person at the terminal has to know the names
            return dict(self.refused.most_common(20))
        hosts: Counter[str] = Counter()
        for shown, count in self.refused.most_common(20):
            host, _, port = shown.rpartition(":")
            # an address without a host, such as that of a local file, has no name that could be keyed
            place = f"{self._masks[self.definition.name].host(host.strip('[]'))}:{port}" if host else ""
            hosts[place] += count
        return dict(hosts)

    # --- the end -------------------------------------------------------------------------------------------------

    async def ask(self, question: Question[A]) -> A:
        """The runner's answer; without one the crawl stops, and LeaseLost is raised."""
        try:
            return await self.control.ask(question)
        except LeaseLost as error:
            self.state.lost = True
            self.stop(Trouble("lost", str(error), retry=True))
            raise

    def stop(self, trouble: Trouble) -> None:
        """End the crawl as failed; posts that are not committed stay due."""
        self.state.trouble = self.state.trouble or trouble
        if not self.state.stopped:
            self.state.stopped = True
            self._closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason=trouble.code))

    async def closed(self, reason: str) -> None:
        """Report the result to the runner; Scrapy calls this when no request is running any more."""
        if self.state.lost:
            return
        trouble = self.state.trouble
        if trouble is None and not self._walked:
            trouble = Trouble("platform", f"the listing was not read to its end ({reason})", retry=True)
        requests = self.crawler.stats.get_value("downloader/request_count", 0)
        counts = {
            name: self.state.counts[name] for name in ("listed", "new", "changed", "examined", "unexamined", "resumed")
        }
        with contextlib.suppress(LeaseLost):
            await self.control.ask(
                EndFrame(
                    state="failed" if trouble else "done",
                    counts={**counts, "refused": self.refused.total(), "requests": requests},
                    hosts=self._refused_hosts(),
                    code=trouble.code if trouble else "",
                    error=trouble.detail if trouble else "",
                )
            )
