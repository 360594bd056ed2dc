"""Reads a fetched post part by part (its pages, its file or its attachments) and yields each part as a sample.

This module does not know the spider: requests, questions to the runner and limits are passed in. What happens to a
sample afterwards is in `crawler.fetching.pipelines`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from scrapy import Request
from scrapy.http import Response
from scrapy.settings import BaseSettings

from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.items import FetchedPost, ListingRow, Sample
from crawler.fetching.responses import content_type, cut, trouble_with
from crawler.pages import extract
from crawler.pages.deadlines import Deadline, deadlines
from crawler.pages.extract import ItemPage
from crawler.pages.incident_rules import Rules
from crawler.pages.post_fields import page_traits
from crawler.pages.post_identity import origin_of
from crawler.preview.file_list import (
    EARLY,
    exact_size,
    file_name,
    is_tail,
    look_at_archive,
    look_at_listing,
    look_at_torrent,
    tail_header,
)
from crawler.process.control_frames import AnnouncedTime, Announcements, FileListPreview
from crawler.transport import allow_list
from crawler.transport.errors import Trouble, trouble_of
from crawler.transport.resumed_download import Download, DownloadLimits
from crawler.transport.streamed_response import STREAM, StreamedResponse
from data.errors import SourceError
from data.hashing.file_fingerprints import FileFingerprinter
from data.model import Post
from data.sources.definition import Definition

# Pages of one thread, and files of one post, that are read at most; what is left over is reported.
MAX_ITEM_PAGES = 50
MAX_ATTACHMENTS = 200
# Links of one post that are handed to other sources, and how much of a body is searched for them.
MAX_LINKS = 200
LINK_TEXT = 2**20
# What is packed for the way alone cannot be gone on with in the middle.
IDENTITY = {"Accept-Encoding": "identity"}


Send = Callable[[Request], Awaitable[Response]]
"""Sends one request through the crawl's engine, so that allow-list, robots.txt and rate apply; raises what it raises."""
ReportPreview = Callable[[ListingRow, FileListPreview], Awaitable[str]]
"""Reports to the runner what a preview of a file list showed (listing row of the post, preview); gives the event's id."""


class ReadItem(Protocol):
    """Reads one page of a post; arguments, result and errors as `crawler.pages.extract.read_item`."""

    def __call__(
        self, definition: Definition, post: Post, body: bytes, url: str, content_type: str = "", status: int = 200
    ) -> ItemPage:
        """The text and attachments of the page."""
        ...


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Limits on what is fetched of a post.

    Attributes:
        stream_above: bytes; a larger body is examined while it downloads.
        preview_above: bytes; the file list of a larger body is previewed before the body is downloaded.
        bounds: of one such download.
    """

    stream_above: int
    preview_above: int
    bounds: DownloadLimits

    @classmethod
    def of(cls, settings: BaseSettings, wall: float) -> Self:
        """From the crawl's Scrapy settings and the seconds that the whole crawl may take from now on."""
        return cls(
            stream_above=settings.getint("TOCSIN_STREAM_ABOVE"),
            preview_above=settings.getint("TOCSIN_EARLY_ABOVE"),
            bounds=DownloadLimits(
                max_bytes=settings.getint("TOCSIN_MAX_BYTES"),
                stall=settings.getfloat("DOWNLOAD_TIMEOUT"),
                max_pause=settings.getfloat("TOCSIN_PATIENCE"),
                wall=wall,
                # downloads end earlier than the crawl: what was read must still be examined to its end and reported
                deadline=time.monotonic() + wall - min(60.0, wall / 10),
            ),
        )


