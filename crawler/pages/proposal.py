"""Proposes a source for a page that nobody described yet: the site software by its marks, or rows that repeat.

Pure: the page comes in as bytes, and what goes out are keys of a source file. `tocsin source new` shows them to a person,
with the posts that they would read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
from lxml import etree
from parsel import Selector

from crawler.pages.html_text import decode
from crawler.pages.row_values import Page
from data.sources.platform_files import PlatformFile

# Fewer equal elements are no listing.
MIN_ROWS = 3
# Elements of a page that are compared, and characters of it that are searched for marks.
MAX_ELEMENTS, MAX_MARKED = 50_000, 2**20
MAX_BOARDS = 20
# A value is proposed as a field if so many of the rows have it.
SHARE = 0.6
# Marks of pages that list the files of a folder.
_FOLDERS = {
    r"(?i)<title>\s*(?:index of|directory listing)\b": 'the title begins with "Index of"',
    r'(?i)Served with\s+<a[^>]+caddyserver\.com|<html[^>]+\bid="ht_brw"': "it is a folder of Caddy or copyparty",
}
_CLASS = re.compile(r"-?[A-Za-z_][\w-]*")
_SIZE = re.compile(r"\d(?:[.,]\d+)?\s*(?:[kmgt]i?b|[kmgt]o)\b", re.IGNORECASE)
# Links of a row into its own thread that move with each reply.
_LAST = ("xpath:(.//a[contains(@href, '#')])[last()]/@href", "xpath:(.//a[contains(@href, 'last')])[last()]/@href")
_TIMERS = ("data-until", "data-countdown", "data-end", "data-deadline", "data-timer", "data-expires")
_NEXT = (
    "css:a[rel=next]::attr(href)",
    "css:a.next::attr(href)",
    "css:.next a::attr(href)",
    "css:a.pagination-next::attr(href)",
    # words without what stands around them ("Older posts »"), then signs alone
    (
        "xpath://a[contains('|next|next page|older|older posts|older entries|suivant|page suivante|weiter|siguiente|',"
        " concat('|', normalize-space(translate(., 'ABCDEFGHIJKLMNOPQRSTUVWXYZ»›>→⟩', 'abcdefghijklmnopqrstuvwxyz')),"
        " '|'))]/@href"
    ),
    "xpath://*[contains(@class, 'pag')]//a[contains('|»|›|>|>>|→|⟩|', concat('|', normalize-space(.), '|'))]/@href",
    "xpath://a[contains('|»|›|>|>>|→|⟩|', concat('|', normalize-space(.), '|'))]/@href",
)
# Elements that are no rows, however often they repeat.
_NO_ROWS = frozenset(["html", "body", "a", "td", "th", "tbody", "thead"])
# Parts of a page that lead through the site.
_AROUND = frozenset(["nav", "header", "footer", "aside", "form", "select", "head", "script", "style"])
_JSON_FIELDS = {
    "id": ("id", "_id", "uuid", "tid", "pid", "key", "slug", "number"),
    "title": ("title", "name", "subject", "post_title", "victim", "company", "headline"),
    "link": ("url", "link", "permalink", "href", "post_url", "html_url", "path"),
    "time": ("published", "date", "created_at", "created", "discovered", "timestamp", "time"),
    "body": ("description", "content", "body", "text", "summary"),
    "size": ("size", "data_size"),
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One way to read a page.

    Attributes:
        platform: its name. why: what it was recognised by.
        keys: of the source file, beside name, platform and url.
        boards: addresses of listings of this platform that the page links to; the page itself is none if there are some.
    """

    platform: str
    why: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    boards: tuple[str, ...] = ()


