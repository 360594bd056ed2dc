"""Enrolment at a vendor: the tables of many clients become one file of bundles, or a folder with one for each client."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from crawler.records.column_roles import Column, ColumnPlan, plan_columns
from crawler.records.row_batch import RowBatch
from crawler.records.table_forms import find_forms
from crawler.sandbox.sandbox import Sandbox
from data.arrays.array_types import I64, U64
from data.arrays.packed import Packed
from data.case.bundle import BundlesWriter, write_bundle
from data.durable_files import is_disk_full
from data.errors import BundleError, InputError
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import probe_tags
from scheduler.canaries.bundle_import import BUNDLE_SUFFIX
from scheduler.canaries.client_table import describe_columns, find_column, open_table, override_columns
from scheduler.canaries.enrolment import BATCH_ROWS, MAX_EXAMPLES, refusal_reason, tag_columns
from scheduler.canaries.grouped_records import GroupedRecords
from scheduler.canaries.table_reader import SAMPLE_ROWS, TableRows, read_tables

MAX_CLIENTS = 100_000
CLIENT_ID = re.compile(r"[\w.-]{1,64}")
_OPTION = "--client-column"


@dataclass
class VendorEnrolment:
    """The result of enrolling tables of many clients.

    Attributes:
        clients: ids in order, of those with a canary. canaries, tags: of all clients.
        rows: how many rows the tables have. refused: how many of them gave no tag.
        without_client: how many rows name no client. Such rows are left out.
        examples: of rows that were left out, at most `MAX_EXAMPLES`: table, number of the row, from 1, and the reason.
        unnamed: how many clients the names file does not name.
    """

    clients: list[str] = field(default_factory=list)
    canaries: int = 0
    tags: int = 0
    rows: int = 0
    refused: int = 0
    without_client: int = 0
    examples: list[tuple[str, int, str]] = field(default_factory=list)
    unnamed: int = 0


def read_names(path: Path) -> dict[str, str]:
    """The display names by client id of a text table with two columns, with or without a header.

    Raises:
        InputError: the file cannot be read, or has a row without an id and a name, or an id twice.
    """
    try:
        with path.open("rb") as stream:
            table = open_table(path, stream)
            rows = [*([table.header] if table.header else []), *table.rows]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="check the path") from error
    names: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if len(row) < 2 or not row[0].strip():
            raise InputError(f"{path}: row {number} has no client id and name", hint="write two columns: id and name")
        client, name = row[0].strip(), row[1].strip()
        if client in names:
            raise InputError(f"{path}: row {number} names the client '{client}' again", hint="name each client once")
        names[client] = name
    # the first row may be a header, whatever its words: it is, if no client has this id
    names[""] = rows[0][0].strip() if rows else ""
    return names


class _Clients:
    """The ids of clients and their numbers.

    Cells are recognised by a keyed hash of 64 bits, so that only those that were not seen before become texts.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self.numbers: dict[str, int] = {}
        self._key = secrets.token_bytes(16)
        # of each different cell in the order of hashes; -1 for a blank one
        self._hashes: U64 = np.zeros(0, np.uint64)
        self._found: I64 = np.zeros(0, np.int64)

    def number(self, cells: Packed, where: str, first_row: int) -> I64:
        """The number of the client of each row, -1 for an empty cell."""
        hashes = probe_tags(self._key, 0, cells)
        places = np.searchsorted(self._hashes, hashes)
        known = self._hashes[np.minimum(places, len(self._hashes) - 1)] == hashes if len(self._hashes) else hashes == 0
        if len(rows := np.flatnonzero((cells.lengths > 0) & ~known)):
            fresh, first = np.unique(hashes[rows], return_index=True)
            order = np.argsort(first)
            made = np.zeros(len(fresh), np.int64)
            for at in order.tolist():
                row = int(rows[first[at]])
                made[at] = self._number(cells.text(row).strip(), where, first_row + row)
            self._hashes = np.concatenate([self._hashes, fresh])
            sorted_ = np.argsort(self._hashes)
            self._hashes, self._found = self._hashes[sorted_], np.concatenate([self._found, made])[sorted_]
            places = np.searchsorted(self._hashes, hashes)
        if not len(self._hashes):
            return np.full(len(cells), -1, np.int64)
        return np.where(cells.lengths > 0, self._found[np.minimum(places, len(self._found) - 1)], -1)

    def _number(self, client: str, where: str, row: int) -> int:
        """The number of a client, which is a new one if it has none."""
        if not client or client in self.numbers:
            return self.numbers.get(client, -1)
        if not CLIENT_ID.fullmatch(client):
            raise InputError(
                f"{where}, row {row}: the column '{self._column}' does not hold a client id",
                hint="an id has at most 64 letters, digits, dots, dashes and underscores; give names with --names",
            )
        if len(self.numbers) >= MAX_CLIENTS:
            raise InputError(
                f"the column '{self._column}' has more than {MAX_CLIENTS:,} values: it does not tell clients apart",
                hint=f"name the column of the client with {_OPTION}",
            )
        self.numbers[client] = len(self.numbers)
        return self.numbers[client]


