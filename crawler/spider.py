"""The base of all platforms: reads a listing back to what is known, and fetches the posts that must be examined.

A platform sets `name` and `defaults`, and overrides `read_listing` or `read_item` where selectors do not do. What
becomes of a fetched post is `crawler.pipelines`, which answer is a wall is `crawler.extract`, how it is asked for is
`crawler.transport`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from scrapy import Request, Spider
from scrapy.http import Response
from twisted.python.failure import Failure

from crawler import extract
from crawler.announce import Deadline, deadlines
from crawler.answers import cause, content_type, cut, file_name, listing_trouble, parts, trouble_with
from crawler.control import Control, Job
from crawler.early_look import (
    EARLY,
    exact_size,
    is_tail,
    look_at_archive,
    look_at_listing,
    look_at_torrent,
    tail_header,
)
from crawler.extract import ItemPage, Listing
from crawler.posts import mask_address, origin_of, post_id, seal_due
from crawler.prints import Printer
from crawler.rules import Rules
from crawler.traits import page_traits, traits_of, version_of
from crawler.transport import allow
from crawler.transport.errors import Trouble, trouble_of
from crawler.transport.resumed import Bounds, Download
from crawler.transport.streamed import STREAM, StreamedResponse
from crawler.walk import Walk
from data.addresses import origins, start_url
from data.definition import Definition
from data.errors import LeaseLost, SourceError
from data.model import Finding, Post

# The walk comes first: posts that it finds are due from then on, whatever happens to this process.
WALK, DUE, POST = 20, 10, 0
# Pages of one thread, and files of one post, that are read at most; what is left over is reported.
MAX_ITEM_PAGES = 50
MAX_ATTACHMENTS = 200
# Links of one post that are handed to other sources, and how much of a body is searched for them.
MAX_LINKS = 200
LINK_TEXT = 2**20
# What is packed for the way alone cannot be gone on with in the middle.
IDENTITY = {"Accept-Encoding": "identity"}


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
        row: `id`, `version`, `address`, `traits` as listed. changed: it was known and its version changed.
        first: the answer to the first request for it, or why there is none.
        findings: filled by the examining pipeline. trouble: what kept it from being examined: it stays due.
        left: codes of parts that were not read and are not asked for again.
        links: posts of other sources that this one leads to, by their address.
        page: fields of its own page, where that was read.
        early: by number of a finding, the event of the early look at its sample.
        announced: `rules` of the incident that match its text, `deadlines` that it announces.
    """

    post: Post
    row: Mapping[str, Any]
    changed: bool
    first: Response | Trouble | None
    findings: list[Finding] = field(default_factory=list)
    trouble: Trouble | None = None
    left: Counter[str] = field(default_factory=Counter)
    links: dict[str, Post] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)
    announced: dict[str, Any] = field(default_factory=dict)
    early: dict[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Nothing of the post: Scrapy writes items into its log."""
        return f"<FetchedPost with {len(self.findings)} findings>"


class SourceSpider(Spider):
    """One crawl of one source.

    Attributes:
        defaults: what the platform brings to a definition, keys as in a source file.
        job: what is to be done. control: the runner. definition: of the source.
        sample_sockets: to the examiner. dial_socket: over Tor, where connections come from. walk: how far the listing was read.
        refused: host -> requests that were not made. counts: of posts: listed, new, changed, examined, unexamined.
        trouble: why the crawl failed. stopped: nothing more is to be done. lost: the runner is gone or said so.
    """

    name = ""
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        *,
        job: Job,
        control: Control,
        sample_sockets: list[socket.socket] | None = None,
        dial_socket: socket.socket | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.control, self.definition = job, control, job.definition
        self.sample_sockets = sample_sockets or []
        self.dial_socket = dial_socket
        self.walk = Walk(job.settled, self._stop(), job.definition.list.max_pages)
        self.refused: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.trouble: Trouble | None = None
        self.stopped = False
        self.lost = False
        self._closing: asyncio.Task[None] | None = None
        self._walked = False
        self._mirrors = deque(origins(self.definition)[1:] if "{host}" in self._template() else ())
        self._taken: set[tuple[str, str]] = set()
        self._waited: set[str] = set()
        self._folders: deque[str] = deque()
        self._printer = Printer(job.post_key)
        self._known_parts = frozenset(parts(self.definition))
        given = job.rules
        self._rules = Rules.of(given.get("words", ()), given.get("expressions", ()), given.get("files", {}))
        # what is read when the crawl's time is over must still be examined to its end, and told
        wall = job.limits["wall"]
        self._wall, self._deadline = wall, time.monotonic() + wall - min(60.0, wall / 10)

    # --- what a platform may override ----------------------------------------------------------------------------

    @classmethod
    def read_listing(
        cls, definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
    ) -> Listing:
        """The posts of one page; arguments and errors as `crawler.extract.read_listing`."""
        return extract.read_listing(definition, body, url, content_type, page_no, status)

    @classmethod
    def read_item(
        cls, definition: Definition, post: Post, body: bytes, url: str, content_type: str = "", status: int = 200
    ) -> ItemPage:
        """The text of one page of a post; arguments and errors as `crawler.extract.read_item`."""
        return extract.read_item(definition, post, body, url, content_type, status)

    # --- the walk ------------------------------------------------------------------------------------------------

    async def start(self) -> AsyncIterator[Any]:
        """Posts that are still due, and the first page of the listing."""
        for name, reason in self._rules.broken.items():
            await self.ask("event", kind="source_changed", subject=name, facts={"said": reason, "page": 0})
        yield self._listing_request(start_url(self.definition, datetime.now(UTC)), 1)
        for post in self.job.due:
            row = self._row(post)
            self._taken.add((row["id"], row["version"]))
            self._waited.add(row["id"])
            yield self._post_request(extract.completed(self.definition, post), row, changed=False, priority=DUE)

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
        """One page of the listing: note its posts, ask for those to examine, go on or end the walk."""
        trouble: Trouble | None
        listing = Listing()
        try:
            listing = self.read_listing(
                self.definition, response.body, response.url, content_type(response), page_no, response.status
            )
            trouble = listing_trouble(response, listing)
        except SourceError as error:
            trouble = Trouble("platform", str(error), retry=False)
        if trouble is not None:
            async for request in self._without(trouble, page_no, folder):
                yield request
            return
        if self.job.mode == "check":
            await self._show(listing)
            return
        rows = {row["id"]: (row, post) for post in listing.posts for row in [self._row(post)]}
        answer = await self._listed([(row, post) for row, post in rows.values()], page_no)
        changed = set(answer["changed"])
        for identity in answer["examine"]:
            row, post = rows[identity]
            if identity in changed or identity not in self._waited:
                self.counts["changed" if identity in changed else "new"] += 1
            if (identity, row["version"]) in self._taken:
                continue
            self._taken.add((identity, row["version"]))
            yield self._post_request(post, row, changed=identity in changed)
        for identity in answer["revisit"]:
            row, post = rows[identity]
            yield self._post_request(post, row, changed=False, priority=POST - 1)
        self._folders.extend(listing.more)
        for problem in listing.problems:
            subject, _, said = problem.partition(":")
            await self.ask(
                "event", kind="source_changed", subject=subject, facts={"said": said.strip(), "page": page_no}
            )
        if folder:
            self.walk.rows += listing.rows
            self.walk.met += len(answer["settled_ids"])
            wanted = False
        else:
            wanted = self.walk.page(
                list(rows),
                answer["settled_ids"],
                answer["examine"],
                more=bool(listing.next_url) or self._at_limit(page_no),
            )
        if wanted and listing.next_url:
            yield self._listing_request(listing.next_url, page_no + 1)
        elif self._folders:
            yield self._listing_request(self._folders.popleft(), 1, folder=True)
        else:
            await self._end_walk()

    def _at_limit(self, page_no: int) -> bool:
        """Whether this page is the last that the definition allows, of a listing that has pages."""
        rules = self.definition.list
        return page_no >= rules.max_pages and bool(rules.next or rules.pages)

    async def _listed(self, rows: list[tuple[dict[str, Any], Post]], page_no: int) -> dict[str, Any]:
        self.counts["listed"] += len(rows)
        return await self.ask("listed", posts=self.due_rows(post for _, post in rows), page=page_no)

    async def _end_walk(self) -> None:
        self._walked = True
        gap = self.walk.gap and self.definition.health.overlap
        await self.ask("walked", pages=self.walk.pages, rows=self.walk.rows, gap=gap)

    async def listing_failed(self, failure: Failure) -> AsyncIterator[Any]:
        """The listing did not come: another mirror, or the crawl has failed."""
        request: Request = failure.request  # type: ignore[attr-defined]
        trouble = trouble_of(cause(failure))
        async for again in self._without(trouble, request.cb_kwargs["page_no"], request.cb_kwargs["folder"]):
            yield again

    async def _without(self, trouble: Trouble, page_no: int, folder: bool) -> AsyncIterator[Any]:
        """What to do without a page of the listing."""
        if trouble.code == "absent" and page_no > 1 and not folder:
            # past the last page many sites answer 404
            self.walk.page([], (), (), more=False)
            if self._folders:
                yield self._listing_request(self._folders.popleft(), 1, folder=True)
            else:
                await self._end_walk()
        elif page_no == 1 and not folder and self._mirrors:
            yield self._listing_request(start_url(self.definition, datetime.now(UTC), self._mirrors.popleft()), 1)
        else:
            self.trouble = trouble

    async def _show(self, listing: Listing) -> None:
        self.walk.page([post.native for post in listing.posts], (), (), more=False)
        self.counts["listed"] += len(listing.posts)
        self._walked = True
        posts = [{**post.to_json(), "id": post.native} for post in listing.posts]
        await self.ask("rows", posts=posts, problems=list(listing.problems), rows=listing.rows, dropped=listing.dropped)

    # --- posts ---------------------------------------------------------------------------------------------------

    def _row(self, post: Post) -> dict[str, Any]:
        key = self.job.post_key
        traits = traits_of(key, post, datetime.now(UTC))
        return {
            "id": post_id(key, post.source, post.native),
            "version": version_of(key, traits),
            "address": mask_address(post.url, key, self._known_parts),
            "traits": traits,
        }

    def _post_request(self, post: Post, row: Mapping[str, Any], *, changed: bool, priority: int = POST) -> Any:
        """The request for the first part of a post; the post itself where its listing said all there is."""
        url = post.raw or extract.item_url(self.definition, post) or post.url
        tail = tail_header(url, self._early_above(), exact_size(post)) if self._is_file(post) else {}
        meta = {**self._streamed(), **({EARLY: True} if tail else {})} if self._is_file(post) else None
        try:
            return Request(
                url,
                self.parse_post,
                headers=tail,
                errback=self.post_failed,
                priority=priority,
                dont_filter=True,
                meta=meta,
                cb_kwargs={"post": post, "row": row, "changed": changed},
            )
        except ValueError:
            # Scrapy's own check: no scheme, or nothing that could be an address
            return FetchedPost(post, row, changed, Trouble("refused", "the post has no address", retry=False))

    async def parse_post(self, response: Response, post: Post, row: Mapping[str, Any], changed: bool) -> Any:
        """The first part of a post came."""
        yield FetchedPost(post, row, changed, response)

    async def post_failed(self, failure: Failure) -> Any:
        """The first part of a post did not come."""
        given = failure.request.cb_kwargs  # type: ignore[attr-defined]
        yield FetchedPost(given["post"], given["row"], given["changed"], trouble_of(cause(failure)))

    async def samples(self, item: FetchedPost) -> AsyncIterator[Sample | Trouble]:
        """The parts of a post one after another, further ones fetched as they are asked for, and what is missing."""
        post = item.post
        # links that another source reads are not fetched here as well
        self._harvest(item, (post.url, *post.attachments), post.body)
        if post.body:
            yield Sample("listing", post.url, f"{post.title}\n\n{post.body}".encode())
        found: tuple[str, ...] = ()
        texts: list[str] = []
        if isinstance(item.first, Response):
            first, item.first = item.first, None
            if post.raw or self.definition.item is None:
                url = post.raw or post.url
                answer, early = await self._look(item, first, url, listed=self._is_file(post))
                whole = answer if isinstance(answer, Trouble) else await self._raw(answer, post, early)
                if isinstance(whole, Sample):
                    said = whole.beginning(LINK_TEXT).decode("utf-8", "replace")
                    self._announced(item, said)
                    self._harvest(item, (), said)
                yield whole
            else:
                async for part in self._pages(post, first):
                    if isinstance(part, ItemPage):
                        found += part.attachments
                        texts.append(part.text)
                        self._harvest(item, part.attachments, part.text)
                    else:
                        yield part
        elif isinstance(item.first, Trouble):
            yield item.first
        self._announced(item, *texts)
        if texts:
            item.page = page_traits(self.job.post_key, "\n".join(texts), found, origin_of(post.url))
        addresses = [each for each in dict.fromkeys([*post.attachments, *found]) if each not in item.links]
        for address in addresses[:MAX_ATTACHMENTS]:
            tail = tail_header(address, self._early_above())
            response = await self.fetch(
                address, tail or IDENTITY, {**self._streamed(), **({EARLY: True} if tail else {})}
            )
            early = ""
            if isinstance(response, Response):
                response, early = await self._look(item, response, address, listed=False)
            yield response if isinstance(response, Trouble) else await self._whole(response, address, early)
        if len(addresses) > MAX_ATTACHMENTS:
            yield Trouble("limit", f"{len(addresses) - MAX_ATTACHMENTS} further attachments were not read", retry=False)

    def _announced(self, item: FetchedPost, *texts: str) -> None:
        """Note what the text of a post announces, beside what its listing says of it."""
        text = "\n".join([item.post.title, item.post.body, *texts])
        rules = item.announced.get("rules", [])
        times = {each["phrase"]: each for each in item.announced.get("deadlines", [])}
        now = datetime.now(UTC)
        times |= {each.phrase: each.to_json() for each in deadlines(text, now)}
        end = item.row["traits"].get("timer")
        if end is not None and end[0] > now.timestamp() / 60:
            times["countdown"] = Deadline(end[0], None, end[1], "countdown").to_json()
        item.announced = {
            "rules": list(dict.fromkeys([*rules, *self._rules.matching(text)])),
            "deadlines": list(times.values()),
        }

    def _harvest(self, item: FetchedPost, links: Iterable[str], text: str) -> None:
        """Note what other sources read; a link whose host its source does not declare goes nowhere, and is told."""
        for post in extract.harvest(self.definition, links, text):
            if post.url == item.post.url or post.url in item.links or post.source not in self.job.follow:
                continue
            try:
                allow.check(post.url, self.job.follow[post.source], onion=True)
            except allow.Refused:
                item.left["undeclared link"] += 1
                continue
            if len(item.links) >= MAX_LINKS:
                item.left["further links"] += 1
            else:
                item.links[post.url] = post

    def due_rows(self, posts: Iterable[Post]) -> list[dict[str, Any]]:
        """Posts as the runner takes them, each sealed so that it can be fetched later."""
        return [
            {**self._row(post), "due": base64.b64encode(seal_due(self.job.post_key, post)).decode()} for post in posts
        ]

    def _is_file(self, post: Post) -> bool:
        """Whether the first part of a post is examined as it is, and not taken apart before."""
        taken_apart = self.definition.raw is not None and self.definition.raw.kind == "json"
        return not taken_apart if post.raw else self.definition.item is None

    def _streamed(self) -> dict[str, Any]:
        return {STREAM: self.settings.getint("TOCSIN_STREAM_ABOVE")}

    def _early_above(self) -> int:
        return self.settings.getint("TOCSIN_EARLY_ABOVE")

    async def _look(
        self, item: FetchedPost, response: Response, address: str, *, listed: bool
    ) -> tuple[Response | Trouble, str]:
        """The file itself, where only its end came, and the event of an early look at its files, '' without one."""
        tail = is_tail(response)
        told: dict[str, Any] | None = None
        if isinstance(response, StreamedResponse) and tail:
            # more than was asked for
            await response.close()
        elif tail:
            told = await look_at_archive(response, self.fetch, self._early_above(), self._printer)
        elif response.status == 200:
            told = look_at_torrent(file_name(address), response.body, self._printer)
            if told is None and listed:
                told = look_at_listing(item.post, address, self._early_above(), self._printer)
        event = ""
        if told is not None:
            event = str((await self.ask("early", post=dict(item.row), look=told))["event"])
            if told["how"] == "torrent":
                # what it stands for is never fetched: the examination of the torrent file says nothing of that
                event = ""
        return (await self.fetch(address, IDENTITY, self._streamed()) if tail else response), event

    async def _raw(self, response: Response, post: Post, early: str) -> Sample | Trouble:
        sample = await self._whole(response, post.raw or post.url, early)
        if isinstance(sample, Sample) and sample.download is None and post.raw:
            try:
                body = extract.read_raw(self.definition, sample.body, content_type(response))
            except SourceError as error:
                return Trouble("platform", str(error), retry=True)
            return Sample(sample.name, sample.url, body, sample.problem, early=early)
        return sample

    async def _whole(self, response: Response, address: str, early: str = "") -> Sample | Trouble:
        """The body of an answer as a sample, unless it is no answer."""
        download = self._download(response) if isinstance(response, StreamedResponse) else None
        body = response.body if download is None else download.head()
        state = extract.classify(self.definition, response.status, body, content_type(response))
        trouble = trouble_with(response, state)
        if download is None:
            return trouble or Sample(file_name(address), address, body, cut(response), early=early)
        if trouble is not None:
            await download.close()
            return trouble
        return Sample(file_name(address), address, b"", download=download, early=early)

    def _download(self, response: StreamedResponse) -> Download:
        """The rest of a large answer, further requests for it included: they go the way of the first one."""
        asked = response.request
        assert asked is not None  # noqa: S101 - Scrapy sets it
        url = asked.meta.get("redirect_urls", [asked.url])[0]
        accepted = {"Accept-Encoding": asked.headers.get("Accept-Encoding", b"identity")}

        async def fetch(headers: Mapping[str, str]) -> Response:
            request = Request(url, headers={**accepted, **headers}, meta={STREAM: 0}, dont_filter=True)
            return await self.crawler.engine.download_async(request)

        bounds = Bounds(
            max_bytes=self.settings.getint("TOCSIN_MAX_BYTES"),
            stall=self.settings.getfloat("DOWNLOAD_TIMEOUT"),
            patience=self.settings.getfloat("TOCSIN_PATIENCE"),
            wall=self._wall,
            deadline=self._deadline,
        )
        return Download(response, fetch, bounds, stopped=lambda: self.stopped)

    async def _pages(self, post: Post, response: Response) -> AsyncIterator[Sample | Trouble | ItemPage]:
        """The text of all pages of a post as one sample, and each page for its attachments."""
        texts: list[str] = []
        problem = ""
        seen = {response.url}
        trouble: Trouble | None = None
        while True:
            try:
                page = self.read_item(
                    self.definition, post, response.body, response.url, content_type(response), response.status
                )
            except SourceError as error:
                trouble = Trouble("platform", str(error), retry=True)
                break
            trouble = trouble_with(response, "ok" if page.state == "empty" else page.state)
            if trouble is None and page.state == "empty" and not texts:
                # rules that find nothing must not hide what the page holds
                trouble = Trouble("empty", "the rules found no text on the page of the post", retry=False)
                yield Sample("page", response.url, response.body, cut(response))
            if trouble is not None:
                break
            problem = problem or cut(response)
            texts.append(page.text)
            yield page
            if not page.next_url or page.next_url in seen:
                break
            if len(seen) >= MAX_ITEM_PAGES:
                trouble = Trouble("limit", f"only {MAX_ITEM_PAGES} pages of the post were read", retry=False)
                break
            seen.add(page.next_url)
            answer = await self.fetch(page.next_url)
            if isinstance(answer, Trouble):
                trouble = answer
                break
            response = answer
        if texts:
            text = "\n".join([post.title, *texts]) if post.title else "\n".join(texts)
            yield Sample("post", post.url, text.encode("utf-8", "replace"), problem)
        if trouble is not None:
            yield trouble

    async def fetch(
        self, url: str, headers: Mapping[str, str] | None = None, meta: dict[str, Any] | None = None
    ) -> Response | Trouble:
        """One more answer of this crawl, on the same road as all others."""
        try:
            return await self.crawler.engine.download_async(Request(url, headers=headers, meta=meta, dont_filter=True))
        except Exception as error:  # noqa: BLE001 - named by its class; the rest of the post is still read
            return trouble_of(error)

    # --- the end -------------------------------------------------------------------------------------------------

    async def ask(self, question: str, **fields: Any) -> dict[str, Any]:
        """The runner's answer; without one the crawl stops."""
        try:
            return await self.control.ask(question, **fields)
        except LeaseLost as error:
            self.lost = True
            self.stop(Trouble("lost", str(error), retry=True))
            raise

    def stop(self, trouble: Trouble) -> None:
        """End the crawl as failed; what is not committed stays due."""
        self.trouble = self.trouble or trouble
        if not self.stopped:
            self.stopped = True
            self._closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason=trouble.code))

    async def closed(self, reason: str) -> None:
        """Tell the runner how it went; Scrapy calls it when nothing is in flight any more."""
        if self.lost:
            return
        trouble = self.trouble
        if trouble is None and not self._walked:
            trouble = Trouble("platform", f"the listing was not read to its end ({reason})", retry=True)
        requests = self.crawler.stats.get_value("downloader/request_count", 0)
        counts = {name: self.counts[name] for name in ("listed", "new", "changed", "examined", "unexamined", "resumed")}
        with contextlib.suppress(LeaseLost):
            await self.control.ask(
                "end",
                state="failed" if trouble else "done",
                counts={**counts, "refused": self.refused.total(), "requests": requests},
                hosts=dict(self.refused.most_common(20)),
                code=trouble.code if trouble else "",
                error=trouble.detail if trouble else "",
            )