def propose(
    body: bytes, url: str, content_type: str, platforms: Sequence[PlatformFile]
) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
    """The ways to read a page, the best first, and sentences for the person who asked.

    Args:
        body: of the answer.
        url: after redirects.
        content_type: the header, '' without one.
        platforms: that have marks.
    """
    text = decode(body, "auto", content_type)
    start = text[:4096].lstrip("\ufeff \t\r\n").lower()
    if re.search(r"<(?:rss|feed|rdf:rdf)\b", start):
        known = _of_marks(platforms, url, text, "the feed has its mark")
        return (*known, *(() if known else (Proposal("feed", "the page is an RSS or Atom feed"),))), ()
    if "json" in content_type.lower() or start[:1] in ("{", "["):
        try:
            value = orjson.loads(text)
            if isinstance(value, dict) and str(value.get("version", "")).startswith("https://jsonfeed.org/version/"):
                return (Proposal("feed", "the answer is a JSON Feed"),), ()
            found = _of_json(value)
        except orjson.JSONDecodeError:
            found = None
        known = _of_marks(platforms, url, text, "the answer has its keys")
        if known or found is not None:
            return (*known, *(() if found is None else (found,))), ()
    root = Selector(text=text or " ", type="html")
    page = Page(url, root, url)
    marked = [each for platform in platforms if (each := _of_platform(platform, text, page)) is not None]
    for mark, why in _FOLDERS.items():
        if re.search(mark, text[:MAX_MARKED]):
            marked.append(Proposal("open_directory", why))
            break
    rows = _of_rows(root)
    proposals = (*marked, *(() if rows is None else (rows,)))
    return proposals, tuple(_notes(root, page))


def _of_marks(platforms: Sequence[PlatformFile], url: str, text: str, why: str) -> list[Proposal]:
    """The platforms that have such an address and a mark in this text, which is no page of HTML."""
    return [
        Proposal(platform.name, why)
        for platform in platforms
        if platform.fits(url) and any(re.search(mark, text[:MAX_MARKED]) for mark in platform.marks)
    ]


def _of_platform(platform: PlatformFile, text: str, page: Page) -> Proposal | None:
    mark = next((match for each in platform.marks if (match := re.search(each, text[:MAX_MARKED]))), None)
    if mark is None:
        return None
    why = f"the page has the mark {' '.join(mark[0].split())[:60]}"
    if platform.fits(page.url):
        return Proposal(platform.name, why)
    boards: dict[str, None] = {}
    for href in page.root.css("a::attr(href)").getall():
        address = page.absolute(href)
        if urlsplit(address).netloc == urlsplit(page.url).netloc and platform.fits(address):
            boards.setdefault(address)
    return Proposal(platform.name, why, boards=tuple(boards)[:MAX_BOARDS])


def _notes(root: Selector, page: Page) -> Iterable[str]:
    feeds = root.css("link[rel=alternate][type*=rss]::attr(href), link[rel=alternate][type*=atom]::attr(href)").getall()
    for address in dict.fromkeys(page.absolute(each) for each in feeds[:5]):
        if address:
            yield f"the page names a feed, which may be the better source: {address}"


# --- repeated elements -----------------------------------------------------------------------------------------------


def _classes(element: Any) -> tuple[str, ...]:
    """The classes of an element that stand for its kind: names with digits are those of one row alone."""
    found = (element.get("class") or "").split()
    return tuple(sorted({each for each in found if _CLASS.fullmatch(each) and not re.search(r"\d{2}", each)}))


def _css_of(element: Any) -> str:
    return str(element.tag) + "".join(f".{name}" for name in _classes(element))


def _group_of(element: Any) -> str:
    """The selector of the elements that are like this one: by their classes, else by the element around them."""
    if _classes(element):
        return _css_of(element)
    parent = element.getparent()
    steps = [element.tag]
    while parent is not None and parent.tag not in ("html", "body") and len(steps) < 4:
        name = parent.get("id") or ""
        if _CLASS.fullmatch(name):
            return " > ".join([f"{parent.tag}#{name}", *steps])
        steps.insert(0, _css_of(parent))
        if _classes(parent):
            break
        parent = parent.getparent()
    return " > ".join(steps)


def _length(element: Any) -> int:
    return sum(len(text.strip()) for text in element.itertext())


