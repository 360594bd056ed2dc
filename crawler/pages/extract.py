"""From the bytes of a page to posts, texts and links, by the rules of a definition: pure, no network, no clock.

Values (selectors and transforms) are `crawler.pages.row_values`, markup to text is `crawler.pages.html_text`; which page is fetched next
and when to stop is the spider's.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from lxml import etree
from parsel import Selector

from crawler.pages import blocked_pages
from crawler.pages.html_text import addresses_in, decode, lines_of
from crawler.pages.row_values import Page, compiled, parse, rows, value, values
from data.errors import SourceError
from data.model import Post
from data.sources.addresses import fill_placeholders
from data.sources.definition import Definition, origins, page_url
from data.sources.definition_sections import ListFields

State = Literal["ok", "absent", "blocked", "empty"]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one page of a listing said.

    Attributes:
        posts: in the order of the page. next_url: absolute address of the next page, '' at the last.
        state: `empty` where a page that is neither absent nor blocked has no rows.
        rows: rows found; dropped: rows that `drop` named as no posts; a row that gave no post is a problem.
        problems: sentences "code: what happened", no content in them.
        more: further listing pages to read as well (sub-folders), already limited by `depth`.
    """

    posts: tuple[Post, ...] = ()
    next_url: str = ""
    state: State = "ok"
    rows: int = 0
    dropped: int = 0
    problems: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemPage:
    """What one page of a post said; `attachments` are absolute addresses, `state` as for `Listing`."""

    text: str = ""
    attachments: tuple[str, ...] = ()
    next_url: str = ""
    state: State = "ok"

    def __repr__(self) -> str:
        """Only lengths."""
        return f"<ItemPage {self.state}, {len(self.text)} characters, {len(self.attachments)} attachments>"


# What of a row enters the version of its post, beside title, body and addresses.
_FIELDS = ("size", "files", "percent", "timer", "magnet", "state")
_SESSION = re.compile(r"(?i)(?<=[?&;])(?:phpsessid|jsessionid|sid|s|session_?id)=[0-9a-f]{16,64}(?:[&;]|(?=#)|$)")


def read_listing(
    definition: Definition, body: bytes, url: str, content_type: str = "", page_no: int = 1, status: int = 200
) -> Listing:
    """The posts of one page of a listing, and what comes after it.

    Args:
        definition: of the source.
        body: the page, content encodings undone.
        url: where it came from, after redirects.
        content_type: the header, '' where there was none.
        page_no: 1 for the first page of this walk, whatever its number is in the address.
        status: of the answer.

    Raises:
        SourceError: the definition's own `parser` is missing or failed.
    """
    if definition.parser:
        listing = _own_parser(definition.parser)(definition, body, url, content_type, page_no)
        if not isinstance(listing, Listing):
            raise SourceError(f"{definition.parser} gave no Listing", file=f"{definition.name}.yaml", field="parser")
        return listing
    rules = definition.list
    page = parse(body, url, rules.kind, charset=definition.charset, content_type=content_type, js=rules.js)
    found = rows(page, rules.each)
    posts: dict[str, Post] = {}
    dropped = strange = 0
    for row in found:
        texts = _texts(page, row, rules.fields)
        if any(compiled(expression).search(texts.get(name, "")) for name, expression in rules.drop.items()):
            dropped += 1
            continue
        post = _post(definition, page, row, texts)
        if post is None:
            strange += 1
        elif posts.setdefault(post.native, post) != post:
            page.trouble["row: two rows of one page have the same id and say different things"] += 1
    count = len(found)
    if rules.kind == "text" and not rules.each:
        # every line was tried: one without an address is only the page around the list
        count -= strange
    elif strange:
        page.trouble["row: neither id nor link was found in a row"] += strange
    verdict = classify(definition, status, body, content_type, rows=count)
    if verdict != "ok":
        return Listing(state=verdict, problems=page.problems())
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
        raise SourceError(f"{name} is no function", field="parser")

    def guarded(*arguments: Any) -> Any:
        try:
            return found(*arguments)
        except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
            # its message may quote the page: only its class is told
            raise SourceError(f"{name} failed with {type(error).__name__}", field="parser") from None

    return guarded