def enrol_tables(
    sandbox: Sandbox,
    paths: Sequence[Path],
    keys: EnrolKeys,
    out: Path,
    *,
    client_column: str = "",
    client: str = "",
    columns: str = "",
    names: Mapping[str, str] | None = None,
    split: bool = False,
    report: Callable[[str], None] = lambda _: None,
    done: Callable[[int], None] = lambda _: None,
) -> VendorEnrolment:
    """Tag every row of some tables, and write one bundle for each client.

    Args:
        sandbox: reads the files.
        paths: the files; each may have several tables, of which those without the client column are passed over.
        keys: the enrolment keys of the case.
        out: the file of bundles, or with `split` the folder; must not exist.
        client_column: header word, or number from 1, of the column that names each row's client.
        client: id of the client of all rows, if there is no such column.
        columns: as for `choose_columns`.
        names: display names by client id, as `read_names` returned them; None for no names.
        split: write a folder with one bundle for each client.
        report: is called with lines about each table.
        done: is called with each number of bytes that were read.

    Raises:
        InputError: a file cannot be read completely, no table has the column, its values are no client ids, the names
            are of other clients, or no row could be tagged. Nothing is written.
        BundleError: `out` exists or cannot be written.
    """
    if out.exists():
        raise BundleError(f"{out} exists and is not overwritten", hint="name another place with --out")
    if not out.parent.is_dir():
        raise BundleError(f"{out} cannot be written: there is no folder {out.parent}", hint="create the folder")
    result = VendorEnrolment()
    clients = _Clients(client_column)
    if client:
        clients.numbers[client] = 0
    try:
        with closing(GroupedRecords(out.parent)) as grouped:
            for path in paths:
                with closing(read_tables(sandbox, path, done)) as tables:
                    _enrol_file(tables, path.name, keys, client_column, columns, clients, grouped, result, report)
            ids = sorted(name for name in clients.numbers if grouped.canaries[clients.numbers[name]])
            if not ids:
                raise InputError(
                    "no row could be tagged",
                    hint="check the columns above, or name them with --columns; see the reasons",
                )
            shown = _names_of(ids, clients.numbers, names, result)
            result.clients, result.canaries = ids, int(grouped.canaries.sum())
            if client:
                records = next(grouped.by_client([0]))[1]
                write_bundle(out, keys, records, client=client, name=shown[client], canaries=result.canaries)
                result.tags = len(records)
            else:
                _write(out, keys, ids, clients.numbers, grouped, shown, result, split=split)
    except OSError as error:
        full = is_disk_full(error)
        raise BundleError(
            f"{out} cannot be written: {error.strerror or error}",
            hint="free some space and try again; nothing was written" if full else "choose another place with --out",
        ) from error
    return result


def _enrol_file(
    tables: Iterator[TableRows],
    file: str,
    keys: EnrolKeys,
    client_column: str,
    columns: str,
    clients: _Clients,
    grouped: GroupedRecords,
    result: VendorEnrolment,
    report: Callable[[str], None],
) -> None:
    """Tag the rows of one file."""
    missing: InputError | None = None
    used = 0
    for _, group in groupby(tables, key=lambda rows: rows.table):
        parts = iter(group)
        first = next(parts)
        name = f"{file}, {first.name}" if first.name else file
        width = max(len(first.batch.columns), len(first.header or ()))
        sample = first.batch.sample(SAMPLE_ROWS)
        forms = find_forms(first.header, sample)
        place = -1
        header = first.header
        if client_column:
            try:
                place = find_column(client_column, first.header or (), width, _OPTION, name)
            except InputError as error:
                missing = missing or error
                rows = len(first.batch) + sum(len(part.batch) for part in parts)
                report(f"{name}: {rows:,} rows are left out, because the table has no column '{client_column}'")
                continue
            forms = replace(forms, rewrites={at: each for at, each in forms.rewrites.items() if at != place})
        if forms.attributes is None:
            header, sample = forms.header, forms.apply_to_sample(sample)
        plan = plan_columns(header, sample)
        if place >= 0:
            ignored = Column(plan.columns[place].name, "", _OPTION)
            plan = ColumnPlan((*plan.columns[:place], ignored, *plan.columns[place + 1 :]))
        used += 1
        plan = override_columns(plan, header, columns, name)
        report(f"{name}: {first.format}, {'with' if first.header else 'without'} a header")
        for at, line in enumerate(describe_columns(plan, forms)):
            report(f"  {line.removesuffix('ignored')}the client" if at == place else f"  {line}")
        done = 0
        for batches in _large_batches(forms.apply(first.batch), (forms.apply(part.batch) for part in parts)):
            _enrol_batch(batches, plan, place, keys, clients, grouped, result, name, done)
            done += sum(map(len, batches))
        result.rows += done
    if not used:
        raise missing or InputError(f"{file} has no table", hint="name a file with rows and columns")


