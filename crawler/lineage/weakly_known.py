"""People who may match a known person by chance: known people with typing errors, or lookalikes (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from crawler.lineage.chance_matches import ChanceMatchRates, ChanceRate
from crawler.lineage.field_errors import WEAK_PATTERN, ErrorRates, fewest_errors
from crawler.lineage.typo_search import WeakSearchCounts
from data.arrays.array_types import I64
from data.hashing.tags import RECORD_KINDS, Kind

# An explanation by typing errors is rejected if what was seen would happen less often than this: of a thousand mistyped
# samples one has more hidden people than 1e-3 allows (seen: 2 people mistyped in both first name and birth date among
# 2,000 at 1 %).
ERRORS_PLAUSIBLE = 1e-4
# So few people whom undoing an error did not recover show no error rate.
FEW_WEAKLY_KNOWN = 10
# Undoing one error usually recovers nearly all of the mistyped people. This expectation weighs as much as so many
# people who were tried.
USUALLY_RECOVERED = 0.9
RECOVERED_PRIOR_PEOPLE = 2.0
_NAME_DOB = 1 << RECORD_KINDS.index(Kind.NAME_DOB)


def patterns_of_chance_suspects(table: I64, rates: ChanceMatchRates) -> Iterator[tuple[int, int, int, ChanceRate]]:
    """Patterns of people who may match a known person by chance: present, seen, people, and how many chance makes.

    These are people seen by weak keys alone whose other keys contradict them, and people who differ from the known
    person in two fields or more.
    """
    for present, seen in zip(*(each.tolist() for each in np.nonzero(table)), strict=True):
        errors = fewest_errors(present, seen) if seen else 0
        if errors >= 2 or (errors and not seen & ~WEAK_PATTERN):
            count = int(table[present, seen])
            rate = rates.of_kinds_together(_kinds_of(seen))
            yield present, seen, count, rate.among(count + int(table[present, 0]))


def _kinds_of(pattern: int) -> Iterable[Kind]:
    return [kind for at, kind in enumerate(RECORD_KINDS) if pattern >> at & 1]


def people_known_by_chance(table: I64, rates: ChanceMatchRates) -> I64:
    """People who are seen by weak keys alone and no more often than chance explains: they show no errors."""
    left_out = np.zeros_like(table)
    for present, seen, count, by_chance in patterns_of_chance_suspects(table, rates):
        if not seen & ~WEAK_PATTERN and by_chance.probability_at_least(count) >= ERRORS_PLAUSIBLE:
            left_out[present, seen] = count
    return left_out


@dataclass(frozen=True, slots=True)
class WeaklyKnown:
    """See `PeopleCounts` and `Measurement` of `crawler.lineage.people_counts`."""

    lookalikes: int
    perhaps_new: int
    recovery_rate: float


def classify_weakly_known(errors: ErrorRates, rates: ChanceMatchRates, searched: WeakSearchCounts) -> WeaklyKnown:
    """Separate known people with typing errors from lookalikes.

    A person whom undoing one error makes better known is known and mistyped. Of the others, and of those who were not
    searched, people whose keys contradict each other are lookalikes if typing errors are the less likely cause.
    """
    lookalikes = perhaps_new = 0
    tried_mistyped, recovered = RECOVERED_PRIOR_PEOPLE, RECOVERED_PRIOR_PEOPLE * USUALLY_RECOVERED
    for present, seen, count, by_chance in patterns_of_chance_suspects(errors.table, rates):
        tried, found = searched.get((present, seen), (0, 0))
        rest = count - round(count * found / tried) if tried else count
        expected = errors.expected_people(present, seen)
        left = expected * (1 - USUALLY_RECOVERED) if tried else expected
        if not seen & ~WEAK_PATTERN and left < by_chance.mean:
            lookalikes += rest
        else:
            # Whom undoing an error did not recover may be a relative on the same number, unless a field is known to be
            # another one in so many rows (people who moved). If neither errors nor chance account for these people,
            # they were invented from known values.
            is_explained = expected >= count / 2 and (not tried or rest > FEW_WEAKLY_KNOWN)
            # Who has the name and the birth date of a known person is a namesake born on the same day, or that person:
            # other numbers beside them, however many, make nobody new.
            is_explained |= bool(seen & _NAME_DOB)
            perhaps_new += min(rest, max(FEW_WEAKLY_KNOWN, by_chance.upper_bound())) if is_explained else rest
        if expected > by_chance.mean:
            tried_mistyped, recovered = tried_mistyped + tried, recovered + found
    return WeaklyKnown(lookalikes, perhaps_new, recovered / tried_mistyped)