def _texts(page: Page, row: Any, fields: ListFields) -> dict[str, str]:
    """The single values of a row by name of field, squeezed to one line; `body` keeps its lines."""
    texts = {}
    for name in type(fields).model_fields:
        if name not in ("attachments", "extra", "link") and (rules := getattr(fields, name)):
            text = value(page, row, rules)
            texts[name] = text.strip() if name == "body" else " ".join(text.split())
    for rule in fields.link:
        # the first that is an address: many sites have javascript: there and the address elsewhere
        if link := page.absolute(value(page, row, (rule,))):
            texts["link"] = link
            break
    for name, rules in fields.extra.items():
        texts[name] = " ".join(value(page, row, rules).split())
    return texts


def _post(definition: Definition, page: Page, row: Any, texts: dict[str, str]) -> Post | None:
    link = without_session(texts.get("link", ""))
    native = without_session(texts.get("id", "")) or canonical(definition, link)
    if not native:
        return None
    fields = {name: texts[name] for name in (*_FIELDS, *definition.list.fields.extra) if texts.get(name)}
    attachments = (page.absolute(found) for found in values(page, row, definition.list.fields.attachments))
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
        return replace(post, raw=_filled(definition, definition.raw.url, post, page.absolute))
    return post


def _filled(definition: Definition, template: str, post: Post, absolute: Callable[[str], str]) -> str:
    """An address of a post; '' where the template asks for what the post has not."""
    hosts = origins(definition)
    given = {
        "link": post.url,
        "raw": post.raw,
        "id": quote(post.native, safe="/%~"),
        "host": next((host for host in hosts if post.url.startswith(host + "/")), hosts[0] if hosts else ""),
    }
    if any("{" + name + "}" in template and not text for name, text in given.items()):
        return ""
    return absolute(fill_placeholders(template, given))


def item_url(definition: Definition, post: Post) -> str:
    """Where the page of a post is read with `read_item`; '' where the definition has no `item`."""
    if definition.item is None:
        return ""
    page = Page(post.url, None, post.url)
    return _filled(definition, definition.item.url, post, page.absolute)


def without_session(url: str) -> str:
    """The address without the session id that some boards add for visitors without cookies."""
    clean = _SESSION.sub("", url)
    # what stood before the id must not dangle
    return url if clean == url else re.sub(r"[?&;]+(?=#|$)", "", clean)


