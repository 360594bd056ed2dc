"""The look-up of uncertain people with one typing error undone, while their normal forms are still in memory.

A person who is known after one error is undone is a known person with a typing error, not a new one. This decides
person by person, also in a sample that has only one kind of key and therefore does not show its errors otherwise.
Every search is repeated with the other fields taken from another person: what that finds is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.field_errors import KEY_FIELDS, fewest_errors
from crawler.lineage.names_in_releases import NamesInReleases, find_names
from crawler.lineage.number_owners import NumberOwners, find_number_owners
from crawler.lineage.systematic_edits import SystematicEdits, find_systematic_edits
from crawler.lineage.uncertain_rows import UncertainRows
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed, join_packed, pair_packed, read_only
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags, record_keys

_MAX_LENGTH = 64
# So many pairs of a name and a date that is not its own are looked up, to see how often such a pair is known.
_NAME_DATE_PAIRS = 65_536
# So many pairs of a number and another person's first name are looked up; each number beside at least so many names.
_NUMBER_NAME_PAIRS, _LEAST_OTHER_NAMES = 8192, 16
_DAYS = np.array([list(b"%02d%02d" % (month, day)) for month in range(1, 13) for day in range(1, 29)], np.uint8)

# For each field, the keys through which an error in it is undone: the first of these that a person has. The first name
# and the birth date occur twice: a person with errors in both is unknown by name+dob whichever of the two is undone.
_REPAIR_KEYS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("surname", (Kind.NAME_DOB,)),
    ("first", (Kind.NAME_DOB,)),
    ("dob", (Kind.NAME_DOB,)),
    ("first", (Kind.NIR_FIRST, Kind.PHONE_FIRST, Kind.EMAIL_FIRST)),
    ("dob", (Kind.NIR_DOB, Kind.PHONE_DOB)),
)
# These are tried only for people without the key name+dob: errors in numbers and addresses alone do not hide a person
# who has a name and a birth date.
_REPAIR_KEYS_WITHOUT_NAME: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("nir", (Kind.NIR_DOB, Kind.NIR_FIRST)),
    ("phone", (Kind.PHONE_DOB, Kind.PHONE_FIRST)),
    ("email", (Kind.EMAIL_FIRST,)),
)
_NAME_DOB = 1 << RECORD_KINDS.index(Kind.NAME_DOB)
# The control search takes so many people, each beside the fields of so many others at most.
_CONTROL_PEOPLE, _CONTROL_TURNS = 256, 16


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What undoing one error found among unmatched people.

    Attributes:
        tried: people who were searched.
        found: those of them who are known with one error undone.
        controls: searches with all other fields taken from another person.
        found_in_controls: those of them that found a known person, which is chance.
    """

    tried: int = 0
    found: int = 0
    controls: int = 0
    found_in_controls: int = 0

    @property
    def share(self) -> float:
        """The share of the tried people who are known people with an error; the share found by chance is subtracted."""
        chance = self.found_in_controls / self.controls if self.controls else 0.0
        return max(0.0, self.found / self.tried - chance) if self.tried else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _SearchedPeople:
    """The people of one search, n of them.

    Attributes:
        fields: normal forms by role, n each, without a change.
        present: shape (n,), the keys of each person, as bits.
        seen: shape (n,), those that are known without a change, as bits.
        found: shape (n,), who is known, or better known, with one error undone; filled by the search.
    """

    fields: Mapping[str, Packed]
    present: I64
    seen: I64
    found: Bools


@dataclass(frozen=True, slots=True, eq=False)
class _Repair:
    """One field in which errors are undone, and the key through which that is done, for m of the people.

    Attributes:
        role: of the field.
        kind: of the key.
        rows: shape (m,), the numbers of the people.
        column: m items, the field without a change.
    """

    role: str
    kind: Kind
    rows: I64
    column: Packed


WeakSearchCounts = Mapping[tuple[int, int], tuple[int, int]]
"""Counts of weakly known people by the keys they have and the keys that are known, both as bits.

The values are how many people were tried, and how many of them are better known with one error undone.
"""


