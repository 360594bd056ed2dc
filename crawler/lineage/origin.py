"""Whose breach a sample is from, apart from how many of its people are known (pure).

Shared patients prove no origin: every file of French patients shares people with a release of millions. What tells is
how large the share of known people is, the marks of the software that made its tables, record ids, numbers of doctors, and
canaries that exist nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from data.model import Origin

# The population that patients come from. A file of another organisation shares the people of a release by their share of
# it; neighbours share more, which the spread of the distribution allows for.
POPULATION = 68_000_000
# Of another organisation's people, more than half are in a small release less often than once in 10,000 times.
_SMALL_RELEASE_SPREAD = 13.3
# Above and below these probabilities the origin counts as decided.
OURS, ANOTHERS = 0.9, 0.05
# Columns and doctors decide that a sample is another's only where shared people and record ids nearly do: whoever posts a
# file may have changed its columns, and a further part of it may be of other practices.
NEARLY_ANOTHERS = 0.1
# Fewer people than this never show that a sample is another's.
ENOUGH_TO_EXCLUDE = 50
# Of a release with fewer people it tells nothing that all are in the sample: they may be one family.
LEAST_RELEASE = 20


# Of a file with other columns than the releases it is less likely that it is of the same breach, but who posts a file may
# have changed them.
_OTHER_COLUMNS, _LEAST_PAIRS = 1 / 3, 5
# A header with the same unusual words in the same order comes from the same software with these odds for each of them, and at
# most: alone it never decides, since two organisations may use one software. A third of the pairs of neighbouring
# columns counts as a part of it.
_UNUSUAL_WORD, _SAME_HEADER, _SHARE_OF_PAIRS, _SOME_PAIRS = 1.5, 4.0, 0.34, 1.5
# Known people with the record ids that they have in the releases are from the same data base; with other ids, if these
# were not numbered anew, from another one.
_SAME_IDS, _OTHER_IDS, _LEAST_IDS = 1000.0, 1 / 20, 5
# Practice and doctor numbers: another organisation may have some of the same doctors.
_SAME_DOCTORS, _OTHER_DOCTORS, _LEAST_DOCTORS = 5.0, 1 / 2, 5


@dataclass(frozen=True, slots=True)
class MarkCounts:
    """What the tables of a sample have in common with those of the releases (`crawler.examiner.table_marks`).

    Attributes:
        unusual_words: of a table that has the same columns in the same order as one of a release, those that hardly any
            other software names so.
        pairs: pairs of neighbouring columns of which one has an unusual name, and those of them that a release has.
        ids: known people whose record id was compared, and those who have the same one in a release.
    """

    unusual_words: int = 0
    pairs: tuple[int, int] = (0, 0)
    ids: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class OriginEvidence:
    """What is known about the origin of a sample, apart from its people.

    Attributes:
        has_planted_hits: whether planted canaries hit.
        hit_people: people of the sample whom canaries hit; None if this was not counted.
        most_covered: of the release that the sample covers best, its people and those of them in the sample.
        marks: of its tables.
        doctors: professional numbers of the sample, and those of them that a release has.
    """

    has_planted_hits: bool = False
    hit_people: int | None = None
    most_covered: tuple[int, int] = (0, 0)
    marks: MarkCounts = MarkCounts()
    doctors: tuple[int, int] = (0, 0)


NO_EVIDENCE = OriginEvidence()


def judge_origin(people: int, known: int, covered: int, evidence: OriginEvidence, *, has_hits: bool) -> Origin:
    """Whether a sample is of the breach of the registered releases.

    Args:
        people: of the sample.
        known: those of them who are in a release or on the watch-list.
        covered: people in all releases; 0 if none is registered, or the sample cannot be compared with any.
        evidence: everything else.
        has_hits: whether canaries hit.
    """
    if evidence.has_planted_hits:
        return Origin("ours", 1.0, ("planted canaries hit: they exist nowhere else",))
    if not covered:
        # people on the watch-list alone say whose patients they are, not which breach they come from
        return Origin("open", 0.5, ("nothing ties the sample to a registered release",))
    if has_hits and evidence.hit_people is None:
        return Origin("ours", 1.0, ("canaries hit",))
    known = min(people, max(known, evidence.hit_people or 0))
    reasons = []
    odds = 1.0
    if people and known:
        odds *= share_odds(people, known, covered)
        reasons.append(f"{known} of {people} people are known or on the watch-list")
    of_release, found = evidence.most_covered
    if of_release >= LEAST_RELEASE and (by_coverage := share_odds(of_release, min(found, of_release), people)) > odds:
        # of another organisation's file the releases would hold few people, and it would hold few of theirs
        odds = by_coverage
        reasons.append(f"{found} of the {of_release} people of a release are in the sample")
    is_tied = bool(reasons)
    certain = odds
    for factor, reason in _other_evidence(evidence):
        odds *= factor
        certain *= factor if factor in (_SAME_IDS, _OTHER_IDS) else 1.0
        reasons.append(reason)
        is_tied |= factor > 1
    if not is_tied:
        return Origin("open", 0.5, ("nothing ties the sample to a release", *reasons))
    likelihood = odds / (1 + odds)
    answer = "open"
    if likelihood >= OURS:
        answer = "ours"
    elif likelihood <= ANOTHERS and certain / (1 + certain) <= NEARLY_ANOTHERS and people >= ENOUGH_TO_EXCLUDE:
        answer = "another's"
    if answer != "ours":
        reasons.append("shared people alone prove no origin: another organisation may have the same patients")
    return Origin(answer, round(likelihood, 6), tuple(reasons))


def _other_evidence(evidence: OriginEvidence) -> Iterator[tuple[float, str]]:
    """Odds and a reason for each kind of evidence beside people and canaries."""
    marks = evidence.marks
    pairs, found = marks.pairs
    if marks.unusual_words:
        yield (
            min(_SAME_HEADER, _UNUSUAL_WORD**marks.unusual_words),
            f"a table has the columns of one of a release in the same order, {marks.unusual_words} of them with unusual names",
        )
    elif pairs >= _LEAST_PAIRS and found >= _SHARE_OF_PAIRS * pairs:
        yield _SOME_PAIRS, f"{found} of {pairs} pairs of neighbouring columns are those of a release"
    elif pairs >= _LEAST_PAIRS and not found:
        yield _OTHER_COLUMNS, "no two neighbouring columns are those of a release"
    compared, same = marks.ids
    if compared >= _LEAST_IDS and 2 * same >= compared:
        yield _SAME_IDS, f"{same} of {compared} known people who were compared have the record id of a release"
    elif compared >= _LEAST_IDS and not same:
        yield _OTHER_IDS, f"none of {compared} known people who were compared has the record id of a release"
    doctors, known = evidence.doctors
    if known >= _LEAST_DOCTORS and 2 * known >= doctors:
        yield _SAME_DOCTORS, f"{known} of {doctors} professional numbers are in a release"
    elif doctors >= _LEAST_DOCTORS and not known:
        yield _OTHER_DOCTORS, f"none of {doctors} professional numbers is in a release"


def share_odds(people: int, known: int, covered: int) -> float:
    """The odds that so many of the people are known because the sample is of the same breach.

    Of the same breach any share may be known, one as likely as another. Of another one the share follows a beta
    distribution whose mean is that of small releases, or of the share of the population that the releases cover. The same
    holds for the people of a release and the share of them that a sample covers.
    """
    mean = max(1 / (1 + _SMALL_RELEASE_SPREAD), min(0.5, covered / POPULATION))
    spread = 1 / mean - 1
    # beta-binomial probabilities of `known`, both without their common binomial coefficient
    same = _log_beta(known + 1, people - known + 1)
    other = _log_beta(known + 1, people - known + spread) - _log_beta(1, spread)
    return math.exp(max(-40.0, min(40.0, same - other)))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