def canonical(definition: Definition, url: str) -> str:
    """One form of an address for the identity of a post: case of scheme and host, default port, and mirror aside."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = (parts.hostname or "").lower()
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    place = f"{host}:{port}" if port and port != default else host
    known = origins(definition)
    if f"{parts.scheme.lower()}://{place}" in known:
        first = urlsplit(known[0])
        return urlunsplit((first.scheme, first.netloc, parts.path or "/", parts.query, parts.fragment))
    return urlunsplit((parts.scheme.lower(), place, parts.path or "/", parts.query, parts.fragment))


def _next_page(definition: Definition, page: Page, page_no: int) -> str:
    """Address of the next page, '' where there is none or enough were read."""
    rules = definition.list
    if page_no >= rules.max_pages:
        return ""
    if rules.next:
        found = page.absolute(value(page, page.root, rules.next))
        return "" if found == page.url else found
    cursor = value(page, page.root, rules.cursor) if rules.cursor else ""
    if rules.cursor and not cursor:
        return ""
    given = _given(definition, page.url)
    return page_url(definition, page_no + 1, host=given.get("host", ""), since=given.get("since", ""), cursor=cursor)


def _given(definition: Definition, url: str) -> dict[str, str]:
    """What {host} and {since} stood for in the address of a page, so that the next page is of the same walk."""
    given = {}
    template = definition.list.url or definition.url
    pattern = "".join(
        f"(?P<{part[1:-1]}>.*?)"
        if part in ("{since}", "{host}")
        else ".*?"
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
    """The text and further samples of one page of a post, by `item` of the definition.

    Without `item.fields.body` the text is all text of the parts found.
    """
    item = definition.item
    if item is None:
        raise SourceError("has no `item`, so that pages of posts have no rules", field="item")
    page = parse(body, url, item.kind, charset=definition.charset, content_type=content_type)
    found = rows(page, item.each)
    # without `each` the page is always one part: then it says nothing about a wall
    verdict = classify(definition, status, body, content_type, rows=len(found) if item.each else None)
    if verdict != "ok" or not found:
        return ItemPage(state=verdict if verdict != "ok" else "empty")
    texts: list[str] = []
    links: list[str] = []
    for row in found:
        texts += values(page, row, item.fields.body) if item.fields.body else [_whole(row)]
        links += [page.absolute(link) for link in values(page, row, item.fields.attachments)]
    following = page.absolute(value(page, page.root, item.next)) if item.next else ""
    return ItemPage(
        text="\n".join(text for text in texts if text.strip()),
        attachments=tuple(dict.fromkeys(link for link in links if link and link != post.url)),
        next_url="" if following == url else following,
        state="ok",
    )


def _whole(row: Any) -> str:
    """All text of a part."""
    if isinstance(row, Selector):
        return lines_of(row.root) if isinstance(row.root, etree._Element) else row.get() or ""
    return row if isinstance(row, str) else orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS).decode()


def read_raw(definition: Definition, body: bytes, content_type: str = "") -> bytes:
    """The sample inside the answer to `raw.url`: the body itself, or the value that `raw.json` names, as UTF-8.

    Raises:
        SourceError: the answer is not JSON, or has no such value.
    """
    if definition.raw is None or definition.raw.kind != "json":
        return body
    try:
        answer = orjson.loads(decode(body, definition.charset, content_type))
        found = jmespath.search(definition.raw.expression, answer)
    except (orjson.JSONDecodeError, JMESPathError, TypeError, ValueError) as error:
        raise SourceError("the answer is not JSON as expected", field="raw.json") from error
    if found is None:
        raise SourceError("the answer has no such value", field="raw.json")
    return found.encode() if isinstance(found, str) else orjson.dumps(found)


def classify(
    definition: Definition, status: int, body: bytes, content_type: str = "", *, rows: int | None = None
) -> Literal["ok", "absent", "blocked"]:
    """Whether an answer is the page that was asked for, says that there is none, or is a wall.

    Words are believed only where no row was found: a title with "captcha" in it must not hide a listing.

    Args:
        definition: its `absent` and `blocked` come before what is known of all sites.
        status: of the answer.
        body: of the answer; its first 64 KiB are enough.
        content_type: the header.
        rows: how many rows the rules found; None where there are no rules for rows: then only the certain signs of
            a wall count, for many pages carry a log-in form beside their text.
    """
    if status in definition.blocked.status:
        return "blocked"
    if status in definition.absent.status:
        return "absent"
    return blocked_pages.judge(definition, body, content_type, rows)


def harvest(definition: Definition, links: Iterable[str], text: str = "") -> tuple[Post, ...]:
    """Posts of other sources that links lead to, each once, in order; their addresses keep the fragment.

    The id of such a post is the first group of the expression that matched, else the address in its one form.
    """
    if not definition.follow:
        return ()
    found: dict[tuple[str, str], Post] = {}
    for link in (*links, *addresses_in(text)):
        for follow in definition.follow:
            if match := compiled(follow.match).search(link):
                groups = match.groups()
                native = (groups[0] if groups else "") or canonical(definition, link)
                found.setdefault((follow.source, native), Post(follow.source, native, link))
                break
    return tuple(found.values())


def completed(definition: Definition, post: Post) -> Post:
    """A post that came by a link, with the address of its bytes where its source's definition says one."""
    if post.raw or definition.raw is None:
        return post
    page = Page(post.url, None, post.url)
    return replace(post, raw=_filled(definition, definition.raw.url, post, page.absolute))
