"""Extracts posts, texts and links from the bytes of a page, by the rules of a definition: no network, no clock.

Selectors and transforms are in `crawler.pages.row_values`, markup to text is in `crawler.pages.html_text`. Which page
is fetched next, and when to stop, is decided by the spider.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
from lxml import etree
from parsel import Selector

from crawler.pages import blocked_pages
from crawler.pages.html_text import addresses_in, lines_of
from crawler.pages.links import links_of
from crawler.pages.quotes import Quote, lacks_only, split_quotes
from crawler.pages.row_values import (
    Page,
    all_values,
    compiled_expression,
    first_value,
    parse_page,
    select_rows,
)
from crawler.pages.time_limit import search
from data.errors import SourceError
from data.model import Post
from data.sources.addresses import HOST_PATTERN, VALUE_PATTERN, fill_placeholders
from data.sources.definition import Definition, origins, page_url
from data.sources.definition_sections import ItemSection, ListFields

State = Literal["ok", "absent", "blocked", "no_preview", "empty", "seized", "parked", "portal", "placeholder"]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one page of a listing contains.

    Attributes:
        posts: in the order of the page. next_url: absolute address of the next page, '' on the last one.
        state: `empty` if the page is neither absent nor blocked and has no rows.
        rows: number of rows found. dropped: of these, rows that the definition's `drop` excludes, because they are not
            posts. Any other row that gave no post is a problem.
        problems: sentences "code: what happened", without content of the page.
        more: further listing pages to read as well (sub-folders), already limited by `depth`.
        quoting: those posts of a feed of replies that quote something, by their native id.
    """

    posts: tuple[Post, ...] = ()
    next_url: str = ""
    state: State = "ok"
    rows: int = 0
    dropped: int = 0
    problems: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    quoting: Mapping[str, ItemPart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemPart:
    """One part of the page of a post: the site's own id ('' without one), its text, and absolute addresses of files.

    `names` holds (address, name as the page shows it) of those files whose address does not tell their name, and `sizes`
    (address, bytes) of those whose size the page states. `links` are all addresses to which the markup of the part leads.
    `quotes` are what it quotes, and `unquoted` is its text without them.
    """

    native: str
    text: str
    attachments: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    links: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()
    unquoted: str = ""

    def __repr__(self) -> str:
        """Only lengths."""
        return f"<ItemPart, {len(self.text)} characters, {len(self.attachments)} attachments>"


@dataclass(frozen=True, slots=True)
class ItemPage:
    """What one page of a post contains, part by part; `state` is as in `Listing`."""

    parts: tuple[ItemPart, ...] = ()
    next_url: str = ""
    state: State = "ok"

    @property
    def text(self) -> str:
        """The text of all parts, in order."""
        return "\n".join(part.text for part in self.parts if part.text.strip())

    @property
    def attachments(self) -> tuple[str, ...]:
        """The absolute addresses of the files of all parts, each once."""
        return tuple(dict.fromkeys(link for part in self.parts for link in part.attachments))

    def __repr__(self) -> str:
        """Only lengths."""
        return f"<ItemPage {self.state}, {len(self.text)} characters, {len(self.attachments)} attachments>"


# Fields of a row that are part of the version of its post, beside title, body and addresses.
_FIELDS = ("size", "files", "percent", "timer", "magnet", "state", "last")
_MAX_FILE_NAME = 255
_BYTES = re.compile(r"\d{1,18}")
_SESSION = re.compile(r"(?i)(?<=[?&;])(?:phpsessid|jsessionid|sid|s|session_?id)=[0-9a-f]{16,64}(?:[&;]|(?=#)|$)")


def read_listing(
    definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
) -> Listing:
    """The posts of one page of a listing, and the address of the page after it.

    Args:
        definition: of the source.
        body: the page, with content encodings removed.
        url: its address after redirects.
        content_type: the header, '' if there was none.
        page_no: 1 for the first page of this walk, whatever number its address contains.
        status: of the answer.

    Raises:
        SourceError: the definition's own `parser` is missing or failed.
    """
    if definition.parser:
        listing = _own_parser(definition.parser)(definition, body, url, content_type, page_no)
        if not isinstance(listing, Listing):
            raise SourceError(
                f"{definition.parser} did not return a Listing", file=f"{definition.name}.yaml", field="parser"
            )
        return listing
    rules = definition.list
    page = parse_page(body, url, rules.kind, charset=definition.charset, content_type=content_type, js=rules.js)
    found = select_rows(page, rules.each)
    posts: dict[str, Post] = {}
    dropped = without_post = 0
    for row in found:
        texts = _texts(page, row, rules.fields)
        if any(search(compiled_expression(expression), texts.get(name, "")) for name, expression in rules.drop.items()):
            dropped += 1
            continue
        post = _post(definition, page, row, texts)
        if post is None:
            without_post += 1
        elif posts.setdefault(post.native, post) != post:
            page.problem_counts["row: two rows of one page have the same id and are different"] += 1
            if post.url != posts[post.native].url:
                # whatever the site calls it, another address is another post, which has to be examined
                other = replace(post, native=f"{post.native} {post.url}")
                posts.setdefault(other.native, other)
    count = len(found)
    if rules.kind == "text" and not rules.each:
        # every line of the page was tried: lines without an address are only the text around the list
        count -= without_post
    elif without_post:
        page.problem_counts["row: neither id nor link was found in a row"] += without_post
    verdict = classify(definition, status, body, content_type, rows=count)
    if verdict != "ok":
        return Listing(state=verdict, problems=page.problems())
    if not count and (instead := blocked_pages.stand_in(definition, body, content_type)):
        return Listing(state=instead, problems=page.problems())
    return Listing(
        posts=tuple(posts.values()),
        next_url=_next_page(definition, page, page_no) if count else "",
        state="ok" if count else "empty",
        rows=count,
        dropped=dropped,
        problems=page.problems(),
    )


def _own_parser(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SourceError(f"{name} cannot be imported", field="parser", hint="put its module on PYTHONPATH") from error
    if not callable(found):
        raise SourceError(f"{name} is not a function", field="parser")

    def guarded(*arguments: Any) -> Any:
        try:
            return found(*arguments)
        except Exception as error:  # noqa: BLE001 - an operator's own parser may raise anything
            # its message may quote the page: only its class is reported
            raise SourceError(f"{name} failed with {type(error).__name__}", field="parser") from None

    return guarded


def _texts(page: Page, row: Any, fields: ListFields) -> dict[str, str]:
    """The values of the fields that have one value, by name, each on one line; `body` keeps its lines."""
    texts = {}
    for name in type(fields).model_fields:
        if name not in ("attachments", "extra", "link") and (rules := getattr(fields, name)):
            text = first_value(page, row, rules)
            texts[name] = text.strip() if name == "body" else " ".join(text.split())
    for rule in fields.link:
        # the first value that is an address: many sites have `javascript:` in href, and the address in another
        # attribute
        if link := page.absolute(first_value(page, row, (rule,))):
            texts["link"] = link
            break
    for name, rules in fields.extra.items():
        texts[name] = " ".join(first_value(page, row, rules).split())
    return texts


def _post(definition: Definition, page: Page, row: Any, texts: dict[str, str]) -> Post | None:
    link = without_session(texts.get("link", ""))
    native = without_session(texts.get("id", "")) or canonical_address(definition, link)
    if not native:
        return None
    fields = {name: texts[name] for name in (*_FIELDS, *definition.list.fields.extra) if texts.get(name)}
    attachments = (page.absolute(found) for found in all_values(page, row, definition.list.fields.attachments))
    post = Post(
        source=definition.name,
        native=native,
        url=link or page.url,
        raw=page.absolute(texts.get("raw", "")),
        title=texts.get("title", ""),
        fields=fields,
        body=texts.get("body", ""),
        attachments=tuple(dict.fromkeys(found for found in attachments if found)),
        time=texts.get("time", ""),
    )
    if definition.raw is not None:
        return replace(post, raw=filled(definition, definition.raw.url, post, page.absolute))
    return post


def filled(definition: Definition, template: str, post: Post, absolute: Callable[[str], str], start: int = 0) -> str:
    """An address of a post from a template; '' if the post lacks a value that the template needs."""
    hosts = origins(definition)
    given = {
        "page": str(start or 1),
        "offset": str(start),
        "link": post.url,
        "raw": post.raw,
        "id": quote(post.native, safe="/%~"),
        "host": next((host for host in hosts if post.url.startswith(host + "/")), hosts[0] if hosts else ""),
    }
    if any("{" + name + "}" in template and not text for name, text in given.items()):
        return ""
    return absolute(fill_placeholders(template, given))


def without_session(url: str) -> str:
    """The address without the session id that some forums add for visitors without cookies."""
    clean = _SESSION.sub("", url)
    # no separator may be left at the end of the query
    return url if clean == url else re.sub(r"[?&;]+(?=#|$)", "", clean)


def canonical_address(definition: Definition, url: str) -> str:
    """The address in canonical form, as the identity of a post.

    Scheme and host are in lower case, the default port is left out, and the host of a mirror is replaced by the first
    one.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    authority = f"{host}:{port}" if port and port != default else host
    known = origins(definition)
    if f"{parts.scheme.lower()}://{authority}" in known:
        first = urlsplit(known[0])
        return urlunsplit((first.scheme, first.netloc, parts.path or "/", parts.query, parts.fragment))
    return urlunsplit((parts.scheme.lower(), authority, parts.path or "/", parts.query, parts.fragment))


def _next_page(definition: Definition, page: Page, page_no: int) -> str:
    """Address of the next page; '' if there is none, or the definition allows no further page."""
    rules = definition.list
    if page_no >= rules.max_pages:
        return ""
    if rules.next:
        found = without_session(page.absolute(first_value(page, page.root, rules.next)))
        return "" if found == page.url else found
    cursor = first_value(page, page.root, rules.cursor) if rules.cursor else ""
    if rules.cursor and not cursor:
        return ""
    given = _given(definition, page.url)
    return page_url(definition, page_no + 1, host=given.get("host", ""), since=given.get("since", ""), cursor=cursor)


def _given(definition: Definition, url: str) -> dict[str, str]:
    """The values of {host} and {since} in the address of a page, so that the next page belongs to the same walk."""
    given = {}
    template = definition.list.url or definition.url
    pattern = "".join(
        f"(?P<{part[1:-1]}>{HOST_PATTERN if part == '{host}' else VALUE_PATTERN})"
        if part in ("{since}", "{host}")
        else VALUE_PATTERN
        if part.startswith("{")
        else re.escape(part)
        for part in re.split(r"(\{\w+\})", template)
    )
    if match := re.fullmatch(pattern, url):
        given = {name: unquote(text) for name, text in match.groupdict().items()}
    return given


# --- the page of a post ----------------------------------------------------------------------------------------------


def read_item(
    definition: Definition, post: Post, body: bytes, url: str, content_type: str = "", status: int = 200
) -> ItemPage:
    """The text and the attachments of one page of a post, by `item` of the definition.

    Without `item.fields.body` the text is all text of the parts that `item.each` finds.

    Raises:
        SourceError: the definition has no `item`.
    """
    item = definition.item
    if item is None:
        raise SourceError("there is no `item`, so there are no rules for the pages of posts", field="item")
    page = parse_page(body, url, item.kind, charset=definition.charset, content_type=content_type)
    page.post_id = quote(post.native, safe="")
    found = select_rows(page, item.each)
    # without `each` the page is always one part, which does not show whether the page is blocked
    verdict = classify(definition, status, body, content_type, rows=len(found) if item.each else None)
    if verdict != "ok" or not found:
        return ItemPage(state=verdict if verdict != "ok" else "empty")
    parts: list[ItemPart] = []
    for row in found:
        text = _text(page, row, item)
        without, quotes = split_quotes(row) if item.each else (row, ())
        links = [page.absolute(link) for link in all_values(page, row, item.fields.attachments)]
        native = " ".join(first_value(page, row, item.fields.id).split()) if item.fields.id else ""
        files = tuple(dict.fromkeys(without_session(link) for link in links if link and link != post.url))
        name = " ".join(first_value(page, row, item.fields.name).split())[:_MAX_FILE_NAME]
        names = tuple((file, name) for file in files) if name else _shown_names(page, row, files)
        size = first_value(page, row, item.fields.size)
        sizes = ((files[0], int(size)),) if len(files) == 1 and _BYTES.fullmatch(size) else ()
        unquoted = _text(page, without, item) if quotes else text
        if not lacks_only(quotes, text, unquoted):
            quotes, unquoted = (), text
        parts.append(ItemPart(native, text, files, names, sizes, _links(page, row), quotes, unquoted))
    following = without_session(page.absolute(first_value(page, page.root, item.next))) if item.next else ""
    return ItemPage(
        parts=tuple(parts),
        next_url="" if following == url else following,
        # parts without any text: the rule for the text no longer fits the page
        state="ok" if any(part.text or part.attachments for part in parts) else "empty",
    )


def _text(page: Page, row: Any, item: ItemSection) -> str:
    texts = all_values(page, row, item.fields.body) if item.fields.body else [_whole(row)]
    return "\n".join(text for text in texts if text.strip())


def _links(page: Page, row: Any) -> tuple[str, ...]:
    """The addresses to which the markup of a part leads."""
    if not isinstance(row, Selector) or not isinstance(row.root, etree._Element):
        return ()
    return tuple(without_session(link) for link in links_of(row.root, page.base))


def _shown_names(page: Page, row: Any, files: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The names of files such as `attachment.php?id=7`, from the links to them: their `download`, else their text."""
    wanted = {file for file in files if "?" in file}
    if not wanted or not isinstance(row, Selector):
        return ()
    names: dict[str, str] = {}
    for link in row.css("a[href]"):
        address = without_session(page.absolute(link.attrib["href"]))
        if address not in wanted or address in names:
            continue
        name = " ".join((link.attrib.get("download") or "".join(link.css("*::text").getall())).split())
        if 0 < len(name) <= _MAX_FILE_NAME:
            names[address] = name
    return tuple(names.items())


def read_feed(definition: Definition, body: bytes, url: str, content_type: str = "", status: int = 200) -> Listing:
    """The newest replies and edits of a site, by `feed` of its definition; arguments as of `read_listing`.

    Each is a post of its own with its whole text. Its only field is a digest of that text, so that an edit is noticed.
    """
    rules = definition.feed
    if rules is None:
        raise SourceError("there is no `feed`, so there are no rules for a feed of replies", field="feed")
    listing = read_listing(
        definition.model_copy(update={"list": rules, "raw": None, "parser": ""}), body, url, content_type, 1, status
    )
    posts = tuple(replace(post, raw="", fields={"last": post.title + post.body}) for post in listing.posts)
    page = parse_page(body, url, rules.kind, charset=definition.charset, content_type=content_type)
    quoting: dict[str, ItemPart] = {}
    for row in select_rows(page, rules.each):
        without, quotes = split_quotes(row)
        if not quotes:
            continue
        texts, unquoted = _texts(page, row, rules.fields), _texts(page, without, rules.fields).get("body", "")
        native, text = without_session(texts.get("id", "")), texts.get("body", "")
        if native and lacks_only(quotes, text, unquoted):
            quoting[native] = ItemPart(native, text, quotes=quotes, unquoted=unquoted)
    return replace(listing, posts=posts, next_url="", quoting=quoting)


def _whole(row: Any) -> str:
    """All text of one part of a page."""
    if isinstance(row, Selector):
        return lines_of(row.root) if isinstance(row.root, etree._Element) else row.get() or ""
    return row if isinstance(row, str) else orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS).decode()


def classify(
    definition: Definition, status: int, body: bytes, content_type: str = "", *, rows: int | None = None
) -> Literal["ok", "absent", "blocked", "no_preview"]:
    """Classify an answer: `ok` is the requested page, `absent` says that there is none, `blocked` refuses access.

    `no_preview`: the page of a channel that shows no posts outside its own program.

    Words on the page count only if no row was found: a title with "captcha" in it must not hide a listing.

    Args:
        definition: its `absent` and `blocked` are applied before the rules for all sites.
        status: of the answer.
        body: of the answer; its first 64 KiB are enough.
        content_type: the header.
        rows: number of rows that the rules found; None if there are no rules for rows. Then only certain signs of a
            blocked page count, because many pages have a log-in form beside their text.
    """
    if status in definition.blocked.status:
        return "blocked"
    if status in definition.absent.status:
        return "absent"
    return blocked_pages.classify_content(definition, body, content_type, rows)


def harvest(definition: Definition, links: Iterable[str], text: str = "") -> tuple[Post, ...]:
    """Posts of other sources that links lead to, each once, in order; their addresses keep the fragment.

    The id of such a post is the first group of the expression that matched, else the canonical address.

    Args:
        definition: its `follow` says which links lead to which source.
        links: addresses.
        text: searched for further addresses.
    """
    if not definition.follow:
        return ()
    found: dict[tuple[str, str], Post] = {}
    for link in (*links, *addresses_in(text)):
        for follow in definition.follow:
            if match := search(compiled_expression(follow.match), link):
                groups = match.groups()
                native = (groups[0] if groups else "") or canonical_address(definition, link)
                found.setdefault((follow.source, native), Post(follow.source, native, link))
                break
    return tuple(found.values())