@dataclass(frozen=True, slots=True)
class TypoSearch:
    """Looks up the uncertain people of a sample again with one error undone.

    Attributes:
        probe_key: of the case.
        rows: the uncertain rows of the sample.
        holds: returns which tags of record keys of a kind, shape (n,), any release holds.
    """

    probe_key: bytes
    rows: UncertainRows
    holds: Callable[[Kind, U64], Bools]

    def __repr__(self) -> str:
        """Leaves out the key."""
        return f"<TypoSearch in {self.rows}>"

    def search_unmatched(self, comparable: int) -> SearchResult:
        """Undo every possible single error of every unmatched person that is held.

        Args:
            comparable: kinds of key that the releases have, as bits.
        """
        held = self.rows.unmatched
        count = len(held)
        if not count:
            return SearchResult()
        forms = held.forms()
        everybody = np.arange(count)
        found = self._undo_one_error(forms, everybody, everybody, comparable).found
        # the controls take all other fields from another person: whatever is known then is chance
        turns = min(count - 1, _CONTROL_TURNS, max(1, _CONTROL_PEOPLE // count))
        own = np.tile(everybody[:_CONTROL_PEOPLE], turns)
        others = (own + np.repeat(np.arange(1, turns + 1), min(count, _CONTROL_PEOPLE))) % count
        by_chance = self._undo_one_error(forms, own, others, comparable).found if turns else np.zeros(0, bool)
        return SearchResult(count, int(found.sum()), len(own), int(by_chance.sum()))

    def search_weakly_known(self, comparable: int) -> WeakSearchCounts:
        """Undo every possible single error of every person who is known by weak keys alone.

        Args:
            comparable: kinds of key that the releases have, as bits.
        """
        held = self.rows.weakly_known
        if not len(held):
            return {}
        everybody = np.arange(len(held))
        searched = self._undo_one_error(held.forms(), everybody, everybody, comparable)
        counts: dict[tuple[int, int], tuple[int, int]] = {}
        patterns = zip(searched.present.tolist(), searched.seen.tolist(), strict=True)
        for is_found, pattern in zip(searched.found.tolist(), patterns, strict=True):
            tried, better = counts.get(pattern, (0, 0))
            counts[pattern] = tried + 1, better + is_found
        return counts

    def _undo_one_error(self, forms: Mapping[str, Packed], own: I64, others: I64, comparable: int) -> _SearchedPeople:
        """Search for people who are known, or better known, with one error undone in a field.

        Args:
            forms: normal forms by role.
            own: shape (n,), the person whose field is changed.
            others: shape (n,), the person from whom the other fields are taken; mostly the same person.
            comparable: kinds of key that the releases have, as bits.
        """
        fields = {role: column.take(others) for role, column in forms.items()}
        present, seen = self._look_up(fields)
        present &= comparable
        seen &= comparable
        people = _SearchedPeople(fields, present, seen, np.zeros(len(own), bool))
        has_key = np.array([present >> at & 1 for at in range(len(RECORD_KINDS))], bool)
        unseen = has_key & ~np.array([seen >> at & 1 for at in range(len(RECORD_KINDS))], bool)
        nameless = ~has_key[0]
        for repair_keys, whom in ((_REPAIR_KEYS, np.ones(len(own), bool)), (_REPAIR_KEYS_WITHOUT_NAME, nameless)):
            for role, kinds in repair_keys:
                left = whom.copy()
                for kind in kinds:
                    at = RECORD_KINDS.index(kind)
                    rows = np.flatnonzero(left & unseen[at] & (forms[role].lengths[own] > 0))
                    # people whose key of this kind is already known stay for the next kind, which may tell more
                    left[rows] = False
                    if not len(rows):
                        continue
                    column = forms[role].take(own[rows])
                    repair = _Repair(role, kind, rows, column)
                    self._try_variants(people, repair, column)
                    if role == "dob":
                        self._try_variants(people, repair, _with_day_and_month_swapped(column))
        return people

    def _try_variants(self, searched: _SearchedPeople, repair: _Repair, base: Packed) -> None:
        """Look up one kind of key with every single error undone in one field, and mark the people who are found.

        If the key is known for a person, all other keys of the person are looked up as well.

        Args:
            searched: all people; `found` is changed in place.
            repair: the field and the key.
            base: the reading of the field that is varied, for each of the rows of `repair`.
        """
        from crawler.lineage.typo_kernels import single_error_variants

        role, kind, rows, fields = repair.role, repair.kind, repair.rows, searched.fields
        lengths_vary = role in {"first", "surname", "email"}
        blob, offsets, owners = single_error_variants(
            base.blob, base.offsets, _alphabet(role), lengths_vary, _MAX_LENGTH
        )
        varied = Packed(blob, offsets)
        whose = rows[owners]
        tags = self._key_tags(kind, role, varied, fields, whose)
        hits = np.flatnonzero(self.holds(kind, tags) & (tags != 0))
        # A variant equal to the original undoes nothing: beside another person's fields it would count namesakes as
        # chance.
        unchanged = self._key_tags(kind, role, repair.column, fields, rows)
        hits = hits[(tags[hits] != unchanged[owners[hits]]) & ~searched.found[whose[hits]]]
        if not len(hits):
            return
        people = whose[hits]
        repaired = {part: held.take(people) for part, held in fields.items()} | {role: varied.take(hits)}
        _, now = self._look_up(repaired)
        present, seen = searched.present[people], searched.seen[people]
        for person, *bits in zip(people.tolist(), present.tolist(), seen.tolist(), now.tolist(), strict=True):
            searched.found[person] |= _is_better_known(*bits)

    def _key_tags(self, kind: Kind, role: str, column: Packed, fields: Mapping[str, Packed], rows: I64) -> U64:
        """The tags of one kind of key for `rows`, with the field `role` taken from `column`."""
        other_fields = {part: fields[part].take(rows) for part in KEY_FIELDS[kind] if part != role}
        return np.ascontiguousarray(
            record_keys(self.probe_key, **other_fields, **{role: column})[:, RECORD_KINDS.index(kind)]
        )

    def _look_up(self, forms: Mapping[str, Packed]) -> tuple[I64, I64]:
        """The keys that people have, and those that any release holds, as bits; shape (n,) each."""
        keys = record_keys(self.probe_key, **forms)
        present, seen = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        for at, kind in enumerate(RECORD_KINDS):
            tags = np.ascontiguousarray(keys[:, at])
            present |= (tags != 0).astype(np.int64) << at
            seen |= (self.holds(kind, tags) & (tags != 0)).astype(np.int64) << at
        return present, seen

    def find_systematic_edits(self) -> SystematicEdits:
        """Edits of all unmatched people in one way; see `crawler.lineage.systematic_edits`."""
        return find_systematic_edits(self.probe_key, self.rows.unmatched.forms(), self.holds)

    def values_per_owner(self, role: str, owners: int) -> float:
        """How many different values of a role unmatched people have, for each of the `owners` of one."""
        return self.rows.unmatched.values_per_owner(role, owners)

    def find_number_owners(self) -> NumberOwners:
        """Who owns the numbers of the unmatched people; see `crawler.lineage.number_owners`."""
        held = self.rows.unmatched.forms()
        names = [*held["first"].to_list(), *self.rows.weakly_known.forms()["first"].to_list()]
        return find_number_owners(self.probe_key, held, [name for name in names if name], self.holds)

    def find_names(self) -> NamesInReleases | None:
        """How many names of the unmatched people are known; see `crawler.lineage.names_in_releases`."""
        return find_names(self.probe_key, self.rows.unmatched.forms(), self.rows.reached.forms(), self.holds)

    def try_mixed_keys(self) -> dict[Kind, tuple[int, int]]:
        """How often keys made from the fields of different people are known: per kind (known, tried).

        The share is the rate at which new people match a known key by chance, measured on the sample's own people and
        the registered releases. A key is a name with a birth date of the same year that is not its own, or a number
        with another person's first name.
        """
        forms = self.rows.unmatched.forms()
        found = {Kind.NAME_DOB: self._try_other_dates(forms)}
        for kind, number in ((Kind.NIR_FIRST, "nir"), (Kind.EMAIL_FIRST, "email"), (Kind.PHONE_FIRST, "phone")):
            rows = np.flatnonzero(_has(forms, number) & _has(forms, "first"))
            if len(rows) < 2:
                continue
            others = min(len(rows) - 1, max(_LEAST_OTHER_NAMES, _NUMBER_NAME_PAIRS // len(rows)))
            name_owners = np.concatenate([np.roll(rows, turn) for turn in range(1, others + 1)])
            mixed = join_packed(forms[number].take(np.tile(rows, others)), forms["first"].take(name_owners))
            known = int(self.holds(kind, probe_tags(self.probe_key, kind, mixed)).sum())
            found[kind] = known, len(name_owners)
        return found

    def _try_other_dates(self, forms: Mapping[str, Packed]) -> tuple[int, int]:
        """Names with birth dates of the same year that are not theirs: how many are known, how many were tried."""
        rows = np.flatnonzero(_has(forms, "surname") & _has(forms, "first") & (forms["dob"].lengths == 6))
        if not len(rows):
            return 0, 0
        others = min(len(_DAYS), max(1, _NAME_DATE_PAIRS // len(rows)))
        days = _DAYS[np.linspace(0, len(_DAYS) - 1, others).astype(int)]
        own = forms["dob"].take(rows).blob.reshape(-1, 6)
        made = np.repeat(own, others, axis=0)
        made[:, 2:] = np.tile(days, (len(rows), 1))
        tried = (made[:, 2:] != np.repeat(own[:, 2:], others, axis=0)).any(axis=1)
        dates = Packed(made.reshape(-1), np.arange(len(made) + 1) * 6)
        whom = np.repeat(rows, others)
        names = pair_packed(forms["surname"].take(whom), forms["first"].take(whom))
        known = self.holds(Kind.NAME_DOB, probe_tags(self.probe_key, Kind.NAME_DOB, join_packed(names, dates)))
        return int((known & tried).sum()), int(tried.sum())


def _with_day_and_month_swapped(dates: Packed) -> Packed:
    """Dates as `yymmdd` with month and day exchanged: one wrong digit can make a date be read that way."""
    return Packed.of([date[:2] + date[4:] + date[2:4] for date in dates.to_list()])


def _is_better_known(present: int, before: int, now: int) -> bool:
    """Whether a changed field shows a known person with an error: after the change few or no errors must be left.

    A name and a birth date that are known while a number contradicts them belong to a namesake: of 500 new people two
    are one letter away from a namesake, and one in 10,000 known people has errors in both.

    Args:
        present: the keys of the person, as bits.
        before: the keys that were known without the change.
        now: the keys that are known with it.
    """
    now &= present
    if before:
        return fewest_errors(present, now) < fewest_errors(present, before)
    left = fewest_errors(present, now) if now else 2
    return left == 0 or (left == 1 and now != _NAME_DOB)


def _has(forms: Mapping[str, Packed], role: str) -> Bools:
    """Who has a value of a role; shape (n,)."""
    filled: Bools = forms[role].lengths > 0
    return filled


def _alphabet(role: str) -> NDArray[np.uint8]:
    """The characters that occur in the normal form of a role."""
    if role in {"first", "surname"}:
        characters = b"abcdefghijklmnopqrstuvwxyz"
    elif role == "email":
        characters = b"abcdefghijklmnopqrstuvwxyz0123456789._-"
    else:
        characters = b"0123456789"
    array: NDArray[np.uint8] = read_only(np.frombuffer(characters, np.uint8), np.uint8)
    return array
