"""Reads the tables of wikis (MediaWiki) and of AsciiDoc, whose cells may stand on lines of their own; the rest is text."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.tables.text_tables import TextTables

FORMAT = "wiki_table"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(
    rb"(?:\A|\n)[ :]{0,20}(?:\{\|[^\n]{0,500}\n(?:[^\n]{0,500}\n){0,6}[ ]{0,9}[|!]|\|={3,9}[ ]{0,9}\r?\n)"
)
# class="wikitable" | before the content of a cell
_ATTRIBUTES = re.compile(r"\s*(?:[\w-]{1,40}\s?=\s?(?:\"[^\"]{0,200}\"|'[^']{0,200}'|[^\s|\"']{1,80})\s*){1,9}\|(?!\|)")
_MARKUP = re.compile(r"'{2,5}|\[\[(?:[^\]|]{0,200}\|)?|\]\]|<[^<>]{1,80}>")
_CELLS = re.compile(r"\|\||!!")
_ASCII_CELL = re.compile(r"(?:\d{1,3}\+)?[.<^>aehlmsd\d]{0,5}\|")
_ASCII_RULE = re.compile(r"\|={3,9}")
_LONGEST_CELL = 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if a table of one of these begins in the first bytes."""
    text = as_utf8(head[:16_384])
    if b"{|" not in text and b"|===" not in text:
        return 0.0
    return 0.96 if _BEGIN.search(text) and is_text(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of the tables, and the text around them."""
    lines = Lines(source, limits.max_line)
    tables = _TableReader(out, limits)
    for block in lines.blocks():
        for line in block.decode().split("\n"):
            tables.add(line.rstrip("\r"))
        tables.send()
    tables.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _TableReader:
    """Reads line by line; a row that is open at the end of a block goes on in the next one."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out, self.limits = out, limits
        self._kind = ""  # the table that is open: `wiki`, `ascii`, or none
        self._row: list[str] = []
        self._rows: list[list[str]] = []
        self._names: list[str] | None = None
        self._is_header = self._begun = False
        self._width = 0
        self._text: list[str] = []

    def add(self, line: str) -> None:
        """Add a line."""
        bare = line.strip()
        if not self._kind:
            if bare.lstrip(": ").startswith("{|"):
                self._begin("wiki")
            elif _ASCII_RULE.fullmatch(bare):
                self._begin("ascii")
            else:
                self._text.append(line)
        elif self._kind == "wiki":
            self._add_wiki(bare)
        elif _ASCII_RULE.fullmatch(bare):
            self._end()
        else:
            self._add_ascii(bare)

    def _begin(self, kind: str) -> None:
        self._send_text()
        self._kind, self._names, self._width, self._begun = kind, None, 0, False

    def _end(self) -> None:
        self._end_row()
        self.send()
        self._kind = ""

    def _add_wiki(self, line: str) -> None:
        if line.startswith("|}"):
            self._end()
        elif line.startswith("|-"):
            self._end_row()
        elif line.startswith("|+"):
            self._text.append(line[2:])
        elif line[:1] in ("|", "!"):
            self._is_header = line[0] == "!" and (self._is_header or not self._row)
            self._row += [_plain(cell) for cell in (_CELLS.split(line[1:]) if line[0] == "!" else line[1:].split("||"))]
        elif self._row and len(self._row[-1]) < _LONGEST_CELL:
            self._row[-1] += f" {_plain(line)}" if line else ""
        elif line:
            self._text.append(line)

    def _add_ascii(self, line: str) -> None:
        if not line:
            if self._row and not self._width:
                # the first row ends with an empty line
                self._width = len(self._row)
                self._end_row()
            return
        parts = line.split("|")
        if len(parts) == 1:
            if self._row:
                self._row[-1] += f" {line}"
            return
        if _ASCII_CELL.match(line) is None and self._row:
            self._row[-1] += f" {parts[0]}"
        self._row += [part.strip() for part in parts[1:]]
        if not self._width and len(parts) > 2:
            self._width = len(self._row)
        self._begun = True
        if self._width and len(self._row) >= self._width:
            self._end_row()

    def _end_row(self) -> None:
        row, self._row = self._row, []
        if any(row):
            if self._is_header and not self._rows and self._names is None:
                self._names = row
            else:
                self._rows.append(row)
        self._is_header = False

    def send(self) -> None:
        """Send the rows that are whole."""
        rows, self._rows = self._rows, []
        if rows:
            most = self.limits.max_columns
            rows = [row if len(row) <= most else [*row[: most - 1], " ".join(row[most - 1 :])] for row in rows]
            names = self._names
            width = max(map(len, rows))
            if names is not None:
                names = [*names, *[""] * (width - len(names))][: max(width, 1)]
                rows = [[*row, *[""] * (len(names) - len(row))] for row in rows]
            self.out.header(names)
            self.out.rows([[cell.encode("utf-8", "replace") for cell in row] for row in rows])
        self._send_text()

    def _send_text(self) -> None:
        text, self._text = self._text, []
        if any(map(str.strip, text)):
            tables = TextTables(self.out, self.limits)
            tables.add("\n".join(text).encode("utf-8", "replace"))
            tables.finish()

    def finish(self) -> None:
        """End the text; a table may lack its end."""
        self._end()


def _plain(cell: str) -> str:
    """The content of a cell without its attributes and mark-up."""
    found = _ATTRIBUTES.match(cell)
    return _MARKUP.sub("", cell[found.end() :] if found else cell).strip()
