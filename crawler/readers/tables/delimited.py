"""Delimited tables (CSV with any separator and quote): a bad line loses only itself, never the file.

The record pass infers what the columns contain.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter, methodcaller

from crawler.readers.core.encoding import BLOCK, Lines, as_utf8, is_text, repair
from crawler.readers.core.file_cuts import IndexedBlock
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.tables.cell_arrays import find_cells
from crawler.readers.tables.cell_escapes import decode_cells
from crawler.readers.tables.csv_dialect import (
    SNIFF_LINES,
    CsvDialect,
    find_dialect,
    has_odd_quotes,
    is_list_of_values,
    names_columns,
    roles_of_header,
    split_roughly,
)
from crawler.readers.tables.text_tables import TextTables, holds_labels_of_people, holds_table_of_people

FORMAT = "delimited"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

# Rows are sent in blocks of about so many bytes: each block costs the examiner a thousand calls, whatever its size, which
# were a quarter of its work with blocks of 256 KiB.
_LARGE_BLOCK = 2**20
# A quoted value that spans more lines has an unclosed opening quote.
MAX_QUOTED_LINES = 500
# If a quoted record of a table of at least this width contains lines that are complete records themselves, its opening
# quote was unclosed. Lines of narrower tables can look complete by chance.
MIN_TELLING_WIDTH = 4
# bytes in which names before values are searched for, and beginnings of languages that are no tables
_LABELS_SEARCHED, _NO_TABLES = 16_384, (b"@prefix ", b"@base ", b"PREFIX ")

_SENTENCE = re.compile(rb"(?<![a-z])[a-z]{2,} [a-z]{2,} [a-z]{2,}")
# properties of Org; statements of SQL, Cypher and MongoDB; lines of N-Triples; lines of logs of PostgreSQL and MySQL
_STATEMENT = re.compile(
    rb"\s{0,80}(?::[A-Za-z_]\w{0,40}:(?=[ \n]|$)|(?:EXEC|CREATE|MERGE|MATCH|SELECT|UPDATE|SET|BEGIN|INSERT)\s|db\.\w|<http[^>\n]*> <http|\{ \"_id\""
    rb"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[^\n]{0,60}(?:\b(?:LOG|DETAIL|STATEMENT|ERROR|HINT):|\b\d+ (?:Query|Execute|Connect|Quit)\b))"
)
csv.field_size_limit(2**31 - 1)  # records are bounded before csv sees them


def sniff(head: bytes, name: str) -> float:
    """High if most lines have the same number of separators, which prose and code do not have, or are one value each."""
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    if is_list_of_values(text, whole=len(head) < HEAD):
        return 0.85
    dialect = find_dialect(text, whole=len(head) < HEAD)
    if dialect is None:
        return 0.0
    named = name.lower().endswith((".csv", ".tsv", ".psv"))
    lines = sum(1 for line in text.split(b"\n", 4)[:4] if line.strip())
    if lines < 2:
        # A single line is weak evidence: a leak of one record has several values and contains no sentence.
        is_record = dialect.width >= 3 and not _SENTENCE.search(text.lower())
        return 0.6 if named or is_record else 0.0
    if named:
        return 0.9
    needed = 0.95 if dialect.separator in (b":", b"#", b"*", b"!", b"^") and dialect.width < 3 else 0.6
    if dialect.share < needed:
        return 0.0
    if dialect.width == 2 and _reads_like_prose(text, dialect):
        return 0.0
    if holds_labels_of_people(text[:_LABELS_SEARCHED].split(b"\n")):
        return 0.0
    if text.lstrip().startswith(_NO_TABLES) or _holds_statements(text[:_LABELS_SEARCHED]):
        return 0.0
    return 0.3 + 0.5 * dialect.share


def _holds_statements(text: bytes) -> bool:
    """Whether most lines are statements of a program or entries of its log, whose commas separate no columns."""
    lines = [line for line in text.split(b"\n")[:SNIFF_LINES] if line.strip()]
    return sum(map(bool, map(_STATEMENT.match, lines))) * 2 > len(lines)


def _reads_like_prose(text: bytes, dialect: CsvDialect) -> bool:
    """True if most separators are followed by a space or end a line.

    So do a comma in a sentence, a colon after a label, and what separates the elements of a list in a program.
    """
    followed = text.count(dialect.separator + b" ") + text.count(dialect.separator + b"\n")
    return followed * 2 > text.count(dialect.separator)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send all rows, including the first: the record pass decides whether it names the columns."""
    dialect = _dialect_of(source)
    is_wiki = _is_wiki(source, dialect)
    lines = index_lines(source, limits)
    out.header(None)
    table = _TableReader(dialect, out, limits)
    for block in lines.blocks():
        table.add(decode_cells(block, is_wiki=is_wiki))
    table.finish()
    if lines.wrong:
        out.problem("changed", "its bytes are not those of the file that was cut into chunks", incomplete=True)
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")
    if table.unclosed:
        out.problem("quotes", f"{table.unclosed} quotes are unclosed; their lines were read without regard to quotes")
    if table.wide:
        out.problem(
            "columns",
            f"{table.wide} rows have more than {limits.max_columns} columns; their last column holds the rest",
        )


