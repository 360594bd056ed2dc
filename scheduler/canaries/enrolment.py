"""Enrolment: makes the tags of a client's table, at the client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from string import ascii_letters
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, ColumnPlan
from crawler.records.record_keys import record_key_columns
from crawler.records.row_readings import NormalForms, name_texts, read_rows
from data.arrays.array_types import I64
from data.arrays.packed import Packed
from data.case.bundle import RECORD_DTYPE
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_inputs
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
        add(kind, Packed.of(values), np.array(owners, np.uint32))
    for role, kind in VALUE_ROLES.items():
        for at in plan.key_places.get(role, ()) if role in KEY_ROLES else plan.places.get(role, ()):
            add(kind, forms.of(role, at), everyone)
    return np.concatenate(made) if made else np.zeros(0, RECORD_DTYPE)


def _name_variant_keys(
    plan: ColumnPlan, cells: Mapping[int, Packed], parts: Mapping[str, Packed]
) -> Iterator[tuple[Kind, list[bytes], list[int]]]:
    """The additional record keys of rows whose names have several forms (double names, particles).

    Yields:
        For each kind the inputs of the keys, and the row of each.
    """
    found: dict[Kind, tuple[list[bytes], list[int]]] = {}
    # only a name with other characters than ASCII letters can have several forms
    names = {at: cells[at] for role in ("surname", "first", "fullname") for at in plan.key_places.get(role, ())}
    rows = np.unique(np.concatenate([[], *map(_unplain_rows, names.values())])).astype(np.int64)
    some = {at: column.take(rows) for at, column in names.items()}
    for texts in name_texts(plan, some.__getitem__):
        for row, (surname_text, first_text) in zip(rows.tolist(), texts, strict=True):
            if (not surname_text or _is_plain(surname_text)) and (not first_text or _is_plain(first_text)):
                continue
            surnames, firsts = _name_forms(surname_text), _name_forms(first_text)
            if len(surnames) < 2 and len(firsts) < 2:
                continue
            rest = {role: packed.item(row) for role, packed in parts.items() if role not in ("surname", "first")}
            main_keys = set(record_inputs(surname=(surnames or [b""])[0], first=(firsts or [b""])[0], **rest))
            for surname in surnames or [b""]:
                for first in firsts or [b""]:
                    for kind, value in record_inputs(surname=surname, first=first, **rest):
                        if (kind, value) not in main_keys:
                            values, owners = found.setdefault(kind, ([], []))
                            values.append(value)
                            owners.append(row)
    for kind, (values, owners) in found.items():
        yield kind, values, owners


_LETTERS = np.isin(np.arange(256), np.frombuffer(ascii_letters.encode(), np.uint8))

# cached because names repeat: half of a country's people share a few thousand
_name_forms = lru_cache(maxsize=1 << 16)(normalise.name_variants)


def _unplain_rows(cells: Packed) -> I64:
    """The rows whose cell has other bytes than ASCII letters."""
    others = np.concatenate([[0], np.cumsum(~_LETTERS[cells.blob])])
    return np.flatnonzero(others[cells.offsets[1:]] != others[cells.offsets[:-1]])


def _is_plain(text: str) -> bool:
    """Whether a text has no other characters than ASCII letters."""
    return text.isascii() and text.isalpha()


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
