"""HTML and XHTML pages: tables are sent as rows, all other words as text in which blocks stay apart.

The record pass infers what columns and text contain. A page is read as a sequence of tags and words, without building a
tree: no page is too deep, too long or too broken for that, and memory stays small. What a browser hides is sent, too:
comments, hidden elements, scripts, and values of attributes.
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
from crawler.readers.documents.encoded_lines import EncodedLines
from crawler.readers.documents.html_tables import HtmlTable
from data.identifiers.header_words import role_of

FORMAT = "html"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "markup"

# Possessive: one comment could also end with any later one, so comments could be divided in endless ways.
_PAGE_START = possessive(
    rb"\s*+(?:<\?xml[^>]*>\s*+)?(?:<!--(?>.*?-->)\s*+)*+<(?:!doctype\s+html|html[\s>])", re.DOTALL | re.IGNORECASE
)
_DECLARED_ENCODING = re.compile(
    rb"<(?:meta|\?xml)\s[^>]{0,300}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
_PAGE_TAG = re.compile(rb"<(?:html|head|body)[\s>]", re.IGNORECASE)
_FRAGMENT_START = re.compile(
    rb"\s*<(?:div|table|p|ul|ol|dl|section|article|span|form|pre|h[1-6]|center|tbody|tr|main|header|br|b|font)[\s/>]",
    re.IGNORECASE,
)
_CLOSING_TAG = re.compile(
    rb"</(?:div|table|p|ul|ol|dl|section|article|span|form|pre|h[1-6]|td|tr|li|b|font|a)>", re.IGNORECASE
)

# No attribute may contain "<", so that an unclosed quote spoils only its own tag.
_TOKEN = possessive(
    r"<!--|-->|<[!?][^<>]*>"
    # Possessive, without backtracking: an endless name or list of attributes costs no more than its length.
    r"|<(?P<end>/?)(?P<tag>[a-zA-Z][^\s/<>\"']*+)(?P<rest>[^<>\"']*+(?:(?:\"[^\"<]*\"|'[^'<]*')[^<>\"']*+)*+)>"
    r"|(?P<text>(?:[^<\-]+|-(?!->))+)|<"
)
# Rows without any markup in their cells, as programs write them. What `_TOKEN` takes apart, this takes as a whole.
_ATTRIBUTES = r"(?:\s(?:[^<>\"']|\"[^\"<>]*\"|'[^'<>]*')*+)?"


def _cell(kind: str, words: str) -> str:
    """The pattern of a cell; the two arguments are the patterns of the letter in its name and of its words."""
    return rf"<t{kind}{_ATTRIBUTES}>{words}</t[dh]\s*>"


_PLAIN_ROW = possessive(rf"(?i)<tr{_ATTRIBUTES}>\s*+((?:{_cell('[dh]', '[^<]*+')}\s*+)++)</tr\s*>")
_PLAIN_CELLS = possessive(f"(?i){_cell('([dh])', '([^<]*+)')}")
_ATTRIBUTE = re.compile(r"(?<![^\s\"'<>/=])([^\s\"'<>/=]++)\s*+=\s*+(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))")
_HAS_TEXT_ATTRIBUTE = re.compile(
    r"(?i)(?:^|[\s\"'])(?:title|alt|value|content|placeholder|label|aria-label|summary|data-[\w.:-]+)\s*="
    r"|(?:mailto|tel):"
)
_TEXT_ATTRIBUTES = frozenset({"title", "alt", "value", "content", "placeholder", "label", "aria-label", "summary"})
# elements in which labels of values stand, and what such a label names
_MARKED_TAGS = frozenset({"span", "b", "strong", "em", "i", "small"})
_LABELS, _LONGEST_LABEL = frozenset({"surname", "first", "fullname", "dob", "email", "phone", "nir"}), 40
_FIELD_TAGS = frozenset({"input", "option", "meta", "button", "param", "data"})
_BLOCK_TAGS = frozenset(
    """address article aside blockquote body button caption center details dir div dl dt fieldset figcaption figure
    footer form frameset h1 h2 h3 h4 h5 h6 head header html legend li listing main menu nav noscript ol optgroup option
    p pre script section select summary tbody textarea tfoot thead title ul""".split()  # noqa: SIM905 - a list of words
)
_VERBATIM_TAGS = frozenset({"pre", "textarea", "listing", "xmp", "plaintext", "script"})
# what tags end of the lines of encoded files
_ENCODED_ENDS = {
    **dict.fromkeys([*_BLOCK_TAGS, "br", "tr", "td", "dd"], EncodedLines.end_line),
    **dict.fromkeys([*_VERBATIM_TAGS, "table", "hr"], EncodedLines.end_block),
}

# A page is processed in pieces; a longer tag is treated as text.
_MAX_TAG = 65_536
# collected text above this size is sent
_FLUSH_CHARS = 2**17
# tables inside each other, with which old pages arrange their layout
_MAX_NESTED_TABLES = 32
_MAX_VALUE = 65_536

# a block boundary, which ends a line; several together end a group of blocks, which becomes a blank line
_BREAK = "\x01"
# The look-behind lets a match begin only at the first character of a run; trying each character would be quadratic.
_BREAKS = re.compile(r"(?<![ \n])[ \n]*\x01[ \n\x01]*")
_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]*\n[ \t]*")
_BREAKS_OF_GROUP = 3
_SPACE = re.compile(r"[ \t\r\n\f\u00a0]+")
_SPACE_TO_MEND = re.compile(r"[\t\r\n\f\u00a0]|  ")


def sniff(head: bytes, name: str) -> float:
    """High if the head begins like a page; lower for parts of a page, by their tags and the file name."""
    text = as_utf8(head)
    if not is_text(text) or b"<" not in text:
        return 0.0
    if _PAGE_START.match(text):
        return 0.97
    if _PAGE_TAG.search(text[:4096]) and _CLOSING_TAG.search(text):
        return 0.9
    named = name.lower().endswith((".html", ".htm", ".xhtml", ".php", ".asp", ".aspx"))
    if _FRAGMENT_START.match(text) and _CLOSING_TAG.search(text):
        return 0.92
    return 0.88 if named and _CLOSING_TAG.search(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send tables as rows and everything else as text."""
    lines = Lines(recode_to_utf8(source, _DECLARED_ENCODING, out), limits.max_line)
    page = _PageReader(out, limits)
    held = ""
    for block in lines.blocks():
        page.is_searched = page.encoded.expects(block)
        text = held + block.decode("utf-8", "replace") + "\n"
        # A tag may continue in the next block.
        cut = text.rfind("<")
        if cut < 0 or len(text) - cut > _MAX_TAG or text.find(">", cut) >= 0:
            cut = len(text)
        held = text[cut:]
        page.add(text[:cut])
    page.add(held)
    page.finish()


