"""Record keys and value tags of one sample, collected in bounded memory. `crawler.lineage.lineage` compares them.

Up to a maximum number of distinct rows, all rows are held. Of a larger sample one person in 2, 4, 8 … is held. People
are chosen by their most distinctive key, so that the rows of one person are kept or dropped together. All rows that no
release knows are held as well, unless they too exceed the maximum. The people that a mostly known dump adds are
therefore counted one by one however large the dump is, and get the verdict that they would get if all rows were held.
Only larger numbers are estimates, and the notes report that. Which rows are held depends on the rows alone, not on
the pieces in which they came: a streamed file gives the same estimates as the same file on disk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.lineage.compared_sample import NO_TEXTS, ComparedSample, SampledPart, TextCounts
from crawler.lineage.lineage import compare_sample
from crawler.lineage.origin import NO_EVIDENCE, OriginEvidence
from crawler.lineage.typo_search import TypoSearch
from crawler.lineage.value_lists import compare_list
from data.arrays.array_types import U8, U64, Bools
from data.arrays.growing_array import GrowingArray
from data.hashing.tags import RECORD_KINDS, Kind
from data.model import Lineage
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people, rows_with_key
from data.releases.stored_release import sample_tags

# the most distinctive key first, as in `data.releases.people`
_MOST_DISTINCTIVE_FIRST = tuple(
    RECORD_KINDS.index(kind)
    for kind in (Kind.NIR_DOB, Kind.NIR_FIRST, Kind.NAME_DOB, Kind.EMAIL_FIRST, Kind.PHONE_FIRST, Kind.PHONE_DOB)
)
_ODD = np.arange(1, 2 * len(RECORD_KINDS), 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
# The smallest draw is one in 2 to the power of this: it reduces 1e14 rows to 100,000.
_HALVINGS = 31
# So many distinct keys are counted exactly.
MAX_DISTINCT = 2**14
# The share of the maximum that is in use after rows were dropped. With more, every batch would make room again.
_FILL = 0.75
# The interval of an estimate is widened by so many standard deviations.
_SIGMAS = 3


class DistinctKeys:
    """Counts distinct keys, also if they come again and again, in memory that is bounded.

    What it counts does not depend on the order in which keys come, nor on the parts in which they come.
    """

    def __init__(self) -> None:
        self._held, self._one_in = np.zeros(0, np.uint64), 1

    def add(self, keys: U64) -> None:
        """Add keys, shape (n,)."""
        drawn = sample_tags(keys, self._one_in)
        if len(drawn):
            self._held = np.union1d(self._held, drawn)
        while len(self._held) > MAX_DISTINCT:
            self._one_in *= 2
            self._held = sample_tags(self._held, self._one_in)

    def count(self) -> int:
        """How many different keys came: exactly up to `MAX_DISTINCT`, of more with a standard error of 1.1 %."""
        return len(self._held) * self._one_in

    def state(self) -> dict[str, Any]:
        """What is held."""
        return {"held": self._held, "one_in": self._one_in}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add the keys of a `state`."""
        self._one_in = max(self._one_in, int(state["one_in"]))
        self._held = sample_tags(self._held, self._one_in)
        self.add(state["held"])


