"""Workbooks of Office Open XML: shared strings and styles are looked up first, then every part is read in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.office import office_package, xlsb_parts
from crawler.readers.office.office_package import PLAIN, Package, Part
from crawler.readers.office.office_text import TextPart
from crawler.readers.office.sheet_values import Numbers, read_styles, unescaped
from crawler.readers.office.xlsx_cells import SheetReader, Strings
from crawler.readers.structured.xml_tokens import (
    parse_attributes,
    root_name,
    split_blocks,
    token_blocks,
    tokenize,
    unescape_xml,
)

FORMAT = "xlsx"

# a string as a value costs that much beside its bytes
_STRING_COST = 48
_SIMPLE = re.compile(rb"(<si><t(?: xml:space=\"preserve\")?>([^<]*)</t></si>\s*)")
_SHEETS = frozenset(["worksheet", "macrosheet", "dialogsheet"])
_BINARY = re.compile(r"(?:work|macro|dialog)sheets/sheet[^/]*\.bin$", re.IGNORECASE)
_LOOKED_UP = frozenset(["sst", "styleSheet"])
_SILENT = frozenset(["sst", "styleSheet", "Relationships", "Types", "theme", "chartSpace"])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the names of its first parts."""
    return office_package.sure(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give the rows of every sheet out, and the text of comments and drawings."""
    book = _Workbook(Package(source, out, limits), out, limits)
    book.package.read(book.pick)
    book.report()


class _Workbook:
    """One workbook."""

    def __init__(self, package: Package, out: Output, limits: Limits) -> None:
        self.package = package
        self.out = out
        self.limits = limits
        self.strings = Strings()
        self.wide = 0
        self._full = False
        strings, styles, book = "", "", ""
        for name in package.names:
            base = name.rpartition("/")[2].lower()
            strings = strings or (name if base in ("sharedstrings.xml", "sharedstrings.bin") else "")
            styles = styles or (name if base in ("styles.xml", "styles.bin") else "")
            book = book or (name if base in ("workbook.xml", "workbook.bin") else "")
        for target, kind in self._related(book):
            strings = target if kind.endswith("/sharedStrings") else strings
            styles = target if kind.endswith("/styles") else styles
        if strings.lower().endswith(".bin"):
            self._take_strings(xlsb_parts.strings(package.part(strings)))
        else:
            self._read_strings(package.part(strings))
        read = xlsb_parts.styles if styles.lower().endswith(".bin") else read_styles
        self.numbers = Numbers(read(package.part(styles)), from_1904=self._from_1904(book))

    def _related(self, book: str) -> list[tuple[str, str]]:
        """Parts that the workbook names, with what they are to it."""
        folder, _, base = book.rpartition("/")
        found = []
        for block in token_blocks(self.package.part(f"{folder}/_rels/{base}.rels" if folder else f"_rels/{base}.rels")):
            for _, name, attrs, _ in block:
                if name == b"Relationship":
                    values = parse_attributes(attrs)
                    target = values.get(b"Target", b"").decode("utf-8", "replace")
                    place = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}".lstrip("/")
                    if place in self.package.names:
                        found.append((place, values.get(b"Type", b"").decode("utf-8", "replace")))
        return found

    def _from_1904(self, book: str) -> bool:
        if book.lower().endswith(".bin"):
            return xlsb_parts.from_1904(self.package.part(book))
        return any(
            name == b"workbookPr" and parse_attributes(attrs).get(b"date1904") in (b"1", b"true")
            for block in token_blocks(self.package.part(book))
            for _, name, attrs, _ in block
        )

    def _take_strings(self, found: Iterator[bytes]) -> None:
        left = self.limits.memory // 2
        for text in found:
            self.strings.values.append(text)
            left -= len(text) + _STRING_COST
            if left < 0:
                self._full = True
                return

    def _read_strings(self, source: Source) -> None:
        values = self.strings.values
        left = self.limits.memory // 2
        waiting: list[bytes] | None = None
        taking = skipped = False
        for block in split_blocks(source, b"</si>"):
            simple = _SIMPLE.findall(block)
            if waiting is None and sum(len(whole) for whole, _ in simple) == len(block):
                texts = [text for _, text in simple]
                values += (
                    [unescaped(unescape_xml(text)) for text in texts] if b"&" in block or b"_x" in block else texts
                )
            else:
                for slash, name, attrs, text in tokenize(block):
                    if text:
                        if taking and not skipped and waiting is not None:
                            waiting.append(text)
                    elif name == b"si":
                        if slash or attrs.endswith(b"/") or waiting:
                            values.append(unescaped(unescape_xml(b"".join(waiting or []))))
                        waiting = None if slash or attrs.endswith(b"/") else []
                    elif name == b"t":
                        taking = not slash and not attrs.endswith(b"/")
                    elif name == b"rPh":
                        # how it is spoken is no part of what is shown
                        skipped = not slash and not attrs.endswith(b"/")
            left -= len(block) + _STRING_COST * block.count(b"<si")
            if left < 0:
                self._full = True
                return

    def pick(self, head: bytes, name: str) -> Reader | None:
        """The reader of a part: a part is what its first element says, whatever its name."""
        root = root_name(as_utf8(head)) if head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<") else ""
        if root in _SHEETS:
            return _Sheet(self)
        if _BINARY.search(name):
            return _BinarySheet(self)
        if root in _LOOKED_UP or office_package.OWN.match(name):
            return PLAIN if root in _SILENT else TextPart("xml")
        return choose(head, name)

    def report(self) -> None:
        """Say what all sheets together lack."""
        if self._full:
            self.out.problem("memory", "its shared strings need more memory than the limit", incomplete=True)
        elif self.strings.missing:
            self.out.problem(
                "strings", f"{self.strings.missing} cells name a shared string that is not there", incomplete=True
            )
        if self.wide:
            self.out.problem(
                "columns", f"{self.wide} rows have more than {self.limits.max_columns} columns; the last holds the rest"
            )


class _Sheet(Part):
    """A sheet of a workbook."""

    def __init__(self, book: _Workbook) -> None:
        super().__init__("xml")
        self._book = book

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Its rows."""
        sheet = SheetReader(out, limits, self._book.strings, self._book.numbers)
        try:
            sheet.read(source)
        finally:
            self._book.wide += sheet.rows.wide


class _BinarySheet(Part):
    """A sheet of a binary workbook."""

    def __init__(self, book: _Workbook) -> None:
        super().__init__("xlsb")
        self._book = book

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Its rows."""
        sheet = xlsb_parts.BinarySheet(out, limits, self._book.strings.values, self._book.numbers)
        try:
            sheet.read(source)
        finally:
            self._book.wide += sheet.rows.wide
            self._book.strings.missing += sheet.missing
        if sheet.short:
            out.problem("damaged", "a record of the sheet makes no sense", incomplete=True)