def _of_rows(root: Selector) -> Proposal | None:
    """The elements that repeat, cover most of the text of the page, and each lead somewhere else."""
    document = root.root
    groups: dict[str, list[Any]] = {}
    for number, element in enumerate(document.iter(etree.Element)):
        if number >= MAX_ELEMENTS:
            break
        if not isinstance(element.tag, str) or element.tag in _AROUND or element.tag in _NO_ROWS:
            continue
        if any(parent.tag in _AROUND for parent in element.iterancestors()):
            continue
        groups.setdefault(_group_of(element), []).append(element)
    whole = max(1, _length(document))
    best: tuple[float, str, list[Any]] | None = None
    for selector, elements in groups.items():
        rows = [each for each in elements if each.find(".//a[@href]") is not None]
        if len(rows) < MIN_ROWS:
            continue
        links = {_main_link(row).get("href") for row in rows}
        score = sum(map(_length, rows)) / whole * math.log2(1 + len(rows)) * len(links) / len(rows)
        if best is None or score > best[0]:
            best = score, selector, elements
    if best is None:
        return None
    _, selector, elements = best
    linked = [each for each in elements if each.find(".//a[@href]") is not None]
    if len(linked) < len(elements):
        # rows without a link, such as the head of a table, are none
        selector += ":has(a[href])"
    rows = [Selector(root=row, type="html") for row in linked]
    fields = _fields(rows)
    apart = _set_apart(document, linked, fields["link"])
    each = ", ".join([f"css:{selector}", *apart])
    keys: dict[str, Any] = {"list": {"each": [each], "fields": fields}}
    if rule := next_rule(root, linked):
        keys["list"] |= {"next": rule, "pages": {"max": 5}}
    return Proposal("declared", f"{len(rows)} elements {selector} repeat", keys)


def next_rule(root: Selector, rows: Collection[Any] = ()) -> str:
    """The rule that finds the link of a page to its next one, which is in none of its rows; '' if there is none."""
    for rule in _NEXT:
        kind, _, expression = rule.partition(":")
        element = expression.removesuffix("::attr(href)").removesuffix("/@href")
        found = root.css(element) if kind == "css" else root.xpath(element)
        if found and not any(around in rows for around in found[0].root.iterancestors()):
            return rule
    return ""


def _set_apart(document: Any, rows: Sequence[Any], link: str) -> list[str]:
    """Selectors of entries that stand apart from the rows, as a page shows its newest one, in a heading of its own.

    Their address has the form that those of the rows have, and the rule `link` of the rows finds it.
    """
    linked = {_main_link(row).get("href") for row in rows}
    forms = Counter(_form(href) for href in linked)
    usual, count = forms.most_common(1)[0]
    if count < max(MIN_ROWS, SHARE * len(rows)):
        return []
    found = []
    for anchor in document.xpath("//h1//a[@href]|//h2//a[@href]|//h3//a[@href]"):
        href, around = anchor.get("href"), {each.tag for each in anchor.iterancestors()}
        if href in linked or _form(href) != usual or around & {"nav", "footer", "form"}:
            continue
        heading = next(each for each in anchor.iterancestors() if each.tag in ("h1", "h2", "h3"))
        entry = next(anchor.iterancestors("article"), heading.getparent())
        if entry is None or entry.tag in _NO_ROWS or any(each in rows for each in (entry, *entry.iterancestors())):
            continue
        selector, inside = _group_of(entry), Selector(root=entry, type="html")
        if (
            Selector(root=document, type="html").css(selector)[1:]
            or inside.css(link.removeprefix("css:")).get() != href
        ):
            continue
        found.append(selector)
    return list(dict.fromkeys(found))[:2]


def _form(href: str) -> tuple[str, str]:
    """The folder of an address, with its numbers alike, and the ending of its last word; of none another than of all rows."""
    folder, _, name = urlsplit(href).path.rstrip("/").rpartition("/")
    return (re.sub(r"\d+", "0", folder), name.rpartition(".")[2] if "." in name else "") if name else ("", "/")


def _main_link(row: Any) -> Any:
    """The link of a row with most text: its title, as a rule."""
    return max(row.iterfind(".//a[@href]"), key=lambda link: (_length(link), 0))


