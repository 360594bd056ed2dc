"""Files that were stored as values in a table of a database: each is read as a member of the table's file."""

from __future__ import annotations

from crawler.readers.core.limits import HEAD
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source
from crawler.readers.databases.unnamed_columns import text_or_none

MAX_MEMBERS = 10_000
_NOT_MEMBERS = frozenset({"text", "delimited", "unknown"})
# numbers, keys and digests are shorter than files
_MIN_FILE = 64


class BlobReader:
    """Reads binary values of the tables of one file.

    Args:
        out: takes the members.
        problems: counts the files that were too many to be read.
    """

    def __init__(self, out: Output, problems: ProblemCounter) -> None:
        self._out = out
        self._problems = problems
        self._members = 0

    def read_file(self, data: bytes) -> bool:
        """Read a value as a member if it is a file of a known format; False if it is none."""
        reader = choose(data[:HEAD], "")
        if reader is None or reader.FORMAT in _NOT_MEMBERS:
            return False
        self._members += 1
        if self._members > MAX_MEMBERS:
            self._problems.add("unread", f"only {MAX_MEMBERS} files in tables are read; the others are not")
        else:
            read_member(Source(iter([data])), self._out)
        return True

    def without_file(self, value: bytes) -> bytes:
        """A value whose type is unknown: b'' if it is a file, which is read then; otherwise the value itself."""
        if len(value) < _MIN_FILE or text_or_none(value) is not None:
            return value
        return b"" if self.read_file(value) else value
