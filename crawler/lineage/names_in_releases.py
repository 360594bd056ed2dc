"""Whether unmatched people without a birth date have the name of somebody in the releases (pure but for look-ups).

Who is described by telephone and mailbox alone and has replaced both is known by no key. His name is: with each day of a
century beside it, it gives a key of the releases. Names that were put together from two people of the sample show how
many names are known by chance. Beside releases of millions nearly all are, and then nothing follows.
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

# So many people are looked at: 36,525 keys each take 3 ms. With fewer than the second number nothing follows. Of known
# people fewer suffice.
MAX_PEOPLE, ENOUGH, _MOST_KNOWN = 1023, 30, 256
# If of so many names that were put together half are known, the others are not looked at.
_FIRST, _TOO_COMMON = 64, 0.5
# The share of new people with a known name is that of names put together, times or divided by this: surnames and first
# names go together.
_CHANCE_FACTOR = 1.25
# So many known people have their registered name here, where the sample does not show it: the others married, or are
# mistyped (chosen).
_SAME_NAME = 0.85
# If fewer known people have it, the names are written otherwise here, and nothing follows.
_LEAST_SAME_NAME = 0.7
_CONFIDENCE, _SIGMAS = 0.99, 2.6
_BORN = np.arange(np.datetime64("1926-01-01"), np.datetime64("2026-01-01"))


@dataclass(frozen=True, slots=True)
class NamesInReleases:
    """How many names of unmatched people are known.

    Attributes:
        tried: people whose name was looked up.
        found: those of them whose name is known.
        controls: names put together from two of these people.
        found_in_controls: those of them that are known.
        of_known: people who are known by a telephone or a mailbox and have another one that is not, and those of them whose
            name is known.
    """

    tried: int
    found: int
    controls: int
    found_in_controls: int
    of_known: tuple[int, int]

    def known_people(self) -> tuple[float, float]:
        """Bounds for the share of the people who are known under other telephones and mailboxes."""
        found, chance = self.found / self.tried, self.found_in_controls / self.controls
        # how many of the new people have a known name, and how well the controls show that, vary independently
        spread = _SIGMAS * math.sqrt(
            (1 + self.found_in_controls) / self.controls * (1 / self.controls + 1 / self.tried)
        )
        least = _beyond_chance(found, min(1.0, chance * _CHANCE_FACTOR + spread))
        most = _beyond_chance(found, max(0.0, chance / _CHANCE_FACTOR - spread))
        return least, min(1.0, most / self.same_name)

    @property
    def same_name(self) -> float:
        """The share of known people who have their registered name here: a lower bound."""
        known, named = self.of_known
        return share_bounds(named, known, _CONFIDENCE)[0] if known >= ENOUGH else _SAME_NAME


def _beyond_chance(found: float, chance: float) -> float:
    """The share of known people if so many have a known name, and so many of the others by chance."""
    return max(0.0, (found - chance) / (1 - chance)) if chance < 1 else 0.0


def find_names(
    probe_key: bytes,
    unmatched: Mapping[str, Packed],
    weakly_known: Mapping[str, Packed],
    holds: Callable[[Kind, U64], Bools],
) -> NamesInReleases | None:
    """Look up the names of unmatched people; None if these are too few, or too many, or if names tell nothing.

    Args:
        probe_key: of the case.
        unmatched: normal forms by role, n each, of unmatched people.
        weakly_known: the same of people who are known by one key and not by another.
        holds: returns which tags of record keys of a kind, shape (m,), any release holds.
    """
    people = _with_names(unmatched)
    if not ENOUGH <= len(people) <= MAX_PEOPLE or len(people) < len(unmatched["first"]):
        return None
    dates = Packed.of([b"%s%s%s" % (day[2:4], day[5:7], day[8:]) for day in _BORN.astype("S10").tolist()])

    def count(forms: Mapping[str, Packed], surnames: I64, firsts: I64) -> int:
        pairs = pair_packed(forms["surname"].take(surnames), forms["first"].take(firsts))
        found = 0
        for at in range(len(pairs)):
            inputs = join_packed(pairs.take(np.full(len(dates), at)), dates)
            found += bool(holds(Kind.NAME_DOB, probe_tags(probe_key, Kind.NAME_DOB, inputs)).any())
        return found

    others = np.roll(people, len(people) // 2)
    chance = count(unmatched, people[:_FIRST], others[:_FIRST])
    if chance > _TOO_COMMON * min(_FIRST, len(people)):
        return None
    chance += count(unmatched, people[_FIRST:], others[_FIRST:])
    known = _with_names(weakly_known)[:_MOST_KNOWN]
    of_known = len(known), count(weakly_known, known, known)
    found = NamesInReleases(len(people), count(unmatched, people, people), len(people), chance, of_known)
    return found if found.same_name >= _LEAST_SAME_NAME else None


def _with_names(forms: Mapping[str, Packed]) -> I64:
    """The numbers of the people who have both names."""
    whole: I64 = np.flatnonzero((forms["surname"].lengths > 0) & (forms["first"].lengths > 0))
    return whole