def _dialect_of(source: Source) -> CsvDialect:
    head = source.peek(HEAD)
    text, whole = repair(as_utf8(head)), len(head) < HEAD
    found = None if is_list_of_values(text, whole=whole) else find_dialect(text, whole=whole)
    return found or CsvDialect(b",", b'"', False, 1, 1.0)


def _is_wiki(source: Source, dialect: CsvDialect) -> bool:
    """Whether lines begin with a separator, as tables of wikis do."""
    return dialect.separator == b"|" and source.peek(HEAD).lstrip().startswith(b"|")


def index_lines(source: Source, limits: Limits) -> Lines:
    """The lines of a table in the blocks in which `read` reads them."""
    return Lines(source, limits.max_line, _LARGE_BLOCK)


def index(source: Source, lines: Lines) -> Iterator[IndexedBlock]:
    """The blocks of a table with the number of their records; a block is no border within a quoted value."""
    dialect = _dialect_of(source)
    if _is_wiki(source, dialect):
        return
    is_open = False
    for data in lines.raw_blocks():
        block = data.replace(b"\r\n", b"\n") if b"\r" in data else data
        if not is_open and (not dialect.quote or dialect.quote not in block):
            yield IndexedBlock(data, len(_filled_lines(block)) if b"\n\n" in block or block[:1] in (b"", b"\n")
                               or block[-1:] == b"\n" else block.count(b"\n") + 1, is_border=True)  # fmt: skip
            continue
        records = 0
        for line in block.split(b"\n"):
            is_odd = has_odd_quotes(line, dialect.quote, dialect.backslash)
            # a quoted value that spans lines ends with the next odd number of quotes
            records += is_odd if is_open else bool(line) and not is_odd
            is_open ^= is_odd
        yield IndexedBlock(data, records, is_border=not is_open)


# around a table in a post
_BBCODE = re.compile(
    rb"\[/?(?:code|quote|spoiler|hide|b|i|u|s|size|color|font|center|left|php|plain|noparse|icode)(?:=[^\]\n]{0,100})?\]",
    re.IGNORECASE,
)


# lines of a post that may stand above the names of the columns
_LINES_ABOVE = 10
# before each line of a post in the reply to it
_QUOTED_LINE = re.compile(rb"^(?:> ){1,9}", re.MULTILINE)


