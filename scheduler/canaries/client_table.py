"""Reads a client's table for enrolment: finds out its encoding, separator, header and columns."""

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

from crawler.records.column_roles import ROLES, Column, ColumnPlan, looks_like_header, plan_columns, rows_above
from crawler.records.table_forms import TableForms, find_forms
from crawler.records.table_sample import TableSample
from data.errors import InputError
from data.identifiers.header_words import role_of

SNIFF_ROWS = 500
MAX_CELL = 1 << 20
HEAD_BYTES = 64 * 1024
SEPARATORS = ",;\t|"


def _detect_encoding(head: bytes, path: Path) -> str:
    """The encoding of a table: that of its byte order mark, else UTF-8 if it is valid, else Windows-1252.

    Raises:
        InputError: the file is empty or binary.
    """
    if not head.strip(b"\0 \t\r\n"):
        raise InputError(f"{path} is empty", hint="export the table again, with its rows, as CSV")
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    if b"\0" in head or sum(byte < 32 and byte not in b"\t\r\n\f\x1b" for byte in head) > len(head) // 50:
        raise InputError(f"{path} is a binary file, not a text table", hint="export the table as CSV (UTF-8)")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _detect_separator(lines: Sequence[str]) -> str:
    """The separator that splits the header into most words that name a role, or the first lines most consistently.

    Of equals it is the one with most cells.
    """
    header = next((line for line in lines if line.strip()), "")

    def roles(separator: str) -> int:
        found = {role_of(cell.strip(" \"'")) for cell in header.split(separator)} - {""}
        return len(found) if len(found) > 1 else 0

    def score(separator: str) -> tuple[int, float, int]:
        counts = [line.count(separator) for line in lines if line.strip()]
        if not counts or not max(counts):
            return 0, 0.0, 0
        common, lines_with_it = Counter(counts).most_common(1)[0]
        return roles(separator), (lines_with_it / len(counts) if common else 0.0), common

    return max(SEPARATORS, key=score)


@dataclass
class ClientTable:
    """A client's table while it is read.

    Attributes:
        header: the header words; None if the table has no header.
        sample: the first rows. rows: all rows, including the sample. Their cells are in forms that single cells can be read by.
        forms: how the cells were rewritten.
        text: kept only because the file would be closed with it.
    """

    path: Path
    encoding: str
    separator: str
    header: list[str] | None
    sample: list[list[str]]
    rows: Iterator[list[str]] = field(repr=False)
    forms: TableForms
    text: io.TextIOWrapper = field(repr=False)


def open_table(path: Path, stream: IO[bytes]) -> ClientTable:
    """Find out encoding, separator and header of a table, and start to read it.

    Raises:
        InputError: the file is empty, binary, or not a table.
    """
    head = stream.read(HEAD_BYTES)
    encoding = _detect_encoding(head, path)
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, "replace", newline="")
    first = head.decode(encoding, "replace").splitlines()[:50]
    separator = _detect_separator(first[:-1] or first)
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(_bounded_lines(text, path), delimiter=separator)
    rows = _with_input_errors((row for row in reader if any(map(str.strip, row))), path)
    sample = list(islice(rows, SNIFF_ROWS))
    if not sample:
        raise InputError(f"{path} has no rows", hint="export the table again, with its rows, as CSV")
    header = None
    sample = sample[rows_above(TableSample.of(sample)) :]
    if looks_like_header(sample[0], sample[1:]):
        header, sample = sample[0], sample[1:]
    forms = find_forms(header, TableSample.of(sample))
    if forms.attributes is None:
        header, sample = forms.header, list(map(forms.apply_to_row, sample))
    return ClientTable(
        path, encoding, separator, header, sample, chain(sample, map(forms.apply_to_row, rows)), forms, text
    )


def _bounded_lines(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of a table; raises InputError for one of `MAX_CELL` characters or more, which no table has."""
    while line := text.readline(MAX_CELL):
        if len(line) >= MAX_CELL:
            raise InputError(
                f"{path} has a line of at least {MAX_CELL:,} characters, so it is not a table",
                hint="export the table as CSV again",
            )
        yield line


def _with_input_errors(rows: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    """The same rows; errors of the CSV reader become InputError."""
    try:
        yield from rows
    except csv.Error as error:
        raise InputError(f"{path} is not a valid CSV table: a quote is not closed, or a cell is too long",
                         hint="export the table as CSV again") from error  # fmt: skip


def choose_columns(table: ClientTable, given: str) -> ColumnPlan:
    """The role of each column: detected from header and content, then changed as `--columns` says.

    Args:
        table: the table.
        given: value of `--columns`, such as "nom=surname,3=dob"; columns are named by header word or number, from 1.

    Raises:
        InputError: a column or role does not exist (the message suggests the most similar), or no column can be tagged.
    """
    plan = plan_columns(table.header, TableSample.of(table.sample))
    return override_columns(plan, table.header, given, table.path.name)


def override_columns(plan: ColumnPlan, header: Sequence[str] | None, given: str, table: str) -> ColumnPlan:
    """A plan changed as `--columns` says; arguments and errors are those of `choose_columns`, `table` is its name."""
    columns = list(plan.columns)
    names = list(header or [])
    for pair in filter(None, (part.strip() for part in given.split(","))):
        name, equals, role = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(
                f"--columns: '{pair}' is not of the form name=role", hint="write for example  nom=surname,ddn=dob"
            )
        if role not in (*ROLES, "ignore"):
            similar = difflib.get_close_matches(role, ROLES, 1, 0.4)
            raise InputError(
                f"--columns: there is no role '{role}'" + (f"; did you mean '{similar[0]}'?" if similar else ""),
                hint=f"the roles are: {', '.join(ROLES)}, ignore",
            )
        at = find_column(name, names, len(columns), "--columns", table)
        columns[at] = Column(columns[at].name, "" if role == "ignore" else role, "--columns")
    plan = ColumnPlan(tuple(columns))
    if not plan.is_useful:
        raise InputError(
            f"{table} has no column that can be tagged",
            hint="name the columns, for example  --columns 'nom=surname,prenom=first,ddn=dob'",
        )
    return plan


def describe_columns(plan: ColumnPlan, forms: TableForms) -> list[str]:
    """One line for each column: its role and why, and whether its dates have the month first."""
    return [
        f"{line}; its dates are written with the month first"
        if at in forms.month_first and plan.columns[at].role
        else line
        for at, line in enumerate(plan.describe())
    ]


def find_column(name: str, names: Sequence[str], count: int, option: str, table: str) -> int:
    """The number, from 0, of the column that an option names by its header word or by its number, from 1.

    Raises:
        InputError: there is no such column; the message suggests the most similar one.
    """
    if name in names:
        return names.index(name)
    if name.isdecimal() and 1 <= int(name) <= count:
        return int(name) - 1
    similar = difflib.get_close_matches(name, names, 1, 0.3)
    raise InputError(
        f"{option}: {table} has no column '{name}'" + (f"; did you mean '{similar[0]}'?" if similar else ""),
        hint=f"its columns are: {', '.join(names) or f'1 to {count}'}",
    )
