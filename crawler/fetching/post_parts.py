"""Reads a fetched post part by part (its pages, its file or its attachments) and yields each part as a sample.

This module does not know the spider: requests, questions to the runner and limits are passed in. What happens to a
sample afterwards is in `crawler.fetching.pipelines`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from scrapy import Request
from scrapy.http import Response
from scrapy.settings import BaseSettings

from crawler.fetching.crawl_state import CrawlState
from crawler.fetching.first_page import PostPages
from crawler.fetching.items import FetchedPost, FetchedSample, ListingRow
from crawler.fetching.joined_download import JoinedDownload
from crawler.fetching.post_links import LinkReader
from crawler.fetching.post_text import PostText
from crawler.fetching.receipts import receipt_of
from crawler.fetching.responses import answer_trouble, content_type, page_meta, why_incomplete
from crawler.fetching.thread_parts import MAX_ATTACHMENTS, AskParts, ThreadParts
from crawler.pages import blocked_pages, extract, originals
from crawler.pages.encrypted_pastes import LockedError
from crawler.pages.extract import ItemPage, ItemPart
from crawler.pages.incident_rules import Rules
from crawler.pages.item_addresses import item_url, page_after, page_of_item
from crawler.pages.links import links_of_page
from crawler.pages.post_fields import page_fields
from crawler.pages.post_identity import origin_of
from crawler.preview.divided_posts import AddressedVolumes, group_addresses
from crawler.preview.file_list import (
    PREVIEW,
    exact_size,
    file_name,
    is_tail,
    preview_archive,
    preview_from_listing,
    preview_of_file,
    preview_torrent,
    tail_header,
)
from crawler.process.control_frames import FileListPreview
from crawler.transport.errors import Trouble, trouble_of
from crawler.transport.resumed_download import Download, DownloadLimits
from crawler.transport.streamed_response import STREAM, StreamedResponse
from data.errors import SourceError
from data.hashing.file_fingerprints import FileFingerprinter
from data.model import Post
from data.sources.definition import Definition

# With these statuses a site asks for patience: the first, and from the second on.
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
# At most this many pages of a thread are read; the rest is reported.
MAX_ITEM_PAGES = 50
# So many first bytes of a body are searched for links to other sources.
LINK_TEXT = 2**20
WOULD_BURN = Trouble("burn", "the site deletes the post when it is read, so that it was not requested", retry=False)
# A body with a content encoding cannot be resumed in the middle.
NO_ENCODING = {"Accept-Encoding": "identity"}


Send = Callable[[Request], Awaitable[Response]]
"""Sends a request through the crawl's engine, so that allow-list, robots.txt and rate apply, and raises its errors."""
# Characters of the files of one preview, well below the limit of a frame. Each file takes 32: three encoded numbers.
MAX_PREVIEW = 32 * 262_144
ReportPreview = Callable[[ListingRow, FileListPreview], Awaitable[str]]
"""Reports a preview to the runner, with the listing row of its post, and returns the id of the event."""


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
        download: limits of one such download.
    """

    stream_above: int
    preview_above: int
    download: DownloadLimits

    @classmethod
    def of(cls, settings: BaseSettings, wall: float) -> Self:
        """From the crawl's Scrapy settings and the seconds that the whole crawl may take from now on."""
        return cls(
            stream_above=settings.getint("TOCSIN_STREAM_ABOVE"),
            preview_above=settings.getint("TOCSIN_EARLY_ABOVE"),
            download=DownloadLimits(
                max_bytes=settings.getint("TOCSIN_MAX_BYTES"),
                stall=settings.getfloat("DOWNLOAD_TIMEOUT"),
                max_pause=settings.getfloat("TOCSIN_PATIENCE"),
                wall=wall,
                # downloads end earlier than the crawl: what was read must still be examined to its end and reported
                deadline=time.monotonic() + wall - min(60.0, wall / 4),
            ),
        )