class _TableReader:
    """Parses the lines of one table and sends its rows.

    Attributes:
        unclosed: number of quotes that were opened and not closed.
        wide: number of rows with more columns than the limit.
    """

    def __init__(self, dialect: CsvDialect, out: Output, limits: Limits) -> None:
        self.dialect = dialect
        self.out = out
        self.limits = limits
        self.unclosed = 0
        self.wide = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        # the line that names the columns, else the first one; other tables between the lines of this one
        self._first = self._names = b""
        self._others: TextTables | None = None
        self._interrupted = False
        # The csv module needs text: Latin-1 turns every byte into one character, and in UTF-8 no byte of a letter equals
        # a separator. It takes separators and quotes of one byte only.
        self._fits_csv = len(dialect.separator) == 1 and len(dialect.quote) == 1

    def add(self, block: bytes) -> None:
        """Add whole lines."""
        if b"[/" in block or b"[CODE" in block:
            block = _BBCODE.sub(b"", block)
        if b"\n> " in block or block.startswith(b"> "):
            block = _QUOTED_LINE.sub(b"", block)
        if not self._first:
            lines = [line for line in block.split(b"\n", 2 * _LINES_ABOVE) if line][:_LINES_ABOVE]
            named = (line for line in lines if roles_of_header(line, self.dialect.separator, self.dialect.quote))
            self._names = next(named, b"")
            self._first = self._names or next(iter(lines), b"")
            at = block.find(self._first) + len(self._first)
            block = block[:at] + self._without_names(block[at:])
        else:
            block = self._without_names(block)
        while not self._pending and (at := self._further_header(block)):
            rows, words = self._without_words(block[: at - 1])
            self._add(rows)
            if self._pending:
                # it stands in a quoted value
                self._add(words + block[at:])
                return
            if words:
                self.out.text(words)
            self.out.header(None)
            block = block[at:]
            self._first = self._names = block.partition(b"\n")[0]
        self._add(block)

    def _without_words(self, block: bytes) -> tuple[bytes, bytes]:
        """Rows, and the last lines without a separator: what is said about the table below them."""
        lines = block.split(b"\n")
        end = len(lines)
        while end and self.dialect.separator not in lines[end - 1]:
            end -= 1
        return b"\n".join(lines[:end]), b"".join(line + b"\n" for line in lines[end:] if line)

    def _further_header(self, block: bytes) -> int:
        """Where a line names the columns of another table that begins with the same column; 0 if none does."""
        separator = self.dialect.separator
        first, found, _ = self._names.partition(separator)
        if not first or not found:
            return 0
        begin, at = b"\n" + first + separator, 0
        while (at := block.find(begin, at) + 1) > 0:
            end = block.find(b"\n", at)
            line = block[at : end if end >= 0 else len(block)]
            if line != self._names and names_columns(line, separator, self.dialect.quote):
                return at
        return 0

    def _add(self, block: bytes) -> None:
        dialect = self.dialect
        if not self._pending and self._send_as_arrays(block):
            return
        if len(block) > BLOCK and (half := block.find(b"\n", len(block) // 2) + 1 or block.rfind(b"\n") + 1):
            # what cannot be sent as arrays may stand in one half, and cells without content may be too many for a frame
            self._add(block[: half - 1])
            self._add(block[half:])
            return
        if not self._pending and (not dialect.quote or dialect.quote not in block):
            self._send_unquoted(_filled_lines(block))
            return
        lines = block.split(b"\n")
        # A blank line inside a quoted value belongs to it; the empty string after the last line end is no line.
        self._read_quoted(lines if lines[-1] else lines[:-1])

    def _without_names(self, lines: bytes) -> bytes:
        """Lines without those that repeat the first one, which names the columns: files that were joined by `cat`."""
        if not self._names or self._names not in lines:
            return lines
        return b"\n".join([line for line in lines.split(b"\n") if line != self._names])

    def finish(self) -> None:
        """End the file: a quote that is still open is unclosed."""
        while self._pending:
            lines, self._pending, self._pending_size = self._pending, [], 0
            self._recover_unclosed(lines, [])
            if not self._pending:
                break

    def _send_as_arrays(self, block: bytes) -> bool:
        """Send a block by array operations, 1 million rows in 0.3 s; False if it must be parsed line by line."""
        dialect = self.dialect
        if len(dialect.separator) != 1 or (dialect.backslash and b"\\" in block):
            return False
        quote = dialect.quote[0] if dialect.quote else -1
        found = find_cells(block, dialect.separator[0], quote, dialect.width, self.limits.max_columns)
        if found is None:
            return self._send_with_other_tables(block)
        _, ends = found
        is_regular = ends.shape[1] == dialect.width and (dialect.width < 2 or bool(ends[:, -1].all()))
        return (not is_regular and self._send_with_other_tables(block)) or self.out.cells(block, *found)

    # --- other tables behind this one ----------------------------------------------------------------------------

    def _send_with_other_tables(self, block: bytes) -> bool:
        """Send a block in which tables with other columns stand (`cat *.csv`); False, and nothing, if there are none."""
        dialect = self.dialect
        if dialect.quote and any(count & 1 for count in map(methodcaller("count", dialect.quote), block.split(b"\n"))):
            return False
        lines = _filled_lines(block)
        own = [len(split_roughly(line, dialect.separator, dialect.quote or b'"')) == dialect.width for line in lines]
        segments = [
            (is_own, [line for _, line in group])
            for is_own, group in groupby(zip(own, lines, strict=True), key=itemgetter(0))
        ]
        others = [not is_own and holds_table_of_people(group) for is_own, group in segments]
        if not any(others) and not (
            self._others is not None and self._others.is_in_run and segments and not segments[0][0]
        ):
            return False
        for number, ((_, group), is_other) in enumerate(zip(segments, others, strict=True)):
            if is_other or (number == 0 and self._others is not None and self._others.is_in_run and not segments[0][0]):
                self._others = self._others or TextTables(self.out, self.limits)
                self._others.add(b"\n".join(group))
                self._others.finish()
                self._interrupted = True
                continue
            if self._interrupted:
                self.out.header(None)
                self._interrupted = False
                if self._others is not None:
                    self._others.interrupt()
                group = [self._first, *group] if self._first else group
            self._send_records(group)
        return True

    # --- without quotes ------------------------------------------------------------------------------------------

    def _send_unquoted(self, lines: list[bytes]) -> None:
        separator, width = self.dialect.separator, self.dialect.width
        if not lines:
            return
        counts = list(map(methodcaller("count", separator), lines))
        if counts.count(width - 1) == len(lines) and width <= self.limits.max_columns:
            values = separator.join(lines).split(separator)
            self.out.columns([values[index::width] for index in range(width)])
            return
        self._send_ragged([line.split(separator) for line in lines])

    def _send_ragged(self, rows: Sequence[Sequence[bytes]]) -> None:
        max_columns = self.limits.max_columns
        if max(map(len, rows)) > max_columns:
            separator = self.dialect.separator
            self.wide += sum(1 for row in rows if len(row) > max_columns)
            rows = [
                row if len(row) <= max_columns else [*row[: max_columns - 1], separator.join(row[max_columns - 1 :])]
                for row in rows
            ]
        self.out.rows(rows)

    # --- with quotes ---------------------------------------------------------------------------------------------

    def _read_quoted(self, lines: list[bytes]) -> None:
        dialect = self.dialect
        odd = [count & 1 for count in map(methodcaller("count", dialect.quote), lines)]
        if dialect.backslash:
            escaped = b"\\" + dialect.quote
            odd = [
                (flag ^ (line.count(escaped) & 1)) if escaped in line else flag
                for flag, line in zip(odd, lines, strict=True)
            ]
        if not self._pending and not any(odd):
            self._send_records([line for line in lines if line])
            return
        ready: list[bytes] = []
        # Lines of an unclosed quote are read a second time, but never a third time: the cost stays linear.
        for line, flag in zip(lines, odd, strict=True):
            if not self._pending:
                if flag:
                    self._pending, self._pending_size = [line], len(line)
                elif line:
                    ready.append(line)
                continue
            self._pending.append(line)
            self._pending_size += len(line)
            if flag:
                quoted_lines, self._pending, self._pending_size = self._pending, [], 0
                record = b" ".join(quoted_lines)
                if self._is_plausible(quoted_lines, record):
                    ready.append(record)
                else:
                    self._recover_unclosed(quoted_lines, ready)
            elif len(self._pending) > MAX_QUOTED_LINES or self._pending_size > self.limits.max_line:
                quoted_lines, self._pending, self._pending_size = self._pending, [], 0
                self._recover_unclosed(quoted_lines, ready)
        if ready:
            self._send_records(ready)

    def _is_plausible(self, lines: list[bytes], record: bytes) -> bool:
        """Whether lines that quotes join are one record of the table."""
        width = self.dialect.width
        if len(self._cells(record)) != width:
            return False
        return width < MIN_TELLING_WIDTH or not any(len(self._cells(line)) == width for line in lines[1:-1])

    def _recover_unclosed(self, lines: list[bytes], ready: list[bytes]) -> None:
        """Read the line of an unclosed quote without regard to quotes, and the lines after it once more."""
        self.unclosed += 1
        if ready:
            self._send_records(ready)
            ready.clear()
        separator = self.dialect.separator
        self._send_ragged([[value.strip(self.dialect.quote) for value in lines[0].split(separator)]])
        rest = [line for line in lines[1:] if line]
        if not rest:
            return
        # Only the last line can have an odd number of quotes: it may open a value that continues in the next line.
        if has_odd_quotes(rest[-1], self.dialect.quote, self.dialect.backslash):
            last = rest.pop()
            self._pending, self._pending_size = [last], len(last)
        if rest:
            self._send_records(rest)

    def _send_records(self, records: list[bytes]) -> None:
        """Send records in which all quotes are closed."""
        if not records:
            return
        rows = self._parse_csv(records)
        if rows is None:
            self._send_ragged([self._split_record(record) for record in records])
            return
        width = self.dialect.width
        if list(map(len, rows)).count(width) == len(rows) and width <= self.limits.max_columns:
            self.out.columns_latin(list(zip(*rows, strict=True)))
        else:
            self._send_ragged([[value.encode("latin-1") for value in row] for row in rows])

    def _cells(self, record: bytes) -> Sequence[object]:
        rows = self._parse_csv([record])
        return self._split_record(record) if rows is None else rows[0]

    def _parse_csv(self, records: list[bytes]) -> list[list[str]] | None:
        """One row for each record, as Latin-1 text; None if the csv module would join records or cannot parse them."""
        dialect = self.dialect
        if not self._fits_csv:
            return None
        reader = csv.reader(
            b"\n".join(records).decode("latin-1").split("\n"),
            delimiter=dialect.separator.decode("latin-1"),
            quotechar=dialect.quote.decode("latin-1"),
            escapechar="\\" if dialect.backslash else None,
            skipinitialspace=True,
        )
        try:
            rows = list(reader)
        except csv.Error:
            return None
        return rows if len(rows) == len(records) else None

    def _split_record(self, record: bytes) -> list[bytes]:
        """The values of one record, for records that `_parse_csv` cannot parse."""
        separator, quote = self.dialect.separator, self.dialect.quote
        if not quote or quote not in record:
            return record.split(separator)
        values: list[bytes] = []
        open_value: list[bytes] = []
        for part in record.split(separator):
            if open_value:
                open_value.append(part)
                if part.rstrip().endswith(quote):
                    values.append(_strip_quotes(separator.join(open_value), quote))
                    open_value = []
            elif part.lstrip().startswith(quote) and (part.count(quote) & 1):
                open_value = [part]
            else:
                values.append(_strip_quotes(part, quote))
        return values + [_strip_quotes(part, quote) for part in open_value]


def _strip_quotes(value: bytes, quote: bytes) -> bytes:
    value = value.strip()
    if len(value) > 1 and value.startswith(quote) and value.endswith(quote):
        value = value[1:-1]
    return value.replace(quote + quote, quote)


def _filled_lines(block: bytes) -> list[bytes]:
    """The lines that are not empty."""
    lines = block.split(b"\n")
    return lines if b"" not in lines else [line for line in lines if line]
