"""How many of a sample's unmatched people are known people with typing errors, and how many may be (pure).

There are two sources: the errors that known people show (`crawler.lineage.field_errors`), and the look-up of unmatched
people with one error undone (`crawler.lineage.typo_search`). Verdicts are decided by `crawler.lineage.verdict`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from crawler.lineage.chance_matches import SIGMAS, ChanceRate
from crawler.lineage.field_errors import mean_tail, upper_bound
from crawler.lineage.people_counts import LIKELY, Measurement
from crawler.lineage.probability import poisson_tail
from crawler.lineage.systematic_edits import SystematicEdits
from crawler.lineage.typo_search import SearchResult, TypoSearch
from crawler.lineage.uncertain_rows import MAX_HELD
from crawler.lineage.weakly_known import ERRORS_PLAUSIBLE, USUALLY_RECOVERED
from data.arrays.array_types import U64
from data.hashing.tags import RECORD_KINDS, Kind

# Errors of fields are not quite independent: 601 people were hidden where 464 were expected (accents lost, 100,000
# people).
DEPENDENCE_FACTOR = 1.5
# Where known people cannot show errors, errors count as the cause of unmatched people only if undoing one error makes
# this share of them known.
RECOVERED_SHARE_OBSERVED = 0.6
# Undoing one error recovers at least this share of the mistyped people (74 % measured with names alone, 67 % of names
# that lost their accents).
RECOVERED_SHARE = 0.5
# The number of ways to undo an error in a name and a birth date. By so much the typo search raises the chance that a
# new person matches a known key.
WAYS_TO_UNDO = 1000
# Without a typo search: the share of known people who look new at 5 % of fields mistyped, by name+dob alone (measured).
MISTYPED_SHARE = 0.127
# The highest share of known people who are hidden in a sample with one kind of key (a third with accents lost).
WORST_HIDDEN_SHARE = 0.6
# The error rate of a field counts as known if it was counted on so many people.
ENOUGH_PEOPLE = 30
# Keys of people who have a telephone or a mailbox and nothing else.
_CONTACTS = sum(1 << RECORD_KINDS.index(kind) for kind in (Kind.EMAIL_FIRST, Kind.PHONE_FIRST))
# A sample below this many people is a teaser: what it tells of the whole is reported separately.
TEASER_PEOPLE = 1000


@dataclass(frozen=True, slots=True)
class TypingErrors:
    """What typing errors may have done to a sample.

    Attributes:
        at_most: the most unmatched people whom errors can explain.
        likely: how many unmatched people are probably known people with errors.
        observed: whether errors were seen, so that they may count as the cause.
        probability: that errors make so many people look new.
        edits: sentences on edits that were made in the whole sample.
        edited: at least so many unmatched people are known and were edited.
        edited_keys: shape (n, 6), the record keys of some of these without the edit.
        perhaps_mistyped: in a sample in which nobody is known for certain, how many may be known people with errors.
        at_least: so many unmatched people at least are known, as their names show.
        names: a sentence about the names of unmatched people; empty if they were not looked up, or told nothing.
    """

    at_most: int
    likely: float
    observed: bool
    probability: float
    perhaps_mistyped: int = 0
    edits: tuple[str, ...] = ()
    edited: int = 0
    edited_keys: U64 = field(default_factory=lambda: np.zeros((0, len(RECORD_KINDS)), np.uint64))
    at_least: int = 0
    names: str = ""


def estimate_typing_errors(m: Measurement, search: TypoSearch | None) -> TypingErrors:
    """How many of the unmatched people typing errors can explain, and how many they probably do."""
    people = m.people
    if not people.new or not people.known or m.only_chance:
        perhaps = _perhaps_all_mistyped(m, search)
        return _with_edits(
            TypingErrors(0, 0.0, observed=False, probability=0.0, perhaps_mistyped=perhaps), people.new, search
        )
    table = m.errors.table
    at_most, likely, probability = 0, 0.0, 1.0
    # unmatched people about whose fields too little is known, and those of them whom the fields that were counted explain
    without_rates, all_rates_known = 0, True
    by_counted, likely_by_counted = 0, 0.0
    hiding = [int(pattern) for pattern in np.flatnonzero(table[:, 0]) if pattern]
    for pattern in hiding:
        unmatched = int(table[pattern, 0])
        if m.errors.evidence_on_hiding_fields(pattern) < ENOUGH_PEOPLE:
            # a field that was counted may explain these people by itself: telephones that were replaced
            by_judged = m.errors.hidden_people(pattern, judged=ENOUGH_PEOPLE)
            if by_judged.any() and mean_tail(by_judged, unmatched) >= ERRORS_PLAUSIBLE:
                at_most += unmatched
                likely += min(unmatched, float(np.median(by_judged)))
                probability = min(probability, mean_tail(by_judged * DEPENDENCE_FACTOR, unmatched) * len(hiding))
                continue
            if by_judged.any():
                explained = upper_bound(by_judged * DEPENDENCE_FACTOR, ERRORS_PLAUSIBLE / len(hiding))
                by_counted += min(unmatched, explained)
                likely_by_counted += min(unmatched, float(np.median(by_judged)))
            without_rates += unmatched
            continue
        all_rates_known = all_rates_known and m.errors.evidence_on_all_fields(pattern) >= ENOUGH_PEOPLE
        mean = m.errors.hidden_people(pattern)
        at_most += min(unmatched, upper_bound(mean * DEPENDENCE_FACTOR, ERRORS_PLAUSIBLE / len(hiding)))
        likely += min(unmatched, float(np.median(mean)))
        probability = min(probability, mean_tail(mean * DEPENDENCE_FACTOR, unmatched) * len(hiding))
    with_rates = people.new - people.incomparable - people.lookalikes - without_rates
    # The search covers all people if they are few enough, and those without rates in any case. Very few people are
    # searched whatever the rates say: one of 50 people had two errors where nobody else had one.
    is_search_needed = without_rates or (at_most and with_rates <= MAX_HELD) or 0 < with_rates <= ENOUGH_PEOPLE
    found = search.search_unmatched(m.comparable) if search is not None and is_search_needed else SearchResult()
    if not without_rates:
        at_most = max(at_most, min(with_rates, found.found))
    if with_rates and not without_rates and found.tried and m.errors.wrong.any():
        # each person was searched, which tells more than rates do (where nobody is mistyped, the search finds twins)
        likely = min(with_rates, with_rates * found.share + likely * (1 - m.recovery_rate))
    # An error that nobody shows is no cause, however many errors are possible: one further person beside 100,000
    # known people without an error was called mistyped because 0.29 were thought possible.
    observed = bool(m.errors.wrong.any()) or not with_rates
    if not all_rates_known:
        # the rate of some field is a guess: errors count only if the search finds mistyped people
        observed = found.share >= RECOVERED_SHARE_OBSERVED
    if without_rates:
        # however bad the columns are, a handful of known people does not come with hundreds of hidden ones
        worst = WORST_HIDDEN_SHARE / (1 - WORST_HIDDEN_SHARE) * (people.known + 1)
        cap = min(without_rates, math.ceil(worst + SIGMAS * math.sqrt(worst)))
        if search is None:
            mistyped = MISTYPED_SHARE / (1 - MISTYPED_SHARE) * people.known
            at_most += min(cap, math.ceil(mistyped + SIGMAS * math.sqrt(mistyped)))
            observed = False
            probability = min(probability, poisson_tail(mistyped, without_rates))
        else:
            high = _highest_share(found) / RECOVERED_SHARE
            at_most += min(cap, math.ceil(without_rates * high))
            likely += min(cap, without_rates * found.share / USUALLY_RECOVERED)
            observed = observed and found.share >= RECOVERED_SHARE_OBSERVED
            probability = min(probability, 1.0 if high >= 1 and cap >= without_rates else ERRORS_PLAUSIBLE)
        at_most = min(at_most + by_counted, people.new - people.lookalikes)
        likely = min(float(at_most), likely + likely_by_counted)
    if people.not_met is not None:
        # Errors hide the people of the releases who are not in the sample already, and whoever is in it a second time,
        # whom the search finds.
        limit = max(people.not_met, math.ceil(found.found / RECOVERED_SHARE))
        if limit < min(at_most, people.new - people.lookalikes):
            at_most, likely, probability = limit, min(likely, limit), min(probability, ERRORS_PLAUSIBLE)
    made = TypingErrors(at_most, likely, observed=observed, probability=min(1.0, probability))
    made = _with_names(made, m, search)
    return _with_edits(made, people.new - people.lookalikes, search)


def _with_names(errors: TypingErrors, m: Measurement, search: TypoSearch | None) -> TypingErrors:
    """The errors with what the names tell of unmatched people who have a telephone or a mailbox and nothing else."""
    unmatched = (np.flatnonzero(m.errors.table[1:, 0]) + 1).tolist()
    if (
        search is None
        or not m.names_are_held
        or m.people.incomparable
        or any(present & ~_CONTACTS for present in unmatched)
    ):
        return errors
    found = search.find_names()
    if found is None:
        return errors
    count = m.people.new - m.people.lookalikes
    low, high = found.known_people()
    most = min(count, math.ceil(high * count))
    likely = min(float(most), max(errors.likely, low * count))
    return replace(
        errors,
        at_most=most,
        likely=likely,
        observed=errors.observed or low > 0,
        # the names say that so many more are new
        probability=errors.probability if most >= count else ERRORS_PLAUSIBLE,
        at_least=math.floor(low * count),
        names=(
            f"interval: {found.found} of the {found.tried} unmatched people have the name of somebody in the releases; of "
            f"{found.named} known people {found.namesakes} have the name of somebody else as well"
        ),
    )


def _with_edits(errors: TypingErrors, unmatched: int, search: TypoSearch | None) -> TypingErrors:
    """The errors with the people whom an edit of the whole sample made look new.

    They are looked for where errors cannot explain all unmatched people, and where they could but nothing shows that they do.
    """
    is_open = unmatched > errors.at_most or not errors.observed
    edits = search.find_systematic_edits() if search is not None and is_open else SystematicEdits()
    if not edits.notes:
        return errors
    edited, share = unmatched * edits.share, edits.share
    # where all unmatched people were looked at, their number is no estimate
    seen_all = edits.tried >= unmatched
    # where nobody is known without undoing the edit, nothing shows how many of the others are mistyped as well
    mistyped = 0.0 if errors.at_most else edited * MISTYPED_SHARE / (1 - MISTYPED_SHARE)
    spread = 0.0 if seen_all else SIGMAS * unmatched * math.sqrt((share * (1 - share) + 1 / edits.tried) / edits.tried)
    return replace(
        errors,
        # who is mistyped as well is found neither by the edit nor without it
        at_most=min(unmatched, errors.at_most + math.ceil(edited + mistyped + spread)),
        likely=max(errors.likely, edited),
        observed=True,
        probability=1.0,
        edits=edits.notes,
        edited=max(0, math.floor(edited - spread)),
        edited_keys=edits.keys,
        # undoing one error finds those whom undoing the edit finds
        perhaps_mistyped=max(0, errors.perhaps_mistyped - edits.found),
    )


def _perhaps_all_mistyped(m: Measurement, search: TypoSearch | None) -> int:
    """How many people may be known people with errors if nobody is known for certain; 0 if chance explains them."""
    # not for large samples: if nobody is seen to be known, there are not hundreds of hidden known people
    if search is None or m.people.total > TEASER_PEOPLE or not m.people.new:
        return 0
    found = search.search_unmatched(m.comparable)
    if not found.found:
        return 0
    controls = found.found_in_controls
    rate = ChanceRate((1 + controls) / (1 / (WAYS_TO_UNDO * m.rates.highest.mean) + found.controls), 1 + controls)
    return found.found if rate.among(found.tried).probability_at_least(found.found) < LIKELY else 0


def _highest_share(found: SearchResult) -> float:
    """An upper bound for the share of unmatched people whom undoing an error recovers (Wilson 1927)."""
    if not found.tried:
        return 1.0
    share, spread = found.share, SIGMAS**2 / found.tried
    centre = share + spread / 2
    return min(1.0, (centre + math.sqrt(spread * (share * (1 - share) + spread / 4))) / (1 + spread))
