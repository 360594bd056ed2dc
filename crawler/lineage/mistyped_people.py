"""How many of a sample's unmatched people are known and mistyped, and how many may be (pure); verdicts are `crawler.lineage.lineage`'s.

Two things tell it: the errors that known people show (`crawler.lineage.field_errors`), and what undoing one error finds (`crawler.lineage.typo_search`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crawler.lineage.chance_matches import SIGMAS, Chance
from crawler.lineage.field_errors import tail, upper
from crawler.lineage.people_counts import LIKELY, NOISE_PLAUSIBLE, USUALLY_RECOVERED, Measured
from crawler.lineage.probability import poisson_tail
from crawler.lineage.typo_search import Repair, SecondLook
from crawler.lineage.uncertain_rows import MOST

# Errors of fields are not quite independent: 601 people were hidden where 464 were expected (accents lost, 100,000 people).
DEPENDENT = 1.5
# Where known people cannot show errors, these are taken for the reason of unmatched people only if undoing one error
# makes so many of them known.
REPAIRED_SEEN = 0.6
# Undoing one error recovers at least this share of the mistyped (74 % measured with names alone, 67 % of names that
# lost their accents).
RECOVERED = 0.5
# So many ways there are to undo an error in a name and a birth date: so much more often than as it stands a new person
# meets a known key.
WAYS = 1000
# Without a second look: the share of known people who look new at 5 % of fields mistyped, by name+dob alone (measured).
MISTYPED = 0.127
# At worst this share of known people is hidden in a sample with one kind of key (a third with accents lost).
WORST = 0.6
# A field's error rate is known from so many people.
ENOUGH = 30
# Below this many people a sample is a teaser: what it says of the whole is said apart.
TEASER = 1000


@dataclass(frozen=True, slots=True)
class Noise:
    """What errors may have done: `most` unmatched people they can explain, `likely` ones that they do."""

    most: int
    likely: float
    seen: bool
    chance: float
    """Probability that errors make so many people look new."""
    mistyped: int = 0
    """Of people none of whom is known for certain: so many may be known and mistyped."""


def noise_of(m: Measured, second: SecondLook | None) -> Noise:
    """How many of the unmatched people typing errors can explain, and how many they do."""
    if not m.new or not m.known or m.by_chance:
        return Noise(0, 0.0, seen=False, chance=0.0, mistyped=_all_mistyped(m, second))
    table = m.errors.table
    most, likely, chance = 0, 0.0, 1.0
    blindly, surely = 0, True
    hiding = [int(pattern) for pattern in np.flatnonzero(table[:, 0]) if pattern]
    for pattern in hiding:
        unmatched = int(table[pattern, 0])
        if m.errors.judged(pattern) < ENOUGH:
            blindly += unmatched
            continue
        surely = surely and m.errors.judged_all(pattern) >= ENOUGH
        mean = m.errors.hidden(pattern)
        most += min(unmatched, upper(mean * DEPENDENT, NOISE_PLAUSIBLE / len(hiding)))
        likely += min(unmatched, float(np.median(mean)))
        chance = min(chance, tail(mean * DEPENDENT, unmatched) * len(hiding))
    apart = m.new - m.beyond - m.lookalikes - blindly
    # all of so few are looked at again, of more those without whom nothing could be said; very few whatever rates say:
    # one of 50 people had two errors where nobody else had one
    look = blindly or (most and apart <= MOST) or 0 < apart <= ENOUGH
    found = second.repair(m.comparable) if second is not None and look else Repair()
    if not blindly:
        most = max(most, min(apart, found.found))
    if apart and not blindly and found.tried and m.errors.wrong.any():
        # each of them was looked at: that tells more than rates do (where nobody is mistyped it finds twins)
        likely = min(apart, apart * found.share + likely * (1 - m.undone))
    # an error that nobody shows is no reason, however many there may be: one further person beside 100,000 known ones
    # without an error was called mistyped because 0.29 were thought possible
    seen = bool(m.errors.wrong.any()) or not apart
    if not surely:
        # some field's rate is a guess: it takes people who are seen to be mistyped
        seen = found.share >= REPAIRED_SEEN
    if blindly:
        # however bad the columns are: known people are not hidden by the hundred behind a handful of seen ones
        worst = WORST / (1 - WORST) * (m.known + 1)
        cap = min(blindly, math.ceil(worst + SIGMAS * math.sqrt(worst)))
        if second is None:
            mistyped = MISTYPED / (1 - MISTYPED) * m.known
            most += min(cap, math.ceil(mistyped + SIGMAS * math.sqrt(mistyped)))
            seen = False
            chance = min(chance, poisson_tail(mistyped, blindly))
        else:
            high = _share_at_most(found) / RECOVERED
            most += min(cap, math.ceil(blindly * high))
            likely += min(cap, blindly * found.share / USUALLY_RECOVERED)
            seen = seen and found.share >= REPAIRED_SEEN
            chance = min(chance, 1.0 if high >= 1 and cap >= blindly else NOISE_PLAUSIBLE)
    return Noise(most, likely, seen=seen, chance=min(1.0, chance))


def _all_mistyped(m: Measured, second: SecondLook | None) -> int:
    """How many people may be known and mistyped where nobody is known for certain, more than chance makes likely."""
    # known people are not hidden by the hundred behind nobody who is seen
    if second is None or m.people > TEASER or not m.new:
        return 0
    found = second.repair(m.comparable)
    if not found.found:
        return 0
    rate = Chance((1 + found.by_chance) / (1 / (WAYS * m.rates.worst.mean) + found.controls), 1 + found.by_chance)
    return found.found if rate.of(found.tried).tail(found.found) < LIKELY else 0


def _share_at_most(found: Repair) -> float:
    """An upper bound for the share of unmatched people that undoing an error recovers (Wilson 1927)."""
    if not found.tried:
        return 1.0
    share, spread = found.share, SIGMAS**2 / found.tried
    centre = share + spread / 2
    return min(1.0, (centre + math.sqrt(spread * (share * (1 - share) + spread / 4))) / (1 + spread))
