"""SQL dumps written by any tool: rows of INSERT and COPY are sent as tables, everything else as text.

`sql_rows` parses rows, `sql_literals` their values. The dump is read once, in bounded memory. If a row cannot be read,
only that row is lost: reading continues at the next place that looks like a row of the same table or like a statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crawler.readers.core.encoding import as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.databases.sql_copy import CopyStatement
from crawler.readers.databases.sql_rows import (
    BETWEEN_ROWS,
    MAX_PATTERN_COLUMNS,
    UNFINISHED,
    Row,
    RowPattern,
    RowShape,
    read_row,
    shape_of,
)
from crawler.readers.databases.sql_statements import (
    COPY,
    CREATE,
    FIRST_WORDS,
    INSERT,
    STANDARD_STRINGS,
    STATEMENT_START,
    parse_column_definitions,
    parse_column_list,
    table_key,
)
from crawler.readers.databases.table_batcher import TableBatcher

FORMAT = "sql_dump"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "sql"

# bytes that are fetched and processed at a time
BLOCK_BYTES = 2**19
# bytes that a pattern parses at a time: few enough that its results stay in the processor's cache
PATTERN_BYTES = 2**16
# A row may be this many times as long as the longest line: a picture in hexadecimal digits is that long.
MAX_ROW_LINES = 16
# bytes within which the beginning of a statement, with its list of columns, must lie
LOOKAHEAD_BYTES = 2**17
# Rows are parsed one by one before a pattern is made: compiling one costs as much as parsing some hundred rows.
ROWS_BEFORE_PATTERN = 64
# A pattern that parses fewer rows at a time was not worth its use.
MIN_PATTERN_ROWS = 8
MAX_PATTERNS = 256
# After this many consecutive rows that parse only with the other meaning of the backslash, that meaning is adopted.
ROWS_TO_SWITCH_BACKSLASH = 4
# tables whose column names or row shapes are remembered
MAX_TABLES = 20_000
# After a row that cannot be read, up to `MAX_TRIES` places are tried as the start of the next row, each within
# `TRY_BYTES`. For each byte of the dump, at most `WASTE_RATIO` bytes may be searched without result.
MAX_TRIES, TRY_BYTES, WASTE_RATIO = 256, 2**16, 4
# A row is always searched within at least this many bytes.
MIN_ROW_BYTES = 4096

_NEXT_ROW = re.compile(rb"\)\s*+,\s*+(?=\()|[;\n][^\S\n]*+(?=(?:INSERT|REPLACE|COPY|CREATE|INTO)\s)", re.IGNORECASE)
_COPY_END = re.compile(rb"\\\.\r?(?:\n|$)")
_COPY_LATER_END = re.compile(rb"\n(\\\.)\r?(?:\n|$)")
# a statement among the data lines of a COPY, whose end mark is missing
_COPY_UNENDED = re.compile(
    rb"\n(?=(?:INSERT\s+INTO|COPY|CREATE\s+TABLE|ALTER\s+TABLE|SET|SELECT\s+pg_catalog)\s[^\n]*[;(])"
)
_BETWEEN_ROWS = re.compile(BETWEEN_ROWS)
_COMMAS = re.compile(rb"[\s,]*+")
_SEPARATORS = re.compile(rb"(?:[\s;]++|GO\b)*", re.IGNORECASE)

# the rows of an INSERT without its words: ('1','a'),('2','b')
_ROWS_ALONE = re.compile(rb"\s{0,64}(?:VALUES?\s{0,9})?(?=\(\s{0,9}(?:N?'|\d|NULL\b|\"))", re.IGNORECASE)
_NEXT_ALONE = re.compile(rb"\s{0,9},\s{0,9}(?=\()")
_MIN_CELLS_ALONE = 3

_TOOL_COMMENT = re.compile(
    rb"\s*(?:--|/\*+)[^\n]{0,80}(?:"
    rb"(?:MySQL|MariaDB|PostgreSQL|phpMyAdmin|Adminer|HeidiSQL|Navicat|SQL Server|Oracle|SQLite)\b[^\n]{0,60}"
    rb"(?:dump|backup|data transfer|script)|phpMyAdmin|(?:MySQL|MariaDB) dump|PostgreSQL database|Object:  )",
    re.IGNORECASE,
)
_SQLITE_DUMP = re.compile(rb"\s*PRAGMA foreign_keys\s*=\s*OFF;\s*BEGIN TRANSACTION;", re.IGNORECASE)
_MYSQL_SIGNS = re.compile(
    rb"\\'[^,)\s]|`[\w .]{1,64}`|\) ENGINE\s*=|/\*!\d{5}|-- (?:MySQL|MariaDB)|phpMyAdmin", re.IGNORECASE
)
_STANDARD_SIGNS = re.compile(
    rb"PostgreSQL database|standard_conforming_strings\s*=\s*on|\bFROM stdin\b|\bN'|\nGO[ \r]{0,9}\n|\[dbo\]"
    rb"|BEGIN TRANSACTION;|\bTO_(?:DATE|TIMESTAMP)\(|VARCHAR2|NVARCHAR",
    re.IGNORECASE,
)


def sniff(head: bytes, name: str) -> float:
    """High if a line begins with a statement that has rows; slightly lower for the comment of a dump tool."""
    text = as_utf8(head)
    capitals = text.upper()
    # Most samples contain none of the words: checking for them takes a tenth of the time of searching for statements.
    for start in STATEMENT_START.finditer(text) if any(word in capitals for word in FIRST_WORDS) else ():
        if start[0].startswith(b";") and b"\n" not in start[0]:
            # A cell of a table may contain this text.
            continue
        at = start.start(1)
        if found := INSERT.match(text, at) or COPY.match(text, at):
            # Only the statement must be text: the rows may contain pictures.
            return 0.96 if is_text(text[: found.end()]) else 0.0
        if CREATE.match(text, at) and (name.lower().endswith(".sql") or b";" in text):
            return 0.92
    if not is_text(text):
        return 0.0
    if _TOOL_COMMENT.match(text) or _SQLITE_DUMP.match(text):
        return 0.94
    if _begins_with_rows(text):
        return 0.91
    return 0.3 if name.lower().endswith(".sql") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of every INSERT and COPY as tables, and everything between them as text."""
    head = as_utf8(source.peek(2**16))
    dump = _DumpReader(source, out, limits, backslash=uses_backslash_escapes(head))
    try:
        dump.read()
    finally:
        dump.tables.flush()
    dump.report()