class SampleRecords:
    """Holds the record keys and values of one sample while it is read.

    Attributes:
        one_in: one person in this many is held; 1 while all of them are.
        unkeyed_rows: rows without a record key, which are not held.
        listed_rows: rows of tables that describe people and give no record key at all.
        named_rows: further rows of such tables, in which only a name stands.
        bare_rows: rows of tables with record keys in which a name or a value stands that identifies nobody by itself.
        doubtful_rows: rows that no release knows for certain, but that may be of known people all the same.
        rows_of_relatives: rows that share nothing but a number and a surname with a release.
        perhaps_twins: people known by the number of a parent and their birth date alone, under another name; their visits
            in several parts of a sample count once.
    """

    def __init__(self, releases: KnownReleases, max_rows: int | None) -> None:
        """Begin a sample.

        Args:
            releases: what is known; rows that no release knows are not dropped.
            max_rows: distinct rows that are held at most; None for no limit.
        """
        self.one_in = 1
        self._releases, self._max_rows = releases, max_rows
        self._keys = GrowingArray(np.uint64, len(RECORD_KINDS))
        # which keys of these rows any release holds, one bit each; looking them up again would take a fifth of the
        # time that a row takes
        self._seen = GrowingArray(np.uint8, 1)
        self._values: dict[Kind, GrowingArray[np.uint64]] = {}
        self._distinct: dict[Kind, U64] | None = None
        # the number of rows (None) and of values of each kind that are held
        self._sizes: dict[Kind | None, int] = {None: 0}
        # all rows that no release knows; None while all rows are held, and once these are too many
        self._unmatched: U64 | None = None
        self.unkeyed_rows = self.listed_rows = self.named_rows = self.bare_rows = self.doubtful_rows = (
            self.rows_of_relatives
        ) = 0
        self.perhaps_twins = DistinctKeys()
        self._repeated_rows = 0
        self._made_room = False
        # how many rows drop out of the draw after each number of halvings; repeated rows count as often as they came
        self._rows_by_halvings = np.zeros(_HALVINGS, np.int64)

    def add(self, keys: U64, held: Bools) -> None:
        """Add rows.

        Args:
            keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent.
            held: shape (n, 6), which keys any release holds (`KnownReleases.find_known_keys`).
        """
        keyed = rows_with_key(keys)
        # Rows without a key are counted and not held: removing them at the end would copy all others, 720 MB for 15 M
        # rows.
        self.unkeyed_rows += len(keys) - int(keyed.sum())
        keys, seen = keys[keyed], _to_bits(held[keyed])
        if self._max_rows is None:
            self._keys.add(keys)
            self._seen.add(seen)
            return
        if not len(keys):
            return
        if self._unmatched is not None:
            self._add_unmatched(keys[seen == 0])
        distinctive = _most_distinctive_key(keys)
        self._rows_by_halvings += _count_by_halvings(distinctive)
        if self.one_in > 1:
            drawn = distinctive & np.uint64(self.one_in - 1) == 0
            keys, seen = keys[drawn], seen[drawn]
        self._keys.add(keys)
        self._seen.add(seen)
        self._note_growth(None, len(keys))

    def add_values(self, kind: Kind, tags: U64) -> None:
        """Add value tags of one kind."""
        drawn = sample_tags(tags, self.one_in)
        if len(drawn):
            self._values.setdefault(kind, GrowingArray(np.uint64, 1)).add(drawn)
            self._note_growth(kind, len(drawn))

    def keys(self) -> U64:
        """The rows that are held, each with a key; shape (n, 6), not copied. Nothing may be added afterwards."""
        return self._keys.rows()

    def values(self) -> dict[Kind, U64]:
        """The sorted distinct value tags that are held, per kind. Nothing may be added afterwards."""
        if self._distinct is None:
            self._distinct = {kind: self._values.pop(kind).distinct() for kind in list(self._values)}
        return self._distinct

    def state(self) -> dict[str, Any]:
        """Everything that is held, if all rows are; nothing may be added afterwards."""
        return {
            "keys": self.keys(),
            "seen": self._seen.rows()[:, 0],
            "values": {int(kind): tags for kind, tags in self.values().items()},
            "unkeyed": self.unkeyed_rows,
            "doubtful": self.doubtful_rows,
            "relatives": self.rows_of_relatives,
            "twins": self.perhaps_twins.state(),
        }

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add the rows and values of a `state` behind those that are held; all rows must be held here too."""
        self._keys.add(state["keys"])
        self._seen.add(state["seen"])
        for kind, tags in state["values"].items():
            self.add_values(Kind(int(kind)), tags)
        self.unkeyed_rows += state["unkeyed"]
        self.doubtful_rows += state["doubtful"]
        self.rows_of_relatives += state["relatives"]
        self.perhaps_twins.add_state(state["twins"])

    def lineage(
        self,
        *,
        has_hits: bool,
        typo_search: TypoSearch | None = None,
        texts: TextCounts = NO_TEXTS,
        evidence: OriginEvidence = NO_EVIDENCE,
    ) -> Lineage | None:
        """How the sample stands to the releases; None if nobody is described in it.

        Without any record key its single values are compared (`crawler.lineage.value_lists`).

        Args:
            has_hits: whether canaries of a client hit in the sample.
            typo_search: over the uncertain rows of the sample.
            texts: counts of its free texts.
            evidence: what tells whose breach it is from.
        """
        if self._made_room:
            # when rows were dropped before depended on how they came; dropping once more makes the result the same
            self._make_room(self._max_rows or 0)
        keys, seen = self.keys(), self._seen.rows()[:, 0]
        if not len(keys) and self._unmatched is None:
            rows = self.listed_rows, self.named_rows
            return compare_list(self.values(), rows, self._releases, evidence, has_hits=has_hits)
        part = None
        if self.one_in > 1:
            part = SampledPart(self.one_in, self._estimated_people(), holds_all_new=self._unmatched is not None)
        if self._unmatched is not None:
            known = seen != 0
            keys = np.concatenate([keys[known], self._unmatched])
            seen = np.concatenate([seen[known], np.zeros(len(self._unmatched), np.uint8)])
        sample = ComparedSample(
            keys,
            self.values(),
            has_hits=has_hits,
            held=_from_bits(seen),
            typo_search=typo_search,
            texts=texts,
            # rows of tables that give no key at all are of the same people, as far as there are not more of them
            unkeyed_rows=self.unkeyed_rows + max(0, self.listed_rows + self.named_rows - self._row_count(part)),
            bare_rows=self.bare_rows,
            doubtful_rows=self.doubtful_rows,
            rows_of_relatives=self.rows_of_relatives,
            perhaps_twins=self.perhaps_twins.count(),
            repeated_rows=self._repeated_rows if part is None else 0,
            part=part,
            evidence=evidence,
        )
        found = compare_sample(sample, self._releases)
        return found if part is None else self._marked_as_estimate(found)

    def _row_count(self, part: SampledPart | None) -> int:
        """How many rows with a key the sample has."""
        return part.people if part is not None else len(self._keys) + self._repeated_rows

    def _estimated_people(self) -> int:
        """How many people the sample describes: those drawn, times the number of rows that came for each drawn row."""
        drawn = int(self._rows_by_halvings[self.one_in.bit_length() - 1 :].sum())
        return round(count_people(self.keys()) * int(self._rows_by_halvings.sum()) / drawn) if drawn else 0

    def _marked_as_estimate(self, found: Lineage) -> Lineage:
        """A lineage with notes on which numbers are estimates; estimates of new people get wider bounds."""
        notes = [
            f"too many people to hold them all: one in {self.one_in} was compared, so numbers of people are estimates"
        ]
        if self._unmatched is not None:
            notes.append(f"the {found.new} people that no release knows were counted one by one")
            return replace(found, notes=(*found.notes, *notes))
        low, high = found.interval
        low = max(0, math.floor(low - _SIGMAS * math.sqrt(low * self.one_in)))
        high = math.ceil(high + _SIGMAS * math.sqrt(high * self.one_in))
        return replace(found, interval=(low, high), notes=(*found.notes, *notes))

    # --- bounded memory ------------------------------------------------------------------------------------------

    def _note_growth(self, of: Kind | None, by: int) -> None:
        """Count added rows (None) or values of a kind, and make room if they exceed the maximum."""
        self._sizes[of] = self._sizes.get(of, 0) + by
        if self._max_rows is not None and self._sizes[of] > self._max_rows:
            self._make_room(self._max_rows)

    def _make_room(self, max_rows: int) -> None:
        """Drop repeated rows and values, and if that is not enough, people.

        Since the sample only grows, this never drops a row that would be held at the end.
        """
        self._made_room = True
        rows, seen = self.keys(), self._seen.rows()[:, 0]
        once = _first_occurrences(rows)
        self._repeated_rows += len(rows) - len(once)
        rows, seen = rows[once], seen[once]
        values = self.values()
        fits = int(max_rows * _FILL)
        was_complete = self.one_in == 1
        one_in = self.one_in
        distinctive = _most_distinctive_key(rows)
        while (distinctive & np.uint64(one_in - 1) == 0).sum() > fits or any(
            len(sample_tags(tags, one_in)) > fits for tags in values.values()
        ):
            one_in *= 2
        if was_complete and one_in > 1 and len(self._releases):
            self._unmatched = np.zeros((0, len(RECORD_KINDS)), np.uint64)
            self._add_unmatched(rows[seen == 0])
        elif self._unmatched is not None:
            self._bound_unmatched(self._unmatched, max_rows)
        self.one_in = one_in
        drawn = distinctive & np.uint64(one_in - 1) == 0
        self._keys, self._seen = GrowingArray(np.uint64, len(RECORD_KINDS)), GrowingArray(np.uint8, 1)
        self._keys.add(rows[drawn])
        self._seen.add(seen[drawn])
        self._values, self._distinct = {kind: GrowingArray(np.uint64, 1) for kind in values}, None
        for kind, tags in values.items():
            self._values[kind].add(sample_tags(tags, one_in))
        self._sizes = {None: len(self._keys), **{kind: len(tags) for kind, tags in self._values.items()}}

    def _add_unmatched(self, unmatched: U64) -> None:
        if not len(unmatched) or self._unmatched is None:
            return
        self._unmatched = np.concatenate([self._unmatched, unmatched])
        if self._max_rows is not None and len(self._unmatched) > self._max_rows:
            self._bound_unmatched(self._unmatched, self._max_rows)

    def _bound_unmatched(self, unmatched: U64, max_rows: int) -> None:
        distinct = unmatched[_first_occurrences(unmatched)]
        # if they are too many to be counted one by one, the drawn rows stand for them as well
        self._unmatched = None if len(distinct) > max_rows * _FILL else distinct


def _to_bits(held: Bools) -> U8:
    """Rows of six booleans as one byte each; shape (n,)."""
    return np.packbits(held, axis=1, bitorder="little")[:, 0]


def _from_bits(seen: U8) -> Bools:
    """The inverse of `_to_bits`; shape (n, 6)."""
    bits = np.unpackbits(seen.reshape(-1, 1), axis=1, count=len(RECORD_KINDS), bitorder="little")
    return np.ascontiguousarray(bits).view(np.bool_)


def _most_distinctive_key(rows: U64) -> U64:
    """The most distinctive key of each row, by which the rows of one person are drawn together; shape (n,)."""
    distinctive = np.zeros(len(rows), np.uint64)
    for column in reversed(_MOST_DISTINCTIVE_FIRST):
        there = rows[:, column] != 0
        distinctive[there] = rows[there, column]
    return distinctive


def _count_by_halvings(distinctive: U64) -> NDArray[np.int64]:
    """How many rows stay in the draw for exactly 0, 1, 2 … halvings; shape (_HALVINGS,).

    A row stays for as many halvings as its most distinctive key has zero bits at the end.
    """
    lowest = distinctive & (~distinctive + np.uint64(1))
    zeros = np.frexp(lowest.astype(np.float64))[1] - 1
    return np.bincount(np.minimum(zeros, _HALVINGS - 1), minlength=_HALVINGS).astype(np.int64)


def _first_occurrences(rows: U64) -> NDArray[np.int64]:
    """The numbers of the distinct rows, each where it occurs first.

    Rows are compared by a sum of 64 bits, which any two of a million different rows share with a probability of 3e-8.
    """
    mixed = (rows * _ODD).sum(axis=1, dtype=np.uint64)
    order = np.argsort(mixed, kind="stable")
    ordered = mixed[order]
    first = np.ones(len(order), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.sort(order[first])
