"""Delimited tables (CSV and its relatives): a bad line costs itself, never the file; types are for the record pass."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from operator import methodcaller

from crawler.readers.core.encoding import Lines, as_utf8, is_text, repair
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.tables.cell_arrays import find_cells

FORMAT = "delimited"
EMBEDDED_SEARCH = "all"

# in the order of preference between equals; exports of breached databases use all of these
SEPARATORS = (b",", b";", b"\t", b"|", b":", b"\x1f", b"\x01", b"~", b"^", b"#", b"*", b"\xc2\xa7", b"!", b"@@")
SNIFF_LINES = 200
# lines over which a quoted value may run before its opening quote is taken for a stray one
MAX_QUOTED_LINES = 500
# a quoted record that swallowed whole lines of the usual shape had a stray quote; narrower tables cannot tell
TELLING_WIDTH = 4

_SENTENCE = re.compile(rb"(?<![a-z])[a-z]{2,} [a-z]{2,} [a-z]{2,}")
# a whole cell between apostrophes; it begins with what is rare, which is looked for ten times as fast
_APOSTROPHES = re.compile(rb"'(?<=[,;\t|\n]')[^'\n]*'(?![^,;\t|\n])")
# the colons of a time of day divide no values
_TIME = re.compile(rb"(?<=[ T]\d\d):\d\d(?::\d\d)?(?!\d)")
_REFERENCE = re.compile(rb"&(?:#\d{2,6}|#[xX][0-9a-fA-F]{2,5}|[A-Za-z]{2,8});")

csv.field_size_limit(2**31 - 1)  # records are bounded before csv sees them


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a table is written.

    Attributes:
        separator: between values. quote: around values, empty where none is used.
        backslash: a backslash takes a quote's meaning away. width: columns of most rows.
        share: of the lines looked at, how many have that width.
    """

    separator: bytes
    quote: bytes
    backslash: bool
    width: int
    share: float


