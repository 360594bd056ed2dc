"""Parsing of the data lines of PostgreSQL's COPY … FROM stdin, which end with a backslash and a dot.

`sql_dump` finds where the data begins and ends.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from operator import methodcaller

from crawler.readers.databases.sql_literals import decode_copy_column

_DELIMITER = re.compile(rb"DELIMITERS?\s*+(?:AS\s*+)?[Ee]?'(\\t|[^'\\])'", re.IGNORECASE)
_CSV = re.compile(rb"\bCSV\b", re.IGNORECASE)


class CopyStatement:
    """One COPY statement, whose data lines are parsed in parts.

    Args:
        options: the text between the word stdin and the end of the line.
    """

    def __init__(self, options: bytes) -> None:
        found = _DELIMITER.search(options)
        self.csv = _CSV.search(options) is not None
        self.delimiter = (found[1].replace(b"\\t", b"\t")) if found else b"," if self.csv else b"\t"
        self.width = 0
        self.began = False

    def parse(self, lines: list[bytes]) -> tuple[list[Sequence[bytes]], list[bytes]]:
        """The columns of some lines, and the lines that were refused because they have an unusual number of values."""
        if self.csv:
            return self._parse_csv(lines)
        delimiter = self.delimiter
        counts = list(map(methodcaller("count", delimiter), lines))
        if not self.began:
            # The width of most lines counts, not that of the list of column names.
            self.began, self.width = True, Counter(counts[:1000]).most_common(1)[0][0] + 1
        width = self.width
        refused: list[bytes] = []
        if counts.count(width - 1) != len(lines):
            refused = [line for line, count in zip(lines, counts, strict=True) if count != width - 1]
            lines = [line for line, count in zip(lines, counts, strict=True) if count == width - 1]
        if not lines:
            return [], refused
        values = delimiter.join(lines).split(delimiter)
        columns = [values[at::width] for at in range(width)]
        # Escapes are rare: a column without backslashes needs no decoding.
        return [decode_copy_column(column) if b"\\" in b"".join(column) else column for column in columns], refused

    def _parse_csv(self, lines: list[bytes]) -> tuple[list[Sequence[bytes]], list[bytes]]:
        reader = csv.reader(
            b"\n".join(lines).decode("latin-1").split("\n"), delimiter=self.delimiter.decode("latin-1"), quotechar='"'
        )
        try:
            rows = list(reader)
        except csv.Error:
            return [], lines
        if not self.began:
            self.began, self.width = True, Counter(map(len, rows[:1000])).most_common(1)[0][0]
        width = self.width
        good = [row for row in rows if len(row) == width]
        refused = [self.delimiter.decode("latin-1").join(row).encode("latin-1") for row in rows if len(row) != width]
        columns = [[cell.encode("latin-1") for cell in column] for column in zip(*good, strict=True)]
        return list(columns), refused
