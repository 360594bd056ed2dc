"""Selectors and transforms: rows of a page and values of a row, as the rules of a definition say; pure.

A row is a piece of markup (`parsel.Selector`), a JSON value or a line of text. What a listing makes of the values is
`crawler.pages.extract`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urljoin
from zoneinfo import ZoneInfo

import jmespath
import json5
import orjson
from jmespath.exceptions import JMESPathError
from lxml import etree
from parsel import Selector

from crawler.pages.html_text import decode, lines_of, parse_html, squeeze, text_of
from data.sources.expression_checks import MAX_INPUT
from data.sources.selector_rules import Rule

# A literal in a script is read by a slow parser; no list of victims is longer.
MAX_LITERAL = 4 * 1024 * 1024
_NO_ADDRESS = ("javascript:", "mailto:", "tel:", "about:", "data:;")


@dataclass
class Page:
    """One parsed page and what went wrong while values were taken from it.

    Attributes:
        url: its address. base: what links are joined to (`<base href>`). root: a Selector, a JSON value or text.
        trouble: code and sentence -> how often.
    """

    url: str
    root: Any
    base: str = ""
    trouble: Counter[str] = field(default_factory=Counter)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each kind of trouble."""
        return tuple(f"{said} ({times} times)" if times > 1 else said for said, times in self.trouble.items())

    def absolute(self, link: str) -> str:
        """The whole address of a link, its fragment kept; '' for what is no address."""
        link = link.strip()
        if not link or link.lower().startswith(_NO_ADDRESS):
            return ""
        try:
            return urljoin(self.base, link)
        except ValueError:
            self.trouble["address: a link is not an address"] += 1
            return ""


def parse(
    body: bytes, url: str, kind: str, *, charset: str = "auto", content_type: str = "", js: str | None = None
) -> Page:
    """Parse a page as `html`, `xml`, `json` or `text`, or the literal that `js` finds; never fails: see `trouble`."""
    text = decode(body, charset, content_type)
    page = Page(url, None, url)
    if js is not None:
        page.root = literal_after(js, text, page)
    elif kind == "json":
        try:
            page.root = orjson.loads(text)
        except orjson.JSONDecodeError:
            page.trouble["json: the page is not JSON"] += 1
    elif kind == "text":
        page.root = text
    elif kind == "xml":
        page.root = _xml(text, page)
    else:
        root, whole = parse_html(text)
        if not whole:
            page.trouble["html: the page is nested too deep and was cut there"] += 1
        if root is not None:
            page.root = Selector(root=root, type="html")
            page.base = _base(page.root, url)
    return page


def _xml(text: str, page: Page) -> Selector | None:
    root, sound = parse_xml(text)
    if not sound:
        page.trouble["xml: the page is not well-formed and was repaired"] += 1
    if root is None:
        return None
    found = Selector(root=root, type="xml")
    found.remove_namespaces()
    return found


def parse_xml(text: str) -> tuple[Any, bool]:
    """The root element of an XML document, None where nothing can be read; and whether it was well-formed."""
    # the text is UTF-8 from here on, whatever the declaration says
    body = re.sub(r"^\s*<\?xml[^>]*\?>", "", text.replace("\x00", ""), count=1).strip().encode("utf-8", "replace")
    parser = etree.XMLParser(
        recover=True, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8"
    )
    try:
        root = etree.fromstring(body, parser) if body else None
    except etree.XMLSyntaxError:
        return None, False
    return root, root is not None and not len(parser.error_log)


def _base(root: Selector, url: str) -> str:
    """`<base href>` joined to the page's address: for joining links only, it allows no host."""
    href = root.xpath("string((//base/@href)[1])").get("").strip()
    try:
        return urljoin(url, href) if href else url
    except ValueError:
        return url


def literal_after(expression: str, text: str, page: Page) -> Any:
    """The JavaScript literal that stands after the first match of an expression, None where there is none."""
    match = compiled(expression).search(text)
    if match is None:
        page.trouble["js: nothing matches the expression"] += 1
        return None
    source = _balanced(text, match.end())
    # JSON first, it is a hundred times faster; what is no JSON may still be a JavaScript literal
    for load in (orjson.loads, json5.loads):
        try:
            return load(source)
        except (ValueError, RecursionError):
            continue
    page.trouble["js: what stands there is no literal"] += 1
    return None


def _balanced(text: str, start: int) -> str:
    """The bracketed text that begins at or soon after `start`; '' where none does or it has no end."""
    begin = re.compile(r"[\s=(:]*").match(text, start)
    at = begin.end() if begin else start
    if at >= len(text) or text[at] not in "[{":
        return ""
    depth, quote, here = 0, "", at
    while here < min(len(text), at + MAX_LITERAL):
        char = text[here]
        if char == "\\" and quote:
            here += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
            if not depth:
                return text[at : here + 1]
        here += 1
    return ""


