"""Whether unmatched people without a birth date have the name of somebody in the releases (pure but for look-ups).

Who is described by telephone and mailbox alone and has replaced both is known by no key. His name is: with each day of a
century beside it, it gives a key of the releases. How many new people have a known name by chance is told by the known
people of the sample: so many of them have a name that somebody else in the releases has as well. Beside releases of
millions nearly all have, and then nothing follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from crawler.lineage.probability import share_bounds
from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import Packed, join_packed, pair_packed
from data.hashing.tags import Kind, probe_tags

# So many unmatched people are looked at, and known ones: 36,525 keys of each take 3 ms. With fewer than the third number
# nothing follows.
MAX_PEOPLE, MAX_KNOWN, ENOUGH = 1023, 512, 30
# If of the first known people this share has the name of somebody else, the others are not looked at.
_FIRST, _TOO_COMMON = 64, 0.5
# If fewer known people have their registered name here, names are written otherwise, and nothing follows.
_LEAST_NAMED = 0.7
# New people may come from another place, where more or fewer have a known name by chance: by so much.
_CHANCE_FACTOR = 1.5
_CONFIDENCE, _SIGMAS = 0.99, 2.6
# The normal form of a birth date has two digits of the year, so that a century holds all of them.
_BORN = np.arange(np.datetime64("1926-01-01"), np.datetime64("2026-01-01"))


@dataclass(frozen=True, slots=True)
class NamesInReleases:
    """How many names of people without birth dates are known.

    Attributes:
        tried: unmatched people whose name was looked up.
        found: those of them whose name is known.
        known: people who are known by a telephone or a mailbox.
        named: those of them whose name is known.
        namesakes: those of these who have the name of somebody else as well.
    """

    tried: int
    found: int
    known: int
    named: int
    namesakes: int

    def known_people(self) -> tuple[float, float]:
        """Bounds for the share of the unmatched people who are known under other telephones and mailboxes."""
        found, chance = self.found / self.tried, self.namesakes / self.named
        # how many of the new people have a known name, and how well the known ones show that, vary independently
        share = (1 + self.namesakes) / (1 + self.named)
        spread = _SIGMAS * math.sqrt(share * (1 - min(0.9, share)) * (1 / self.named + 1 / self.tried))
        least = _beyond_chance(found, min(1.0, chance * _CHANCE_FACTOR + spread))
        most = _beyond_chance(found, max(0.0, chance / _CHANCE_FACTOR - spread))
        return least, min(1.0, most / share_bounds(self.named, self.known, _CONFIDENCE)[0])


def _beyond_chance(found: float, chance: float) -> float:
    """The share of known people if so many have a known name, and so many of the others by chance."""
    return max(0.0, (found - chance) / (1 - chance)) if chance < 1 else 0.0


def find_names(
    probe_key: bytes,
    unmatched: Mapping[str, Packed],
    known: Mapping[str, Packed],
    holds: Callable[[Kind, U64], Bools],
) -> NamesInReleases | None:
    """Look up the names of unmatched people; None if these are too few, or too many, or if names tell nothing.

    Args:
        probe_key: of the case.
        unmatched: normal forms by role, n each, of unmatched people.
        known: the same of people who are known by a telephone or a mailbox.
        holds: returns which tags of record keys of a kind, shape (m,), any release holds.
    """
    people, reached = _with_names(unmatched), _with_names(known)[:MAX_KNOWN]
    if not ENOUGH <= len(people) <= MAX_PEOPLE or len(people) < len(unmatched["first"]) or len(reached) < ENOUGH:
        return None
    dates = Packed.of([b"%s%s%s" % (day[2:4], day[5:7], day[8:]) for day in _BORN.astype("S10").tolist()])

    def count(forms: Mapping[str, Packed], rows: I64) -> I64:
        """With how many birth dates the name of each row is known."""
        pairs = pair_packed(forms["surname"].take(rows), forms["first"].take(rows))
        found = np.zeros(len(pairs), np.int64)
        for at in range(len(pairs)):
            inputs = join_packed(pairs.take(np.full(len(dates), at)), dates)
            found[at] = holds(Kind.NAME_DOB, probe_tags(probe_key, Kind.NAME_DOB, inputs)).sum()
        return found

    first = count(known, reached[:_FIRST])
    if (first > 0).mean() < _LEAST_NAMED or (first > 1).mean() > _TOO_COMMON:
        return None
    times = np.concatenate([first, count(known, reached[_FIRST:])])
    named = int((times > 0).sum())
    if named < _LEAST_NAMED * len(times):
        return None
    found = int((count(unmatched, people) > 0).sum())
    return NamesInReleases(len(people), found, len(times), named, int((times > 1).sum()))


def _with_names(forms: Mapping[str, Packed]) -> I64:
    """The numbers of the people who have both names."""
    whole: I64 = np.flatnonzero((forms["surname"].lengths > 0) & (forms["first"].lengths > 0))
    return whole
