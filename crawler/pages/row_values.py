"""Selectors and transforms: finds the rows of a page and the values of a row by the rules of a definition.

Pure. A row is a piece of markup (`parsel.Selector`), a JSON value or a line of text. `crawler.pages.extract` makes
posts of the values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urljoin
from zoneinfo import ZoneInfo

import jmespath
import json5
import orjson
from jmespath.exceptions import JMESPathError
from lxml import etree
from parsel import Selector

from crawler.pages.html_text import decode, lines_of, parse_html, squeeze, text_of
from crawler.pages.time_limit import SEARCH_SECONDS, SearchTimeout, search, time_limit
from data.sources.expression_checks import MAX_INPUT
from data.sources.selector_rules import Rule

# Characters: a literal in a script is read by a slow parser; no list of victims is longer.
MAX_LITERAL = 4 * 1024 * 1024
_NO_ADDRESS = ("javascript:", "mailto:", "tel:", "about:", "data:;")


@dataclass
class Page:
    """One parsed page, and the problems that occurred while values were taken from it.

    Attributes:
        url: its address. base: the address that links are joined to (`<base href>`). root: a Selector, a JSON value or
            text.
        post_id: of the post whose page this is, as it stands in an address; '' for a page of a listing.
        problem_counts: "code: sentence" -> how often it occurred.
    """

    url: str
    root: Any
    base: str = ""
    post_id: str = ""
    problem_counts: Counter[str] = field(default_factory=Counter)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each kind of problem."""
        return counted_problems(self.problem_counts)

    def absolute(self, link: str) -> str:
        """The absolute address of a link, with its fragment; '' if the link is not an address."""
        link = link.strip()
        if not link or link.lower().startswith(_NO_ADDRESS):
            return ""
        try:
            return urljoin(self.base, link)
        except ValueError:
            self.problem_counts["address: a link is not an address"] += 1
            return ""


def counted_problems(counts: Counter[str]) -> tuple[str, ...]:
    """One sentence "code: sentence" for each kind of problem, with the number of times that it occurred."""
    return tuple(f"{problem} ({times} times)" if times > 1 else problem for problem, times in counts.items())


def parse_page(
    body: bytes, url: str, kind: str, *, charset: str = "auto", content_type: str = "", js: str | None = None
) -> Page:
    """Parse a page as `html`, `xml`, `json` or `text`, or the script literal that `js` finds.

    Never fails: what could not be parsed is in `problem_counts` of the page.
    """
    text = decode(body, charset, content_type)
    page = Page(url, None, url)
    if js is not None:
        page.root = literal_after(js, text, page)
    elif kind == "json":
        try:
            page.root = orjson.loads(text)
        except orjson.JSONDecodeError:
            page.problem_counts["json: the page is not JSON"] += 1
    elif kind == "text":
        page.root = text
    elif kind == "xml":
        page.root = _xml(text, page)
    else:
        root, whole = parse_html(text)
        if not whole:
            page.problem_counts["html: the page is nested too deep and was truncated there"] += 1
        if root is not None:
            page.root = Selector(root=root, type="html")
            page.base = _base(page.root, url)
    return page


def _xml(text: str, page: Page) -> Selector | None:
    root, sound = parse_xml(text)
    if not sound:
        page.problem_counts["xml: the page is not well-formed and was repaired"] += 1
    if root is None:
        return None
    found = Selector(root=root, type="xml")
    found.remove_namespaces()
    return found


def parse_xml(text: str) -> tuple[Any, bool]:
    """The root element of an XML document (None if nothing can be read), and whether the document was well-formed."""
    # the text is passed on as UTF-8, whatever encoding the declaration names
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
    """`<base href>` joined to the address of the page. It serves for joining links only and does not allow a host."""
    href = root.xpath("string((//base/@href)[1])").get("").strip()
    try:
        return urljoin(url, href) if href else url
    except ValueError:
        return url


def literal_after(expression: str, text: str, page: Page) -> Any:
    """The JavaScript literal after the first match of an expression; None if there is none."""
    match = search(compiled_expression(expression), text)
    if match is None:
        page.problem_counts["js: nothing matches the expression"] += 1
        return None
    source = _balanced(text, match.end())
    # JSON first, which is a hundred times faster to read; other text may still be a JavaScript literal
    for load in (orjson.loads, json5.loads):
        try:
            return load(source)
        except (ValueError, RecursionError):
            continue
    page.problem_counts["js: there is no literal after the expression"] += 1
    return None


def _balanced(text: str, start: int) -> str:
    """The bracketed text at `start`, after any white space, `=`, `(` and `:`; '' if there is none or it has no end."""
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
def compiled_expression(expression: str) -> re.Pattern[str]:
    """A regular expression of a source file, compiled once."""
    return re.compile(expression)


@lru_cache(maxsize=512)
def _jmespath(expression: str) -> Any:
    return jmespath.compile(expression)


