"""Platform `feed`: RSS 2.0, RSS 1.0, Atom and JSON Feed; broken XML is repaired and reported.

The content that a feed has of a post becomes its body; the page behind its link is fetched by the spider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any, ClassVar
from urllib.parse import urljoin

import orjson
from lxml import etree

from crawler.fetching.spider import SourceSpider
from crawler.pages.extract import Listing, canonical_address, classify, without_session
from crawler.pages.html_text import decode, lines_of, text_of
from crawler.pages.row_values import Page, parse_xml
from data.model import Post
from data.sources.definition import Definition

# Only names of HTML elements: "<suite>" in a title is text.
_TAG = re.compile(
    r"</?(?:a|b|big|blockquote|br|center|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|i|img|ins|li|ol|p|pre|q|s|script"
    r"|small|span"
    r"|strike|strong|style|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul)\b[^<>]*>|<!--",
    re.IGNORECASE,
)
_BASE = "{http://www.w3.org/XML/1998/namespace}base"


def read_feed(
    definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
) -> Listing:
    """The posts of a feed; arguments and result as `crawler.pages.extract.read_listing`.

    The native id is guid, rdf:about or id, else the address. Content is the body, and enclosures are attachments. The
    time of the last update is a field, so that an updated entry is a new version.
    """
    page = Page(url, None, url)
    text = decode(body, definition.charset, content_type)
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return _read_json(definition, page, text, body, content_type, page_no, status)
    root, sound = parse_xml(text)
    kind = _name(root) if root is not None else ""
    if kind not in ("rss", "rdf", "feed"):
        verdict = classify(definition, status, body, content_type, rows=0)
        problems = () if verdict != "ok" else ("feed: the page is not an RSS, Atom or JSON feed",)
        return Listing(state=verdict if verdict != "ok" else "empty", problems=problems)
    verdict = classify(definition, status, b"", content_type, rows=None)
    if verdict != "ok":
        return Listing(state=verdict)
    if not sound:
        page.problem_counts["xml: the feed is not well-formed and was repaired; entries may be missing"] += 1
    entries = [node for node in root.iter() if _name(node) in ("item", "entry")]
    posts: dict[str, Post] = {}
    for entry in entries:
        page.base = _base_of(entry, url)
        post = _atom(definition, page, entry) if _name(entry) == "entry" else _rss(definition, page, entry)
        if not post.native:
            page.problem_counts["entry: neither id nor link was found in an entry"] += 1
        elif posts.setdefault(post.native, post) != post:
            page.problem_counts["entry: two entries have the same id and are different"] += 1
    return Listing(
        posts=tuple(posts.values()),
        next_url=_next(definition, page, root, page_no) if entries else "",
        state="ok" if entries else "empty",
        rows=len(entries),
        problems=page.problems(),
    )


def _read_json(
    definition: Definition, page: Page, text: str, body: bytes, content_type: str, page_no: int, status: int
) -> Listing:
    """The posts of a JSON Feed (jsonfeed.org, versions 1 and 1.1)."""
    verdict = classify(definition, status, body, content_type, rows=None)
    if verdict != "ok":
        return Listing(state=verdict)
    try:
        feed = orjson.loads(text)
    except orjson.JSONDecodeError:
        feed = {}
    items = feed.get("items")
    if not str(feed.get("version", "")).startswith("https://jsonfeed.org/version/") or not isinstance(items, list):
        return Listing(state="empty", problems=("feed: the page is not an RSS, Atom or JSON feed",))
    posts: dict[str, Post] = {}
    for item in items:
        post = _json_post(definition, page, item) if isinstance(item, dict) else None
        if post is None or not post.native:
            page.problem_counts["entry: neither id nor link was found in an entry"] += 1
        elif posts.setdefault(post.native, post) != post:
            page.problem_counts["entry: two entries have the same id and are different"] += 1
    allowed = definition.list.pages.max if definition.list.pages else 1
    following = page.absolute(str(feed.get("next_url") or "")) if page_no < allowed else ""
    return Listing(
        posts=tuple(posts.values()),
        next_url="" if following == page.url else following,
        state="ok" if items else "empty",
        rows=len(items),
        problems=page.problems(),
    )


def _json_post(definition: Definition, page: Page, item: Mapping[str, Any]) -> Post:
    def value(name: str) -> str:
        found = item.get(name)
        return str(found) if isinstance(found, str | int | float) else ""

    link = without_session(page.absolute(value("url") or value("external_url")))
    bodies = (text_of(value("content_html")), value("content_text"), value("summary"))
    files = item.get("attachments")
    addresses = (
        [str(each.get("url") or "") for each in files if isinstance(each, dict)] if isinstance(files, list) else []
    )
    updated = _time(value("date_modified"))
    return Post(
        source=definition.name,
        native=value("id") or canonical_address(definition, link),
        url=link or page.url,
        title=" ".join(value("title").split()),
        fields={"updated": updated} if updated else {},
        body=max(bodies, key=len),
        attachments=_attachments(page, addresses, link),
        time=_time(value("date_published")),
    )


def _rss(definition: Definition, page: Page, item: Any) -> Post:
    guid = _first(item, "guid")
    guid_text = _plain(guid)
    link = page.absolute(_plain(_first(item, "link")))
    if not link and guid is not None and guid.get("isPermaLink", "true").lower() == "true":
        link = page.absolute(guid_text) if guid_text.startswith(("http://", "https://")) else ""
    link = without_session(link)
    about = next((text for name, text in item.attrib.items() if etree.QName(name).localname == "about"), "")
    body = max((_prose(_plain(node, keep=True)) for node in _all(item, "encoded", "description")), key=len, default="")
    files = [node.get("url", "") for node in _all(item, "enclosure")]
    # media:content is often a picture for the page itself; any other media:content is a sample
    files += [node.get("url", "") for node in _all(item, "content") if not _is_picture(node)]
    updated = _time(_plain(_first(item, "updated")) or _plain(_first(item, "modified")))
    return Post(
        source=definition.name,
        native=guid_text or about.strip() or canonical_address(definition, link),
        url=link or page.url,
        title=_line(_plain(_first(item, "title"))),
        fields={"updated": updated} if updated else {},
        body=body,
        attachments=_attachments(page, files, link),
        time=_time(_plain(_first(item, "pubdate", "date", "published"))),
    )


def _atom(definition: Definition, page: Page, entry: Any) -> Post:
    links = [(node.get("rel", "alternate"), node.get("href", "")) for node in _all(entry, "link")]
    link = without_session(
        next((found for rel, href in links if rel == "alternate" and (found := page.absolute(href))), "")
    )
    content = _first(entry, "content")
    body = "" if content is None else _construct(content)
    summary = _first(entry, "summary")
    if not body and summary is not None:
        body = _construct(summary)
    files = [href for rel, href in links if rel == "enclosure"]
    if content is not None and content.get("src"):
        files.append(content.get("src"))
    title = _first(entry, "title")
    updated = _time(_plain(_first(entry, "updated")))
    return Post(
        source=definition.name,
        native=_plain(_first(entry, "id")) or canonical_address(definition, link),
        url=link or page.url,
        title="" if title is None else " ".join(_construct(title).split()),
        fields={"updated": updated} if updated else {},
        body=body,
        attachments=_attachments(page, files, link),
        time=_time(_plain(_first(entry, "published"))) or updated,
    )


def _next(definition: Definition, page: Page, root: Any, page_no: int) -> str:
    """The next older page of a paged feed (RFC 5005), if the definition allows further pages; else ''."""
    allowed = definition.list.pages.max if definition.list.pages else 1
    if page_no >= allowed:
        return ""
    channel = root if _name(root) == "feed" else _first(root, "channel")
    page.base = page.url
    for node in () if channel is None else _all(channel, "link"):
        if node.get("rel") in ("next", "prev-archive") and (found := page.absolute(node.get("href", ""))) != page.url:
            return found
    return ""


# --- XML -------------------------------------------------------------------------------------------------------------


def _name(node: Any) -> str:
    """Local name in lower case; '' for comments."""
    return etree.QName(node.tag).localname.lower() if isinstance(node.tag, str) else ""


def _all(node: Any, *names: str) -> Iterator[Any]:
    """Children with one of the names, in any namespace, including children of groups (media:group)."""
    for child in node:
        if _name(child) in names:
            yield child
        elif _name(child) == "group":
            yield from _all(child, *names)


def _first(node: Any, *names: str) -> Any:
    """The first child with the first of the names that occurs; a child without namespace is preferred."""
    for name in names:
        found = list(_all(node, name))
        if found:
            return next((child for child in found if not etree.QName(child.tag).namespace), found[0])
    return None


def _plain(node: Any, *, keep: bool = False) -> str:
    """All text of a node; on one line unless `keep`."""
    if node is None:
        return ""
    text = "".join(node.itertext())
    return text if keep else text.strip()


def _construct(node: Any) -> str:
    """The text of an Atom text construct of type text, html or xhtml."""
    kind = node.get("type", "text").lower()
    if "xhtml" in kind or len(node):
        return lines_of(node)
    text = _plain(node, keep=True)
    if "html" in kind:
        return text_of(text)
    # some generators write other types, and HTML as their text
    return text.strip("\n") if kind in ("text", "text/plain") else _prose(text)


def _prose(text: str) -> str:
    """The text of an RSS description, which may be plain text or HTML; plain text keeps its lines."""
    return text_of(text) if _TAG.search(text) else unescape(text).strip("\n")


def _line(text: str) -> str:
    """A title on one line, without markup."""
    return " ".join((text_of(text) if _TAG.search(text) else unescape(text)).split())


def _base_of(entry: Any, url: str) -> str:
    """`xml:base` of an entry and of its ancestors, joined to the address of the feed."""
    bases = [node.get(_BASE) for node in (entry, *entry.iterancestors()) if node.get(_BASE)]
    base = url
    for step in reversed(bases):
        try:
            base = urljoin(base, step)
        except ValueError:
            continue
    return base


def _is_picture(node: Any) -> bool:
    return node.get("medium") == "image" or (node.get("type") or "").startswith("image/")


def _attachments(page: Page, links: list[str], link: str) -> tuple[str, ...]:
    found = (page.absolute(href) for href in links)
    return tuple(dict.fromkeys(address for address in found if address and address != link))


def _time(text: str) -> str:
    """An RFC 822 or ISO time as ISO 8601 in UTC; any other text unchanged."""
    if not text:
        return ""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return text


class FeedSpider(SourceSpider):
    """Any RSS, Atom or JSON feed."""

    name = "feed"
    defaults: ClassVar[Mapping[str, Any]] = {"list": {"as": "xml"}}

    @classmethod
    def read_listing(
        cls, definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
    ) -> Listing:
        """The posts of the feed."""
        return read_feed(definition, body, url, content_type, page_no, status)
