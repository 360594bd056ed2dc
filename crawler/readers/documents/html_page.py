"""HTML and XHTML pages: tables as rows, all other words as text that keeps its blocks; types are for the record pass.

A page is read as a run of tags and words, without a tree: nothing is too deep, too long or too broken for that, and
memory stays small. What a browser hides goes out too: comments, hidden elements, scripts, values of attributes.
"""

from __future__ import annotations

import re
from html import unescape

from crawler.readers.core.charsets import recode_to_utf8
from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.documents.html_tables import Table
from data.identifiers.header_words import role_of

FORMAT = "html"
EMBEDDED_SEARCH = "all"

_START = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html[\s>])", re.DOTALL | re.IGNORECASE
)
_DECLARED = re.compile(
    rb"<(?:meta|\?xml)\s[^>]{0,300}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_PAGE = re.compile(rb"<(?:html|head|body)[\s>]", re.IGNORECASE)
_FRAGMENT = re.compile(
    rb"\s*<(?:div|table|p|ul|ol|dl|section|article|span|form|pre|h[1-6]|center|tbody|tr|main|header|br|b|font)[\s/>]",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    rb"</(?:div|table|p|ul|ol|dl|section|article|span|form|pre|h[1-6]|td|tr|li|b|font|a)>", re.IGNORECASE
)

# no attribute holds "<", so that a quote without its end costs no more than its tag
_TOKEN = possessive(
    r"<!--|-->|<[!?][^<>]*>"
    # nothing is given back once taken: a name or a list of attributes without end costs no more than its length
    r"|<(?P<end>/?)(?P<tag>[a-zA-Z][^\s/<>\"']*+)(?P<rest>[^<>\"']*+(?:(?:\"[^\"<]*\"|'[^'<]*')[^<>\"']*+)*+)>"
    r"|(?P<text>(?:[^<\-]+|-(?!->))+)|<"
)
_ATTRIBUTE = re.compile(r"(?<![^\s\"'<>/=])([^\s\"'<>/=]++)\s*+=\s*+(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))")
_TELLING = re.compile(
    r"(?i)(?:^|[\s\"'])(?:title|alt|value|content|placeholder|label|aria-label|summary|data-[\w.:-]+)\s*=|(?:mailto|tel):"
)
_KEPT = frozenset({"title", "alt", "value", "content", "placeholder", "label", "aria-label", "summary"})
_FIELDS = frozenset({"input", "option", "meta", "button", "param", "data"})
_BLOCKS = frozenset(
    """address article aside blockquote body button caption center details dir div dl dt fieldset figcaption figure footer form
    frameset h1 h2 h3 h4 h5 h6 head header html legend li listing main menu nav noscript ol optgroup option p pre script section
    select summary tbody textarea tfoot thead title ul""".split()  # noqa: SIM905 - a table of words
)
_VERBATIM = frozenset({"pre", "textarea", "listing", "xmp", "plaintext", "script"})

# a page is worked on in pieces; a tag longer than this is taken for text
_MAX_TAG = 65_536
_FLUSH = 2**17
# tables inside tables, as pages of old lay themselves out
_MAX_TABLES = 32
_MAX_VALUE = 65_536

# a soft line end; where many meet, blocks of blocks have ended
_BREAK = "\x01"
# a run is looked at from its first character alone: from each of them would be quadratic
_BREAKS = re.compile(r"(?<![ \n])[ \n]*\x01[ \n\x01]*")
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]*\n[ \t]*")
_MANY = 3
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")


