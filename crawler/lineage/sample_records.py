"""Record keys and value tags of one sample, in bounded memory; what they say is left to `crawler.lineage.lineage`.

Up to a number of distinct rows all of them are held. Of a larger sample one person in 2, 4, 8 … is held, chosen by their
most telling key, so that the rows of one person stay or go together; beside them every row that no release knows,
as long as those are not too many themselves. So the people that a mostly known dump adds are counted one by one
however large it is, and have the verdict that they would have were all rows held. Only numbers too large for that are
estimates, which say so. Which rows are held hangs on the rows alone, not on the pieces in which they came: a file that
was streamed has the estimates of the same file from a disk.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.lineage import compare
from crawler.lineage.people_counts import NO_TEXTS, Part, Texts
from crawler.lineage.typo_search import SecondLook
from data.arrays.array_types import U8, U64, Bools
from data.arrays.growing_array import GrowingArray
from data.hashing.tags import RECORD_KINDS, Kind
from data.model import Lineage
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people, rows_with_key
from data.releases.stored_release import sample_tags

# the most telling first, as `data.releases.people` has it
_TELLING = tuple(
    RECORD_KINDS.index(kind)
    for kind in (Kind.NIR_DOB, Kind.NIR_FIRST, Kind.NAME_DOB, Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB)
)
_ODD = np.arange(1, 2 * len(RECORD_KINDS), 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
# One in 2 to the power of these is the least that is ever drawn: 1e14 rows to 100,000.
_HALVINGS = 31
# After making room so much of it is in use: else room would have to be made for every batch.
_FILL = 0.75
# Standard deviations by which an estimate's interval is widened.
_SIGMAS = 3


class SampleRecords:
    """What is kept of the rows of one sample while it is read.

    Attributes:
        one_in: of so many people one is held; 1 while it is all of them.
    """

    def __init__(self, releases: KnownReleases, most: int | None) -> None:
        """For one sample.

        Args:
            releases: what is known, for telling rows that must not be dropped.
            most: distinct rows that are held; None for all there are.
        """
        self.one_in = 1
        self._releases, self._most = releases, most
        self._keys = GrowingArray(np.uint64, len(RECORD_KINDS))
        # which keys of these rows any release holds, a bit for each: a look-up takes a fifth of the time of a row
        self._seen = GrowingArray(np.uint8, 1)
        self._values: dict[Kind, GrowingArray[np.uint64]] = {}
        self._distinct: dict[Kind, U64] | None = None
        self._held: dict[Kind | None, int] = {None: 0}
        self._unmatched: U64 | None = None
        self._unkeyed = self._repeated = 0
        self._made_room = False
        # rows by how often their draw can be halved before they are out, repeated ones as often as they came
        self._rows = np.zeros(_HALVINGS, np.int64)

    def add(self, keys: U64, held: Bools) -> None:
        """Take rows.

        Args:
            keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent.
            held: likewise, as `KnownReleases.find_known_keys` says of them.
        """
        keyed = rows_with_key(keys)
        # rows without a key are counted and not held: taking them out at the end would copy all others, 720 MB of 15 M
        self._unkeyed += len(keys) - int(keyed.sum())
        keys, seen = keys[keyed], _packed(held[keyed])
        if self._most is None:
            self._keys.add(keys)
            self._seen.add(seen)
            return
        if not len(keys):
            return
        if self._unmatched is not None:
            self._keep_unmatched(keys[seen == 0])
        telling = _telling(keys)
        self._rows += _halvings(telling)
        if self.one_in > 1:
            drawn = telling & np.uint64(self.one_in - 1) == 0
            keys, seen = keys[drawn], seen[drawn]
        self._keys.add(keys)
        self._seen.add(seen)
        self._grow(None, len(keys))

    def add_values(self, kind: Kind, tags: U64) -> None:
        """Take value tags of one kind."""
        drawn = sample_tags(tags, self.one_in)
        if len(drawn):
            self._values.setdefault(kind, GrowingArray(np.uint64, 1)).add(drawn)
            self._grow(kind, len(drawn))

    def keys(self) -> U64:
        """Shape (n, 6): the rows that are held, each with a key, not copied; nothing may be added afterwards."""
        return self._keys.rows()

    def values(self) -> dict[Kind, U64]:
        """Sorted distinct tags per kind, of those that are held; nothing may be added afterwards."""
        if self._distinct is None:
            self._distinct = {kind: self._values.pop(kind).distinct() for kind in list(self._values)}
        return self._distinct

    def lineage(self, *, has_hits: bool, second: SecondLook | None = None, texts: Texts = NO_TEXTS) -> Lineage | None:
        """How the sample stands to the releases; None where no row had a key.

        Args:
            has_hits: whether canaries of a client hit in the sample.
            second: what can be asked again about unmatched people.
            texts: what was recognised of free texts.
        """
        if self._made_room:
            # when there was no room before hung on how the rows came; this last time brings all to the same
            self._make_room(self._most or 0)
        keys, seen = self.keys(), self._seen.rows()[:, 0]
        if not len(keys) and self._unmatched is None:
            return None
        part = None
        if self.one_in > 1:
            part = Part(self.one_in, self._people(), all_new=self._unmatched is not None)
        if self._unmatched is not None:
            known = seen != 0
            keys = np.concatenate([keys[known], self._unmatched])
            seen = np.concatenate([seen[known], np.zeros(len(self._unmatched), np.uint8)])
        found = compare(
            keys,
            self.values(),
            self._releases,
            has_hits=has_hits,
            seen=_unpacked(seen),
            second=second,
            texts=texts,
            unkeyed=self._unkeyed,
            repeated=self._repeated if part is None else 0,
            part=part,
        )
        return found if part is None else self._told(found)

    def _people(self) -> int:
        """How many people the sample speaks of: those drawn, times how many rows came for each row that was drawn."""
        drawn = int(self._rows[self.one_in.bit_length() - 1 :].sum())
        return round(count_people(self.keys()) * int(self._rows.sum()) / drawn) if drawn else 0

    def _told(self, found: Lineage) -> Lineage:
        """With what must be said of numbers that come from a part; estimates of new people have wider bounds."""
        notes = [f"too many people to hold all: one in {self.one_in} was compared, and numbers of people are estimates"]
        if self._unmatched is not None:
            notes.append(f"the {found.new} people that no release knows were all counted")
            return replace(found, notes=(*found.notes, *notes))
        low, high = found.interval
        low = max(0, math.floor(low - _SIGMAS * math.sqrt(low * self.one_in)))
        high = math.ceil(high + _SIGMAS * math.sqrt(high * self.one_in))
        return replace(found, interval=(low, high), notes=(*found.notes, *notes))

    # --- room ----------------------------------------------------------------------------------------------------

    def _grow(self, of: Kind | None, by: int) -> None:
        self._held[of] = self._held.get(of, 0) + by
        if self._most is not None and self._held[of] > self._most:
            self._make_room(self._most)

    def _make_room(self, most: int) -> None:
        """Drop what is held twice, and where that is not enough, people.

        As long as what there is of the whole only grows, this never drops what it would keep at the end.
        """
        self._made_room = True
        rows, seen = self.keys(), self._seen.rows()[:, 0]
        once = _once(rows)
        self._repeated += len(rows) - len(once)
        rows, seen = rows[once], seen[once]
        values = self.values()
        fits = int(most * _FILL)
        first = self.one_in == 1
        step = self.one_in
        telling = _telling(rows)
        while (telling & np.uint64(step - 1) == 0).sum() > fits or any(
            len(sample_tags(tags, step)) > fits for tags in values.values()
        ):
            step *= 2
        if first and step > 1 and len(self._releases):
            self._unmatched = np.zeros((0, len(RECORD_KINDS)), np.uint64)
            self._keep_unmatched(rows[seen == 0])
        elif self._unmatched is not None:
            self._bound_unmatched(self._unmatched, most)
        self.one_in = step
        drawn = telling & np.uint64(step - 1) == 0
        self._keys, self._seen = GrowingArray(np.uint64, len(RECORD_KINDS)), GrowingArray(np.uint8, 1)
        self._keys.add(rows[drawn])
        self._seen.add(seen[drawn])
        self._values, self._distinct = {kind: GrowingArray(np.uint64, 1) for kind in values}, None
        for kind, tags in values.items():
            self._values[kind].add(sample_tags(tags, step))
        self._held = {None: len(self._keys), **{kind: len(tags) for kind, tags in self._values.items()}}

    def _keep_unmatched(self, unmatched: U64) -> None:
        if not len(unmatched) or self._unmatched is None:
            return
        self._unmatched = np.concatenate([self._unmatched, unmatched])
        if self._most is not None and len(self._unmatched) > self._most:
            self._bound_unmatched(self._unmatched, self._most)

    def _bound_unmatched(self, unmatched: U64, most: int) -> None:
        distinct = unmatched[_once(unmatched)]
        # too many to be counted one by one: then those that are drawn stand for them as well
        self._unmatched = None if len(distinct) > most * _FILL else distinct


def _packed(held: Bools) -> U8:
    """Shape (n,): a row of bits each."""
    return np.packbits(held, axis=1, bitorder="little")[:, 0]


def _unpacked(seen: U8) -> Bools:
    """The inverse of `_packed`, shape (n, 6)."""
    bits = np.unpackbits(seen.reshape(-1, 1), axis=1, count=len(RECORD_KINDS), bitorder="little")
    return np.ascontiguousarray(bits).view(np.bool_)


def _telling(rows: U64) -> U64:
    """Shape (n,): the most telling key of each row, by which the rows of one person are drawn together."""
    telling = np.zeros(len(rows), np.uint64)
    for column in reversed(_TELLING):
        there = rows[:, column] != 0
        telling[there] = rows[there, column]
    return telling


def _halvings(telling: U64) -> NDArray[np.int64]:
    """How many rows stay after 0, 1, 2 … halvings of the draw and no more: by the zeros at the end of their key."""
    lowest = telling & (~telling + np.uint64(1))
    zeros = np.frexp(lowest.astype(np.float64))[1] - 1
    return np.bincount(np.minimum(zeros, _HALVINGS - 1), minlength=_HALVINGS).astype(np.int64)


def _once(rows: U64) -> NDArray[np.int64]:
    """Where each row stands first; told apart by a sum of 64 bits, which two of a million rows share with a chance of 3e-8."""
    mixed = (rows * _ODD).sum(axis=1, dtype=np.uint64)
    order = np.argsort(mixed, kind="stable")
    ordered = mixed[order]
    first = np.ones(len(order), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.sort(order[first])