class _PageReader:
    """Turns tags and words into rows and text.

    Attributes:
        encoded: reads encoded files in the words.
        is_searched: whether the piece of the page that is added is searched for them.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self._text: list[str] = []
        self._size = 0
        self._asides: list[str] = []  # values of attributes, which are sent on lines of their own
        self._tables: list[HtmlTable] = []
        self._verbatim = 0
        self._in_style = False
        self.encoded = EncodedLines(out, self._flush)
        self.is_searched = False

    def add(self, text: str) -> None:
        """Add a piece of the page that does not end inside a tag."""
        at = 0
        for row in _PLAIN_ROW.finditer(text):
            if not _is_more_than_cells(row[0]):
                self._add_tokens(text[at : row.start()])
                self._add_row(row[0], row[1])
                at = row.end()
        self._add_tokens(text[at:])
        if self._size > _FLUSH_CHARS:
            self._flush()

    def _add_row(self, text: str, cells: str) -> None:
        """Add a row that was taken as a whole."""
        if self._in_style or self._verbatim:
            self._add_tokens(text)
            return
        if not self._tables:
            self._tables.append(HtmlTable(self.limits))
        found = _PLAIN_CELLS.findall(cells)
        if self.is_searched:
            for _, words in found:
                self.encoded.add(unescape(words))
                self.encoded.end_line()
        row = [words for _, words in found]
        if "&" in cells or _SPACE_TO_MEND.search("".join(row)):
            row = [_SPACE.sub(" ", unescape(words)) for words in row]
        row = [words.strip(" \x01") for words in row]
        self._tables[-1].add_row(row, sum(kind in "hH" for kind, _ in found))
        self._send_if_full()

    def _add_tokens(self, text: str) -> None:
        for found in _TOKEN.finditer(text):
            words = found["text"]
            if words is not None:
                self._add_words(words)
            elif tag := found["tag"]:
                tag = tag.lower()
                if found["end"]:
                    self._end_tag(tag)
                else:
                    self._start_tag(tag, found["rest"])
            elif found[0] == "<" and self.is_searched:
                self.encoded.add("<")

    def finish(self) -> None:
        """End the page."""
        self.encoded.end_block()
        while self._tables:
            self._close_table()
        self._flush()

    # --- words -------------------------------------------------------------------------------------------------

    def _put(self, text: str) -> None:
        table = self._tables[-1] if self._tables else None
        if table is not None and table.cell is not None:
            table.cell.append(text)
            table.cell_size += len(text)
            if table.is_cell_long:
                self._send_long_cell(table)
            return
        self._text.append(text)
        self._size += len(text)

    def _add_words(self, words: str) -> None:
        if self._in_style:
            return
        if "&" in words:
            words = unescape(words)
        if self.is_searched:
            self.encoded.add(words)
        if self._verbatim:
            # Records of a script, {…},{…}, are put into blocks of their own.
            self._put(words.replace("},{", "}\n\n{"))
        else:
            self._put(_SPACE.sub(" ", words))

    def _flush(self) -> None:
        whole, self._text, self._size = "".join([*self._text, _BREAK]), [], 0
        asides, self._asides = self._asides, []
        text = resolve_breaks(whole)
        self.out.text("\n".join(part for part in (text, *asides) if part).encode("utf-8", "replace") + b"\n")

    # --- tags --------------------------------------------------------------------------------------------------

    def _start_tag(self, tag: str, rest: str) -> None:
        if self.is_searched and tag in _ENCODED_ENDS:
            _ENCODED_ENDS[tag](self.encoded)
        if tag in ("table", "tr", "td", "th"):
            self._start_table_tag(tag, rest)
        elif tag in _BLOCK_TAGS:
            self._put(_BREAK)
            if tag in _VERBATIM_TAGS:
                self._verbatim += 1
        elif tag == "br":
            self._put("\n")
        elif tag == "hr":
            self._put(_BREAK * _BREAKS_OF_GROUP)
        elif tag == "dd":
            self._put(" : ")
        elif tag == "style":
            self._in_style = True
        if rest and _HAS_TEXT_ATTRIBUTE.search(rest):
            self._add_attributes(tag, rest)

    def _end_tag(self, tag: str) -> None:
        if self.is_searched and tag in _ENCODED_ENDS:
            _ENCODED_ENDS[tag](self.encoded)
        if tag in ("table", "tr", "td", "th"):
            self._end_table_tag(tag)
        elif tag == "dt":
            return
        elif tag == "label":
            self._put(" : ")
        elif tag in _MARKED_TAGS:
            self._end_label()
        elif tag in _BLOCK_TAGS or tag == "dd":
            self._put(_BREAK)
            if tag in _VERBATIM_TAGS and self._verbatim:
                self._verbatim -= 1
        elif tag == "style":
            self._in_style = False

    def _end_label(self) -> None:
        """End an element that may be the label of a value: nothing stands between them in the text, only in the layout."""
        table = self._tables[-1] if self._tables else None
        parts = self._text if table is None or table.cell is None else table.cell
        word = parts[-1] if parts else ""
        if 1 < len(word) <= _LONGEST_LABEL and role_of(word.strip()) in _LABELS:
            self._put(" : ")

    def _add_attributes(self, tag: str, rest: str) -> None:
        """Add the values of attributes that are not part of the page's text: of form fields, titles and scripts."""
        values: list[tuple[str, str]] = []
        name = ""
        for key, double, single, bare in _ATTRIBUTE.findall(rest):
            key, value = key.lower(), unescape(double or single or bare)[:_MAX_VALUE]
            if key in ("name", "id", "property") and not name:
                name = value
            elif key == "href" and value[:7].lower() in ("mailto:", "tel:" + value[4:7]):
                self._put(f" <{value.partition(':')[2].partition('?')[0]}> ")
            elif (key in _TEXT_ATTRIBUTES or key.startswith("data-")) and len(value) > 2:
                values.append((key.removeprefix("data-"), value))
        for key, value in values:
            if tag in _FIELD_TAGS and key in ("value", "content"):
                self._put(f"{_BREAK}{name} : {value}{_BREAK}" if name else f" {value} ")
            else:
                self._asides.append(f"{key} : {value}" if key not in _TEXT_ATTRIBUTES else value)
                self._size += len(value)
        if values and tag not in _FIELD_TAGS:
            self._asides.append("\n")

    # --- tables ------------------------------------------------------------------------------------------------

    def _start_table_tag(self, tag: str, rest: str) -> None:
        if tag == "table":
            if len(self._tables) >= _MAX_NESTED_TABLES:
                self._put(_BREAK)
                return
            if self._tables:
                # A table that contains another table arranges the layout of the page.
                self._tables[-1].is_layout = True
            else:
                self._put(_BREAK * _BREAKS_OF_GROUP)
            self._tables.append(HtmlTable(self.limits))
        elif not self._tables:
            # Parts of pages can contain rows without their table.
            self._tables.append(HtmlTable(self.limits))
            self._start_table_tag(tag, rest)
        elif tag == "tr":
            self._tables[-1].begin_row()
            self._send_if_full()
        else:
            if self._tables[-1].is_row_long:
                self._tables[-1].begin_row()
                self._send_if_full()
            self._tables[-1].begin_cell(head=tag == "th", span=_span(rest))

    def _end_table_tag(self, tag: str) -> None:
        if not self._tables:
            self._put(_BREAK)
        elif tag == "table":
            self._close_table()
        elif tag == "tr":
            self._tables[-1].end_row()
            self._send_if_full()
        else:
            self._tables[-1].end_cell()

    def _send_if_full(self) -> None:
        if self._tables[-1].is_full:
            self._send(self._tables[-1])

    def _send_long_cell(self, table: HtmlTable) -> None:
        """Send what the innermost table has so far as text, and let its open cell go on; memory stays bounded."""
        table.is_layout = True
        table.end_row()
        self._send(table)
        table.begin_cell(head=False, span=1)

    def _close_table(self) -> None:
        table = self._tables.pop()
        table.end_row()
        self._send(table)

    def _send(self, table: HtmlTable) -> None:
        """Send the rows that a table has collected, as rows or as text."""
        if text := table.as_text(role_of):
            self._put(f"{_BREAK * _BREAKS_OF_GROUP}{text}{_BREAK * _BREAKS_OF_GROUP}")
        else:
            table.send_rows(self.out)
        table.clear()


def _is_more_than_cells(row: str) -> bool:
    """Whether something in a plain row has a meaning beyond its cells: an attribute, or the end of a comment."""
    return "-->" in row or ("=" in row and ("span" in row.lower() or _HAS_TEXT_ATTRIBUTE.search(row) is not None))


def _span(rest: str) -> int:
    found = re.search(r"colspan\s*=\s*[\"']?(\d{1,2})\b", rest, re.IGNORECASE) if "colspan" in rest.lower() else None
    return int(found[1]) if found else 1


def resolve_breaks(text: str) -> str:
    """The text with its block boundaries as line ends: one ends a line, three or more make a blank line."""
    text = _BREAKS.sub(lambda found: "\n\n" if found[0].count(_BREAK) >= _BREAKS_OF_GROUP else "\n", text)
    return _LINE_ENDS.sub("\n", re.sub(r"[ \u00a0]{2,}", " ", text)).strip("\n")
