"""Enrolment: makes the tags of a client's table, at the client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from string import ascii_letters
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, ColumnPlan
from crawler.records.record_keys import KEY_PARTS, record_key_columns
from crawler.records.row_readings import NormalForms, name_texts, read_rows
from data.arrays.array_types import I64, U32
from data.arrays.packed import Packed
from data.case.bundle import RECORD_DTYPE
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind, confirm_digests, probe_tags
from data.identifiers import normalise

# Rows that are tagged at a time.
BATCH_ROWS = 100_000
MAX_EXAMPLES = 20


@dataclass
class Enrolment:
    """The result of enrolling a table.

    Attributes:
        records: the tags, shape (n,), of dtype `RECORD_DTYPE`. canaries: how many rows were tagged.
        rows: how many rows the table has. refused: how many of them gave no tag.
        examples: of refused rows, at most `MAX_EXAMPLES`: number of the row, from 1, and the reason.
    """

    records: NDArray[Any]
    canaries: int
    rows: int
    refused: int
    examples: list[tuple[int, str]]


def enrol_rows(rows: Iterator[list[str]], plan: ColumnPlan, keys: EnrolKeys) -> Enrolment:
    """Tag every row, in every form in which a dump could contain its values.

    Args:
        rows: the cells of each row; rows may be short.
        plan: the role of each column.
        keys: the enrolment keys of the case.

    Returns:
        Records whose canaries are numbered from 0 in the order of rows. A row without any usable value is refused.
    """
    parts: list[NDArray[Any]] = []
    accepted: list[NDArray[np.bool_]] = []
    examples: list[tuple[int, str]] = []
    total = 0
    while batch := list(islice(rows, BATCH_ROWS)):
        records = _tag_batch(batch, plan, keys)
        tagged = np.zeros(len(batch), bool)
        tagged[records["canary"]] = True
        for row in np.flatnonzero(~tagged)[: MAX_EXAMPLES - len(examples)].tolist():
            examples += [(total + row + 1, refusal_reason(batch[row], plan))]
        records["canary"] += np.uint32(total)
        parts.append(records)
        accepted.append(tagged)
        total += len(batch)
    mask = np.concatenate(accepted) if accepted else np.zeros(0, bool)
    records = np.concatenate(parts) if parts else np.zeros(0, RECORD_DTYPE)
    numbers = np.cumsum(mask) - 1
    records["canary"] = numbers[records["canary"]] if len(records) else records["canary"]
    return Enrolment(records, int(mask.sum()), total, total - int(mask.sum()), examples)


def _tag_batch(batch: list[list[str]], plan: ColumnPlan, keys: EnrolKeys) -> NDArray[Any]:
    """The records of some rows; their canaries are the numbers of rows within the batch."""
    width = len(plan.columns)
    if min(map(len, batch)) < width:
        batch = [row if len(row) >= width else [*row, *[""] * (width - len(row))] for row in batch]
    columns = {
        at: Packed.of_texts(list(map(itemgetter(at), batch))) for at, column in enumerate(plan.columns) if column.role
    }
    return tag_columns(columns, len(batch), plan, keys)


def tag_columns(columns: Mapping[int, Packed], count: int, plan: ColumnPlan, keys: EnrolKeys) -> NDArray[Any]:
    """The records of `count` rows; their canaries are the numbers of the rows.

    Args:
        columns: the cells of each column that has a role, by its number.
        count: number of rows.
        plan: the role of each column.
        keys: the enrolment keys of the case.
    """
    made: list[NDArray[Any]] = []

    def add(kind: Kind, packed: Packed, rows: NDArray[Any]) -> None:
        tags = probe_tags(keys.probe, kind, packed)
        present = tags != 0
        out = np.zeros(int(present.sum()), RECORD_DTYPE)
        out["tag"], out["digest"] = tags[present], confirm_digests(keys.confirm, kind, packed)[present]
        out["canary"], out["kind"] = rows[present], kind
        made.append(out)

    everyone = np.arange(count, dtype=np.uint32)
    forms = NormalForms(lambda at: columns[at])
    main, others = read_rows(plan, count, forms)
    for kind, packed in record_key_columns(main):
        add(kind, packed, everyone)
    for other in others:
        for kind, packed in record_key_columns(other.forms):
            add(kind, packed, everyone[other.rows])
    for kind, values, owners in _name_variant_keys(plan, columns, main):
        add(kind, values, owners)
    for role, kind in VALUE_ROLES.items():
        for at in plan.key_places.get(role, ()) if role in KEY_ROLES else plan.places.get(role, ()):
            add(kind, forms.of(role, at), everyone)
    return np.concatenate(made) if made else np.zeros(0, RECORD_DTYPE)


def _name_variant_keys(
    plan: ColumnPlan, cells: Mapping[int, Packed], parts: Mapping[str, Packed]
) -> Iterator[tuple[Kind, Packed, U32]]:
    """The additional record keys of rows whose names have several forms (double names, particles).

    Yields:
        Of each kind the inputs of the keys, and the row of each. Each kind may come several times.
    """
    whole = {at: cells[at] for at in plan.key_places.get("fullname", ())}
    names = {at: cells[at] for role in ("surname", "first") for at in plan.key_places.get(role, ())}
    found = [*map(_unplain_rows, whole.values()), *map(_rows_of_several_forms, names.values())]
    rows = np.unique(np.concatenate([[], *found])).astype(np.int64)
    some = {at: column.take(rows) for at, column in (whole | names).items()}
    rest = {role: packed for role, packed in parts.items() if role not in ("surname", "first")}
    for texts in name_texts(plan, some.__getitem__):
        # both names in another form than the first, and first names in one
        pairs: list[tuple[int, bytes, bytes]] = []
        givens: list[tuple[int, bytes]] = []
        for row, (surname_text, first_text) in zip(rows.tolist(), texts, strict=True):
            surnames, firsts = _name_forms(surname_text), _name_forms(first_text)
            pairs += [(row, surname, first) for surname in surnames for first in firsts][1:]
            givens += [(row, first) for first in firsts[1:]]
        if pairs:
            owners = np.array([row for row, _, _ in pairs], np.uint32)
            forms = {"surname": Packed.of([each for _, each, _ in pairs]), "first": Packed.of([e for _, _, e in pairs])}
            yield from _keys_beside(forms, rest, owners, ("dob",))
        if givens:
            owners = np.array([row for row, _ in givens], np.uint32)
            yield from _keys_beside({"first": Packed.of([each for _, each in givens])}, rest, owners, rest)


def _keys_beside(
    forms: Mapping[str, Packed], rest: Mapping[str, Packed], owners: U32, roles: Iterable[str]
) -> Iterator[tuple[Kind, Packed, U32]]:
    """The record keys of forms of names with the other values of their rows, of those roles that are wanted."""
    beside = {role: rest[role].take(owners.astype(np.int64)) for role in roles if role in rest}
    for kind, packed in record_key_columns({**beside, **forms}):
        if set(KEY_PARTS[kind]) & {"names", "first"}:
            yield kind, packed, owners


_LETTERS = np.isin(np.arange(256), np.frombuffer(ascii_letters.encode(), np.uint8))


# cached because names repeat: half of a country's people share a few thousand
@lru_cache(maxsize=1 << 16)
def _name_forms(text: str) -> tuple[bytes, ...]:
    return tuple(normalise.name_variants(text))


def _unplain_rows(cells: Packed) -> I64:
    """The rows whose cell has other bytes than ASCII letters."""
    others = np.concatenate([[0], np.cumsum(~_LETTERS[cells.blob])])
    return np.flatnonzero(others[cells.offsets[1:]] != others[cells.offsets[:-1]])


def _rows_of_several_forms(names: Packed) -> I64:
    """The rows whose name has several forms. Each different name becomes a text once."""
    # a name of ASCII letters alone has one
    rows = _unplain_rows(names)
    some = names.take(rows)
    _, first, same = np.unique(probe_tags(bytes(16), 0, some), return_index=True, return_inverse=True)
    several = np.array([len(_name_forms(some.text(at))) > 1 for at in first.tolist()], bool)
    found: I64 = rows[several[same]]
    return found


def refusal_reason(row: Sequence[str], plan: ColumnPlan) -> str:
    """Why a row gave no tag; the sentence does not contain its values."""
    empty: list[str] = []
    unusable: list[str] = []
    for at, column in enumerate(plan.columns):
        if column.role in KEY_ROLES or column.role in VALUE_ROLES:
            filled = at < len(row) and row[at].strip()
            name = column.name or f"column {at + 1}"
            (unusable if filled else empty).append(name)
    if unusable:
        return f"no usable value: the cells of {', '.join(unusable)} give neither a value nor a record key" + (
            f"; empty: {', '.join(empty)}" if empty else ""
        )
    return "all cells that identify a person are empty"