def _fields(rows: Sequence[Selector]) -> dict[str, Any]:
    link = _common(rows, lambda row: _main_link(row.root))
    fields: dict[str, Any] = {}
    if link:
        fields = {"title": f"css:{link}", "link": f"css:{link}::attr(href)"}
    else:
        fields = {"title": "css:a", "link": "css:a::attr(href)"}
    heading = _common(rows, lambda row: next(iter(row.root.xpath(".//h1|.//h2|.//h3|.//h4|.//h5")), None))
    if heading and not any(row.css(f"{heading} a") for row in rows):
        fields["title"] = f"css:{heading}"
    for rule in _LAST:
        if _share(rows, lambda row, rule=rule: _leads_to_reply(row, rule)):  # type: ignore[misc] # bound at once
            fields["last"] = rule
            break
    if _share(rows, lambda row: bool(row.css("time::attr(datetime)"))):
        fields["time"] = {"x": "css:time::attr(datetime)", "date": "iso"}
    size = _common(rows, _size_of)
    if size:
        fields["size"] = f"css:{size}"
    for name in _TIMERS:
        if _share(rows, lambda row, name=name: bool(row.css(f"[{name}]"))):  # type: ignore[misc] # bound at once
            fields["timer"] = f"css:[{name}]::attr({name})"
            break
    return fields


def _leads_to_reply(row: Selector, rule: str) -> bool:
    """Whether a link of a row leads to a place in the thread of its main link."""
    href, main = row.xpath(rule.removeprefix("xpath:")).get() or "", _main_link(row.root).get("href")
    number = r"\b[a-z]{0,4}\d+"
    return href not in ("", main) and (
        urlsplit(href).path == urlsplit(main).path
        or bool(set(re.findall(number, main)) & set(re.findall(number, href)))
    )


def _size_of(row: Selector) -> Any:
    """The innermost element of a row that states a size."""
    found = [each for each in row.root.iter(etree.Element) if each is not row.root and _SIZE.search(_own_text(each))]
    return found[0] if found else None


def _own_text(element: Any) -> str:
    return (element.text or "") + "".join(child.tail or "" for child in element)


def _share(rows: Sequence[Selector], has: Callable[[Selector], bool]) -> bool:
    return sum(map(has, rows)) >= max(1, SHARE * len(rows))


def _common(rows: Sequence[Selector], chosen: Callable[[Selector], Any]) -> str:
    """A selector that finds the chosen element of most rows as its first; '' if there is none."""
    elements = [(row, element) for row in rows if (element := chosen(row)) is not None]
    candidates: Counter[str] = Counter()
    for row, element in elements:
        candidates[_css_of(element)] += 1
        parent = element.getparent()
        if parent is not None and parent is not row.root:
            candidates[f"{_css_of(parent)} {element.tag}"] += 1
        cell = next((each for each in element.iterancestors("td") if each is not row.root), None)
        if cell is not None:
            number = 1 + sum(1 for _ in cell.itersiblings("td", "th", preceding=True))
            candidates[f"td:nth-child({number}) {element.tag}"] += 1
    for selector, count in sorted(candidates.items(), key=lambda item: (-item[1], len(item[0]))):
        if count < SHARE * len(rows):
            break
        first = sum(1 for row, element in elements if (found := row.css(selector)) and found[0].root is element)
        if first >= SHARE * len(rows):
            return selector
    return ""


# --- JSON ------------------------------------------------------------------------------------------------------------


def _of_json(value: Any) -> Proposal | None:
    """The longest list of objects in an answer, with the fields whose names are usual."""
    lists: list[tuple[int, str, list[dict[str, Any]]]] = []

    def search(part: Any, path: str, depth: int) -> None:
        if isinstance(part, list):
            rows = [each for each in part if isinstance(each, dict)]
            if rows and len(rows) == len(part):
                lists.append((len(rows), path or "@", rows))
        elif isinstance(part, dict) and depth < 6:
            for name, each in part.items():
                if re.fullmatch(r"[A-Za-z_]\w*", name):
                    search(each, f"{path}.{name}" if path else name, depth + 1)

    search(value, "", 0)
    if not lists:
        return None
    count, path, rows = max(lists, key=lambda each: each[0])
    fields: dict[str, Any] = {}
    for name, usual in _JSON_FIELDS.items():
        for key in usual:
            if sum(isinstance(row.get(key), str | int) for row in rows) >= SHARE * len(rows):
                fields[name] = f"json:{key}"
                break
    if "id" not in fields and "link" not in fields:
        return None
    each = "json:@" if path == "@" else f"json:{path}"
    return Proposal(
        "declared",
        f"a JSON answer with {count} objects in {path}",
        {"list": {"as": "json", "each": [each], "fields": fields}},
    )
