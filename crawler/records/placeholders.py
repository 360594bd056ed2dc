"""Values that identify nobody: fillers that forms demand, and the practice's own number or address in every row.

They are learned from the rows of the sample, and a release keeps those of its rows for all later samples. Record keys
made of such a value would tie different people together. They are left out where people are recognised and compared
with releases. Hits on the watch-list are not affected. A row never loses its last key, so that nobody is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from crawler.records.record_keys import RowTags, TaggedReading
from data.arrays.array_types import I64, U32, U64, Bools
from data.arrays.growing_array import GrowingArray
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import distinct

# Rows are judged together by windows. What stands in 1 % of one is then in 328 rows: a practice of a dump that is in the
# order of its practices has more.
# A value is a placeholder if so large a share of the rows has it, of so many different people: no family is larger.
COMMON_SHARE, COMMON_PEOPLE = 0.01, 20
# Values are counted in so many groups first: a group with few rows has no common value.
_GROUPS = 4096

# Makes small numbers as different in all bits as tags are, with which they are stored (2^64 divided by the golden ratio).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
# Of the values of a chunk the upper 32 bits are noted.
_SHORTENED = np.uint64(32)
_NONE = np.zeros(0, np.uint64)

_KINDS_OF_ROLE: Mapping[str, tuple[Kind, ...]] = {
    "phone": (Kind.PHONE_FIRST, Kind.PHONE_DOB),
    "email": (Kind.EMAIL_FIRST,),
    "nir": (Kind.NIR_FIRST, Kind.NIR_DOB),
    "dob": (Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_DOB),
}
"""The record keys that each kind of value is part of; the first one tells different people with one value apart."""
_VALUE_KINDS = {"phone": Kind.PHONE, "email": Kind.EMAIL, "nir": Kind.NIR}


@cache
def _fillers() -> dict[str, Packed]:
    """Normal forms that no person has, by role. Numbers are not in the plan, addresses say that there is none."""
    phones = [b"123456789", *(b"%d00000000" % first for first in range(1, 10))]
    phones += [b"%d" % digit * 9 for digit in range(1, 10)]
    nirs = [sex + digit * 12 for sex in (b"1", b"2") for digit in (b"0", b"9")] + [b"1" * 13, b"2" * 13]
    names = b"aucun aucune inconnu inconnue neant non none nomail no-mail noemail no-email pasdemail pas-de-mail sans"
    hosts = b"aucun aucune exemple example free gmail hotmail inconnu mail email none nomail noemail orange sans test"
    emails = [name + b"@" + host + end for name in names.split() for host in hosts.split() for end in (b".com", b".fr")]
    return {"phone": Packed.of(phones), "nir": Packed.of(nirs), "email": Packed.of(emails)}


@dataclass(frozen=True, slots=True, eq=False)
class FoundPlaceholders:
    """Rows without the keys that placeholders were part of.

    Attributes:
        keys: shape (n, 6).
        rows: by role, which rows had a placeholder that was taken out; shape (n,) each.
        kept: the numbers of rows that keep a key of a placeholder because they have no other.
    """

    keys: U64
    rows: Mapping[str, Bools]
    kept: I64

    def kept_for_want_of_others(self, held: Bools) -> int:
        """How many rows are unknown and have no key but one of a placeholder; `held`, shape (n, 6), as for `held`."""
        return int((~held[self.kept].any(axis=1)).sum())

    def held(self, held: Bools) -> Bools:
        """Which keys any release holds, shape (n, 6), without those that were taken out."""
        return held & (self.keys != 0) if self.rows else held

    def forms(self, forms: Mapping[str, Packed], rows: Sequence[int]) -> dict[str, Packed]:
        """Normal forms of some of the rows by role, without placeholders."""
        return {
            role: Packed.of(
                [b"" if self.rows[role][row] else form for row, form in zip(rows, column.to_list(), strict=True)]
            )
            if role in self.rows
            else column
            for role, column in forms.items()
        }


class Placeholders:
    """The placeholders of one sample, which are learned while it is read, beside those that releases are known to have."""

    def __init__(self, probe_key: bytes, of_releases: EliasFanoSet | None = None) -> None:
        """Begin a sample.

        Args:
            probe_key: of the case.
            of_releases: what `learned` gave for the releases; None if that is nothing.
        """
        self._probe, self._of_releases = probe_key, of_releases
        # by role, made when the sample has a value of it: most small samples have none
        self._fillers: dict[str, U64] = {}
        self._common = {role: np.zeros(0, np.uint64) for role in _KINDS_OF_ROLE}
        # of a chunk of a file: what it was given to begin with, what it had learned once its first window was read, and all
        # of its values
        self._given: dict[str, U64] = {}
        self._known_at_once: dict[str, U64] | None = None
        self._seen: dict[str, GrowingArray[np.uint64]] | None = None
        self._fillers_seen = np.zeros(0, np.uint64)
        self._of_releases_seen = np.zeros(0, np.uint64)

    def begin_chunk(self, given: Mapping[str, U64]) -> None:
        """These rows are a chunk of a file: begin with what the rows before it taught, and note all values for `fits`."""
        self._given = {role: np.asarray(values, np.uint64) for role, values in given.items()}
        self._common |= self._given
        self._seen = {role: GrowingArray(np.uint64, 1) for role in _KINDS_OF_ROLE}

    def common(self) -> dict[str, U64]:
        """What is known from the rows so far, by role, for `begin_chunk` of the next chunk."""
        return dict(self._common)

    def state(self) -> dict[str, Any]:
        """What a chunk has learned; nothing may be learned afterwards."""
        seen = {} if self._seen is None else {role: each.distinct() >> _SHORTENED for role, each in self._seen.items()}
        return {
            "given": self._given,
            "at_once": self._common if self._known_at_once is None else self._known_at_once,
            "common": self._common,
            "fillers": self._fillers_seen,
            "of_releases": self._of_releases_seen,
            "seen": {role: distinct(values).astype(np.uint32) for role, values in seen.items()},
        }

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a chunk would have been the same had it begun with what is known here.

        It would be if each value that the rows before it taught was given to it, was learned from its first window as
        well, or occurs nowhere in it (where 1 in 10,000 is taken for one that does, because values are shortened).
        """
        for role, values in self._common.items():
            if not np.isin(state["given"].get(role, _NONE), values).all():
                return False
            open_ = values[~np.isin(values, state["at_once"][role])]
            # not `isin`, which would put the millions of values that occur in order once more
            if _are_in((open_ >> _SHORTENED).astype(np.uint32), state["seen"].get(role, _NONE)).any():
                return False
        return True

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Learn what a chunk that `fits` has learned."""
        for role, values in state["common"].items():
            new = values[~np.isin(values, self._common[role])]
            self._common[role] = np.concatenate([self._common[role], new])
        self._fillers_seen = _with(self._fillers_seen, state["fillers"])
        self._of_releases_seen = _with(self._of_releases_seen, state["of_releases"])

    def learned(self) -> U64:
        """Tags of the values that were common among rows of this sample, shape (n,), for a release of it."""
        return np.concatenate(list(self._common.values()))

    def learn(self, window: Sequence[RowTags]) -> None:
        """Learn which values are common among some rows that follow each other, at most `WINDOW_ROWS`."""
        self._learn(window)
        if self._seen is not None and self._known_at_once is None:
            self._known_at_once = dict(self._common)

    def _note_values(self, window: Sequence[RowTags]) -> None:
        if self._seen is None:
            return
        for role, seen in self._seen.items():
            for tags in window:
                if role in tags.inputs.forms:
                    seen.add(self._values(tags, role))
                for other in tags.inputs.others:
                    if role in other.reading.forms:
                        seen.add(self._values_of_other(other, role))

    def _learn(self, window: Sequence[RowTags]) -> None:
        self._note_values(window)
        rows = sum(len(tags.keys) for tags in window)
        least = max(COMMON_PEOPLE, int(COMMON_SHARE * rows) + 1)
        if rows < least:
            return
        for role in _KINDS_OF_ROLE:
            if not any(role in tags.inputs.forms for tags in window):
                continue
            further = [(tags, other) for tags in window for other in tags.inputs.others if other.reading.role == role]
            values = np.concatenate(
                [self._values(tags, role) for tags in window]
                + [self._values_of_other(other, role) for _, other in further]
            )
            if (
                int(np.bincount((values[values != 0] & np.uint64(_GROUPS - 1)).astype(np.int64), minlength=1).max())
                < least
            ):
                continue
            people = np.concatenate(
                [_people(tags.keys, role) for tags in window]
                + [_people(tags.keys[other.reading.rows], role) for tags, other in further]
            )
            ordered = np.sort(values[values != 0])
            starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
            frequent = ordered[starts[np.diff(starts, append=len(ordered)) >= least]]
            for value in frequent[~np.isin(frequent, self._common[role])]:
                if np.count_nonzero(distinct(people[values == value])) >= least:
                    self._common[role] = np.append(self._common[role], value)

    def take_out(self, tags: RowTags) -> FoundPlaceholders:
        """The rows without the keys that placeholders are part of, unless a row has no other key."""
        keys, rows, kept = tags.keys, {}, [np.zeros(0, np.int64)]
        for role, kinds in _KINDS_OF_ROLE.items():
            if role not in tags.inputs.forms or not self._has_any(role):
                continue
            chosen = np.flatnonzero(self._are_placeholders(self._values(tags, role), role))
            left = keys[chosen]
            left[:, [RECORD_KINDS.index(kind) for kind in kinds]] = 0
            has_others = left.any(axis=1)
            kept.append(chosen[~has_others & keys[chosen].any(axis=1)])
            chosen, left = chosen[has_others], left[has_others]
            if len(chosen):
                keys = keys.copy() if keys is tags.keys else keys
                keys[chosen] = left
                rows[role] = np.zeros(len(keys), np.bool_)
                rows[role][chosen] = True
        return FoundPlaceholders(keys, rows, np.unique(np.concatenate(kept)) if len(kept) > 1 else kept[0])

    def keys_of_other(self, other: TaggedReading) -> Bools:
        """Which keys of another reading differ from the first one and are made of no placeholder; shape (m, 6)."""
        changed = other.changed
        for role, kinds in _KINDS_OF_ROLE.items():
            if role in other.reading.forms and self._has_any(role):
                out = self._are_placeholders(self._values_of_other(other, role), role)
                if out.any():
                    changed = changed.copy()
                    for kind in kinds:
                        changed[out, RECORD_KINDS.index(kind)] = False
        return changed

    def notes(self) -> list[str]:
        """Sentences for the analyst; they contain no value."""
        notes = []
        common, known, fillers = (
            sum(map(len, self._common.values())),
            len(self._of_releases_seen),
            len(self._fillers_seen),
        )
        # whole sentences for one and for many: only those of the closed vocabulary reach the analyst unchanged
        if common == 1:
            notes.append(
                "1 value stands in more than 1 % of the rows that were read together and is not used to recognise people"
            )
        elif common:
            notes.append(
                f"{common:,} values stand in more than 1 % of the rows that were read together and are not used to"
                " recognise people"
            )
        if known == 1:
            notes.append("1 value stands in many rows of a release and is not used to recognise people")
        elif known:
            notes.append(f"{known:,} values stand in many rows of a release and are not used to recognise people")
        if fillers == 1:
            notes.append("1 value is a filler that no person has and is not used to recognise people")
        elif fillers:
            notes.append(f"{fillers:,} values are fillers that no person has and are not used to recognise people")
        return notes

    def _has_any(self, role: str) -> bool:
        return role in _VALUE_KINDS or len(self._common[role]) > 0 or self._of_releases is not None

    def _are_placeholders(self, values: U64, role: str) -> Bools:
        """Which values of a role are placeholders; those that are not learned from this sample are noted. Shape (n,)."""
        found = np.isin(values, self._common[role]) if len(self._common[role]) else np.zeros(len(values), np.bool_)
        if role in _VALUE_KINDS:
            are_fillers = _are_in(values, self._tags_of_fillers(role))
            self._fillers_seen = _with(self._fillers_seen, values[are_fillers])
            found |= are_fillers
        if self._of_releases is not None:
            are_known = self._of_releases.lookup(values) & ~found
            self._of_releases_seen = _with(self._of_releases_seen, values[are_known])
            found |= are_known
        return found

    def _tags_of_fillers(self, role: str) -> U64:
        if role not in self._fillers:
            self._fillers[role] = distinct(probe_tags(self._probe, _VALUE_KINDS[role], _fillers()[role]))
        return self._fillers[role]

    def _values(self, tags: RowTags, role: str) -> U64:
        """A number for the value of each row, 0 for none; of birth dates only those on the first of January."""
        forms = tags.inputs.forms
        if role not in forms:
            return np.zeros(len(tags.keys), np.uint64)
        if role == "dob":
            return _first_of_january(forms[role])
        for kind, column, made in tags.inputs.columns:
            if kind == _VALUE_KINDS[role] and column is forms[role]:
                return made
        return probe_tags(self._probe, _VALUE_KINDS[role], forms[role])

    def _values_of_other(self, other: TaggedReading, role: str) -> U64:
        """As `_values`, for the rows of another reading."""
        form = other.reading.forms[role]
        return _first_of_january(form) if role == "dob" else probe_tags(self._probe, _VALUE_KINDS[role], form)


def _people(keys: U64, role: str) -> U64:
    """A number for the person of each row that does not depend on the values of a role; 0 if the row has none."""
    people = keys[:, RECORD_KINDS.index(Kind.NAME_DOB)]
    others: U64 = np.where(
        people != 0, people, keys[:, RECORD_KINDS.index(_KINDS_OF_ROLE[role][-1 if role == "dob" else 0])]
    )
    return others


def _first_of_january(dates: Packed) -> U64:
    """Dates (yymmdd) on the first of January as numbers, 0 for all others: only these are filled in for want of one."""
    found = np.zeros(len(dates), np.uint64)
    rows = np.flatnonzero(dates.lengths == 6)
    digits = dates.blob[dates.offsets[rows, np.newaxis] + np.arange(6)] if len(rows) else np.zeros((0, 6), np.uint8)
    is_first = (digits[:, 2:] == np.frombuffer(b"0101", np.uint8)).all(axis=1)
    found[rows[is_first]] = 1 + 10 * (digits[is_first, 0] - 48).astype(np.uint64) + (digits[is_first, 1] - 48)
    return found * _SPREAD


def _with(values: U64, further: U64) -> U64:
    """A few distinct values, and further ones."""
    return distinct(np.concatenate([values, further])) if len(further) else values


def _are_in(values: U64 | U32, ordered: U64 | U32) -> Bools:
    """Which values are in a sorted array; faster than `numpy.isin`, which sorts both."""
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: Bools = ordered[places] == values
    return found
