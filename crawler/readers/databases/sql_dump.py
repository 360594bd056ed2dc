"""SQL dumps of any writer: rows of INSERT and COPY as tables, all else as text; values and rows are read by `sql_rows`.

One pass in bounded memory. A row that cannot be read costs itself: reading goes on at the next place that looks like a
row of the same table or like a statement.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crawler.readers.core.encoding import as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.databases.sql_copy import Copy
from crawler.readers.databases.sql_rows import BETWEEN, MAX_FAST, MORE, Pattern, Row, Shape, read_row, shape_of
from crawler.readers.databases.sql_statements import (
    COPY,
    CREATE,
    INSERT,
    STANDARD,
    START,
    STARTS,
    columns_of,
    names_of,
    table_key,
)
from crawler.readers.databases.table_output import Tables

FORMAT = "sql_dump"
EMBEDDED_SEARCH = "all"

# worked on at once; a row may be `LONGEST` lines long, as many bytes as a picture in hexadecimal has
BLOCK = 2**19
# and this much by one pattern: all that it makes stays in the processor's cache
PART = 2**16
LONGEST = 16
# the beginning of a statement, its list of columns included, is looked for within this
AHEAD = 2**17
# rows that are read one by one before a pattern is made of them: making one costs as much as some hundred rows
PATIENCE = 64
WORTHWHILE = 8
MAX_PATTERNS = 256
# so many rows in turn that can only be read with the other meaning of the backslash change it for all
TURNS = 4
MAX_NAMED = 20_000
# after a row that cannot be read this many places are tried, each within a window, and all that in vain together costs
# at most so many bytes of looking for each byte that was read
TRIES, WINDOW, WASTE = 256, 2**16, 4
LEAST = 4096

_NEXT_ROW = re.compile(rb"\)\s*+,\s*+(?=\()|[;\n][^\S\n]*+(?=(?:INSERT|REPLACE|COPY|CREATE|INTO)\s)", re.IGNORECASE)
_COPY_END = re.compile(rb"\\\.\r?(?:\n|$)")
_COPY_LATER_END = re.compile(rb"\n(\\\.)\r?(?:\n|$)")
# a statement where lines should be: the end mark is missing
_COPY_MISSED = re.compile(
    rb"\n(?=(?:INSERT\s+INTO|COPY|CREATE\s+TABLE|ALTER\s+TABLE|SET|SELECT\s+pg_catalog)\s[^\n]*[;(])"
)
_BETWEEN = re.compile(BETWEEN)
_GAP = re.compile(rb"[\s,]*+")
_OVER = re.compile(rb"(?:[\s;]++|GO\b)*", re.IGNORECASE)

_TOOLS = re.compile(
    rb"^\s*(?:--|/\*+)[^\n]{0,80}(?:(?:MySQL|MariaDB|PostgreSQL|phpMyAdmin|Adminer|HeidiSQL|Navicat|SQL Server|Oracle|SQLite)\b[^\n]{0,60}"
    rb"(?:dump|backup|data transfer|script)|phpMyAdmin|(?:MySQL|MariaDB) dump|PostgreSQL database|Object:  )",
    re.IGNORECASE,
)
_SQLITE = re.compile(rb"\s*PRAGMA foreign_keys\s*=\s*OFF;\s*BEGIN TRANSACTION;", re.IGNORECASE)
_BACKSLASH = re.compile(
    rb"\\'[^,)\s]|`[\w .]{1,64}`|\) ENGINE\s*=|/\*!\d{5}|-- (?:MySQL|MariaDB)|phpMyAdmin", re.IGNORECASE
)
_PLAIN = re.compile(
    rb"PostgreSQL database|standard_conforming_strings\s*=\s*on|\bFROM stdin\b|\bN'|\nGO[ \r]{0,9}\n|\[dbo\]|BEGIN TRANSACTION;"
    rb"|\bTO_(?:DATE|TIMESTAMP)\(|VARCHAR2|NVARCHAR",
    re.IGNORECASE,
)


def sniff(head: bytes, name: str) -> float:
    """Sure where a statement with rows begins a line; nearly so by the comment of a tool that writes dumps."""
    text = as_utf8(head)
    capitals = text.upper()
    # most samples have none of the words: telling so takes a tenth of looking for statements
    for start in START.finditer(text) if any(word in capitals for word in STARTS) else ():
        if start[0].startswith(b";") and b"\n" not in start[0]:
            # a cell of a table may say so
            continue
        at = start.start(1)
        if found := INSERT.match(text, at) or COPY.match(text, at):
            # pictures may stand in the rows
            return 0.96 if is_text(text[: found.end()]) else 0.0
        if CREATE.match(text, at) and (name.lower().endswith(".sql") or b";" in text):
            return 0.92
    if not is_text(text):
        return 0.0
    if _TOOLS.search(text) or _SQLITE.match(text):
        return 0.94
    return 0.3 if name.lower().endswith(".sql") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the rows of every INSERT and COPY, and what stands between them as text."""
    head = as_utf8(source.peek(2**16))
    dump = _Dump(source, out, limits, backslash=escapes(head))
    try:
        dump.read()
    finally:
        dump.tables.flush()
    dump.report()