class PostParts:
    """Reads the parts of the posts of one crawl."""

    def __init__(
        self,
        definition: Definition,
        *,
        post_key: bytes,
        follow: Mapping[str, frozenset[tuple[str, int]]],
        rules: Rules,
        limits: PartLimits,
        state: CrawlState,
        send: Send,
        read_item: ReadItem,
        report_preview: ReportPreview,
    ) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            post_key: of the case; digests of fields and file fingerprints are keyed with it.
            follow: other source -> the (host, port) pairs that it declares; links are handed to these sources only.
            rules: of the source's incident.
            limits: on what is fetched.
            state: of the crawl; downloads end when it is stopped.
            send: sends a request.
            read_item: the platform's own.
            report_preview: reports a preview to the runner.
        """
        self._definition, self._follow, self._rules = definition, follow, rules
        self._post_key, self._printer = post_key, FileFingerprinter(post_key)
        self._limits, self._state = limits, state
        self._send, self._read_item, self._report_preview = send, read_item, report_preview

    def first_request(self, post: Post) -> tuple[str, dict[str, str], dict[str, Any] | None]:
        """Address, headers and Scrapy's meta of the request for the first part of a post."""
        url = post.raw or extract.item_url(self._definition, post) or post.url
        if not self._is_file(post):
            return url, {}, None
        tail = tail_header(url, self._limits.preview_above, exact_size(post))
        return url, tail, self._streamed(early=bool(tail))

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
            if post.raw or self._definition.item is None:
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
            item.page = page_traits(self._post_key, "\n".join(texts), found, origin_of(post.url))
        addresses = [each for each in dict.fromkeys([*post.attachments, *found]) if each not in item.links]
        for address in addresses[:MAX_ATTACHMENTS]:
            tail = tail_header(address, self._limits.preview_above)
            response = await self._fetch(address, tail or IDENTITY, self._streamed(early=bool(tail)))
            early = ""
            if isinstance(response, Response):
                response, early = await self._look(item, response, address, listed=False)
            yield response if isinstance(response, Trouble) else await self._whole(response, address, early)
        if len(addresses) > MAX_ATTACHMENTS:
            yield Trouble("limit", f"{len(addresses) - MAX_ATTACHMENTS} further attachments were not read", retry=False)

    def _announced(self, item: FetchedPost, *texts: str) -> None:
        """Note what the text of a post announces, beside what its listing says of it."""
        text = "\n".join([item.post.title, item.post.body, *texts])
        times = {each.phrase: each for each in item.announced.deadlines}
        now = datetime.now(UTC)
        found = deadlines(text, now)
        end = item.row.fields.get("timer")
        if end is not None and end[0] > now.timestamp() / 60:
            found.append(Deadline(end[0], None, end[1], "countdown"))
        times |= {each.phrase: AnnouncedTime(**each.to_json()) for each in found}
        item.announced = Announcements(
            rules=tuple(dict.fromkeys([*item.announced.rules, *self._rules.matching(text)])),
            deadlines=tuple(times.values()),
        )

    def _harvest(self, item: FetchedPost, links: Iterable[str], text: str) -> None:
        """Note what other sources read; a link whose host its source does not declare goes nowhere, and is told."""
        for post in extract.harvest(self._definition, links, text):
            if post.url == item.post.url or post.url in item.links or post.source not in self._follow:
                continue
            try:
                allow_list.require_allowed(post.url, self._follow[post.source], over_tor=True)
            except allow_list.RequestRefused:
                item.left["undeclared link"] += 1
                continue
            if len(item.links) >= MAX_LINKS:
                item.left["further links"] += 1
            else:
                item.links[post.url] = post

    def _is_file(self, post: Post) -> bool:
        """Whether the first part of a post is examined as it is, and not taken apart before."""
        taken_apart = self._definition.raw is not None and self._definition.raw.kind == "json"
        return not taken_apart if post.raw else self._definition.item is None

    def _streamed(self, *, early: bool = False) -> dict[str, Any]:
        """Scrapy's meta of a request for a file, of which at first only the end is asked for where `early`."""
        return {STREAM: self._limits.stream_above, **({EARLY: True} if early else {})}

    async def _fetch(
        self, url: str, headers: Mapping[str, str] | None = None, meta: dict[str, Any] | None = None
    ) -> Response | Trouble:
        """The answer to one more request of this crawl, or why there is none."""
        try:
            return await self._send(Request(url, headers=headers, meta=meta, dont_filter=True))
        except Exception as error:  # noqa: BLE001 - only its class is kept; the rest of the post is still read
            return trouble_of(error)

    async def _look(
        self, item: FetchedPost, response: Response, address: str, *, listed: bool
    ) -> tuple[Response | Trouble, str]:
        """The file itself, where only its end came, and the event of an early look at its files, '' without one."""
        tail = is_tail(response)
        told: FileListPreview | None = None
        if isinstance(response, StreamedResponse) and tail:
            # more than was asked for
            await response.close()
        elif tail:
            told = await look_at_archive(response, self._fetch, self._limits.preview_above, self._printer)
        elif response.status == 200:
            told = look_at_torrent(file_name(address), response.body, self._printer)
            if told is None and listed:
                told = look_at_listing(item.post, address, self._limits.preview_above, self._printer)
        event = ""
        if told is not None:
            event = await self._report_preview(item.row, told)
            if told.how == "torrent":
                # what it stands for is never fetched: the examination of the torrent file says nothing of that
                event = ""
        return (await self._fetch(address, IDENTITY, self._streamed()) if tail else response), event

    async def _raw(self, response: Response, post: Post, early: str) -> Sample | Trouble:
        sample = await self._whole(response, post.raw or post.url, early)
        if isinstance(sample, Sample) and sample.download is None and post.raw:
            try:
                body = extract.read_raw(self._definition, sample.body, content_type(response))
            except SourceError as error:
                return Trouble("platform", str(error), retry=True)
            return Sample(sample.name, sample.url, body, sample.problem, early=early)
        return sample

    async def _whole(self, response: Response, address: str, early: str = "") -> Sample | Trouble:
        """The body of an answer as a sample, unless it is no answer."""
        download = self._download(response) if isinstance(response, StreamedResponse) else None
        body = response.body if download is None else download.head()
        state = extract.classify(self._definition, response.status, body, content_type(response))
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
            return await self._send(request)

        return Download(response, fetch, self._limits.bounds, stopped=lambda: self._state.stopped)

    async def _pages(self, post: Post, response: Response) -> AsyncIterator[Sample | Trouble | ItemPage]:
        """The text of all pages of a post as one sample, and each page for its attachments."""
        texts: list[str] = []
        problem = ""
        seen = {response.url}
        trouble: Trouble | None = None
        while True:
            try:
                page = self._read_item(
                    self._definition, post, response.body, response.url, content_type(response), response.status
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
            answer = await self._fetch(page.next_url)
            if isinstance(answer, Trouble):
                trouble = answer
                break
            response = answer
        if texts:
            text = "\n".join([post.title, *texts]) if post.title else "\n".join(texts)
            yield Sample("post", post.url, text.encode("utf-8", "replace"), problem)
        if trouble is not None:
            yield trouble
