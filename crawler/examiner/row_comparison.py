"""Compares rows of a table with the releases in every way in which they can be understood, row by row.

`crawler.records.row_readings` finds the readings. A row takes its first reading that gives a key; if the releases know
more keys of another one, it takes that. Names are also looked up without particles, by their parts, and turned round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from crawler.lineage.field_errors import names_swapped
from crawler.records.column_roles import ColumnPlan
from crawler.records.placeholders import FoundPlaceholders, Placeholders
from crawler.records.record_keys import RowTags, tag_reading
from crawler.records.row_batch import RowBatch
from crawler.records.row_readings import Reading, name_variant_pairs
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.identifiers.first_names import FIRST_NAMES
from data.identifiers.short_names import SHORT_NAMES
from data.releases.known_releases import KnownReleases
from data.releases.people import rows_with_key

_NAME_DOB = RECORD_KINDS.index(Kind.NAME_DOB)
_NIR_DOB = RECORD_KINDS.index(Kind.NIR_DOB)
# keys that contain the first name alone, and keys that are the same if the names are turned round
_FIRST = [RECORD_KINDS.index(kind) for kind in (Kind.NIR_FIRST, Kind.EMAIL_FIRST, Kind.PHONE_FIRST)]
# bytes of ASCII that are no letter, and bytes of other letters
_BEYOND_ASCII = np.arange(256) >= 128
_SEPARATES = np.array([byte < 128 and not chr(byte).isalpha() for byte in range(256)])
_SHORT = frozenset(name.encode() for name in SHORT_NAMES)
_LONGEST_SHORT = max(map(len, SHORT_NAMES))
_TURNED = [RECORD_KINDS.index(kind) for kind in (Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_DOB)]


@dataclass(slots=True, eq=False)
class ComparedRows:
    """A batch of rows that was compared.

    Attributes:
        found: its rows in their first reading, without placeholders.
        keys: shape (n, 6), the record keys of the reading that counts.
        held: shape (n, 6), which of them any release holds.
        doubtful: rows of people who may be known all the same: only a number with a surname ties them to a release whose
            names are turned round, or they have no key but one that is made of a placeholder.
        relatives: rows of people whom only a number with a surname ties to a release, whatever else they have.
        twins: people with another name than the known person with their number and birth date, which is not their number: the
            keys of their names and birth dates, each once.
    """

    found: FoundPlaceholders
    keys: U64
    held: Bools
    doubtful: int = 0
    relatives: int = 0
    twins: U64 = field(default_factory=lambda: np.zeros(0, np.uint64))

    def take(self, rows: I64, keys: U64, held: Bools) -> None:
        """Let other keys of some rows count where the releases hold more of them, or where a row had none."""
        better = held.sum(axis=1) > self.held[rows].sum(axis=1)
        better |= ~rows_with_key(self.keys[rows]) & rows_with_key(keys)
        if better.any():
            if self.keys is self.found.keys or not self.keys.flags.writeable:
                self.keys = self.keys.copy()
            self.keys[rows[better]], self.held[rows[better]] = keys[better], held[better]


class RowComparison:
    """Compares the rows of one sample, window by window."""

    def __init__(self, probe_key: bytes, releases: KnownReleases, placeholders: Placeholders) -> None:
        self._probe, self._releases, self._placeholders = probe_key, releases, placeholders

    def compare(self, plan: ColumnPlan, batches: Sequence[RowBatch], tagged: Sequence[RowTags]) -> list[ComparedRows]:
        """Compare the rows of a window; returns one result for each batch."""
        compared = [self._compare_readings(tags) for tags in tagged]
        if not len(self._releases):
            return compared
        if {"surname", "first"} <= plan.key_places.keys() and names_swapped(
            np.concatenate([each.keys for each in compared]), np.concatenate([each.held for each in compared])
        ):
            self._turn_names(tagged, compared)
        for batch, tags, each in zip(batches, tagged, compared, strict=True):
            self._look_up_variants(plan, batch, tags, each)
            each.twins = _perhaps_twins(tags, each)
        return compared

    def _compare_readings(self, tags: RowTags) -> ComparedRows:
        found = self._placeholders.take_out(tags)
        held = self._releases.find_known_keys(found.keys)
        compared = ComparedRows(found, found.keys, held, found.kept_for_want_of_others(held))
        for other in tags.inputs.others:
            changed = self._placeholders.keys_of_other(other)
            some = np.flatnonzero(rows_with_key(changed))
            if not len(some):
                continue
            rows, changed = other.reading.rows[some], changed[some]
            made = np.where(changed, other.keys[some], np.uint64(0))
            held = (compared.held[rows] & ~changed) | self._releases.find_known_keys(made)
            compared.take(rows, np.where(changed, made, compared.keys[rows]), held)
        return compared

    # --- names that are turned round ---------------------------------------------------------------------------

    def _turn_names(self, tagged: Sequence[RowTags], compared: Sequence[ComparedRows]) -> None:
        """Read the names of rows the other way round where the columns of the sample, or of a release, are exchanged.

        Whether a row is turned is decided for itself: a surname with a number proves nobody, since relatives share
        both. A row that other keys prove is turned; another one only if the columns of the sample are exchanged.
        """
        is_sample = _are_exchanged(tagged, compared)
        for tags, each in zip(tagged, compared, strict=True):
            forms = tags.inputs.forms
            open_ = (each.keys[:, _FIRST] != 0).any(axis=1) & ~each.held[:, _FIRST].any(axis=1)
            rows = np.flatnonzero(open_ & (forms["surname"].lengths > 0))
            if not len(rows):
                continue
            turned = {role: column.take(rows) for role, column in forms.items() if role != "dob"}
            turned |= {"first": turned["surname"], "surname": turned["first"]}
            made = tag_reading(Reading("names", rows, turned), each.keys, self._probe)
            changed = made.changed & (each.keys[rows] != 0)
            held = self._releases.find_known_keys(np.where(changed, made.keys, np.uint64(0)))
            tied = rows_with_key(held)
            proved = each.held[rows][:, _TURNED].any(axis=1)
            if is_sample:
                proved |= ~(_are_first_names(turned["surname"]) & ~_are_first_names(turned["first"]))
            # an unknown name with birth date is a relative's, or has an error, which is looked for in all such people
            each.relatives += int((tied & ~proved).sum())
            each.doubtful += int((tied & ~proved & (each.keys[rows, _NAME_DOB] == 0)).sum())
            chosen = tied & proved
            seen = (each.held[rows] | held)[chosen]
            # The names of a release that are turned round are those of no row: two people of one surname on one number
            # must not become one.
            keys = made.keys[chosen] if is_sample else each.keys[rows[chosen]]
            each.take(rows[chosen], keys, seen)

    # --- names in other forms ----------------------------------------------------------------------------------

    def _look_up_variants(self, plan: ColumnPlan, batch: RowBatch, tags: RowTags, compared: ComparedRows) -> None:
        """Look up people whom no release knows by the other forms of their names."""
        open_ = np.flatnonzero(~compared.held[:, _NAME_DOB] & (compared.keys[:, _NAME_DOB] != 0))
        owners, made = variant_keys(self._probe, plan, batch, tags, open_)
        if not len(owners):
            return
        held = self._releases.contains(Kind.NAME_DOB, made)
        # of several forms that are known, the first
        rows, first = np.unique(owners[held], return_index=True)
        if len(rows):
            keys, seen = compared.keys[rows], compared.held[rows]
            keys[:, _NAME_DOB], seen[:, _NAME_DOB] = made[held][first], True
            compared.take(rows, keys, seen)


def variant_keys(probe_key: bytes, plan: ColumnPlan, batch: RowBatch, tags: RowTags, rows: I64) -> tuple[I64, U64]:
    """The keys name+dob of the other forms of the names of some rows: the row of each key, and the key."""
    forms = tags.inputs.forms
    none = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    if not len(rows) or not {"surname", "first", "dob"} <= forms.keys():
        return none
    if "fullname" not in plan.key_places:
        # a single word in letters that decompose has no other form, unless it is short for another name
        odd = np.zeros(len(batch), np.bool_)
        for role in ("surname", "first"):
            for at in plan.key_places[role]:
                odd |= _with_byte(batch.column(at), _SEPARATES)
            odd |= _with_byte(forms[role], _BEYOND_ASCII)
        short = rows[~odd[rows] & (forms["first"].lengths[rows] <= _LONGEST_SHORT)]
        firsts = forms["first"].take(short).to_list()
        odd[short[[name in _SHORT for name in firsts]]] = True
        rows = rows[odd[rows]]
        if not len(rows):
            return none
    some = batch.take(rows)
    owners, pairs = name_variant_pairs(plan, some.column)
    if not len(owners):
        return none
    dates = forms["dob"].take(rows[owners])
    inputs = [pair + b"\x1f" + date for pair, date in zip(pairs, dates.to_list(), strict=True)]
    made = probe_tags(probe_key, Kind.NAME_DOB, Packed.of(inputs))
    return rows[owners], made


def _perhaps_twins(tags: RowTags, compared: ComparedRows) -> U64:
    """People who may be the unknown twin of a known child: only the number of a parent with their birth date is known.

    Their whole name and their first name are not. The number is a parent's if it begins with another year or month of
    birth than theirs: of a number of their own it is the first name that differs. They are given by the distinct keys of
    their names and birth dates, shape (n,).
    """
    forms, held, keys = tags.inputs.forms, compared.held, compared.keys
    if not {"nir", "dob"} <= forms.keys():
        return np.zeros(0, np.uint64)
    other = held[:, _NIR_DOB] & ~held[:, _NAME_DOB] & (keys[:, _NAME_DOB] != 0)
    other &= ~held[:, _FIRST].any(axis=1)
    rows = np.flatnonzero(other)
    numbers, dates = forms["nir"].take(rows).to_list(), forms["dob"].take(rows).to_list()
    is_parents = [
        number[1:5] != date[:4] and b"01" <= number[3:5] <= b"12" for number, date in zip(numbers, dates, strict=True)
    ]
    twins: U64 = np.unique(keys[rows[is_parents], _NAME_DOB])
    return twins


def _with_byte(column: Packed, wanted: Bools) -> Bools:
    """Which items have a byte that is wanted; `wanted` has one entry for each byte value. Shape (n,)."""
    there = wanted[column.blob]
    if not there.any():
        return np.zeros(len(column), np.bool_)
    before = np.concatenate([[0], np.cumsum(there)])
    found: Bools = before[column.offsets[1:]] > before[column.offsets[:-1]]
    return found


def _are_exchanged(tagged: Sequence[RowTags], compared: Sequence[ComparedRows]) -> bool:
    """Whether the first names of the known rows of a sample stand in its column of surnames."""
    surnames = firsts = 0
    for tags, each in zip(tagged, compared, strict=True):
        known = np.flatnonzero(each.held[:, _NAME_DOB])
        surnames += int(_are_first_names(tags.inputs.forms["surname"].take(known)).sum())
        firsts += int(_are_first_names(tags.inputs.forms["first"].take(known)).sum())
    return surnames > firsts


def _are_first_names(names: Packed) -> Bools:
    """Which names in normal form are common first names; shape (n,)."""
    return np.array([name.decode() in FIRST_NAMES for name in names.to_list()], np.bool_)