# a table is sniffed and then read: what the first found is what the second asks for
@lru_cache(1)
def find_dialect(head: bytes, *, whole: bool = False) -> Dialect | None:
    """The dialect of a head (as `as_utf8` gives it) or None; `whole` if the file has no more bytes."""
    lines = head.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [
        _REFERENCE.sub(_letter, line) if b"&" in line else line for line in lines[: SNIFF_LINES + 1] if line.strip()
    ][:SNIFF_LINES]
    if not lines:
        return None
    text = b"\n".join(lines)
    quote = b'"'
    if text.count(b"'") > 2 * text.count(b'"') and _APOSTROPHES.search(b"\n" + text):
        quote = b"'"
    backslash = b"\\" + quote in text
    joined = _joined(lines, quote, backslash)
    timeless = [_TIME.sub(b" ", line) for line in joined] if _TIME.search(text) else joined
    best: tuple[float, Dialect] | None = None
    for rank, separator in enumerate(SEPARATORS):
        if separator not in text:
            continue
        counts = Counter(
            len(_cells(line, separator, quote)) if quote in line else line.count(separator) + 1
            for line in (timeless if separator == b":" else joined)
        )
        width, votes = max(counts.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
        if width < 2:
            continue
        share = votes / len(joined)
        score = share * (1 + min(width, 20) / 20) - rank / 1000
        if best is None or score > best[0]:
            best = score, Dialect(separator, quote if quote in text else b"", backslash, width, share)
    return best[1] if best else None


def _joined(lines: list[bytes], quote: bytes, backslash: bool) -> list[bytes]:
    """Lines with those of one quoted value put together, where the quotes of the head close at all."""
    joined: list[bytes] = []
    pending: list[bytes] = []
    for line in lines:
        if pending:
            pending.append(line)
            if _odd(line, quote, backslash):
                joined.append(b" ".join(pending))
                pending = []
        elif _odd(line, quote, backslash):
            pending = [line]
        else:
            joined.append(line)
    return joined + pending


def _odd(line: bytes, quote: bytes, backslash: bool) -> bool:
    return bool((line.count(quote) - (line.count(b"\\" + quote) if backslash else 0)) & 1)


def _cells(line: bytes, separator: bytes, quote: bytes) -> list[bytes]:
    """A rough split for sniffing: quoted values are blanked first."""
    if quote in line:
        line = re.sub(re.escape(quote) + rb"[^" + quote + rb"]*" + re.escape(quote), b"q", line)
    return line.split(separator)


def _letter(found: re.Match[bytes]) -> bytes:
    """The letter that a character reference stands for, whose semicolon divides no values; others stay."""
    text = unescape(found[0].decode())
    return text.encode("utf-8", "replace") if text.isalpha() or text in "'’\u00a0" else found[0]


def sniff(head: bytes, name: str) -> float:
    """Sure where several lines have the same number of separators; prose and code have not."""
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    dialect = find_dialect(text, whole=len(head) < HEAD)
    if dialect is None:
        return 0.0
    named = name.lower().endswith((".csv", ".tsv", ".psv"))
    lines = sum(1 for line in text.split(b"\n", 4)[:4] if line.strip())
    if lines < 2:
        # one line alone says little: a drip of a single record has several values and no sentence in them
        one = dialect.width >= 3 and not _SENTENCE.search(text.lower())
        return 0.6 if named or one else 0.0
    if named:
        return 0.9
    needed = 0.95 if dialect.separator in (b":", b"#", b"*", b"!", b"^") and dialect.width < 3 else 0.6
    if dialect.share < needed:
        return 0.0
    if dialect.width == 2 and _reads_like_prose(text, dialect):
        return 0.0
    return 0.3 + 0.5 * dialect.share


def _reads_like_prose(text: bytes, dialect: Dialect) -> bool:
    """True where a separator is mostly followed by a space, as a comma in a sentence or a colon after a label is."""
    return text.count(dialect.separator + b" ") * 2 > text.count(dialect.separator)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give all rows out, the first one included: whether it names the columns is for the record pass to see."""
    head = source.peek(HEAD)
    dialect = find_dialect(repair(as_utf8(head)), whole=len(head) < HEAD)
    if dialect is None:
        dialect = Dialect(b",", b'"', False, 1, 1.0)
    lines = Lines(source, limits.max_line)
    out.header(None)
    table = _Table(dialect, out, limits)
    for block in lines.blocks():
        table.add(_REFERENCE.sub(_letter, block) if b"&" in block else block)
    table.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")
    if table.stray:
        out.problem("quotes", f"{table.stray} quotes were opened and not closed; their lines were read as they stand")
    if table.wide:
        out.problem(
            "columns", f"{table.wide} rows have more than {limits.max_columns} columns; the last holds the rest"
        )


class _Table:
    """Lines of one table on their way to row frames."""

    def __init__(self, dialect: Dialect, out: Output, limits: Limits) -> None:
        self.dialect = dialect
        self.out = out
        self.limits = limits
        self.stray = 0
        self.wide = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        # csv works on text: latin-1 gives every byte one character, and UTF-8 never has a separator inside a letter
        self._simple = len(dialect.separator) == 1 and len(dialect.quote) == 1

    def add(self, block: bytes) -> None:
        """Take whole lines."""
        dialect = self.dialect
        if not self._pending and self._at_once(block):
            return
        if not self._pending and (not dialect.quote or dialect.quote not in block):
            self._plain(_filled(block))
            return
        lines = block.split(b"\n")
        # a blank line within a value belongs to it, the end of the last line does not
        self._quoted(lines if lines[-1] else lines[:-1])

    def finish(self) -> None:
        """The file is over: a quote that is still open was a stray one."""
        while self._pending:
            lines, self._pending, self._pending_size = self._pending, [], 0
            self._give_up(lines, [])
            if not self._pending:
                break

    def _at_once(self, block: bytes) -> bool:
        """Give a block out by whole arrays: 1 M rows in 0.3 s; False where it needs a closer look."""
        dialect = self.dialect
        if len(dialect.separator) != 1 or (dialect.backslash and b"\\" in block):
            return False
        quote = dialect.quote[0] if dialect.quote else -1
        found = find_cells(block, dialect.separator[0], quote, dialect.width, self.limits.max_columns)
        return found is not None and self.out.cells(block, *found)

    # --- without quotes ------------------------------------------------------------------------------------------

    def _plain(self, lines: list[bytes]) -> None:
        separator, width = self.dialect.separator, self.dialect.width
        if not lines:
            return
        counts = list(map(methodcaller("count", separator), lines))
        if counts.count(width - 1) == len(lines) and width <= self.limits.max_columns:
            values = separator.join(lines).split(separator)
            self.out.columns([values[index::width] for index in range(width)])
            return
        self._ragged([line.split(separator) for line in lines])

    def _ragged(self, rows: Sequence[Sequence[bytes]]) -> None:
        most = self.limits.max_columns
        if max(map(len, rows)) > most:
            separator = self.dialect.separator
            self.wide += sum(1 for row in rows if len(row) > most)
            rows = [row if len(row) <= most else [*row[: most - 1], separator.join(row[most - 1 :])] for row in rows]
        self.out.rows(rows)

    # --- with quotes ---------------------------------------------------------------------------------------------

    def _quoted(self, lines: list[bytes]) -> None:
        dialect = self.dialect
        odd = [count & 1 for count in map(methodcaller("count", dialect.quote), lines)]
        if dialect.backslash:
            escaped = b"\\" + dialect.quote
            odd = [
                (flag ^ (line.count(escaped) & 1)) if escaped in line else flag
                for flag, line in zip(odd, lines, strict=True)
            ]
        if not self._pending and not any(odd):
            self._records([line for line in lines if line])
            return
        ready: list[bytes] = []
        # a line given back is looked at once more, and only then: the work stays linear
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
                lines_of, self._pending, self._pending_size = self._pending, [], 0
                record = b" ".join(lines_of)
                if self._plausible(lines_of, record):
                    ready.append(record)
                else:
                    self._give_up(lines_of, ready)
            elif len(self._pending) > MAX_QUOTED_LINES or self._pending_size > self.limits.max_line:
                lines_of, self._pending, self._pending_size = self._pending, [], 0
                self._give_up(lines_of, ready)
        if ready:
            self._records(ready)

    def _plausible(self, lines: list[bytes], record: bytes) -> bool:
        width = self.dialect.width
        if len(self._cells(record)) != width:
            return False
        return width < TELLING_WIDTH or not any(len(self._cells(line)) == width for line in lines[1:-1])

    def _give_up(self, lines: list[bytes], ready: list[bytes]) -> None:
        """Read the line of a stray quote as it stands, and the lines after it anew."""
        self.stray += 1
        if ready:
            self._records(ready)
            ready.clear()
        separator = self.dialect.separator
        self._ragged([[value.strip(self.dialect.quote) for value in lines[0].split(separator)]])
        rest = [line for line in lines[1:] if line]
        if not rest:
            return
        # only the last line can hold an odd number of quotes: it may open a value that runs on
        if _odd(rest[-1], self.dialect.quote, self.dialect.backslash):
            last = rest.pop()
            self._pending, self._pending_size = [last], len(last)
        if rest:
            self._records(rest)

    def _records(self, records: list[bytes]) -> None:
        """Whole records, quotes closed."""
        if not records:
            return
        rows = self._csv(records)
        if rows is None:
            self._ragged([self._by_hand(record) for record in records])
            return
        width = self.dialect.width
        if list(map(len, rows)).count(width) == len(rows) and width <= self.limits.max_columns:
            self.out.columns_latin(list(zip(*rows, strict=True)))
        else:
            self._ragged([[value.encode("latin-1") for value in row] for row in rows])

    def _cells(self, record: bytes) -> Sequence[object]:
        rows = self._csv([record])
        return self._by_hand(record) if rows is None else rows[0]

    def _csv(self, records: list[bytes]) -> list[list[str]] | None:
        """One row per record as latin-1 text; None where a record would run on into the next."""
        dialect = self.dialect
        if not self._simple:
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

    def _by_hand(self, record: bytes) -> list[bytes]:
        """One record where csv would run on into the next, or the separator has several bytes."""
        separator, quote = self.dialect.separator, self.dialect.quote
        if not quote or quote not in record:
            return record.split(separator)
        values: list[bytes] = []
        open_value: list[bytes] = []
        for part in record.split(separator):
            if open_value:
                open_value.append(part)
                if part.rstrip().endswith(quote):
                    values.append(_bare(separator.join(open_value), quote))
                    open_value = []
            elif part.lstrip().startswith(quote) and (part.count(quote) & 1):
                open_value = [part]
            else:
                values.append(_bare(part, quote))
        return values + [_bare(part, quote) for part in open_value]


def _bare(value: bytes, quote: bytes) -> bytes:
    value = value.strip()
    if len(value) > 1 and value.startswith(quote) and value.endswith(quote):
        value = value[1:-1]
    return value.replace(quote + quote, quote)


def _filled(block: bytes) -> list[bytes]:
    """The lines that hold anything."""
    lines = block.split(b"\n")
    return lines if b"" not in lines else [line for line in lines if line]
