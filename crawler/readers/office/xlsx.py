"""Reads workbooks (Office Open XML): first the shared strings and styles, then every part in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.office import office_package, xlsb_parts
from crawler.readers.office.office_package import TEXTLESS_PART, OfficePackage, PackagePart
from crawler.readers.office.office_text import TextPart
from crawler.readers.office.sheet_values import NumberFormatter, read_styles, unescape_characters
from crawler.readers.office.xlsx_cells import SharedStrings, SheetReader
from crawler.readers.structured.xml_tokens import (
    parse_attributes,
    root_name,
    split_blocks,
    token_blocks,
    tokenize,
    unescape_xml,
)

FORMAT = "xlsx"

# bytes of memory that a string needs in addition to its own bytes
_STRING_OVERHEAD = 48
_SIMPLE_STRING = re.compile(rb"(<si><t(?: xml:space=\"preserve\")?>([^<]*)</t></si>\s*)")
# root elements of parts
_SHEET_ROOTS = frozenset(["worksheet", "macrosheet", "dialogsheet"])
_BINARY_SHEET_NAME = re.compile(r"(?:work|macro|dialog)sheets/sheet[^/]*\.bin$", re.IGNORECASE)
_LOOKUP_ROOTS = frozenset(["sst", "styleSheet"])
_TEXTLESS_ROOTS = frozenset(["sst", "styleSheet", "Relationships", "Types", "theme", "chartSpace"])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a workbook, from the names of its first parts."""
    return office_package.sniff_document(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the rows of every sheet, and the text of comments and drawings."""
    book = _Workbook(OfficePackage(source, out, limits), out, limits)
    book.package.read_parts(book.choose_part_reader)
    book.report_problems()


class _Workbook:
    """One workbook: its package, and the shared strings and styles that its sheets refer to.

    Attributes:
        wide: how many rows of all sheets have more columns than can be output.
    """

    def __init__(self, package: OfficePackage, out: Output, limits: Limits) -> None:
        self.package = package
        self.out = out
        self.limits = limits
        self.strings = SharedStrings()
        self.wide = 0
        self._strings_incomplete = False
        # the names of the parts with shared strings, styles and workbook properties
        strings, styles, book = "", "", ""
        for name in package.part_names:
            base = name.rpartition("/")[2].lower()
            strings = strings or (name if base in ("sharedstrings.xml", "sharedstrings.bin") else "")
            styles = styles or (name if base in ("styles.xml", "styles.bin") else "")
            book = book or (name if base in ("workbook.xml", "workbook.bin") else "")
        for target, kind in self._related_parts(book):
            strings = target if kind.endswith("/sharedStrings") else strings
            styles = target if kind.endswith("/styles") else styles
        if strings.lower().endswith(".bin"):
            self._load_binary_strings(xlsb_parts.read_shared_strings(package.open_part(strings)))
        else:
            self._load_strings(package.open_part(strings))
        read = xlsb_parts.read_styles if styles.lower().endswith(".bin") else read_styles
        self.numbers = NumberFormatter(read(package.open_part(styles)), from_1904=self._counts_from_1904(book))

    def _related_parts(self, book: str) -> list[tuple[str, str]]:
        """The parts that the workbook refers to, as pairs of part name and relationship type."""
        folder, _, base = book.rpartition("/")
        found = []
        relationships = f"{folder}/_rels/{base}.rels" if folder else f"_rels/{base}.rels"
        for block in token_blocks(self.package.open_part(relationships)):
            for _, name, attrs, _ in block:
                if name == b"Relationship":
                    values = parse_attributes(attrs)
                    target = values.get(b"Target", b"").decode("utf-8", "replace")
                    place = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}".lstrip("/")
                    if place in self.package.part_names:
                        found.append((place, values.get(b"Type", b"").decode("utf-8", "replace")))
        return found

    def _counts_from_1904(self, book: str) -> bool:
        if book.lower().endswith(".bin"):
            return xlsb_parts.counts_from_1904(self.package.open_part(book))
        return any(
            name == b"workbookPr" and parse_attributes(attrs).get(b"date1904") in (b"1", b"true")
            for block in token_blocks(self.package.open_part(book))
            for _, name, attrs, _ in block
        )

    def _load_binary_strings(self, found: Iterator[bytes]) -> None:
        left = self.limits.memory // 2
        for text in found:
            self.strings.values.append(text)
            left -= len(text) + _STRING_OVERHEAD
            if left < 0:
                self._strings_incomplete = True
                return

    def _load_strings(self, source: Source) -> None:
        values = self.strings.values
        left = self.limits.memory // 2
        waiting: list[bytes] | None = None
        taking = skipped = False
        for block in split_blocks(source, b"</si>"):
            simple = _SIMPLE_STRING.findall(block)
            if waiting is None and sum(len(whole) for whole, _ in simple) == len(block):
                texts = [text for _, text in simple]
                values += (
                    [unescape_characters(unescape_xml(text)) for text in texts]
                    if b"&" in block or b"_x" in block
                    else texts
                )
            else:
                for slash, name, attrs, text in tokenize(block):
                    if text:
                        if taking and not skipped and waiting is not None:
                            waiting.append(text)
                    elif name == b"si":
                        if slash or attrs.endswith(b"/") or waiting:
                            values.append(unescape_characters(unescape_xml(b"".join(waiting or []))))
                        waiting = None if slash or attrs.endswith(b"/") else []
                    elif name == b"t":
                        taking = not slash and not attrs.endswith(b"/")
                    elif name == b"rPh":
                        # phonetic text is not part of the displayed text
                        skipped = not slash and not attrs.endswith(b"/")
            left -= len(block) + _STRING_OVERHEAD * block.count(b"<si")
            if left < 0:
                self._strings_incomplete = True
                return

    def choose_part_reader(self, head: bytes, name: str) -> Reader | None:
        """Choose the reader of a part by its first element, whatever its name; None if no reader recognises it."""
        root = root_name(as_utf8(head)) if head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<") else ""
        if root in _SHEET_ROOTS:
            return _SheetPart(self)
        if _BINARY_SHEET_NAME.search(name):
            return _BinarySheetPart(self)
        if root in _LOOKUP_ROOTS or office_package.STANDARD_PART_NAME.match(name):
            return TEXTLESS_PART if root in _TEXTLESS_ROOTS else TextPart("xml")
        return choose(head, name)

    def report_problems(self) -> None:
        """Report the problems of all sheets together."""
        if self._strings_incomplete:
            self.out.problem("memory", "the shared strings need more memory than the limit allows", incomplete=True)
        elif self.strings.missing:
            self.out.problem(
                "strings", f"{self.strings.missing} cells refer to a shared string that is missing", incomplete=True
            )
        if self.wide:
            columns = self.limits.max_columns
            self.out.problem(
                "columns", f"{self.wide} rows have more than {columns} columns; their last column holds the rest"
            )


class _SheetPart(PackagePart):
    """Reads a sheet of a workbook."""

    def __init__(self, book: _Workbook) -> None:
        super().__init__("xml")
        self._book = book

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output the rows of the sheet."""
        sheet = SheetReader(out, limits, self._book.strings, self._book.numbers)
        try:
            sheet.read(source)
        finally:
            self._book.wide += sheet.rows.wide


class _BinarySheetPart(PackagePart):
    """Reads a sheet of a binary workbook."""

    def __init__(self, book: _Workbook) -> None:
        super().__init__("xlsb")
        self._book = book

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output the rows of the sheet."""
        sheet = xlsb_parts.BinarySheetReader(out, limits, self._book.strings.values, self._book.numbers)
        try:
            sheet.read(source)
        finally:
            self._book.wide += sheet.rows.wide
            self._book.strings.missing += sheet.missing_strings
        if sheet.damaged_records:
            out.problem("damaged", "a record of the sheet is invalid", incomplete=True)
