"""People in doubt looked up again with one typing error undone, while their normal forms are still in memory.

Who turns out to be known that way tells noise from news one by one, also where a sample has one kind of key only, and so
does not show its errors itself. Tries are made a second time with the other fields of another person: what that finds
is chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.field_errors import KEY_FIELDS, fewest_errors
from crawler.lineage.uncertain_rows import Doubtful
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed, join_packed, pair_packed, read_only
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags, record_keys

_MAX_LENGTH = 64
# So many pairs of a name and a date not its own are looked up, to see how often these are known.
_NAMESAKES = 65_536
# So many numbers are tried beside first names of other people; each number at least beside so many of them.
_HALVES, _OTHERS = 8192, 16
_DAYS = np.array([list(b"%02d%02d" % (month, day)) for month in range(1, 13) for day in range(1, 29)], np.uint8)

# How an error in a field is undone: through the first of these keys that a person has. The first name and the birth
# date are tried twice, for who has both of them wrong is unknown by name+dob whichever of the two is undone.
_ROADS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("surname", (Kind.NAME_DOB,)),
    ("first", (Kind.NAME_DOB,)),
    ("dob", (Kind.NAME_DOB,)),
    ("first", (Kind.NIR_FIRST, Kind.PHONE_FIRST, Kind.EMAIL_FIRST)),
    ("dob", (Kind.NIR_DOB, Kind.PHONE_DOB)),
)
# Wrong numbers and addresses alone do not hide who has a name and a birth date.
_NAMELESS: tuple[tuple[str, tuple[Kind, ...]], ...] = (
    ("nir", (Kind.NIR_DOB, Kind.NIR_FIRST)),
    ("phone", (Kind.PHONE_DOB, Kind.PHONE_FIRST)),
    ("email", (Kind.EMAIL_FIRST,)),
)
_NAME = 1 << RECORD_KINDS.index(Kind.NAME_DOB)
# How often chance finds somebody is tried on so many people, each beside so many others at most.
_CONTROLS, _MATES = 256, 16


@dataclass(frozen=True, slots=True)
class Repair:
    """What undoing one error found.

    Attributes:
        tried: people.
        found: of them known with one error undone.
        controls: tries with all the other fields of another person.
        by_chance: known in these.
    """

    tried: int = 0
    found: int = 0
    controls: int = 0
    by_chance: int = 0

    @property
    def share(self) -> float:
        """The share of the tried people that are known but mistyped, chance taken off."""
        chance = self.by_chance / self.controls if self.controls else 0.0
        return max(0.0, self.found / self.tried - chance) if self.tried else 0.0


Undone = Mapping[tuple[int, int], tuple[int, int]]
"""By kinds of key that people have and that are known, as bits: how many were tried, and are better known with an error undone."""


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What can still be asked about people in doubt while their normal forms are there.

    probe_key: of the case. doubtful: what was kept of them. holds: which tags of record keys of a kind, shape (n,),
    any release has.
    """

    probe_key: bytes
    doubtful: Doubtful
    holds: Callable[[Kind, U64], Bools]

    def __repr__(self) -> str:
        """No key."""
        return f"<SecondLook at {self.doubtful}>"

    def repair(self, comparable: int) -> Repair:
        """Try every single error in every unmatched person that was kept.

        Args:
            comparable: kinds of key that the releases have, as bits.
        """
        kept = self.doubtful.unmatched
        count = len(kept)
        if not count:
            return Repair()
        forms = kept.forms()
        everybody = np.arange(count)
        found, _, _ = self._undo(forms, everybody, everybody, comparable)
        # all other fields from somebody else: what is known then is chance
        turns = min(count - 1, _MATES, max(1, _CONTROLS // count))
        own = np.tile(everybody[:_CONTROLS], turns)
        others = (own + np.repeat(np.arange(1, turns + 1), min(count, _CONTROLS))) % count
        by_chance = self._undo(forms, own, others, comparable)[0] if turns else np.zeros(0, bool)
        return Repair(count, int(found.sum()), len(own), int(by_chance.sum()))

    def undone(self, comparable: int) -> Undone:
        """The same for those who are known by weak keys alone; arguments as for `repair`."""
        kept = self.doubtful.weak
        if not len(kept):
            return {}
        everybody = np.arange(len(kept))
        found, present, seen = self._undo(kept.forms(), everybody, everybody, comparable)
        counts: dict[tuple[int, int], tuple[int, int]] = {}
        for is_found, *pattern in zip(found.tolist(), present.tolist(), seen.tolist(), strict=True):
            tried, better = counts.get((pattern[0], pattern[1]), (0, 0))
            counts[pattern[0], pattern[1]] = tried + 1, better + is_found
        return counts

    def _undo(self, forms: Mapping[str, Packed], own: I64, others: I64, comparable: int) -> tuple[Bools, I64, I64]:
        """Who is known, or better known, with one error undone in a field of `own` beside the other fields of `others`.

        Returns:
            That, and the keys that each has and that are known as it stands, as bits; shape of `own` each.
        """
        still = {role: column.take(others) for role, column in forms.items()}
        present, seen = self._known(still)
        present &= comparable
        seen &= comparable
        found = np.zeros(len(own), bool)
        there = np.array([present >> at & 1 for at in range(len(RECORD_KINDS))], bool)
        unseen = there & ~np.array([seen >> at & 1 for at in range(len(RECORD_KINDS))], bool)
        nameless = ~there[0]
        for roads, whom in ((_ROADS, np.ones(len(own), bool)), (_NAMELESS, nameless)):
            for role, kinds in roads:
                left = whom.copy()
                for kind in kinds:
                    at = RECORD_KINDS.index(kind)
                    rows = np.flatnonzero(left & unseen[at] & (forms[role].lengths[own] > 0))
                    # a key that is known already tells nothing more, and another may
                    left[rows] = False
                    if not len(rows):
                        continue
                    column = forms[role].take(own[rows])
                    for base in (column, _turned(column)) if role == "dob" else (column,):
                        self._try(base, column, role, kind, rows, still, (present, seen), found)
        return found, present, seen

    def _try(
        self, base: Packed, column: Packed, role: str, kind: Kind, rows: I64, still: Mapping[str, Packed],
        before: tuple[I64, I64], found: Bools,
    ) -> None:  # fmt: skip
        """Look up what undoing one error in a field (`column`, or another reading of it) makes of one key.

        Of those whom it finds, all keys are looked up.
        """
        from crawler.lineage.typo_kernels import variants

        lengths_vary = role in {"first", "surname", "email"}
        blob, offsets, owners = variants(base.blob, base.offsets, _alphabet(role), lengths_vary, _MAX_LENGTH)
        varied = Packed(blob, offsets)
        whose = rows[owners]
        tags = self._tags(kind, role, varied, still, whose)
        hits = np.flatnonzero(self.holds(kind, tags) & (tags != 0))
        # a letter in its own place undoes nothing: beside the fields of others it would count namesakes as chance
        as_it_stands = self._tags(kind, role, column, still, rows)
        hits = hits[(tags[hits] != as_it_stands[owners[hits]]) & ~found[whose[hits]]]
        if not len(hits):
            return
        people = whose[hits]
        mended = {part: held.take(people) for part, held in still.items()} | {role: varied.take(hits)}
        _, now = self._known(mended)
        present, seen = before[0][people], before[1][people]
        for person, *bits in zip(people.tolist(), present.tolist(), seen.tolist(), now.tolist(), strict=True):
            found[person] |= _is_better(*bits)

    def _tags(self, kind: Kind, role: str, column: Packed, still: Mapping[str, Packed], rows: I64) -> U64:
        """One key of rows, a field of which stands in `column`."""
        from crawler.lineage.typo_kernels import taken

        beside = {
            part: Packed(*taken(still[part].blob, still[part].offsets, rows))
            for part in KEY_FIELDS[kind]
            if part != role
        }
        return np.ascontiguousarray(
            record_keys(self.probe_key, **beside, **{role: column})[:, RECORD_KINDS.index(kind)]
        )

    def _known(self, forms: Mapping[str, Packed]) -> tuple[I64, I64]:
        """Which keys people have and which are known, as bits."""
        keys = record_keys(self.probe_key, **forms)
        present, seen = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        for at, kind in enumerate(RECORD_KINDS):
            tags = np.ascontiguousarray(keys[:, at])
            present |= (tags != 0).astype(np.int64) << at
            seen |= (self.holds(kind, tags) & (tags != 0)).astype(np.int64) << at
        return present, seen

    def by_chance(self) -> dict[Kind, tuple[int, int]]:
        """How often keys made of halves of different people are known: per kind (known, tried).

        The share is the rate at which new people meet a known key by chance, among the very people and releases at hand:
        a name with a birth date of the same year that is not its own, a known number with somebody else's first name.
        """
        forms = self.doubtful.unmatched.forms()
        found = {Kind.NAME_DOB: self._namesakes(forms)}
        for kind, number in ((Kind.NIR_FIRST, "nir"), (Kind.EMAIL_FIRST, "email"), (Kind.PHONE_FIRST, "phone")):
            rows = np.flatnonzero(_there(forms, number) & _there(forms, "first"))
            if len(rows) < 2:
                continue
            others = min(len(rows) - 1, max(_OTHERS, _HALVES // len(rows)))
            mates = np.concatenate([np.roll(rows, turn) for turn in range(1, others + 1)])
            halves = join_packed(forms[number].take(np.tile(rows, others)), forms["first"].take(mates))
            found[kind] = int(self.holds(kind, probe_tags(self.probe_key, kind, halves)).sum()), len(mates)
        return found

    def _namesakes(self, forms: Mapping[str, Packed]) -> tuple[int, int]:
        rows = np.flatnonzero(_there(forms, "names") & _there(forms, "dob") & (forms["dob"].lengths == 6))
        if not len(rows):
            return 0, 0
        others = min(len(_DAYS), max(1, _NAMESAKES // len(rows)))
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


def _turned(dates: Packed) -> Packed:
    """`yymmdd` with month and day in each other's place: one wrong digit can make a date be read that way."""
    return Packed.of([date[:2] + date[4:] + date[2:4] for date in dates.to_list()])


def _is_better(present: int, before: int, now: int) -> bool:
    """Whether who has these keys is a known person with an error: that is undone, and what is left needs few others.

    A name and a birth date that are known by themselves while a number says otherwise are a namesake's: of 500 new
    people two are one letter away from one, and one in 10,000 of known ones has errors in both.
    """
    now &= present
    if before:
        return fewest_errors(present, now) < fewest_errors(present, before)
    left = fewest_errors(present, now) if now else 2
    return left == 0 or (left == 1 and now != _NAME)


def _there(forms: Mapping[str, Packed], part: str) -> Bools:
    if part == "names":
        return _there(forms, "surname") & _there(forms, "first")
    filled: Bools = forms[part].lengths > 0
    return filled


def _alphabet(role: str) -> NDArray[np.uint8]:
    if role in {"first", "surname"}:
        signs = b"abcdefghijklmnopqrstuvwxyz"
    elif role == "email":
        signs = b"abcdefghijklmnopqrstuvwxyz0123456789._-"
    else:
        signs = b"0123456789"
    array: NDArray[np.uint8] = read_only(np.frombuffer(signs, np.uint8), np.uint8)
    return array
