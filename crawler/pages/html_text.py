"""Turns bytes into text, and markup into lines of text, so that records that were pasted into a page survive.

Selecting parts of a page is in `crawler.pages.row_values`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from lxml import etree, html
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

# Elements that are no text. What is hidden is kept, whether a style sheet, `hidden` or `template` hides it until a button
# is pressed: forums hide spoilers in these ways, and spoilers contain data.
_DROPPED = frozenset({"script", "style", "head", "title", "svg", "object", "iframe"})
_VERBATIM = frozenset({"pre", "code", "textarea", "listing", "xmp", "plaintext"})
_LINES = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
    }
    | {
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
    }
    | {"ol", "option", "p", "pre", "section", "summary", "table", "tbody", "textarea", "tfoot", "thead", "tr", "ul"}
)
_CELLS = frozenset({"td", "th"})
_SPACES = re.compile(r"[ \t\r\n\f\u00a0]+")
_PRE_STYLE = re.compile(r"white-space\s*:\s*(?:pre|break-spaces)", re.IGNORECASE)
_LATIN = frozenset({"cp1252", "iso8859-1", "latin-1", "ascii"})


def decode(body: bytes, charset: str = "auto", content_type: str = "") -> str:
    """The text of a body; never fails.

    Args:
        body: as received, with content encodings removed.
        charset: the encoding that the definition sets, or `auto`: byte order mark, header, declaration in the page,
            else UTF-8, else Windows-1252. A page that declares Latin-1 but is valid UTF-8 is read as UTF-8 (Apache
            declares so).
        content_type: the header.
    """
    if charset != "auto":
        return _decoded(body, charset)
    found, mark = read_bom(body)
    if found is not None and mark is not None:
        return _decoded(body[len(mark) :], found)
    declared = http_content_type_encoding(content_type) if content_type else None
    declared = declared or html_body_declared_encoding(body[:4096])
    if declared is None or declared in _LATIN:
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            declared = declared or "cp1252"
    return _decoded(body, declared)


def _decoded(body: bytes, name: str) -> str:
    try:
        return body.decode(codecs.lookup(name).name, "replace")
    except (LookupError, UnicodeError, ValueError):
        # a header may name a codec that does not decode to text
        return body.decode("utf-8", "replace")


def squeeze(text: str) -> str:
    """The text on one line: each run of white space becomes one space."""
    return " ".join(text.split())


def parse_html(text: str) -> tuple[Any, bool]:
    """The document element of a page (None if there is none), and whether all of the page was parsed."""
    content = text.replace("\x00", "").encode("utf-8", "replace")
    parser = html.HTMLParser(huge_tree=True, encoding="utf-8")
    try:
        root = html.document_fromstring(content, parser=parser) if content.strip() else None
    except (etree.ParserError, ValueError):
        # the page contains nothing but comments
        return None, True
    # a fatal error ends the parsing, as at 2,048 nested elements; all others are repaired
    return root, not any(entry.level == etree.ErrorLevels.FATAL for entry in parser.error_log)


def text_of(markup: str) -> str:
    """The text of a piece of HTML as `lines_of` gives it; if it cannot be parsed, all text between tags."""
    root, whole = parse_html(markup)
    if not whole:
        return unescape(re.sub(r"(?:<[^<>]*>)+", "\n", markup)).strip()
    return "" if root is None else lines_of(root)


def lines_of(root: Any) -> str:
    """The text under an element, in the lines that a reader sees.

    Blocks and `br` end lines, tabs separate table cells, `pre` and `code` are kept as they are, `img` gives its `alt`
    text. A link whose visible text is its shortened address becomes the whole address. All other addresses follow at
    the end, one per line, so that they are not inside records.
    """
    writer = _Writer()
    verbatim = 0
    links: dict[str, None] = {}
    open_link: tuple[Any, str, int] | None = None
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event in ("comment", "pi"):
            if element is not root:
                writer.text(element.tail, verbatim=verbatim > 0)
            continue
        tag = element.tag.lower() if isinstance(element.tag, str) else ""
        if event == "start":
            if tag in _DROPPED:
                walk.skip_subtree()
                continue
            if tag in _LINES:
                writer.line(hard=tag == "br")
            if tag == "tr":
                writer.row()
            elif tag in _CELLS:
                writer.cell()
            if _keeps_space(element, tag):
                verbatim += 1
            if tag == "img" and element.get("alt"):
                writer.text(element.get("alt"), verbatim=False)
            if tag == "a" and element.get("href") and open_link is None:
                open_link = (element, element.get("href").strip(), writer.position())
            writer.text(element.text, verbatim=verbatim > 0)
            continue
        if tag not in _DROPPED:
            if open_link is not None and element is open_link[0]:
                _close_link(writer, open_link[1], open_link[2], links)
                open_link = None
            if _keeps_space(element, tag):
                verbatim -= 1
            if tag in _LINES and tag != "br":
                writer.line()
        if element is not root:
            writer.text(element.tail, verbatim=verbatim > 0)
    return writer.result(links)


def _keeps_space(element: Any, tag: str) -> bool:
    return tag in _VERBATIM or bool(_PRE_STYLE.search(element.get("style") or ""))


def _close_link(writer: _Writer, href: str, position: int, links: dict[str, None]) -> None:
    """Replace a shortened address by the whole address, or keep the address of the link for the end."""
    shown = writer.since(position).strip()
    address = href.removeprefix("mailto:").removeprefix("tel:")
    if shown in (href, address) or href.lower().startswith(("javascript:", "#", "data:")):
        return
    head = re.split(r"…|\.\.\.", shown)[0]
    if len(head) < len(shown) and len(head) >= 8 and head in address:
        writer.replace(position, address)
        return
    links[address] = None


class _Writer:
    """Collects text; words are separated by one space, by a tab if the source has one there, or by a line end."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._empty = True  # the current line is empty
        self._space = ""  # to be written before the next word of this line
        self._breaks = 0  # line ends to be written before the next word
        self._cells = 0  # of the current row
        self._fresh = False  # the current cell has just begun

    def text(self, text: str | None, *, verbatim: bool) -> None:
        if not text:
            return
        if verbatim:
            self._put(text.replace("\r\n", "\n").replace("\r", "\n"))
            return
        at = 0
        for match in _SPACES.finditer(text):
            self._put(text[at : match.start()])
            run = match[0]
            if not self._empty and not self._fresh and self._space != "\t":
                # a tab inside a line separates columns; next to a line end it is only indentation of the source
                self._space = "\t" if "\t" in run and "\n" not in run else " "
            at = match.end()
        self._put(text[at:])

    def _put(self, text: str) -> None:
        if not text:
            return
        self._parts.append("\n" * self._breaks + self._space + text)
        self._space, self._breaks, self._fresh = "", 0, False
        self._empty = text.endswith("\n")

    def line(self, *, hard: bool = False) -> None:
        self._space = ""
        if hard or not (self._empty or self._fresh):
            self._breaks += 1
            self._empty = True

    def row(self) -> None:
        self._cells = 0

    def cell(self) -> None:
        if self._cells:
            # blocks inside a cell end no line before the next cell; an empty cell still counts
            self._breaks, self._space = 0, ""
            self._parts.append("\t")
            self._empty, self._fresh = False, True
        elif self._breaks:
            # written now, so that the tab after an empty first cell is on the new line
            self._parts.append("\n" * self._breaks)
            self._breaks = 0
        self._cells += 1

    def position(self) -> int:
        return len(self._parts)

    def since(self, position: int) -> str:
        return "".join(self._parts[position:])

    def replace(self, position: int, text: str) -> None:
        shown = self.since(position)
        del self._parts[position:]
        self._parts.append(shown[: len(shown) - len(shown.lstrip())] + text)

    def result(self, links: dict[str, None]) -> str:
        text = re.sub(r"\n{3,}", "\n\n", "".join(self._parts)).strip("\n")
        ends = "\n".join(address for address in links if address not in text)
        return f"{text}\n{ends}".strip("\n") if ends else text


def addresses_in(text: str) -> Iterator[str]:
    """The http(s) addresses in a text, with their fragments."""
    for match in re.finditer(r"https?://[^\s<>\"'`|\\^{}\u00a0]+", text):
        yield match[0].rstrip(".,;:!?)]")
