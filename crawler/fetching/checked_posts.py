"""What `source check` and `source new` see of a site: two opened posts of a listing, or ways to read a page."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from parsel import Selector
from scrapy import Request
from scrapy.http import Response

from crawler.fetching.post_parts import PostParts, ReadItem
from crawler.fetching.responses import answer_trouble, content_type
from crawler.pages import extract, originals
from crawler.pages.html_text import decode, text_of
from crawler.pages.proposal import next_rule, propose
from crawler.process.control_frames import OpenedFrame, OpenedPage, OpenedPost, Proposed, ProposedFrame
from crawler.transport.errors import RobotsForbidden, Trouble, trouble_of
from crawler.transport.streamed_response import STREAM, StreamedResponse
from data.errors import SourceError
from data.model import Post
from data.sources.definition import Definition
from data.sources.platform_files import marked_platforms

# Pages of one post that are opened: whether the second one is read shows whether threads are read to their end.
PAGES = 2
# Of a larger file only the beginning is read.
MAX_FILE = 2**20
# A page with less text than this, and with scripts, is probably filled by its scripts.
LITTLE_TEXT = 300
_HREF = re.compile(rb"href\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)

Send = Callable[[Request], Awaitable[Response]]


def two_posts(posts: tuple[Post, ...], body: bytes) -> tuple[Post, ...]:
    """The first post, and the one that is probably longest.

    A row of a long thread links to further pages of it: its id stands in more addresses of the listing than that of
    others. Where no row does, the first number of `last` decides, which often counts replies; else the last post.

    Args:
        posts: of the listing.
        body: of the listing.
    """
    if len(posts) < 2:
        return posts
    links = {match[1].decode("utf-8", "replace") for match in _HREF.finditer(body)}
    together = "\n".join(sorted(links))

    def length(at: int) -> tuple[int, int, int]:
        native, url = posts[at].native, posts[at].url
        place = url.rfind(native) if native else -1
        # with the characters before it, `t=3` is not the post of `#p3`
        written = url[max(0, place - 3) : place + len(native)] if place > 0 else ""
        if place == 0:
            # the address itself is the id; the listing may write it without its host
            written = urlsplit(url).path.rstrip("/")
        found = re.findall(rf"{re.escape(written)}(?![0-9A-Za-z])", together) if written else []
        number = re.search(r"\d{1,6}(?!\d)", posts[at].fields.get("last", ""))
        return len(found), int(number[0]) if number else 0, at

    return posts[0], posts[max(range(1, len(posts)), key=length)]


def script_problem(body: bytes, text: str) -> str:
    """A sentence if a page without rows is probably filled by its scripts, which Tocsin does not run; else ''."""
    if b"<script" not in body.lower() or len(text.strip()) > LITTLE_TEXT:
        return ""
    return (
        "javascript: the page has almost no text, and scripts: it is probably filled by them; look for a feed or a JSON"
        " interface of the site, or write  render: browser  into the source file"
    )


async def opened_posts(
    definition: Definition,
    posts: tuple[Post, ...],
    body: bytes,
    parts: PostParts,
    read_item: ReadItem,
    send: Send,
) -> OpenedFrame:
    """Two posts of a listing, opened; arguments as of `two_posts` and `open_post`."""
    chosen = two_posts(posts, body)
    return OpenedFrame(posts=tuple([await open_post(definition, post, parts, read_item, send) for post in chosen]))


def proposed(response: Response) -> ProposedFrame:
    """The ways to read a page."""
    proposals, notes = propose(response.body, response.url, content_type(response), marked_platforms())
    ways = tuple(
        Proposed(platform=each.platform, why=each.why, keys=each.keys, boards=each.boards) for each in proposals
    )
    notes = (
        tuple(
            each
            for each in (script_problem(response.body, text_of(response.body.decode("utf-8", "replace"))),)
            if not ways and each
        )
        + notes
    )
    return ProposedFrame(url=response.url, proposals=ways, notes=notes)


async def open_post(
    definition: Definition, post: Post, parts: PostParts, read_item: ReadItem, send: Send
) -> OpenedPost:
    """What a crawl would read of a post: of its first two pages, or of its file.

    Args:
        definition: of the source.
        post: as listed.
        parts: of the crawl; tells the address of the first page.
        read_item: the platform's own.
        send: sends a request.
    """
    url, headers, meta = parts.first_request(post)
    headers.pop("Range", None)
    if originals.is_whole(definition, post) or (post.body and definition.item is None and not post.raw and not url):
        return _opened(post, (), "ok")
    pages: list[OpenedPage] = []
    for _ in range(PAGES):
        answer = await _fetch(url, headers, meta or {}, send)
        if isinstance(answer, Trouble):
            return _opened(post, pages, answer.code, answer.detail)
        if definition.item is None or post.raw:
            return await _opened_file(definition, post, answer)
        try:
            page = read_item(definition, post, answer.body, answer.url, content_type(answer), answer.status)
        except SourceError as error:
            return _opened(post, pages, "platform", str(error))
        trouble = answer_trouble(answer, "ok" if page.state == "empty" else page.state)
        if trouble is not None:
            return _opened(post, pages, trouble.code, trouble.detail)
        pages.append(
            OpenedPage(
                parts=len(page.parts),
                characters=sum(len(part.text) for part in page.parts),
                files=len(page.attachments),
                next=bool(page.next_url),
            )
        )
        if page.state == "empty":
            detail = f"the rules find no text on page {len(pages)} of the post: compare `item` with that page"
            return _opened(post, pages, "empty", detail)
        if not page.next_url:
            break
        url = page.next_url
    return _opened(post, pages, "ok")


async def _fetch(url: str, headers: dict[str, str], meta: dict[str, Any], send: Send) -> Response | Trouble:
    try:
        return await send(Request(url, headers=headers, meta={**meta, STREAM: MAX_FILE}, dont_filter=True))
    except ValueError:
        return Trouble("refused", "the post has no address", retry=False)
    except Exception as error:  # noqa: BLE001 - every failure of a request has its trouble
        trouble = trouble_of(error)
        return Trouble(trouble.code, trouble.detail + forbidding_line(error), trouble.retry)


def forbidding_line(error: BaseException) -> str:
    """`, by its line "Disallow: /"` for a request that robots.txt forbids, else ''. For people at a terminal alone."""
    return f', by its line "{error.line}"' if isinstance(error, RobotsForbidden) and error.line else ""


async def _opened_file(definition: Definition, post: Post, answer: Response) -> OpenedPost:
    streamed = isinstance(answer, StreamedResponse)
    trouble = answer_trouble(
        answer, extract.classify(definition, answer.status, answer.body[: 2**16], content_type(answer))
    )
    size = len(answer.body)
    if streamed:
        length = (answer.headers.get("Content-Length") or b"").decode("latin-1")
        size = int(length) if length.isdigit() else size
        await answer.close()  # type: ignore[attr-defined] # a StreamedResponse
    if trouble is not None:
        return _opened(post, (), trouble.code, trouble.detail)
    detail = ""
    if definition.item is None and not post.raw and "html" in content_type(answer).lower():
        page = Selector(text=decode(answer.body, definition.charset, content_type(answer)) or " ", type="html")
        if next_rule(page):
            detail = "the page of the post links to a next page, which is not read: if it is one of the same post, name it with `item.next`"
    return _opened(post, (), "ok", detail, size=min(size, 2**62))


def _opened(post: Post, pages: Any, state: str, problem: str = "", *, size: int = 0) -> OpenedPost:
    return OpenedPost(
        native=post.native, url=post.raw or post.url, state=state, problem=problem, pages=tuple(pages), size=size
    )