def _large_batches(first: RowBatch, others: Iterator[RowBatch]) -> Iterator[list[RowBatch]]:
    """The batches of a table, as lists of so many rows together that their columns are worth the calls."""
    waiting = [first]
    for batch in others:
        if sum(map(len, waiting)) >= BATCH_ROWS:
            yield waiting
            waiting = []
        waiting.append(batch)
    yield waiting


def _enrol_batch(
    batches: Sequence[RowBatch],
    plan: ColumnPlan,
    place: int,
    keys: EnrolKeys,
    clients: _Clients,
    grouped: GroupedRecords,
    result: VendorEnrolment,
    name: str,
    done: int,
) -> None:
    def column(at: int) -> Packed:
        return Packed.concatenated([batch.column(at) for batch in batches])

    count = sum(map(len, batches))
    cells = {at: column(at) for at, each in enumerate(plan.columns) if each.role}
    # without a column, all rows belong to the one client that there is
    numbers = clients.number(column(place), name, done + 1) if place >= 0 else np.zeros(count, np.int64)
    tagged = grouped.add(tag_columns(cells, count, plan, keys), numbers)
    left_out = np.flatnonzero(~tagged | (numbers < 0))
    result.without_client += int((numbers < 0).sum())
    result.refused += int((~tagged & (numbers >= 0)).sum())
    for row in left_out[: MAX_EXAMPLES - len(result.examples)].tolist():
        if numbers[row] < 0:
            reason = "it names no client"
        else:
            reason = refusal_reason(
                [cells[at].text(row) if at in cells else "" for at in range(len(plan.columns))], plan
            )
        result.examples.append((name, done + row + 1, reason))


def _names_of(
    ids: Sequence[str], numbers: Mapping[str, int], names: Mapping[str, str] | None, result: VendorEnrolment
) -> dict[str, str]:
    """The display name of each client, '' without one; raises InputError if names are of other clients."""
    if names is None:
        return dict.fromkeys(ids, "")
    header = names.get("", "")
    unknown = [each for each in names if each and each not in numbers and each != header]
    if unknown:
        shown = ", ".join(f"'{each}'" for each in unknown[:5]) + (" …" if len(unknown) > 5 else "")
        raise InputError(
            f"the names file names {len(unknown):,} clients that no row has: {shown}",
            hint="correct their ids, or delete these rows; nothing was enrolled",
        )
    result.unnamed = sum(not names.get(each) for each in ids)
    return {each: names.get(each, "") for each in ids}


def _write(
    out: Path,
    keys: EnrolKeys,
    ids: Sequence[str],
    numbers: Mapping[str, int],
    grouped: GroupedRecords,
    names: Mapping[str, str],
    result: VendorEnrolment,
    *,
    split: bool,
) -> None:
    groups = grouped.by_client([numbers[each] for each in ids])
    if not split:
        with BundlesWriter(out, keys) as writer:
            for client, (number, records) in zip(ids, groups, strict=True):
                canaries = int(grouped.canaries[number])
                writer.add(records, client=client, name=names[client], canaries=canaries)
                result.tags += len(records)
        return
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    temporary.mkdir(mode=0o700)
    try:
        for client, (number, records) in zip(ids, groups, strict=True):
            path = temporary / f"{client}{BUNDLE_SUFFIX}"
            canaries = int(grouped.canaries[number])
            write_bundle(path, keys, records, client=client, name=names[client], canaries=canaries)
            result.tags += len(records)
        temporary.rename(out)
    except BundleError as error:
        raise BundleError(str(error).replace(str(temporary), str(out)), hint=error.hint) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
