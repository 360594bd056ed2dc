"""Making canaries: enrolling a client's table at the client, and inventing plausible people to plant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.records.column_roles import KEY_ROLES, VALUE_ROLES, Plan
from crawler.records.record_keys import Forms, readings, record_columns
from data.arrays.packed import Packed
from data.case.bundle import RECORD_DTYPE
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_inputs
from data.identifiers import normalise

# Large enough that a column of birth dates repeats itself within a batch: each distinct date is parsed once.
BATCH = 100_000
SHOWN_REFUSALS = 20


@dataclass
class Enrolment:
    """What was made of a table."""

    records: NDArray[Any]
    canaries: int
    rows: int
    refused: int
    examples: list[tuple[int, str]]


def enrol_rows(rows: Iterator[list[str]], plan: Plan, keys: EnrolKeys) -> Enrolment:
    """Tag every row, in every surface form that a dump could show.

    Args:
        rows: cells; short rows are allowed.
        plan: which column holds what.
        keys: of the case.

    Returns:
        Records with canaries numbered from 0 in order; a row without any usable value is refused and counted.
    """
    parts: list[NDArray[Any]] = []
    accepted: list[NDArray[np.bool_]] = []
    examples: list[tuple[int, str]] = []
    total = 0
    while batch := list(islice(rows, BATCH)):
        made = _tag_batch(batch, plan, keys)
        good = np.zeros(len(batch), bool)
        good[made["canary"]] = True
        for row in np.flatnonzero(~good)[: SHOWN_REFUSALS - len(examples)].tolist():
            examples += [(total + row + 1, _why(batch[row], plan))]
        made["canary"] += np.uint32(total)
        parts.append(made)
        accepted.append(good)
        total += len(batch)
    mask = np.concatenate(accepted) if accepted else np.zeros(0, bool)
    records = np.concatenate(parts) if parts else np.zeros(0, RECORD_DTYPE)
    numbers = np.cumsum(mask) - 1
    records["canary"] = numbers[records["canary"]] if len(records) else records["canary"]
    return Enrolment(records, int(mask.sum()), total, total - int(mask.sum()), examples)


def _tag_batch(batch: list[list[str]], plan: Plan, keys: EnrolKeys) -> NDArray[Any]:
    width = len(plan.columns)
    if min(map(len, batch)) < width:
        batch = [row if len(row) >= width else [*row, *[""] * (width - len(row))] for row in batch]
    cells = [list(map(itemgetter(at), batch)) if plan.columns[at].role else [] for at in range(width)]
    columns = {at: Packed.of_texts(column) for at, column in enumerate(cells) if column}
    made: list[NDArray[Any]] = []

    def add(kind: Kind, packed: Packed, rows: NDArray[Any]) -> None:
        tags = probe_tags(keys.probe, kind, packed)
        there = tags != 0
        out = np.zeros(int(there.sum()), RECORD_DTYPE)
        out["tag"], out["digest"] = tags[there], confirm_digests(keys.confirm, kind, packed)[there]
        out["canary"], out["kind"] = rows[there], kind
        made.append(out)

    everyone = np.arange(len(batch), dtype=np.uint32)
    forms = Forms(lambda at: columns[at])
    for number, parts in enumerate(readings(plan, len(batch), forms)):
        for kind, packed in record_columns(parts):
            add(kind, packed, everyone)
        if number == 0:
            for kind, values, owners in _variants(plan, cells, parts):
                add(kind, Packed.of(values), np.array(owners, np.uint32))
    for role, kind in VALUE_ROLES.items():
        for at in plan.places.get(role, ()):
            add(kind, forms.of(role, at), everyone)
    return np.concatenate(made) if made else np.zeros(0, RECORD_DTYPE)


def _variants(
    plan: Plan, cells: Sequence[list[str]], parts: Mapping[str, Packed]
) -> Iterator[tuple[Kind, list[bytes], list[int]]]:
    """Record keys of rows whose names have further forms (double names, particles), by kind."""
    found: dict[Kind, tuple[list[bytes], list[int]]] = {}
    columns = {role: cells[plan.places[role][0]] for role in ("surname", "first") if role in plan.places}
    suspects: set[int] = set()
    for texts in columns.values():
        suspects.update(row for row, text in enumerate(texts) if not text.isalpha())
    for row in suspects:
        surnames = _forms(columns["surname"][row]) if "surname" in columns else [b""]
        firsts = _forms(columns["first"][row]) if "first" in columns else [b""]
        if len(surnames) < 2 and len(firsts) < 2:
            continue
        rest = {role: packed.item(row) for role, packed in parts.items() if role not in ("surname", "first")}
        whole = set(record_inputs(surname=(surnames or [b""])[0], first=(firsts or [b""])[0], **rest))
        for surname in surnames or [b""]:
            for first in firsts or [b""]:
                for kind, value in record_inputs(surname=surname, first=first, **rest):
                    if (kind, value) not in whole:
                        values, owners = found.setdefault(kind, ([], []))
                        values.append(value)
                        owners.append(row)
    for kind, (values, owners) in found.items():
        yield kind, values, owners


# names repeat: half of a country shares a few thousand
_forms = lru_cache(maxsize=1 << 16)(normalise.name_variants)


def _why(row: Sequence[str], plan: Plan) -> str:
    """Why a row gave no tag, in words without its values."""
    empty: list[str] = []
    wrong: list[str] = []
    for at, column in enumerate(plan.columns):
        if column.role in KEY_ROLES or column.role in VALUE_ROLES:
            filled = at < len(row) and row[at].strip()
            name = column.name or f"column {at + 1}"
            (wrong if filled else empty).append(name)
    if wrong:
        return f"no usable value: {', '.join(wrong)} cannot be understood together" + (
            f"; {', '.join(empty)} empty" if empty else ""
        )
    return "all identifying cells are empty"