# --- rows ------------------------------------------------------------------------------------------------------------


def select_rows(page: Page, each: Sequence[str]) -> list[Any]:
    """The rows that the first successful selector finds.

    Without selectors: the lines of a text, the members of a JSON list, or else the whole page as one row.
    """
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
    """The markup, strings or JSON values that one selector finds in a row."""
    kind, _, expression = selector.partition(":")
    if kind in ("css", "xpath"):
        if not isinstance(row, Selector):
            page.problem_counts[f"selector: '{kind}:' was used on a value that is not markup"] += 1
            return []
        try:
            # XPath has regular expressions as well: re:test()
            with time_limit(selector) if kind == "xpath" and "re:" in expression else nullcontext():
                return list(row.css(expression) if kind == "css" else row.xpath(expression))
        except ValueError:
            page.problem_counts[f"selector: '{kind}:' cannot be applied here"] += 1
            return []
    if kind == "js":
        text = row.get() if isinstance(row, Selector) else row
        found = literal_after(expression, text, page) if isinstance(text, str) else None
        return _members(found)
    if isinstance(row, Selector | str):
        page.problem_counts[f"selector: '{kind}:' was used on a value that is not JSON"] += 1
        return []
    try:
        found = _jmespath(expression).search(row)
    except (JMESPathError, TypeError, ValueError):
        page.problem_counts[f"selector: '{kind}:' cannot be applied to this value"] += 1
        return []
    return _members(found) if kind == "json" else _pairs(page, found)


def _inside(page: Page, item: Any, selector: str) -> list[Any]:
    """What a selector finds in a value that is markup."""
    if isinstance(item, Selector):
        item = item.get() if not isinstance(item.root, etree._Element) else item
    if isinstance(item, str):
        root, _ = parse_html(item)
        item = Selector(root=root, type="html") if root is not None else None
    return [] if item is None else _select(page, item, selector)


def _members(found: Any) -> list[Any]:
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _pairs(page: Page, found: Any) -> list[Any]:
    if found is not None and not isinstance(found, dict):
        page.problem_counts["selector: 'map:' found no object"] += 1
        return []
    return [{"key": key, "value": value} for key, value in (found or {}).items()]


# --- values ----------------------------------------------------------------------------------------------------------


def first_value(page: Page, row: Any, rules: Sequence[Rule]) -> str:
    """The first non-empty value that the rules find in a row; '' if there is none."""
    return next(_values(page, row, rules), "")


def all_values(page: Page, row: Any, rules: Sequence[Rule]) -> list[str]:
    """All non-empty values of the first rule that finds any; [] if none does."""
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
        if rule.inner is not None:
            found = [piece for item in found for piece in _inside(page, item, rule.inner)]
        if rule.text in ("join", "lines"):
            between = " " if rule.text == "join" else "\n"
            texts = [between.join(filter(None, (_as_text(rule, item) for item in found)))]
        else:
            texts = [_as_text(rule, item) for item in found]
        for whole in texts:
            if (made := _transformed(page, rule, _matched(page, rule, whole))).strip():
                # JSON and scripts can hold halves of surrogate pairs, which no other text can
                yield made if made.isascii() else made.encode("utf-8", "replace").decode()


def _as_text(rule: Rule, item: Any) -> str:
    if isinstance(item, Selector):
        root: Any = item.root
        if isinstance(root, etree._Element):
            if rule.text in ("html", "lines"):
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
        return text_of(item) if rule.text in ("html", "lines") else item
    if isinstance(item, int | float):
        return str(item)
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


def _matched(page: Page, rule: Rule, text: str) -> str:
    """What the expression of a rule finds in a text; the text itself without one."""
    if rule.re is None:
        return text
    if len(text) > MAX_INPUT:
        page.problem_counts[
            f"re: a value was truncated to {MAX_INPUT} characters before the expression was applied"
        ] += 1
    try:
        match = search(compiled_expression(rule.re), text[:MAX_INPUT])
    except SearchTimeout:
        page.problem_counts[f"re: an expression took longer than {SEARCH_SECONDS:g} s and was given up"] += 1
        return ""
    if match is None:
        return ""
    return (match[1] if compiled_expression(rule.re).groups else match[0]) or ""


def _transformed(page: Page, rule: Rule, text: str) -> str:
    if rule.unquote:
        text = unquote(text)
    if rule.quote:
        text = quote(text, safe="")
    if rule.date and text.strip():
        text = _instant(page, rule, text.strip())
    if not rule.template or not text.strip():
        return text
    template = rule.template.replace("{id}", page.post_id) if page.post_id else rule.template
    return template.replace("{}", text)


def _instant(page: Page, rule: Rule, text: str) -> str:
    """A time in ISO 8601 and UTC; the text unchanged if it does not fit the format, because a time is only a hint."""
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
        page.problem_counts[f"date: a time is not written as {rule.date}"] += 1
        return text
