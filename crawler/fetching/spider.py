"""The base class of all platforms: reads a listing back to known posts, and fetches the posts that must be examined.

A platform sets `name` and `defaults`, and overrides `read_listing` or `read_item` if selectors are not enough. The
parts of a fetched post are read by `crawler.fetching.post_parts` and examined by `crawler.fetching.pipelines`. Blocked
pages are recognised by `crawler.pages.extract`, and requests are sent by `crawler.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from twisted.python.failure import Failure

from crawler.fetching.checked_posts import forbidding_line, opened_posts, proposed
from crawler.fetching.crawl_state import CrawlState, too_long
from crawler.fetching.first_page import FirstPage, PostPages
from crawler.fetching.items import FetchedPost, ListingRow
from crawler.fetching.listing_walk import Boards
from crawler.fetching.post_links import LinkReader
from crawler.fetching.post_parts import WOULD_BURN, PartLimits, PostParts
from crawler.fetching.post_reports import ListedPage, PostReports
from crawler.fetching.responses import (
    SESSION_ENDED,
    answer_trouble,
    content_type,
    exception_of,
    listing_trouble,
    page_meta,
    session_trouble,
)
from crawler.fetching.runner_socket import Control
from crawler.pages import extract, originals
from crawler.pages.extract import ItemPage, Listing
from crawler.pages.incident_rules import Rules
from crawler.pages.originals import PlacesOnPages
from crawler.pages.post_identity import open_due, open_rules
from crawler.pages.row_values import counted_problems
from crawler.preview.divided_posts import join_posts
from crawler.process.control_frames import (
    FileListPreview,
    PartsFrame,
    PostPart,
    PostReference,
    PreviewFrame,
    Question,
    WalkedFrame,
)
from crawler.process.job_frame import Job
from crawler.process.memory_limits import is_out_of_memory
from crawler.process.wire_values import WireValue
from crawler.transport.browser import Browser
from crawler.transport.errors import OUT_OF_MEMORY, Trouble, trouble_of
from crawler.transport.middlewares import REQUESTS
from data.errors import LeaseLost, SourceError
from data.model import Post
from data.sources.definition import Definition, feed_url, origins, start_url
from data.sources.platform_files import boards_of

A = TypeVar("A", bound=WireValue)
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
        sample_sockets: to the examiner. dial_socket: for a crawl over Tor, the source of its connections. browser_socket: to
            the browser that runs scripts, for a source that wants one. browser: once it was used.
        boards: the listings, and how far the present one has been read.
        parts: reads the parts of posts. reports: reports posts to the runner. state: whether the crawl goes on, and its
            counts.
        refused: host that the source does not declare -> requests that were not sent.
        robots: the robots.txt files of the source, from earlier crawls and of this one.
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
        browser_socket: socket.socket | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.due, self.control, self.definition = job, due, control, job.definition
        self.sample_sockets = sample_sockets or []
        self.dial_socket, self.browser_socket = dial_socket, browser_socket
        self.browser: Browser | None = None
        self.boards = Boards(boards_of(job.definition), job.settled)
        self.refused: Counter[str] = Counter()
        self.state = CrawlState()
        self.robots = open_rules(job.post_key, job.robots) if job.robots else {}
        self._closing: asyncio.Task[None] | None = None
        # ends the crawl at its time limit
        self._limit: asyncio.TimerHandle | None = None
        self._walked = False
        self._mirrors = deque(
            origins(self.definition)[1:] if "{host}" in (self.definition.list.url or self.definition.url) else ()
        )
        self._requested: set[tuple[str, str]] = set()
        self._listed: set[str] = set()
        self._pages: set[str] = set()
        self._first_page, self._post_pages = FirstPage(job.recipient), PostPages(job.recipient)
        self._were_due: set[str] = set()
        self._folders: deque[str] = deque()
        self._places: PlacesOnPages[tuple[Post, ListingRow, bool]] = PlacesOnPages()
        self.reports = PostReports(job, self.ask, self.state)
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
            links=LinkReader(spider.definition, spider.job.follow, spider.job.shapes),
            rules=spider._rules,
            limits=PartLimits.of(crawler.settings, spider.job.limits.wall),
            state=spider.state,
            send=spider._send,
            read_item=cls.read_item,
            report_preview=spider._report_preview,
            ask_parts=spider._ask_parts,
            pages=spider._post_pages,
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
            self.state.note_post(complete=False)
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

    async def completed(self, listing: Listing) -> Listing:
        """A page of the listing with what the site tells of its posts only if it is asked for each of them.

        Requests for that go by `_send`; a failed one must not end the walk.
        """
        return listing

    # --- the walk ------------------------------------------------------------------------------------------------

    async def start(self) -> AsyncIterator[Any]:
        """Request the first page of the listing, and the posts that are still due."""
        await self.control.open()
        if self.job.mode == "crawl":
            # the runner would end this process a little later, and would not know what was read
            wall = self.job.limits.wall
            self._limit = asyncio.get_running_loop().call_later(wall, self.stop, too_long(wall))
        for name, reason in self._rules.broken.items():
            await self.reports.problem(name, reason, 0)
        yield self._first_request()
        self.state.awaited += len(self.due)
        for post in self.due:
            row = self.reports.row(post)
            self._requested.add((row.id, row.version))
            self._were_due.add(row.id)
            yield self._post_request(
                originals.with_raw_address(self.definition, post), row, changed=False, priority=DUE
            )

    def _first_request(self) -> Request:
        """The first request for the present board.

        That is for its feed, if it has one: replies that it shows need not be examined on the pages of their threads.
        """
        feed = feed_url(self.boards.definition) if self.job.mode == "crawl" else ""
        if feed:
            return Request(feed, self.parse_feed, errback=self.feed_failed, priority=WALK, dont_filter=True)
        return self._start_request()

    def _start_request(self, host: str = "") -> Request:
        return self._listing_request(start_url(self.boards.definition, datetime.now(UTC), host), 1)

    def _listing_request(self, url: str, page_no: int, *, folder: bool = False) -> Request:
        return Request(
            url,
            self.parse,
            errback=self.listing_failed,
            priority=WALK,
            dont_filter=True,
            meta=page_meta(self.definition, self.boards.definition.list.kind),
            cb_kwargs={"page_no": page_no, "folder": folder},
        )

    async def parse(self, response: Response, page_no: int, folder: bool) -> AsyncIterator[Any]:
        """Read one page of the listing: report its posts, request those to examine, and continue or end the walk."""
        trouble: Trouble | None
        listing = Listing()
        if self.job.mode == "look":
            verdict = extract.classify(self.definition, response.status, response.body, content_type(response))
            self._walked, self.state.trouble = True, answer_trouble(response, verdict)
            if self.state.trouble is None:
                await self.ask(proposed(response))
            return
        try:
            listing = self.read_listing(
                self.boards.definition, response.body, response.url, content_type(response), page_no, response.status
            )
            trouble = session_trouble(
                self.definition, response, listing_trouble(response, listing), cookies=bool(self.job.cookies)
            )
            if self.definition.item is None:
                listing = replace(listing, posts=join_posts(listing.posts))
        except SourceError as error:
            trouble = Trouble("platform", str(error), retry=False)
        if trouble is not None:
            if page_no == 1 and not folder:
                self._first_page.take(response)
            async for request in self._continue_without(trouble, page_no, folder):
                yield request
            return
        listing = await self.completed(listing)
        if self.job.mode == "check":
            await self._report_rows(listing, response.body)
            return
        self._pages.add(response.url)
        if page_no == 1 and not folder:
            self._first_page.take_listing(self.boards.definition, listing, response)
        problems: Counter[str] = Counter()
        page = ListedPage()
        async for rows, answer in self.reports.listed(listing.posts, page_no, problems):
            # pinned posts stand on every page; of a board that gives its last page again, nothing further is read
            unseen = rows.keys() - self._listed
            self._listed |= unseen
            self.state.counts["listed"] += len(unseen)
            page.add(rows, answer, unseen)
            changed = set(answer.changed)
            for identity in answer.examine if not self.state.stopped else ():
                row, post = rows[identity]
                known = identity in changed
                if identity in unseen and (known or identity not in self._were_due):
                    self.state.counts["changed" if known else "new"] += 1
                if (identity, row.version) in self._requested:
                    continue
                self._requested.add((identity, row.version))
                self.state.awaited += 1
                yield self._post_request(post, row, changed=identity in changed, start=answer.start.get(identity, 0))
        if self.state.stopped:
            # what was reported is due, and the next crawl reports the rest
            return
        self._folders.extend(listing.more)
        for problem in (*listing.problems, *counted_problems(problems)):
            subject, _, message = problem.partition(":")
            await self.reports.problem(subject, message.strip(), page_no)
        if folder:
            self.boards.walk.rows += listing.rows
            self.boards.walk.met += len(page.settled)
            wanted = False
        else:
            wanted = self.boards.walk.take_page(
                list(page.rows),
                page.settled,
                page.examine,
                more=bool(listing.next_url) or self._at_limit(page_no),
                repeated=page_no > 1 and not page.unseen,
            )
        if wanted and listing.next_url:
            yield self._listing_request(listing.next_url, page_no + 1)
        elif self._folders:
            yield self._listing_request(self._folders.popleft(), 1, folder=True)
        else:
            async for request in self._end_walk():
                yield request

    async def parse_feed(self, response: Response) -> AsyncIterator[Any]:
        """Read the feed of replies, of which those are examined that are new or were edited; then the listing."""
        async for item in self._replies_of_feed(response):
            yield item
        yield self._start_request()

    async def _replies_of_feed(self, response: Response) -> AsyncIterator[FetchedPost]:
        listing = extract.read_feed(
            self.boards.definition, response.body, response.url, content_type(response), response.status
        )
        trouble = listing_trouble(response, listing)
        if trouble is None and not listing.posts and listing.rows:
            trouble = Trouble("platform", "no reply could be read from the feed of replies", retry=True)
        if trouble is not None:
            await self.reports.problem("feed", trouble.detail, 0)
            return
        problems: Counter[str] = Counter()
        said = {post.native: post.body for post in listing.posts}
        said |= {native: part.unquoted for native, part in listing.quoting.items()}
        async for rows, answer in self.reports.listed(listing.posts, 0, problems):
            for identity in answer.examine:
                row, post = rows[identity]
                self.state.counts["replies"] += 1
                self._requested.add((identity, row.version))
                self.state.awaited += 1
                quoting = listing.quoting.get(post.native)
                others = tuple(text for native, text in said.items() if native != post.native) if quoting else ()
                yield FetchedPost(post, row, identity in answer.changed, None, quoting=quoting, others=others)
        for problem in (*listing.problems, *counted_problems(problems)):
            await self.reports.problem("feed", problem.partition(":")[2].strip(), 0)

    async def feed_failed(self, failure: Failure) -> AsyncIterator[Any]:
        """The feed of replies did not arrive: replies are noticed by the listing alone."""
        await self.reports.problem("feed", trouble_of(exception_of(failure)).detail, 0)
        yield self._start_request()

    def _at_limit(self, page_no: int) -> bool:
        """Whether this is the last page that the definition allows, of a listing that has several pages."""
        rules = self.definition.list
        return page_no >= rules.max_pages and bool(rules.next or rules.pages)

    async def _end_walk(self) -> AsyncIterator[Any]:
        """Begin the walk of the next board; after the last one report the end, and request posts that are read again."""
        boards = self.boards
        if boards.end():
            yield self._first_request()
            return
        self._walked = True
        await self.reports.missing_control_posts()
        gap = boards.gap and self.definition.health.overlap
        walked = WalkedFrame(
            pages=boards.pages, rows=boards.rows, gap=gap, cut=boards.cut, shape=self._first_page.shape
        )
        if (await self.ask(walked)).page:
            await self.reports.page(self._first_page)
        requested = {identity for identity, _ in self._requested}
        for sealed in self.job.revisit:
            post = open_due(self.job.post_key, sealed)
            row = self.reports.row(post)
            if row.id not in requested:
                self.state.awaited += 1
                yield self._post_request(post, row, changed=False, priority=POST - 1, revisited=True)

    async def listing_failed(self, failure: Failure) -> AsyncIterator[Any]:
        """A page of the listing did not arrive: try another mirror, or fail the crawl."""
        request: Request = failure.request  # type: ignore[attr-defined]
        trouble = trouble_of(exception_of(failure))
        if self.job.mode != "crawl":
            trouble = replace(trouble, detail=trouble.detail + forbidding_line(exception_of(failure)))
        async for again in self._continue_without(trouble, request.cb_kwargs["page_no"], request.cb_kwargs["folder"]):
            yield again

    async def _continue_without(self, trouble: Trouble, page_no: int, folder: bool) -> AsyncIterator[Any]:
        """Continue without a page of the listing, or fail the crawl."""
        if trouble.code == "absent" and page_no > 1 and not folder:
            # many sites answer 404 for the page after the last one
            self.boards.walk.take_page([], (), (), more=False)
            if self._folders:
                yield self._listing_request(self._folders.popleft(), 1, folder=True)
            else:
                async for request in self._end_walk():
                    yield request
        elif page_no == 1 and not folder and self._mirrors:
            yield self._start_request(self._mirrors.popleft())
        else:
            self.state.trouble = trouble

    async def _report_rows(self, listing: Listing, body: bytes) -> None:
        self.boards.walk.take_page([post.native for post in listing.posts], (), (), more=False)
        self.state.counts["listed"] += len(listing.posts)
        self._walked = True
        await self.reports.rows(listing, body)
        await self.ask(await opened_posts(self.definition, listing.posts, body, self.parts, self.read_item, self._send))

    # --- posts ---------------------------------------------------------------------------------------------------

    def _post_request(
        self,
        post: Post,
        row: ListingRow,
        *,
        changed: bool,
        priority: int = POST,
        start: int = 0,
        revisited: bool = False,
        waited: bool = False,
    ) -> Any:
        """The request for the first part of a post; if it has no valid address, the post itself with that trouble.

        None if it waits for a page that may have it as well; with `waited` it has done so.

        A thread with a new reply is read from its page `start` on.
        """
        if self.definition.feed is not None and post.body and "last" in post.fields and not post.raw:
            # a reply of the feed, which is due from an earlier crawl: the feed had all of it
            return FetchedPost(post, row, changed, None, due=True)
        if not waited and originals.is_whole(self.definition, post, self._pages):
            return FetchedPost(post, row, changed, None, whole=True)
        if originals.would_burn(self.definition, post):
            return FetchedPost(post, row, changed, WOULD_BURN)
        url, headers, meta = self.parts.first_request(post, start)
        page, _, place = url.partition("#")
        if place and self.definition.item is None:
            self._pages.add(page)
            if priority == POST and not waited and not self._places.take(url, (post, row, changed)):
                return None
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
            if not waited:
                self._places.arrived(url, b"")
            return FetchedPost(post, row, changed, Trouble("refused", "the post has no address", retry=False))

    async def parse_post(
        self, response: Response, post: Post, row: ListingRow, changed: bool, start: int = 0, revisited: bool = False
    ) -> Any:
        """The first part of a post has arrived."""
        for each in self._after(post, response.body):
            yield each
        yield FetchedPost(post, row, changed, response, start=start, revisited=revisited)

    def _after(self, post: Post, body: bytes) -> Iterator[Any]:
        """Posts that the page of another one has as well, and the request for the next one that waits for its page."""
        found, following = self._places.arrived(self.parts.first_request(post)[0], body)
        for other, row, changed in found:
            yield FetchedPost(other, row, changed, None, whole=True)
        while following is not None:
            other, row, changed = following
            request = self._post_request(other, row, changed=changed, waited=True)
            yield request
            if isinstance(request, Request):
                return
            _, following = self._places.arrived(self.parts.first_request(other)[0], b"")

    async def post_failed(self, failure: Failure) -> Any:
        """The first part of a post did not arrive."""
        given = failure.request.cb_kwargs  # type: ignore[attr-defined]
        trouble = trouble_of(exception_of(failure))
        for each in self._after(given["post"], b""):
            yield each
        yield FetchedPost(given["post"], given["row"], given["changed"], trouble, revisited=given["revisited"])

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
        if self._limit is not None:
            # the process may go on with other crawls: this one would be kept in memory, and be stopped once more
            self._limit.cancel()
        if self.browser is not None:
            self.browser.close()
        if self.state.lost:
            return
        trouble = self.state.trouble
        if trouble == too_long(self.job.limits.wall) and self._walked and self.state.has_all_posts:
            # the limit struck while the last examinations ended: nothing of this crawl is left to do
            trouble = None
        if trouble is None and self.job.cookies and self.state.counts["walled"] and not self.state.counts["examined"]:
            trouble = SESSION_ENDED
        if trouble is None and not self._walked:
            trouble = Trouble("platform", f"the listing was not read to its end ({reason})", retry=True)
        requests = self.crawler.stats.get_value(REQUESTS, 0)
        with contextlib.suppress(LeaseLost):
            if trouble is not None and not self._walked and self.job.mode == "crawl":
                await self.reports.page(self._first_page)
            await self.reports.post_pages(self._post_pages)
            await self.control.ask(self.reports.end(trouble, self.refused, requests, self.robots))