def sniff(head: bytes, name: str) -> float:
    """Sure by its first tag; pieces of a page by their tags and the name."""
    text = as_utf8(head)
    if not is_text(text) or b"<" not in text:
        return 0.0
    if _START.match(text):
        return 0.97
    if _PAGE.search(text[:4096]) and _CLOSING.search(text):
        return 0.9
    named = name.lower().endswith((".html", ".htm", ".xhtml", ".php", ".asp", ".aspx"))
    if _FRAGMENT.match(text) and _CLOSING.search(text):
        return 0.92
    return 0.88 if named and _CLOSING.search(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out tables as rows and everything else as text."""
    lines = Lines(recode_to_utf8(source, _DECLARED, out), limits.max_line)
    page = _Page(out, limits)
    held = ""
    for block in lines.blocks():
        text = held + block.decode("utf-8", "replace") + "\n"
        # a tag may go on in the next block
        cut = text.rfind("<")
        if cut < 0 or len(text) - cut > _MAX_TAG or text.find(">", cut) >= 0:
            cut = len(text)
        held = text[cut:]
        page.add(text[:cut])
    page.add(held)
    page.finish()


class _Page:
    """Tags and words on their way to rows and text."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self._text: list[str] = []
        self._size = 0
        self._aside: list[str] = []  # values of attributes, which stand on lines of their own
        self._tables: list[Table] = []
        self._verbatim = 0
        self._style = False

    def add(self, text: str) -> None:
        """Take a piece, cut at no tag."""
        for found in _TOKEN.finditer(text):
            words = found["text"]
            if words is not None:
                self._words(words)
            elif tag := found["tag"]:
                tag = tag.lower()
                if found["end"]:
                    self._end(tag)
                else:
                    self._start(tag, found["rest"])
        if self._size > _FLUSH:
            self._flush()

    def finish(self) -> None:
        """The page is over."""
        while self._tables:
            self._close_table()
        self._flush()

    # --- words -------------------------------------------------------------------------------------------------

    def _put(self, text: str) -> None:
        cell = self._tables[-1].cell if self._tables else None
        if cell is not None:
            cell.append(text)
            return
        self._text.append(text)
        self._size += len(text)

    def _words(self, words: str) -> None:
        if self._style:
            return
        if "&" in words:
            words = unescape(words)
        if self._verbatim:
            # records of a script: {…},{…}
            self._put(words.replace("},{", "}\n\n{"))
        else:
            self._put(_SPACE.sub(" ", words))

    def _flush(self) -> None:
        whole, self._text, self._size = "".join([*self._text, _BREAK]), [], 0
        aside, self._aside = self._aside, []
        text = settled(whole)
        self.out.text("\n".join(part for part in (text, *aside) if part).encode("utf-8", "replace") + b"\n")

    # --- tags --------------------------------------------------------------------------------------------------

    def _start(self, tag: str, rest: str) -> None:
        if tag in ("table", "tr", "td", "th"):
            self._start_of_table(tag, rest)
        elif tag in _BLOCKS:
            self._put(_BREAK)
            if tag in _VERBATIM:
                self._verbatim += 1
        elif tag == "br":
            self._put("\n")
        elif tag == "hr":
            self._put(_BREAK * _MANY)
        elif tag == "dd":
            self._put(" : ")
        elif tag == "style":
            self._style = True
        if rest and _TELLING.search(rest):
            self._attributes(tag, rest)

    def _end(self, tag: str) -> None:
        if tag in ("table", "tr", "td", "th"):
            self._end_of_table(tag)
        elif tag == "dt":
            return
        elif tag == "label":
            self._put(" : ")
        elif tag in _BLOCKS or tag == "dd":
            self._put(_BREAK)
            if tag in _VERBATIM and self._verbatim:
                self._verbatim -= 1
        elif tag == "style":
            self._style = False

    def _attributes(self, tag: str, rest: str) -> None:
        """Values that a page keeps out of its text: of fields, in titles, for scripts."""
        said: list[tuple[str, str]] = []
        name = ""
        for key, double, single, bare in _ATTRIBUTE.findall(rest):
            key, value = key.lower(), unescape(double or single or bare)[:_MAX_VALUE]
            if key in ("name", "id", "property") and not name:
                name = value
            elif key == "href" and value[:7].lower() in ("mailto:", "tel:" + value[4:7]):
                self._put(f" <{value.partition(':')[2].partition('?')[0]}> ")
            elif (key in _KEPT or key.startswith("data-")) and len(value) > 2:
                said.append((key.removeprefix("data-"), value))
        for key, value in said:
            if tag in _FIELDS and key in ("value", "content"):
                self._put(f"{_BREAK}{name} : {value}{_BREAK}" if name else f" {value} ")
            else:
                self._aside.append(f"{key} : {value}" if key not in _KEPT else value)
        if said and tag not in _FIELDS:
            self._aside.append("\n")

    # --- tables ------------------------------------------------------------------------------------------------

    def _start_of_table(self, tag: str, rest: str) -> None:
        if tag == "table":
            if len(self._tables) >= _MAX_TABLES:
                self._put(_BREAK)
                return
            if self._tables:
                # a table that holds another one arranges the page
                self._tables[-1].arranges = True
            else:
                self._put(_BREAK * _MANY)
            self._tables.append(Table(self.limits))
        elif not self._tables:
            # rows without their table, as pieces of pages have them
            self._tables.append(Table(self.limits))
            self._start_of_table(tag, rest)
        elif tag == "tr":
            self._tables[-1].begin_row()
            self._ready()
        else:
            self._tables[-1].begin_cell(head=tag == "th", span=_span(rest))

    def _end_of_table(self, tag: str) -> None:
        if not self._tables:
            self._put(_BREAK)
        elif tag == "table":
            self._close_table()
        elif tag == "tr":
            self._tables[-1].end_row()
            self._ready()
        else:
            self._tables[-1].end_cell()

    def _ready(self) -> None:
        if self._tables[-1].is_full:
            self._give(self._tables[-1])

    def _close_table(self) -> None:
        table = self._tables.pop()
        table.end_row()
        self._give(table)

    def _give(self, table: Table) -> None:
        """Give out the rows that a table has collected, as rows or as text."""
        if text := table.as_text(role_of):
            self._put(f"{_BREAK * _MANY}{text}{_BREAK * _MANY}")
        else:
            table.give_rows(self.out)
        table.clear()


def _span(rest: str) -> int:
    found = re.search(r"colspan\s*=\s*[\"']?(\d{1,2})\b", rest, re.IGNORECASE) if "colspan" in rest.lower() else None
    return int(found[1]) if found else 1


def settled(text: str) -> str:
    """Text with soft breaks as lines: one break ends a line, many end a block."""
    text = _BREAKS.sub(lambda found: "\n\n" if found[0].count(_BREAK) >= _MANY else "\n", text)
    return _LINE_ENDS.sub("\n", re.sub(r"[ \u00a0]{2,}", " ", text)).strip("\n")
