"""What stands in rows about people, as bits: which kinds of value, and whether the person is under 18. Pure.

Only how many people of each client have each bit is kept (`data.model.HIT_DATA`), for the report about that client.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from crawler.records.column_roles import ColumnPlan
from crawler.records.record_keys import TagInputs
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import U8, Bools
from data.arrays.packed import Packed
from data.hashing.tags import Kind
from data.model import HIT_DATA

_BIT = {name: 1 << place for place, name in enumerate(HIT_DATA)}
_ROLES = {"surname": "names", "first": "names", "dob": "dob", "nir": "nir", "email": "email", "phone": "phone"}
# Shorter cells of free text ("RAS", "-") say nothing about anybody.
MIN_NOTE = 4
MAJORITY = 18
_PLACES = np.array([100_000, 10_000, 1000, 100, 10, 1], np.int64)


def data_of_readings(inputs: TagInputs, count: int, today: date | None) -> U8:
    """The bits of `count` rows or readings by their normal forms; shape (count,).

    Args:
        inputs: their normal forms.
        count: how many there are.
        today: by which it is decided who is under 18; None to leave that out.
    """
    bits = np.zeros(count, np.uint8)
    for role, name in _ROLES.items():
        if role in inputs.forms:
            bits[inputs.forms[role].lengths > 0] |= np.uint8(_BIT[name])
    for kind, _, tags in inputs.columns:
        if kind == Kind.IBAN:
            bits[tags != 0] |= np.uint8(_BIT["iban"])
    if today is not None and "dob" in inputs.forms:
        bits[are_minors(inputs.forms["dob"], today)] |= np.uint8(_BIT["minor"])
    return bits


def data_of_rows(plan: ColumnPlan, batch: RowBatch, inputs: TagInputs, today: date | None) -> U8:
    """`data_of_readings` for rows of a table, whose free text counts too; shape (n,)."""
    bits = data_of_readings(inputs, len(batch), today)
    for at in plan.places.get("note", ()):
        bits[batch.column(at).lengths >= MIN_NOTE] |= np.uint8(_BIT["note"])
    return bits


def are_minors(births: Packed, today: date) -> Bools:
    """Which birth dates are those of people under 18; shape (n,).

    The normal form of a date has no century (yymmdd): people of 100 to 117 years count as minors too, which are less than one
    in a thousand.
    """
    found = np.zeros(len(births), np.bool_)
    rows = np.flatnonzero(births.lengths == len(_PLACES))
    digits = births.blob[births.offsets[rows][:, None] + np.arange(len(_PLACES))].astype(np.int64) - ord("0")
    day = today.month * 100 + today.day
    oldest, newest = ((year % 100) * 10_000 + day for year in (today.year - MAJORITY, today.year))
    numbers = digits @ _PLACES
    after, until = numbers > oldest, numbers <= newest
    found[rows] = after & until if oldest < newest else after | until
    return found