@lru_cache(maxsize=512)
def compiled(expression: str) -> re.Pattern[str]:
    """A regular expression of a source file, compiled once."""
    return re.compile(expression)


@lru_cache(maxsize=512)
def _jmespath(expression: str) -> Any:
    return jmespath.compile(expression)


# --- rows ------------------------------------------------------------------------------------------------------------


def rows(page: Page, each: Sequence[str]) -> list[Any]:
    """The rows that the first selector with any finds; without selectors, lines of text, or the page as its one row."""
    if page.root is None:
        return []
    if not each:
        if isinstance(page.root, str):
            return [line for line in page.root.splitlines() if line.strip()]
        return list(page.root) if isinstance(page.root, list) else [page.root]
    for selector in each:
        found = [row for row in _select(page, page.root, selector) if row is not None]
        if found:
            return found
    return []


def _select(page: Page, row: Any, selector: str) -> list[Any]:
    """What one selector finds in a row: markup, strings or JSON values."""
    kind, _, expression = selector.partition(":")
    if kind in ("css", "xpath"):
        if not isinstance(row, Selector):
            page.trouble[f"selector: '{kind}:' was used on what is no markup"] += 1
            return []
        try:
            return list(row.css(expression) if kind == "css" else row.xpath(expression))
        except ValueError:
            page.trouble[f"selector: '{kind}:' cannot be applied here"] += 1
            return []
    if kind == "js":
        text = row.get() if isinstance(row, Selector) else row
        found = literal_after(expression, text, page) if isinstance(text, str) else None
        return _members(found)
    if isinstance(row, Selector | str):
        page.trouble[f"selector: '{kind}:' was used on what is no JSON"] += 1
        return []
    try:
        found = _jmespath(expression).search(row)
    except (JMESPathError, TypeError, ValueError):
        page.trouble[f"selector: '{kind}:' cannot be applied to this value"] += 1
        return []
    return _members(found) if kind == "json" else _pairs(page, found)


def _members(found: Any) -> list[Any]:
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _pairs(page: Page, found: Any) -> list[Any]:
    if found is not None and not isinstance(found, dict):
        page.trouble["selector: 'map:' found no object"] += 1
        return []
    return [{"key": key, "value": value} for key, value in (found or {}).items()]


# --- values ----------------------------------------------------------------------------------------------------------


def value(page: Page, row: Any, rules: Sequence[Rule]) -> str:
    """The first non-empty value that the rules find in a row, '' where there is none."""
    return next(_values(page, row, rules), "")


def values(page: Page, row: Any, rules: Sequence[Rule]) -> list[str]:
    """All non-empty values of the first rule that finds any."""
    for rule in rules:
        if found := list(_values(page, row, (rule,))):
            return found
    return []


def _values(page: Page, row: Any, rules: Sequence[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.const is not None:
            yield rule.const
            continue
        found = _select(page, row, rule.x) if rule.x is not None else [row]
        if rule.text == "join":
            found = [" ".join(filter(None, (_as_text(rule, item) for item in found)))]
        for item in found:
            if (made := _transformed(page, rule, _as_text(rule, item))) and made.strip():
                yield made


def _as_text(rule: Rule, item: Any) -> str:
    if isinstance(item, Selector):
        root: Any = item.root
        if isinstance(root, etree._Element):
            if rule.text == "html":
                return lines_of(root)
            if rule.x is None and rule.re is not None:
                return item.get() or ""
            return squeeze(item.xpath("string()").get(""))
        item = item.get() or ""
    if item is None:
        return ""
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, str):
        return text_of(item) if rule.text == "html" else item
    if isinstance(item, int | float):
        return str(item)
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


def _transformed(page: Page, rule: Rule, text: str) -> str:
    if rule.re is not None:
        if len(text) > MAX_INPUT:
            page.trouble[f"re: a value was cut to {MAX_INPUT} characters before the expression"] += 1
        match = compiled(rule.re).search(text[:MAX_INPUT])
        if match is None:
            return ""
        text = (match[1] if compiled(rule.re).groups else match[0]) or ""
    if rule.unquote:
        text = unquote(text)
    if rule.date and text.strip():
        text = _instant(page, rule, text.strip())
    return rule.template.replace("{}", text) if rule.template and text.strip() else text


def _instant(page: Page, rule: Rule, text: str) -> str:
    """ISO 8601 in UTC; the text as it is where it does not fit, for a time is only a hint."""
    try:
        match rule.date:
            case "iso":
                moment = datetime.fromisoformat(text)
            case "epoch_s":
                moment = datetime.fromtimestamp(float(text), UTC)
            case "epoch_ms":
                moment = datetime.fromtimestamp(float(text) / 1000, UTC)
            case "rfc2822":
                moment = parsedate_to_datetime(text)
            case form:
                moment = datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes from the rule, below
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(rule.tz))
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError, TypeError):
        page.trouble[f"date: a time is not written as {rule.date}"] += 1
        return text
