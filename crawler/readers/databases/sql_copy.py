"""The data of PostgreSQL's COPY … FROM stdin, lines up to a backslash and a dot; where it begins is `sql_dump`'s to find."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from operator import methodcaller

from crawler.readers.databases.sql_literals import copy_column

_DELIMITER = re.compile(rb"DELIMITERS?\s*+(?:AS\s*+)?[Ee]?'(\\t|[^'\\])'", re.IGNORECASE)
_CSV = re.compile(rb"\bCSV\b", re.IGNORECASE)


class Copy:
    """One COPY statement.

    Args:
        options: what stood behind the word stdin.
    """

    def __init__(self, options: bytes) -> None:
        found = _DELIMITER.search(options)
        self.csv = _CSV.search(options) is not None
        self.delimiter = (found[1].replace(b"\\t", b"\t")) if found else b"," if self.csv else b"\t"
        self.width = 0
        self.began = False

    def rows(self, lines: list[bytes]) -> tuple[list[Sequence[bytes]], list[bytes]]:
        """Columns of whole lines, and the lines that have another number of values than most."""
        if self.csv:
            return self._csv(lines)
        delimiter = self.delimiter
        counts = list(map(methodcaller("count", delimiter), lines))
        if not self.began:
            # what most lines have is believed before a list of names
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
        # escapes are few: a column without any stays as it is
        return [copy_column(column) if b"\\" in b"".join(column) else column for column in columns], refused

    def _csv(self, lines: list[bytes]) -> tuple[list[Sequence[bytes]], list[bytes]]:
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