def _begins_with_rows(text: bytes) -> bool:
    """Whether a text begins with the rows of an INSERT without its words: two of equal width at least."""
    start = _ROWS_ALONE.match(text)
    if start is None:
        return False
    for backslash in (True, False):
        first = read_row(text, start.end(), len(text), backslash)
        between = _NEXT_ALONE.match(text, first.end) if isinstance(first, Row) else None
        if not isinstance(first, Row) or between is None or len(first.cells) < _MIN_CELLS_ALONE:
            continue
        second = read_row(text, between.end(), len(text), backslash)
        if isinstance(second, Row) and len(second.cells) == len(first.cells):
            return True
    return False


def uses_backslash_escapes(head: bytes) -> bool:
    """Whether a backslash is an escape character in strings, as in MySQL but not in the SQL standard."""
    mysql, standard = (len(pattern.findall(head)) for pattern in (_MYSQL_SIGNS, _STANDARD_SIGNS))
    return mysql > standard


class _DumpReader:
    """Reads one dump from beginning to end.

    Attributes:
        tables: collects the rows.
        backslash: whether a backslash is an escape character in strings.
        damaged: number of places where no row could be read.
        refused_lines: number of lines of COPY with an unusual number of values.
        cut: whether the dump ends inside a row.
    """

    def __init__(self, source: Source, out: Output, limits: Limits, *, backslash: bool) -> None:
        self.out = out
        self.limits = limits
        self.tables = TableBatcher(out, limits)
        self.backslash = backslash
        self.damaged = 0
        self.refused_lines = 0
        self.cut = False
        self._pieces = utf8_pieces(source)
        self._data = b""
        self._at = 0
        self._ended = False
        self._names: dict[bytes, list[str]] = {}
        self._shapes: dict[bytes, RowShape] = {}
        self._patterns: dict[tuple[bytes, RowShape, bool], RowPattern] = {}
        self._other_backslash = 0
        self._unfinished = False
        self._passed = 0
        self._wasted = 0

    def report(self) -> None:
        """Report the problems that were found."""
        if self.damaged:
            self.out.problem("sql", f"no row could be read at {self.damaged} places; they were examined as text")
        if self.refused_lines:
            self.out.problem(
                "sql",
                f"{self.refused_lines} lines of COPY have an unusual number of values; they were examined as text",
            )
        if self.cut:
            self.out.problem("cut", "the dump ends inside a row")
        if self.tables.wide:
            self.out.problem(
                "columns",
                f"{self.tables.wide} rows have more than {self.limits.max_columns} columns; "
                "their last column holds the rest",
            )

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _fetch(self, size: int) -> None:
        """Fetch data until `size` bytes follow the current place, or until the dump ends."""
        have = len(self._data) - self._at
        if have >= size:
            return
        parts = [self._data[self._at :]]
        size = max(size, BLOCK_BYTES)
        while have < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
            else:
                parts.append(piece)
                have += len(piece)
        self._passed += self._at
        self._data, self._at = b"".join(parts), 0

    def _send_text(self, stop: int) -> None:
        """Send everything from the current place to `stop` as text, and go to `stop`."""
        if stop > self._at:
            text = self._data[self._at : stop]
            self._at = stop
            if text.strip(b"; \t\r\n"):
                self.out.text(repair(text) + (b"" if text.endswith(b"\n") else b"\n"))

    # --- statements ------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read the whole dump."""
        self._fetch(LOOKAHEAD_BYTES)
        if (start := _ROWS_ALONE.match(self._data)) and _begins_with_rows(self._data[:LOOKAHEAD_BYTES]):
            self._at = start.end()
            self._read_rows(b"", b"", None)
        while True:
            self._fetch(LOOKAHEAD_BYTES)
            data = self._data
            if self._at >= len(data):
                return
            separators = _SEPARATORS.match(data, self._at)
            at = separators.end() if separators else self._at
            if self._read_statement(at):
                continue
            found = next(
                (start for start in STATEMENT_START.finditer(data, self._at) if start.start(1) > at),
                None,
            )
            if found is not None:
                self._send_text(found.start(1))
            elif self._ended:
                self._send_text(len(data))
            else:
                # The last word may be incomplete: it is kept until more data was fetched.
                line = data.rfind(b"\n", self._at, len(data) - 64)
                self._send_text(line if line > self._at else max(self._at + 1, len(data) - 64))

    def _read_statement(self, at: int) -> bool:
        """Read the statement that begins at `at`; False if it is none of those with rows, names or settings."""
        data = self._data
        if found := INSERT.match(data, at):
            self._at = found.end()
            names = parse_column_list(found[2]) if found[2] else self._names.get(table_key(found[1]))
            self._read_rows(data[at : found.end()].rstrip(), table_key(found[1]), names)
            return True
        if found := COPY.match(data, at):
            self._at = found.end()
            names = parse_column_list(found[2]) if found[2] else self._names.get(table_key(found[1]))
            self._read_copy(CopyStatement(found[3]), table_key(found[1]), names)
            return True
        if found := CREATE.match(data, at):
            names, end = [], found.end()
            if len(self._names) < MAX_TABLES:
                names, end = parse_column_definitions(
                    data, found.end(), min(len(data), found.end() + min(LOOKAHEAD_BYTES, self._budget()))
                )
            if names:
                self._names[table_key(found[1])] = names
            else:
                self._wasted += end - found.end()
                end = found.end()
            self._send_text(end)
            return True
        if found := STANDARD_STRINGS.match(data, at):
            self.backslash = found[1].lower() == b"off"
            self._send_text(found.end())
            return True
        return False

    # --- INSERT ----------------------------------------------------------------------------------------------------

    def _read_rows(self, prefix: bytes, table: bytes, names: Sequence[str] | None) -> None:
        """Read rows from the first parenthesis on, of this statement and of the following ones that begin alike."""
        shape = self._shapes.get(table, RowShape((), None))
        # rows that were parsed one by one since the last use of a pattern, and how many of them make the next use
        single, threshold = 0, 1 if shape.forms else ROWS_BEFORE_PATTERN
        while True:
            is_repeated = self._skip_to_row(prefix)
            if self._data[self._at : self._at + 1] != b"(":
                return
            if single >= threshold and len(shape.forms) <= MAX_PATTERN_COLUMNS:
                count, left = self._read_rows_by_pattern(prefix if is_repeated else b"", table, names, shape)
                single = 0
                # If patterns rarely match, they are tried less and less often. If one matched until little data was
                # left, the rest is probably an incomplete row, and the pattern is used again at once.
                threshold = (
                    min(1024, 2 * threshold + 8) if count < MIN_PATTERN_ROWS else int(left >= PATTERN_BYTES // 8)
                )
                if count:
                    continue
            row = self._read_one_row(len(shape.forms) or len(names or ()))
            if row is None:
                if self._data[self._at : self._at + 1] != b"(":
                    return
                continue
            if row.backslash == self.backslash:
                self._other_backslash = 0
                seen = shape_of(row)
                shape = shape.merge(seen) if len(seen.forms) == len(shape.forms) else seen
                if table in self._shapes or len(self._shapes) < MAX_TABLES:
                    self._shapes[table] = shape
            else:
                self._other_backslash += 1
                if self._other_backslash == ROWS_TO_SWITCH_BACKSLASH:
                    self.backslash, self._other_backslash = row.backslash, 0
                    shape = RowShape((), None)
                    self._shapes.clear()
            self.tables.add(table, names, [[cell] for cell in row.cells], row.end - self._at)
            self._at = row.end
            single += 1

    def _skip_to_row(self, prefix: bytes) -> bool:
        """Skip what separates two rows; True if `prefix`, the beginning of the statement, precedes the row again."""
        self._fetch(len(prefix) + 4096)
        data = self._data
        found = _BETWEEN_ROWS.match(data, self._at)
        at = found.end() if found else self._at
        if data.startswith(prefix, at) and (found := _COMMAS.match(data, at + len(prefix))):
            if data[found.end() : found.end() + 1] == b"(":
                self._at = found.end()
                return True
            return False
        if found := _COMMAS.match(data, self._at):
            self._at = found.end()
        return False

    def _read_rows_by_pattern(
        self, prefix: bytes, table: bytes, names: Sequence[str] | None, shape: RowShape
    ) -> tuple[int, int]:
        """Read all rows that match a pattern; returns their number, and how many of the searched bytes follow them."""
        key = prefix, shape, self.backslash
        pattern = self._patterns.get(key)
        if pattern is None:
            if len(self._patterns) >= MAX_PATTERNS:
                self._patterns.clear()
            pattern = self._patterns[key] = RowPattern(*key)
        self._fetch(PATTERN_BYTES)
        part = self._data[self._at : self._at + PATTERN_BYTES]
        columns, left = pattern.parse(part)
        size = len(part) - left
        if columns:
            self.tables.add(table, names, columns, size)
            self._at += size
            return len(columns[0]), left
        return 0, left

    def _read_one_row(self, width: int) -> Row | None:
        """The row that begins here; None if none can be read, and what cannot be read is then skipped."""
        ahead = LOOKAHEAD_BYTES
        longest = max(MIN_ROW_BYTES, min(MAX_ROW_LINES * self.limits.max_line, self._budget()))
        while True:
            self._fetch(min(ahead, longest))
            stop = min(len(self._data), self._at + longest)
            searched = self._at
            for backslash in (self.backslash, not self.backslash):
                row = read_row(self._data, self._at, stop, backslash)
                if isinstance(row, Row):
                    if backslash == self.backslash or width in (0, len(row.cells)):
                        return row
                    continue
                searched = max(searched, row.at)
                self._unfinished = row.reason == UNFINISHED
                if (
                    row.reason == UNFINISHED
                    and backslash == self.backslash
                    and not self._ended
                    and stop - self._at < longest
                ):
                    break
            else:
                self._wasted += searched - self._at
                break
            ahead = 2 * (len(self._data) - self._at)
        self._skip_damage(width)
        return None

    def _budget(self) -> int:
        """How many bytes may still be searched without result."""
        allowed = MAX_ROW_LINES * self.limits.max_line + WASTE_RATIO * (self._passed + self._at)
        return max(0, allowed - self._wasted)

    def _skip_damage(self, width: int) -> None:
        """Send everything up to the next place that looks like a row or a statement as text."""
        start, tries = self._at + 1, 0
        while True:
            data = self._data
            for found in _NEXT_ROW.finditer(data, start):
                at = found.end()
                if at + TRY_BYTES > len(data) and not self._ended:
                    # The data after this place must be fetched first.
                    self._send_text(found.start())
                    break
                if data[at : at + 1] != b"(":
                    self.damaged += 1
                    self._send_text(at)
                    return
                row = read_row(data, at, min(len(data), at + TRY_BYTES), self.backslash)
                if isinstance(row, Row) and width in (0, len(row.cells)):
                    self.damaged += 1
                    self._send_text(at)
                    return
                tries += 1
                self._wasted += (row.end if isinstance(row, Row) else row.at) - at
                if tries > MAX_TRIES or not self._budget():
                    # Too many tries failed: give up this statement; `read` searches for the next one.
                    self.damaged += 1
                    line = data.find(b"\n", at)
                    self._send_text(line if line > 0 else len(data))
                    return
            else:
                if self._ended:
                    self.cut = self._unfinished
                    self.damaged += not self._unfinished
                    self._send_text(len(data))
                    return
                # All searched data is skipped, except for the end, where a separator may be incomplete.
                self._send_text(max(self._at + 1, len(data) - 64))
            self._fetch(BLOCK_BYTES + TRY_BYTES)
            start = self._at

    # --- COPY ------------------------------------------------------------------------------------------------------

    def _read_copy(self, copy: CopyStatement, table: bytes, names: Sequence[str] | None) -> None:
        """Read data lines up to the end mark."""
        while True:
            self._fetch(BLOCK_BYTES)
            data, at = self._data, self._at
            if at >= len(data):
                return
            end = data.rfind(b"\n", at, at + BLOCK_BYTES)
            if end < 0 and not self._ended and len(data) - at < MAX_ROW_LINES * self.limits.max_line:
                # one very long line
                self._fetch(2 * (len(data) - at))
                data, at = self._data, self._at
                end = data.rfind(b"\n", at)
            if end < 0:
                end = len(data)
            end, after = self._find_copy_end(copy, at, end)
            lines = data[at:end].replace(b"\r\n", b"\n").split(b"\n") if end > at else []
            if lines and not lines[-1] and (after is not None or end == len(data)):
                lines.pop()
            if lines:
                columns, refused = copy.parse(lines)
                if columns:
                    self.tables.add(table, names, columns, end - at)
                if refused:
                    self.refused_lines += len(refused)
                    self.out.text(repair(b"\n".join(refused)) + b"\n")
            if after is not None:
                self._at = after
                return
            self._at = min(len(data), end + 1)

    def _find_copy_end(self, copy: CopyStatement, at: int, end: int) -> tuple[int, int | None]:
        """Where the data lines of a block end, and where reading continues if they are the last ones (None if not)."""
        data = self._data
        after: int | None = None
        if found := _COPY_END.match(data, at, end + 1):
            return at, found.end()
        if found := _COPY_LATER_END.search(data, at, end + 1):
            end, after = found.start(1), found.end()
        # The line feed before the first line may have been consumed.
        for statement in _COPY_UNENDED.finditer(data, max(0, at - 1), end):
            begin = statement.end()
            line = data[begin : data.find(b"\n", begin, end + 1)]
            if copy.delimiter not in line:
                return begin, begin
        return end, after