def escapes(head: bytes) -> bool:
    """Whether a backslash escapes in strings: MySQL's way, not that of the standard."""
    mysql, standard = (len(pattern.findall(head)) for pattern in (_BACKSLASH, _PLAIN))
    return mysql > standard


class _Dump:
    """One dump on its way through."""

    def __init__(self, source: Source, out: Output, limits: Limits, *, backslash: bool) -> None:
        self.out = out
        self.limits = limits
        self.tables = Tables(out, limits)
        self.backslash = backslash
        self.damaged = 0
        self.lines = 0
        self.cut = False
        self._pieces = utf8_pieces(source)
        self._data = b""
        self._at = 0
        self._ended = False
        self._names: dict[bytes, list[str]] = {}
        self._shapes: dict[bytes, Shape] = {}
        self._patterns: dict[tuple[bytes, Shape, bool], Pattern] = {}
        self._other = 0
        self._unended = False
        self._passed = 0
        self._wasted = 0

    def report(self) -> None:
        """Say what was wrong."""
        if self.damaged:
            self.out.problem("sql", f"{self.damaged} places hold no row that can be read; they were examined as text")
        if self.lines:
            self.out.problem(
                "sql", f"{self.lines} lines of COPY have another number of values; they were examined as text"
            )
        if self.cut:
            self.out.problem("cut", "it ends inside a row")
        if self.tables.wide:
            self.out.problem(
                "columns",
                f"{self.tables.wide} rows have more than {self.limits.max_columns} columns; the last holds the rest",
            )

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _have(self, size: int) -> bool:
        """Whether so many bytes are there behind the place that was reached, after more were fetched."""
        have = len(self._data) - self._at
        if have >= size:
            return True
        parts = [self._data[self._at :]]
        size = max(size, BLOCK)
        while have < size and not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
            else:
                parts.append(piece)
                have += len(piece)
        self._passed += self._at
        self._data, self._at = b"".join(parts), 0
        return have >= size

    def _text(self, stop: int) -> None:
        """All up to a place goes out as text."""
        if stop > self._at:
            text = self._data[self._at : stop]
            self._at = stop
            if text.strip(b"; \t\r\n"):
                self.out.text(repair(text) + (b"" if text.endswith(b"\n") else b"\n"))

    # --- statements ------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """All of it."""
        while True:
            self._have(AHEAD)
            data = self._data
            if self._at >= len(data):
                return
            over = _OVER.match(data, self._at)
            at = over.end() if over else self._at
            if self._statement(at):
                continue
            found = next(
                (start for start in START.finditer(data, self._at) if start.start(1) > at),
                None,
            )
            if found is not None:
                self._text(found.start(1))
            elif self._ended:
                self._text(len(data))
            else:
                # a word that is cut here is whole next time
                line = data.rfind(b"\n", self._at, len(data) - 64)
                self._text(line if line > self._at else max(self._at + 1, len(data) - 64))

    def _statement(self, at: int) -> bool:
        """Read the statement that begins at a place, if it is one of those with rows or names."""
        data = self._data
        if found := INSERT.match(data, at):
            self._at = found.end()
            names = names_of(found[2]) if found[2] else self._names.get(table_key(found[1]))
            self._rows(data[at : found.end()].rstrip(), table_key(found[1]), names)
            return True
        if found := COPY.match(data, at):
            self._at = found.end()
            names = names_of(found[2]) if found[2] else self._names.get(table_key(found[1]))
            self._copy(Copy(found[3]), table_key(found[1]), names)
            return True
        if found := CREATE.match(data, at):
            names, end = [], found.end()
            if len(self._names) < MAX_NAMED:
                names, end = columns_of(data, found.end(), min(len(data), found.end() + min(AHEAD, self._budget())))
            if names:
                self._names[table_key(found[1])] = names
            else:
                self._wasted += end - found.end()
                end = found.end()
            self._text(end)
            return True
        if found := STANDARD.match(data, at):
            self.backslash = found[1].lower() == b"off"
            self._text(found.end())
            return True
        return False

    # --- INSERT ----------------------------------------------------------------------------------------------------

    def _rows(self, prefix: bytes, table: bytes, names: Sequence[str] | None) -> None:
        """Rows from the parenthesis of the first one on, of this statement and those that begin as it does."""
        shape = self._shapes.get(table, Shape((), None))
        careful, patience = 0, 1 if shape.forms else PATIENCE
        while True:
            again = self._behind(prefix)
            if self._data[self._at : self._at + 1] != b"(":
                return
            if careful >= patience and len(shape.forms) <= MAX_FAST:
                took, left = self._many(prefix if again else b"", table, names, shape)
                careful = 0
                # rows that never fit must not cost a try each; little that is left is a row that is not whole yet
                patience = min(1024, 2 * patience + 8) if took < WORTHWHILE else int(left >= PART // 8)
                if took:
                    continue
            row = self._one(len(shape.forms) or len(names or ()))
            if row is None:
                if self._data[self._at : self._at + 1] != b"(":
                    return
                continue
            if row.backslash == self.backslash:
                self._other = 0
                seen = shape_of(row)
                shape = shape.after(seen) if len(seen.forms) == len(shape.forms) else seen
                if table in self._shapes or len(self._shapes) < MAX_NAMED:
                    self._shapes[table] = shape
            else:
                self._other += 1
                if self._other == TURNS:
                    self.backslash, self._other = row.backslash, 0
                    shape = Shape((), None)
                    self._shapes.clear()
            self.tables.add(table, names, [[cell] for cell in row.cells], row.end - self._at)
            self._at = row.end
            careful += 1

    def _behind(self, prefix: bytes) -> bool:
        """Go to where the next row begins, or does not; whether the beginning of the statement stood there again."""
        self._have(len(prefix) + 4096)
        data = self._data
        found = _BETWEEN.match(data, self._at)
        at = found.end() if found else self._at
        if data.startswith(prefix, at) and (found := _GAP.match(data, at + len(prefix))):
            if data[found.end() : found.end() + 1] == b"(":
                self._at = found.end()
                return True
            return False
        if found := _GAP.match(data, self._at):
            self._at = found.end()
        return False

    def _many(self, prefix: bytes, table: bytes, names: Sequence[str] | None, shape: Shape) -> tuple[int, int]:
        """Take all rows that fit a pattern and are there; how many, and the bytes that are left of what was looked at."""
        key = prefix, shape, self.backslash
        pattern = self._patterns.get(key)
        if pattern is None:
            if len(self._patterns) >= MAX_PATTERNS:
                self._patterns.clear()
            pattern = self._patterns[key] = Pattern(*key)
        self._have(PART)
        part = self._data[self._at : self._at + PART]
        columns, left = pattern.take(part)
        size = len(part) - left
        if columns:
            self.tables.add(table, names, columns, size)
            self._at += size
            return len(columns[0]), left
        return 0, left

    def _one(self, width: int) -> Row | None:
        """The row that begins here; None if there is none, and the place is then behind what cannot be read."""
        ahead = AHEAD
        longest = max(LEAST, min(LONGEST * self.limits.max_line, self._budget()))
        while True:
            self._have(min(ahead, longest))
            stop = min(len(self._data), self._at + longest)
            looked = self._at
            for backslash in (self.backslash, not self.backslash):
                row = read_row(self._data, self._at, stop, backslash)
                if isinstance(row, Row):
                    if backslash == self.backslash or width in (0, len(row.cells)):
                        return row
                    continue
                looked = max(looked, row.at)
                self._unended = row.reason == MORE
                if row.reason == MORE and backslash == self.backslash and not self._ended and stop - self._at < longest:
                    break
            else:
                self._wasted += looked - self._at
                break
            ahead = 2 * (len(self._data) - self._at)
        self._resume(width)
        return None

    def _budget(self) -> int:
        """Bytes that may still be looked at in vain."""
        allowed = LONGEST * self.limits.max_line + WASTE * (self._passed + self._at)
        return max(0, allowed - self._wasted)

    def _resume(self, width: int) -> None:
        """Go to the next place that looks like a row or a statement."""
        start, tries = self._at + 1, 0
        while True:
            data = self._data
            for found in _NEXT_ROW.finditer(data, start):
                at = found.end()
                if at + WINDOW > len(data) and not self._ended:
                    # what follows must be seen
                    self._text(found.start())
                    break
                if data[at : at + 1] != b"(":
                    self.damaged += 1
                    self._text(at)
                    return
                row = read_row(data, at, min(len(data), at + WINDOW), self.backslash)
                if isinstance(row, Row) and width in (0, len(row.cells)):
                    self.damaged += 1
                    self._text(at)
                    return
                tries += 1
                self._wasted += (row.end if isinstance(row, Row) else row.at) - at
                if tries > TRIES or not self._budget():
                    # too much in vain: the next statement, which `read` looks for
                    self.damaged += 1
                    line = data.find(b"\n", at)
                    self._text(line if line > 0 else len(data))
                    return
            else:
                if self._ended:
                    self.cut = self._unended
                    self.damaged += not self._unended
                    self._text(len(data))
                    return
                # what was looked at is done with, but for a mark that is cut
                self._text(max(self._at + 1, len(data) - 64))
            self._have(BLOCK + WINDOW)
            start = self._at

    # --- COPY ------------------------------------------------------------------------------------------------------

    def _copy(self, copy: Copy, table: bytes, names: Sequence[str] | None) -> None:
        """Lines up to the end mark."""
        while True:
            self._have(BLOCK)
            data, at = self._data, self._at
            if at >= len(data):
                return
            end = data.rfind(b"\n", at, at + BLOCK)
            if end < 0 and not self._ended and len(data) - at < LONGEST * self.limits.max_line:
                # one very long line
                self._have(2 * (len(data) - at))
                data, at = self._data, self._at
                end = data.rfind(b"\n", at)
            if end < 0:
                end = len(data)
            end, after = self._copy_end(copy, at, end)
            lines = data[at:end].replace(b"\r\n", b"\n").split(b"\n") if end > at else []
            if lines and not lines[-1] and (after is not None or end == len(data)):
                lines.pop()
            if lines:
                columns, refused = copy.rows(lines)
                if columns:
                    self.tables.add(table, names, columns, end - at)
                if refused:
                    self.lines += len(refused)
                    self.out.text(repair(b"\n".join(refused)) + b"\n")
            if after is not None:
                self._at = after
                return
            self._at = min(len(data), end + 1)

    def _copy_end(self, copy: Copy, at: int, end: int) -> tuple[int, int | None]:
        """Where the lines of a block end, and where reading goes on if these are the last ones of their COPY."""
        data = self._data
        after: int | None = None
        if found := _COPY_END.match(data, at, end + 1):
            return at, found.end()
        if found := _COPY_LATER_END.search(data, at, end + 1):
            end, after = found.start(1), found.end()
        # the line feed before the first line may be gone
        for missed in _COPY_MISSED.finditer(data, max(0, at - 1), end):
            begin = missed.end()
            line = data[begin : data.find(b"\n", begin, end + 1)]
            if copy.delimiter not in line:
                return begin, begin
        return end, after