class PostParts:
    """Reads the parts of the posts of one crawl."""

    def __init__(
        self,
        definition: Definition,
        *,
        post_key: bytes,
        links: LinkReader,
        rules: Rules,
        limits: PartLimits,
        state: CrawlState,
        send: Send,
        read_item: ReadItem,
        report_preview: ReportPreview,
        ask_parts: AskParts,
        pages: PostPages,
    ) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            post_key: of the case; digests of fields and file fingerprints are keyed with it.
            links: sorts the links of posts.
            rules: of the source's incident.
            limits: on what is fetched.
            state: of the crawl; downloads end when it is stopped.
            send: sends a request.
            read_item: the platform's own.
            report_preview: reports a preview to the runner.
            ask_parts: asks which parts are new.
            pages: counts the pages of posts.
        """
        self._definition = definition
        self._post_key, self._fingerprinter = post_key, FileFingerprinter(post_key)
        self._limits, self._state = limits, state
        self._send, self._read_item, self._report_preview = send, read_item, report_preview
        self._thread = ThreadParts(definition, post_key, ask_parts)
        self._links, self._text, self._read_pages = links, PostText(rules), pages

    def first_request(self, post: Post, start: int = 0) -> tuple[str, dict[str, str], dict[str, Any] | None]:
        """Address, headers and Scrapy's meta of the request for the first part of a post, or for a page of a thread."""
        url = post.raw or item_url(self._definition, post, start) or post.url
        rules = self._definition.raw if post.raw else self._definition.item
        asked = dict(rules.headers) if rules is not None else {}
        if not self._is_file(post):
            return url, asked, None if post.raw else self._page_meta()
        if self._volumes_of_file(post) is not None:
            return url, asked | NO_ENCODING, self._file_meta()
        tail = tail_header(url, self._limits.preview_above, exact_size(post))
        return url, asked | tail, self._file_meta(tail_only=bool(tail))

    async def samples(self, item: FetchedPost) -> AsyncIterator[FetchedSample | Trouble]:
        """The parts of a post one after another, and a Trouble for each that is missing.

        Further parts are requested when the caller asks for them.
        """
        post = item.post
        # links that are handed to another source are not fetched here as well
        self._links.note(item, (post.url, *post.attachments), post.body)
        reply = self._thread.part(post.native, post.body)
        is_reply = item.first is None and not item.whole
        if is_reply and not await self._thread.takes(reply, due=item.due):
            # a reply, as a feed has it, that was examined on the page of its thread
            item.unchanged = True
            return
        body = post.body
        if item.quoting is not None:
            body = await self._thread.without_quotes(item.quoting, item.others)
            item.unchanged = not body
        if is_reply and post.body:
            item.parts.append(reply)
        if body or item.whole:
            yield FetchedSample("listing", post.url, f"{post.title}\n\n{body}".encode())
        found: tuple[str, ...] = ()
        texts: list[str] = []
        names: dict[str, str] = {}
        sizes: dict[str, int] = {}
        self._text.note_passwords(item)
        volumes = self._volumes_of_file(post)
        if volumes is not None and item.first is not None:
            first, item.first = item.first, None
            address = post.raw or post.url
            opened = await self._whole(first, address) if isinstance(first, Response) else first
            yield self._joined(volumes, opened)
        elif isinstance(item.first, Response):
            first, item.first = item.first, None
            if post.raw or self._definition.item is None:
                url = post.raw or post.url
                answer, event = await self._preview(item, first, url, listed=self._is_file(post))
                if isinstance(answer, Trouble):
                    yield answer
                else:
                    async for whole in self._raw(answer, post, event):
                        if isinstance(whole, FetchedSample):
                            beginning = whole.beginning(LINK_TEXT)
                            text = beginning.decode("utf-8", "replace")
                            self._text.note_announcements(item, text)
                            if self._definition.item is not None:
                                # with rules for pages as well, the post is looked at again from time to time
                                item.page_fields = page_fields(self._post_key, text, (), origin_of(post.url))
                            links = links_of_page(beginning, whole.url, content_type=content_type(answer))
                            self._links.note(item, links, text)
                        yield whole
            else:
                async for part in self._pages(item, first):
                    if isinstance(part, ItemPart):
                        found += part.attachments
                        names |= dict(part.names)
                        sizes |= dict(part.sizes)
                        texts.append(part.text)
                        self._links.note(item, (*part.attachments, *part.links), part.text)
                        for address in part.attachments:
                            item.links.files.pop(address, None)
                    else:
                        yield part
        elif isinstance(item.first, Trouble):
            yield item.first
        self._text.note_announcements(item, *texts)
        self._text.note_passwords(item, *texts)
        if texts and not self._thread.used:
            item.page_fields = page_fields(self._post_key, "\n".join(texts), found, origin_of(post.url))
        addresses = [each for each in dict.fromkeys([*post.attachments, *found]) if each not in item.links.handed]
        linked = await self._thread.linked_files(item, room=MAX_ATTACHMENTS - len(addresses))
        addresses += [each for each in linked if each not in addresses]
        if volumes is not None:
            addresses = [each for each in addresses if each not in volumes.addresses]
        limited = addresses[:MAX_ATTACHMENTS]
        for entry in group_addresses(limited, names):
            if not isinstance(entry, str):
                remembered = [link for link in entry.addresses if self._thread.used or link in item.links.files]
                item.parts += [self._thread.part(link, "") for link in remembered]
                before = item.trouble, len(item.findings)
                yield self._joined(entry)
                item.note_read(entry.addresses, *before)
                continue
            address = entry
            name, size = names.get(address, file_name(address)), sizes.get(address, 0)
            tail = tail_header(address, self._limits.preview_above, size)
            event = ""
            if size >= self._limits.preview_above and not tail:
                told = preview_of_file(name, size, self._fingerprinter)
                event = await self._report_preview(item.row, told)
            response = await self._fetch(address, tail or NO_ENCODING, self._file_meta(tail_only=bool(tail)))
            if isinstance(response, Response):
                response, found_event = await self._preview(item, response, address, listed=False)
                event = found_event or event
            whole = response if isinstance(response, Trouble) else await self._whole(response, address, event)
            if isinstance(whole, FetchedSample) and address in names:
                whole = replace(whole, name=names[address])
            whole = _refused_for_good(whole, response)
            # a file is often linked before it is there: another post that links to it asks again
            asks_again = address in item.links.files and isinstance(whole, Trouble) and whole.code == "absent"
            is_remembered = (self._thread.used or address in item.links.files) and not asks_again
            if is_remembered and (not isinstance(whole, Trouble) or not whole.retry):
                item.parts.append(self._thread.part(address, ""))
            before = item.trouble, len(item.findings)
            if not (asks_again and item.revisited):
                # else that it is not there was told when the post was read first
                yield whole
            item.note_read([address], *before)
        if len(addresses) > MAX_ATTACHMENTS:
            yield Trouble("limit", f"{len(addresses) - MAX_ATTACHMENTS} further attachments were not read", retry=False)

    def _volumes_of_file(self, post: Post) -> AddressedVolumes | None:
        """The parts of a divided file of which the post itself is the first one; None if it is another post."""
        if not self._is_file(post) or not post.attachments:
            return None
        address = post.raw or post.url
        grouped = group_addresses([address, *post.attachments])
        return next((each for each in grouped if not isinstance(each, str) and each.addresses[0] == address), None)

    def _joined(self, volumes: AddressedVolumes, first: FetchedSample | Trouble | None = None) -> FetchedSample:
        """The parts of a divided file as one sample; each part is requested when the one before it was read."""

        async def open_part(address: str) -> FetchedSample | Trouble:
            answer = await self._fetch(address, NO_ENCODING, self._file_meta())
            return _refused_for_good(
                answer if isinstance(answer, Trouble) else await self._whole(answer, address), answer
            )

        download = JoinedDownload(volumes.addresses, volumes.numbers, volumes.missing, open_part, first, volumes.shown)
        return FetchedSample(volumes.name, volumes.addresses[0], b"", download=download)

    def _is_file(self, post: Post) -> bool:
        """Whether the first part of a post is examined as it is, without extracting text or a value from it."""
        extracted = self._definition.raw is not None and self._definition.raw.kind not in ("bytes", "text")
        return not extracted if post.raw else self._definition.item is None

    def _file_meta(self, *, tail_only: bool = False) -> dict[str, Any]:
        """Scrapy's meta of a request for a file; with `tail_only`, of one for its end, for a preview."""
        return {STREAM: self._limits.stream_above, **({PREVIEW: True} if tail_only else {})}

    def _page_meta(self) -> dict[str, Any] | None:
        """Scrapy's meta of a request for a page of a post."""
        return page_meta(self._definition, "" if self._definition.item is None else self._definition.item.kind)

    async def _fetch(
        self, url: str, headers: Mapping[str, str] | None = None, meta: dict[str, Any] | None = None
    ) -> Response | Trouble:
        """The answer to one more request of this crawl, or why there is none."""
        try:
            return await self._send(Request(url, headers=headers, meta=meta, dont_filter=True))
        except Exception as error:  # noqa: BLE001 - only its class is kept; the rest of the post is still read
            return trouble_of(error)

    async def _preview(
        self, item: FetchedPost, response: Response, address: str, *, listed: bool
    ) -> tuple[Response | Trouble, str]:
        """Preview the files of a body, if that is possible, and report it.

        Args:
            item: the post.
            response: to a request for the body, or for its end.
            address: of the body.
            listed: the body is the post itself, whose size the listing may state.

        Returns:
            The answer for the whole body (requested now, if only its end was), and the id of the event of the preview,
            '' without one.
        """
        tail = is_tail(response)
        preview: FileListPreview | None = None
        if isinstance(response, StreamedResponse) and tail:
            # more bytes than were requested: this is not the end of an archive
            await response.close()
        elif tail:
            preview = await preview_archive(response, self._fetch, self._limits.preview_above, self._fingerprinter)
        elif response.status == 200:
            preview = preview_torrent(file_name(address), response.body, self._fingerprinter)
            if preview is None and listed:
                preview = preview_from_listing(item.post, address, self._limits.preview_above, self._fingerprinter)
        event = ""
        if preview is not None:
            event = await self._report_preview(item.row, _fitting(preview))
            if preview.how == "torrent":
                # the files that a torrent describes are never fetched: examining the torrent file cannot confirm the
                # preview
                event = ""
        return (await self._fetch(address, NO_ENCODING, self._file_meta()) if tail else response), event

    async def _raw(self, response: Response, post: Post, event: str) -> AsyncIterator[FetchedSample | Trouble]:
        """The original of a post: one sample, or the text and the files of an encrypted paste."""
        sample = await self._whole(response, post.raw or post.url, event)
        if not isinstance(sample, FetchedSample) or sample.download is not None or not post.raw:
            yield sample
            return
        try:
            opened = originals.read_raw(self._definition, sample.body, content_type(response), post.url)
        except SourceError as error:
            yield Trouble("platform", str(error), retry=True)
            return
        except LockedError as error:
            yield Trouble(error.code, str(error), retry=False)
            return
        for name, body in opened.samples:
            yield FetchedSample(
                name or sample.name, sample.url, body, sample.problem, preview_event=event, receipt=sample.receipt
            )
        if opened.comments_left:
            detail = f"{opened.comments_left} comments of the paste were not decrypted"
            yield Trouble("limit", detail, retry=False)

    async def _whole(self, response: Response, address: str, event: str = "") -> FetchedSample | Trouble:
        """The body of an answer as a sample, or why the answer is not what was requested."""
        download = self._download(response) if isinstance(response, StreamedResponse) else None
        body = response.body if download is None else download.head()
        state = extract.classify(self._definition, response.status, body, content_type(response))
        trouble = answer_trouble(response, state)
        if download is None:
            return trouble or FetchedSample(
                file_name(address),
                address,
                body,
                why_incomplete(response),
                preview_event=event,
                receipt=receipt_of(response),
            )
        if trouble is not None:
            await download.close()
            return trouble
        return FetchedSample(
            file_name(address), address, b"", download=download, preview_event=event, receipt=receipt_of(response)
        )

    def _download(self, response: StreamedResponse) -> Download:
        """The rest of a large answer; further requests for it are sent like the first one."""
        asked = response.request
        assert asked is not None  # noqa: S101 - Scrapy sets it
        url = asked.meta.get("redirect_urls", [asked.url])[0]
        accepted = {"Accept-Encoding": asked.headers.get("Accept-Encoding", b"identity")}

        async def fetch(headers: Mapping[str, str]) -> Response:
            request = Request(url, headers={**accepted, **headers}, meta={STREAM: 0}, dont_filter=True)
            return await self._send(request)

        return Download(response, fetch, self._limits.download, stopped=lambda: self._state.stopped)

    def _is_wall(self, response: Response) -> bool:
        return blocked_pages.is_wall(self._definition, response.status, response.body, content_type(response))

    async def _pages(self, item: FetchedPost, response: Response) -> AsyncIterator[FetchedSample | Trouble | ItemPart]:
        """The text of all pages of a post as one sample, each part that it holds, and what is missing.

        If parts have ids, only those that are new or changed count.
        """
        post = item.post
        parts: list[ItemPart] = []
        problem = ""
        seen = {response.url}
        number = item.start
        trouble: Trouble | None = None
        while True:
            try:
                page = self._read_item(
                    self._definition, post, response.body, response.url, content_type(response), response.status
                )
            except SourceError as error:
                trouble = Trouble("platform", str(error), retry=True)
                break
            self._read_pages.take_page(page, response)
            trouble = answer_trouble(response, "ok" if page.state == "empty" else page.state)
            if trouble is not None and trouble.code == "blocked" and self._is_wall(response):
                # a person must decide what to do about it: the page is not requested again before its listing changes
                detail = f"only members of the site can read the post (status {response.status})"
                trouble = Trouble("walled", detail, retry=False)
                yield FetchedSample(
                    "page", response.url, response.body, why_incomplete(response), receipt=receipt_of(response)
                )
            if trouble is not None and trouble.code == "absent" and number and number == item.start:
                # the thread has fewer pages than before: it is read from its beginning
                again = await self._fetch(item_url(self._definition, post), meta=self._page_meta())
                number = item.start = 0
                if isinstance(again, Response):
                    response = again
                    seen.add(response.url)
                    continue
                trouble = again
            if trouble is None and page.state == "empty":
                # if the rules find nothing, the whole page is examined, so that its content is not missed
                trouble = Trouble("empty", "the rules found no text on the page of the post", retry=False)
                yield FetchedSample(
                    "page", response.url, response.body, why_incomplete(response), receipt=receipt_of(response)
                )
            if trouble is not None:
                break
            problem = problem or why_incomplete(response)
            known = {part.native for part in parts}
            fresh = [part for part in page.parts if not part.native or part.native not in known]
            parts += fresh
            # a site that redirects to an address of another form does not tell the number
            number = item.last_page = page_of_item(self._definition, response.url) or number
            if not page.next_url or page.next_url in seen or not fresh:
                break
            if len(seen) >= MAX_ITEM_PAGES:
                trouble = Trouble("limit", f"only {MAX_ITEM_PAGES} pages of the post were read", retry=False)
                break
            seen.add(page.next_url)
            number = page_after(self._definition, number, len(page.parts))
            headers = self._definition.item.headers if self._definition.item is not None else {}
            answer = await self._fetch(page.next_url, headers, self._page_meta())
            if isinstance(answer, Trouble):
                trouble = answer
                break
            response = answer
        new, texts, missing = await self._thread.new(item, parts)
        for part in new:
            yield part
        if new and (texts or post.title):
            text = "\n".join([post.title, *texts]) if post.title else "\n".join(texts)
            # of the last of several pages
            receipt = receipt_of(response)
            yield FetchedSample("post", post.url, text.encode("utf-8", "replace"), problem, receipt=receipt)
        for each in (*missing, trouble):
            if each is not None:
                yield each


def _fitting(preview: FileListPreview) -> FileListPreview:
    """A preview that fits into a frame; one that had to be cut says that it does not name every file."""
    if len(preview.files) <= MAX_PREVIEW:
        return preview
    return preview.model_copy(update={"files": preview.files[:MAX_PREVIEW], "complete": False})


def _refused_for_good(whole: FetchedSample | Trouble, response: Response | Trouble) -> FetchedSample | Trouble:
    """What became of the request for a file; one that guests may not fetch is told once, and not requested again."""
    asks_for_patience = isinstance(response, Response) and (
        response.status == TOO_MANY_REQUESTS or response.status >= SERVER_ERROR
    )
    if isinstance(whole, Trouble) and whole.code == "blocked" and not asks_for_patience:
        return replace(whole, retry=False)
    return whole
