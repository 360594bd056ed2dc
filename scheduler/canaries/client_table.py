"""A client's table as it is given to enrolment: its encoding, separator and columns."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO

from crawler.records.column_roles import ROLES, Column, Plan, looks_like_header, sniff
from data.errors import InputError

SNIFF_ROWS = 500
MAX_CELL = 1 << 20
HEAD = 64 * 1024
SEPARATORS = ",;\t|"


def _encoding(head: bytes, path: Path) -> str:
    """The encoding of a table: by its byte order mark, else UTF-8, else Windows-1252.

    Raises:
        InputError: the file is empty or no text.
    """
    if not head.strip(b"\0 \t\r\n"):
        raise InputError(f"{path} holds nothing", hint="export the table again, with its rows, as CSV")
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    if b"\0" in head or sum(byte < 32 and byte not in b"\t\r\n\f\x1b" for byte in head) > len(head) // 50:
        raise InputError(f"{path} is binary, not a table of text", hint="export the table as CSV (UTF-8)")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(lines: Sequence[str]) -> str:
    """The separator that cuts the first lines into the most cells, equally many in each."""

    def score(separator: str) -> tuple[float, int]:
        counts = [line.count(separator) for line in lines if line.strip()]
        if not counts or not max(counts):
            return 0.0, 0
        usual, often = Counter(counts).most_common(1)[0]
        return (often / len(counts) if usual else 0.0), usual

    return max(SEPARATORS, key=score)


@dataclass
class Table:
    """A client's table while it is read; `text` is kept, as it would close the file when it goes."""

    path: Path
    encoding: str
    separator: str
    header: list[str] | None
    sample: list[list[str]]
    rows: Iterator[list[str]] = field(repr=False)
    text: io.TextIOWrapper = field(repr=False)


def open_table(path: Path, stream: IO[bytes]) -> Table:
    """Find out encoding, separator and header of a table.

    Raises:
        InputError: it is empty, binary, or no table.
    """
    head = stream.read(HEAD)
    encoding = _encoding(head, path)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, "replace", newline="")
    first = head.decode(encoding, "replace").splitlines()[:50]
    separator = _separator(first[:-1] or first)
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(_lines(text, path), delimiter=separator)
    rows = _guarded((row for row in reader if any(map(str.strip, row))), path)
    sample = list(islice(rows, SNIFF_ROWS))
    if not sample:
        raise InputError(f"{path} holds no rows", hint="export the table again, with its rows, as CSV")
    header = None
    if looks_like_header(sample[0], sample[1:]):
        header, sample = sample[0], sample[1:]
    return Table(path, encoding, separator, header, sample, chain(sample, rows), text)


def _lines(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """Lines of bounded length: a gigabyte without an end of line is no table."""
    while line := text.readline(MAX_CELL):
        if len(line) >= MAX_CELL:
            raise InputError(
                f"{path} has a line of more than {MAX_CELL:,} characters", hint="export the table as CSV again"
            )
        yield line


def _guarded(rows: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"{path} is no readable table: a quote is not closed, or a cell is too long",
                         hint="export the table as CSV again") from error  # fmt: skip


def choose_columns(table: Table, given: str) -> Plan:
    """The plan of a table: sniffed, with what `--columns` says on top.

    Args:
        table: with header and sample.
        given: "nom=surname,3=dob"; columns by header word or 1-based number.

    Raises:
        InputError: a column or role does not exist (names the nearest), or no useful column was found.
    """
    plan = sniff(table.header, table.sample)
    columns = list(plan.columns)
    names = list(table.header or [])
    for pair in filter(None, (part.strip() for part in given.split(","))):
        name, equals, role = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(f"--columns: '{pair}' is not name=role", hint="write for example  nom=surname,ddn=dob")
        if role not in (*ROLES, "ignore"):
            near = difflib.get_close_matches(role, ROLES, 1, 0.4)
            raise InputError(
                f"--columns: no role is called '{role}'" + (f"; did you mean '{near[0]}'?" if near else ""),
                hint=f"roles are: {', '.join(ROLES)}, ignore",
            )
        if name in names:
            at = names.index(name)
        elif name.isdecimal() and 1 <= int(name) <= len(columns):
            at = int(name) - 1
        else:
            near = difflib.get_close_matches(name, names, 1, 0.3)
            raise InputError(
                f"--columns: {table.path.name} has no column '{name}'"
                + (f"; did you mean '{near[0]}'?" if near else ""),
                hint=f"its columns are: {', '.join(names) or f'1 to {len(columns)}'}",
            )
        columns[at] = Column(columns[at].name, "" if role == "ignore" else role, "--columns")
    plan = Plan(tuple(columns))
    if not plan.is_useful:
        raise InputError(
            f"{table.path.name} has no column that can be tagged",
            hint="say which they are, for example  --columns 'nom=surname,prenom=first,ddn=dob'",
        )
    return plan
