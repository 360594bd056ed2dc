"""How a delimited table is written: its separator, its quotes and its width, judged by its first lines."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from operator import methodcaller

from crawler.readers.core.regex_compat import possessive
from crawler.readers.tables.cell_escapes import decode_references
from data.identifiers.header_words import role_of

# in order of preference if they fit equally well; exports of breached databases use all of these
SEPARATORS = (b",", b";", b"\t", b"|", b":", b"\x1f", b"\x01", b"~", b"^", b"#", b"*", b"\xc2\xa7", b"!", b"@@")
SNIFF_LINES = 200
# A header decides the separator if so many lines at least have a width in common with it.
MIN_HEADER_SHARE = 0.3
MAX_HEADER, MIN_HEADER_ROLES, MAX_HEADER_DIGITS = 8192, 2, 4

# A file is a list of values if it has so many and nearly all lines are values.
MIN_VALUES, VALUES_SHARE = 5, 0.95
# a mailbox; a telephone, social security or account number, which may stand in groups
_VALUE = re.compile(
    rb"[ \t\"']*(?:[^\s@;,:|\"']{1,64}@[^\s@;,:|\"']{1,250}\.[a-zA-Z]{2,24}"
    rb"|[+(]?\d(?:[ .()\-]{0,2}\d){8,19}(?:[ ]?[AB](?:[ .\-]{0,2}\d){8})?|\d(?: ?\d){4} ?2[AB](?: ?\d){6,8}"
    rb"|[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30})[ \t\r\"']*"
)
# a whole cell between apostrophes; beginning the pattern with the rare apostrophe makes the search ten times as fast
_APOSTROPHE_CELL = re.compile(rb"'(?<=[,;\t|\n]')[^'\n]*'(?![^,;\t|\n])")
# the colons of a time of day, which separate no values
_TIME_COLONS = re.compile(rb"(?<=[ T]\d\d):\d\d(?::\d\d)?(?!\d)")


# quoted values with a space between them, as Tcl and SQLite's `.mode tcl` write lists
_SPACED_LINE = possessive(rb'[ \t]*"(?:[^"\\]|\\.)*+"(?: (?:"(?:[^"\\]|\\.)*+"|-?[\d.]{1,40}|NULL))+[ \t\r]*')
# labels of Markdown, whose asterisks separate nothing
_BOLD = re.compile(rb"(?:^|\n)[ \t>-]{0,9}\*\*[^*\n]{1,60}\*\*")


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How a table is written.

    Attributes:
        separator: the bytes between values.
        quote: the byte that surrounds values; b'' if none is used.
        backslash: whether a backslash escapes a quote.
        width: number of columns of most rows.
        share: share of the examined lines that have this width.
    """

    separator: bytes
    quote: bytes
    backslash: bool
    width: int
    share: float


# Cached, because `sniff` and then `read` ask for the dialect of the same head.
@lru_cache(1)
def find_dialect(head: bytes, *, whole: bool = False) -> CsvDialect | None:
    """The dialect of a head (made by `as_utf8`), or None; `whole` says that the file has no more bytes."""
    lines = head.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [decode_references(line) for line in lines[: SNIFF_LINES + 1] if line.strip()][:SNIFF_LINES]
    if not lines:
        return None
    text = b"\n".join(lines)
    quote = b'"'
    if text.count(b"'") > 2 * text.count(b'"') and _APOSTROPHE_CELL.search(b"\n" + text):
        quote = b"'"
    backslash = b"\\" + quote in text
    has_quotes = quote in text
    joined = _join_quoted_lines(lines, quote, backslash) if has_quotes else lines
    timeless = [_TIME_COLONS.sub(b" ", line) for line in joined] if _TIME_COLONS.search(text) else joined
    best: tuple[float, CsvDialect] | None = None
    spaced = quote == b'"' and text.startswith(quote) and all(map(_SPACED_LINE.fullmatch, joined))
    for rank, separator in enumerate((b" ",) if spaced else SEPARATORS):
        if separator not in text or (separator == b"*" and _BOLD.search(text)):
            continue
        rows = timeless if separator == b":" else joined
        if has_quotes:
            counts = Counter(
                len(split_roughly(line, separator, quote)) if quote in line else line.count(separator) + 1
                for line in rows
            )
        else:
            separators = Counter(map(methodcaller("count", separator), rows))
            counts = Counter({count + 1: votes for count, votes in separators.items()})
        width, votes = max(counts.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
        if width < 2:
            continue
        share = votes / len(joined)
        score = share * (1 + min(width, 20) / 20) - rank / 1000
        if share >= MIN_HEADER_SHARE:
            score += roles_of_header(joined[0], separator, quote)
        if best is None or score > best[0]:
            best = score, CsvDialect(separator, quote if has_quotes else b"", backslash, width, share)
    return best[1] if best else None


@lru_cache(1)
def is_list_of_values(head: bytes, *, whole: bool) -> bool:
    """Whether nearly every line is one mailbox or one long number: a table of one column, which has no separator.

    Args:
        head: made by `as_utf8`.
        whole: whether the file has no more bytes.
    """
    lines = head.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines[: SNIFF_LINES + 1] if line.strip()]
    # the first line may be a header
    values = sum(1 for line in lines if _VALUE.fullmatch(line))
    return values >= MIN_VALUES and values >= VALUES_SHARE * (len(lines) - 1)


def roles_of_header(line: bytes, separator: bytes, quote: bytes) -> float:
    """A higher score if a separator splits a line into words of a header that name what columns hold.

    A separator that splits notes into more cells than the table has columns would win otherwise.
    """
    cells = line[:MAX_HEADER].decode("utf-8", "replace").split(separator.decode())
    roles = {role_of(cell.strip(f" \t\r{quote.decode()}")) for cell in cells} - {""}
    return float(len(roles)) if len(roles) >= MIN_HEADER_ROLES else 0.0


def names_columns(line: bytes, separator: bytes, quote: bytes) -> bool:
    """Whether the cells of a line are names of columns, of which one at least is known, and no values."""
    if len(line) > MAX_HEADER or b"@" in line:
        return False
    cells = [cell.strip(f" \t\r{quote.decode()}") for cell in line.decode("utf-8", "replace").split(separator.decode())]
    named = all(cell and sum(map(str.isdigit, cell)) < MAX_HEADER_DIGITS for cell in cells)
    return named and any(role_of(cell) for cell in cells[1:])


def _join_quoted_lines(lines: list[bytes], quote: bytes, backslash: bool) -> list[bytes]:
    """The lines, with the lines of one quoted value joined; after an unclosed quote lines are left as they are."""
    joined: list[bytes] = []
    pending: list[bytes] = []
    for line in lines:
        if pending:
            pending.append(line)
            if has_odd_quotes(line, quote, backslash):
                joined.append(b" ".join(pending))
                pending = []
        elif has_odd_quotes(line, quote, backslash):
            pending = [line]
        else:
            joined.append(line)
    return joined + pending


def has_odd_quotes(line: bytes, quote: bytes, backslash: bool) -> bool:
    """Whether a value that spans lines begins or ends in this line."""
    return bool((line.count(quote) - (line.count(b"\\" + quote) if backslash else 0)) & 1)


def split_roughly(line: bytes, separator: bytes, quote: bytes) -> list[bytes]:
    """Split a line for sniffing; each quoted value counts as one cell."""
    if quote in line:
        line = re.sub(re.escape(quote) + rb"[^" + quote + rb"]*" + re.escape(quote), b"q", line)
    return line.split(separator)
