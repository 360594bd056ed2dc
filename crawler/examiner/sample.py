"""The state of a sample, or of a member of it, while it is examined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crawler.examiner.waiting_rows import WaitingRows
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.watchlist_match import HitCollector
from crawler.records.attribute_rows import AttributeRows
from crawler.records.column_roles import KEY_ROLES, ColumnPlan
from crawler.records.joined_tables import JoinedTable
from crawler.records.row_batch import RowBatch
from crawler.records.running_text import RunningTextReader
from crawler.records.table_forms import TableForms
from data.arrays.array_types import U64, Bools
from data.arrays.packed import Packed
from data.model import Finding, TableFacts

MAX_PROBLEMS_KEPT = 50
_DATES_AND_NUMBERS = ("dob", "nir", "email", "phone")


@dataclass(slots=True)
class TableCounts:
    """Counts of the rows of one table.

    Attributes:
        rows: all of them.
        keyed: rows with a record key.
        unread: rows without one, though cells are filled that should identify a person.
        named: further rows without one, in which a name stands and nothing else that tells who it is.
        bare: further rows without one, with a single value that identifies a person only together with another one.
        tables: how many tables with one header were taken together.
    """

    rows: int = 0
    tables: int = 1
    keyed: int = 0
    unread: int = 0
    named: int = 0
    bare: int = 0

    def add(self, batch: RowBatch, keyed: Bools, plan: ColumnPlan, forms: Mapping[str, Packed]) -> None:
        """Count rows of the table.

        Args:
            batch: n rows.
            keyed: shape (n,), which have a record key.
            plan: what the columns hold.
            forms: normal forms of the rows by role, n each.
        """
        self.rows += len(batch)
        self.keyed += int(keyed.sum())
        places = {role: plan.key_places[role] for role in (*KEY_ROLES, "fullname") if role in plan.key_places}
        if not places or keyed.all():
            return
        others = np.flatnonzero(~keyed)
        filled = {
            role: np.logical_or.reduce([batch.column(at).lengths[others] > 0 for at in numbers])
            for role, numbers in places.items()
        }
        # a line with a cell or two is a title or a sum, unless they are the names of a person
        count = np.sum(list(filled.values()), axis=0)
        enough = count >= max(min(2, len(places)), len(places) / 2)
        if {"surname", "first"} <= filled.keys():
            enough |= filled["surname"] & filled["first"]
        self.unread += int(np.count_nonzero(enough))
        names = [filled[role] for role in ("surname", "first", "fullname") if role in filled]
        if names:
            is_named = np.logical_or.reduce(names) & ~enough
            self.named += int(np.count_nonzero(is_named))
            enough |= is_named
        # cells that are no date or number are those of a title
        values = [forms[role].lengths[others] > 0 for role in _DATES_AND_NUMBERS if role in forms]
        if values:
            self.bare += int(np.count_nonzero(np.logical_or.reduce(values) & ~enough))


@dataclass(slots=True)
class CompareTime:
    """What the record pass has taken so far.

    Attributes:
        seconds: of processor time.
        bytes: of rows and text that were read.
    """

    seconds: float = 0.0
    bytes: int = 0


@dataclass(slots=True)
class SampleMember:
    """A sample or a member of it while it is open: what both passes have found so far.

    Attributes:
        name: of the file.
        format: name of its format.
        collector: collects its hits.
        scanner: scans its bytes.
        digest: SHA-256 of its bytes.
        size: number of its bytes so far.
        crc: CRC-32 of its bytes.
        leaf: whether it has no members.
        rows: number of table rows, also of its members.
        records: number of rows or people with a record key, also of its members.
        complete: whether it was read completely, and its members too.
        problems: as sentences "code: what happened".
        members: findings of its members.
        codes: problem codes of it and of all its members.
        unlisted: number of its members that are not listed one by one.
        unlisted_codes: the problem codes of those.
        header: the header of the current table, if there is one.
        plan: what the columns of the current table hold; None until some rows are known.
        forms: how the rows of the current table are rewritten; None until some rows are known.
        link: completes the rows of the current table from an earlier one with the same record ids.
        joined: joins the rows of the current table, if it has one attribute a row.
        joined_forms: how its joined rows are rewritten; None until some are joined.
        table: counts of the rows of the current table.
        waiting: rows of the current table, and of small ones like it, which are not processed yet.
        rows_without_keys: rows of tables that gave no record key at all.
        tables: what its first tables were understood as.
        prose: whether the rows of the current table are read as text too.
        may_be_table: whether they hold no sentences, or birth dates: if no person is found in them, that is told.
        rows_as_text: rows of such tables.
        text: reads its running text.
        people: record keys of people in its running text, shape (n, 6) each.
        paths: names of its members as lines of text, which were not read yet.
        body: the beginning of its text, from which its note prints are made.
        compare_time: what the record pass has taken for it, without its members.
        given_up: whether the record pass was too slow: its further rows and text are searched for single values alone.
    """

    name: str
    format: str
    collector: HitCollector
    scanner: ByteScanner
    digest: Any
    size: int = 0
    crc: int = 0
    leaf: bool = True
    rows: int = 0
    records: int = 0
    complete: bool = True
    problems: list[str] = field(default_factory=list)
    members: list[Finding] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    unlisted: int = 0
    unlisted_codes: set[str] = field(default_factory=set)
    header: list[str] | None = None
    plan: ColumnPlan | None = None
    forms: TableForms | None = None
    link: JoinedTable | None = None
    joined: AttributeRows | None = None
    joined_forms: TableForms | None = None
    table: TableCounts = field(default_factory=TableCounts)
    waiting: WaitingRows[SampleMember] | None = None
    rows_without_keys: int = 0
    tables: list[TableFacts] = field(default_factory=list)
    prose: bool = False
    may_be_table: bool = False
    rows_as_text: int = 0
    text: RunningTextReader | None = None
    people: list[U64] = field(default_factory=list)
    paths: bytearray = field(default_factory=bytearray)
    body: bytearray = field(default_factory=bytearray)
    compare_time: CompareTime = field(default_factory=CompareTime)
    given_up: bool = False

    def begin_table(self, header: list[str] | None) -> None:
        """A table begins; what its columns hold is decided by its first rows."""
        self.header, self.plan, self.forms, self.joined, self.link = header, None, None, None, None
        self.joined_forms = None

    def has_all_problems(self, code: str) -> bool:
        """Whether one more problem with this code would change nothing: the list is full, and the code known."""
        return len(self.problems) > MAX_PROBLEMS_KEPT and code in self.codes

    def problem(self, code: str, detail: str) -> None:
        """Add a problem, once; after `MAX_PROBLEMS_KEPT` of them a last line reports that there are more."""
        self.codes.add(code)
        line = f"{code}: {detail}"
        if line in self.problems:
            return
        if len(self.problems) < MAX_PROBLEMS_KEPT:
            self.problems.append(line)
        elif len(self.problems) == MAX_PROBLEMS_KEPT:
            self.problems.append("more: further problems of this sample are not listed")
