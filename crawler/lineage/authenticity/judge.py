"""Is a sample genuine? The answer, with the rows it rests on, and its reasons in words (pure but for look-ups).

The error that counts is to call real data invented: a team would put a real leak aside. So the answer is `open` unless
the evidence against the sample is strong, of two kinds where nothing but the format tells, and on several rows. Rows that
no release knows are never called genuine either: a careful forger makes rows whose values agree with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crawler.lineage.authenticity.columns import ENOUGH, SURE, is_most, judge_columns
from crawler.lineage.authenticity.held_rows import NO_KEY, WRONG_KEY, AuthenticityRows
from crawler.lineage.authenticity.links import AGREES, CONFLICTS, NUMBERS, RowEvidence, find_evidence
from crawler.lineage.authenticity.mixture import GENUINE, INVENTED, KNOWN, RECOMBINED, Mixture, fit
from crawler.lineage.probability import share_bounds
from data.arrays.array_types import Bools
from data.model import Authenticity, Lineage, Parent
from data.releases.known_releases import KnownReleases

# Against a genuine sample the evidence must be at least 10,000 times better explained.
ALARM = -4.0
# Decimal logarithms from which an answer is called so.
_WORDS = ((6.0, "practically certain"), (4.0, "very likely"))
# A row belongs to a class that explains it so many times better than those of genuine rows.
_CLEARLY = 10.0
# Of the rows that are not open, this share decides between one answer and a mixture.
_NEARLY_ALL = 0.8
# A stranger's row agrees on two independent keys with one registered person less often than this.
_TWO_KEYS_BY_CHANCE = 1e-3
# Mailboxes show invented people if, of so many, hardly more resemble the name than beside other names.
_MAILBOXES, _RESEMBLING = 10, 0.25
# Of real numbers at most this share is outside of the numbering plan.
_OUTSIDE_PLAN = 0.1
# The verdict is `recombined` if at most this share of the rows is known (by chance), and most are recombined.
_KNOWN_SHARE, _MOST = 0.1, 0.5
_CONFIDENCE = 0.95
# Verdicts on which that a sample was put together from known values has a say.
_OPEN_VERDICTS = frozenset({"undecided", "padded", "new", "unrelated"})


def judge_authenticity(rows: AuthenticityRows, releases: KnownReleases, probe_key: bytes) -> Authenticity | None:
    """Whether a sample is genuine; None if fewer than `ENOUGH` rows of it are held, of which nothing can be said.

    Args:
        rows: of the sample, all of it or a draw.
        releases: what is known; without any, only facts of format tell.
        probe_key: of the case.
    """
    if len(rows) < ENOUGH:
        return None
    evidence = find_evidence(rows, releases, probe_key)
    mixture = fit(evidence)
    known = (evidence.agreeing > 0) & (mixture.posterior[:, KNOWN] > 0.5)
    foreign = _clearly_not_genuine(mixture) & ~known
    recombined = foreign & _is_of_others(evidence)
    invented = foreign & ~recombined & _shows_invention(evidence, ~known & ~recombined)
    columns, of_columns = judge_columns(evidence, recombined)
    weight = mixture.weight if of_columns >= 0 else min(mixture.weight, of_columns)
    count = len(rows)
    bounds = share_bounds(int(known.sum()), count, _CONFIDENCE)
    answer = _answer(mixture.weight, of_columns, (known, recombined, invented), {each.answer for each in columns})
    return Authenticity(
        answer,
        _likelihood(answer, weight),
        round(weight, 2),
        count,
        int(known.sum()),
        int(recombined.sum()),
        int(invented.sum()),
        (round(bounds[0], 4), round(bounds[1], 4)),
        columns,
        tuple(_reasons(evidence, known, recombined)),
    )


def with_verdict(
    lineage: Lineage, authentic: Authenticity | None, parents: Callable[[], tuple[Parent, ...]]
) -> Lineage:
    """The lineage with the answer; its verdict becomes `recombined` if known values stand in it and no known record.

    Args:
        lineage: of the sample.
        authentic: whether it is genuine.
        parents: returns the releases that hold its values, for a sample none of whose people is known.
    """
    if (
        authentic is None
        or authentic.answer != "recombined"
        or authentic.known > _KNOWN_SHARE * authentic.rows
        or authentic.recombined < _MOST * authentic.rows
        or lineage.verdict not in _OPEN_VERDICTS
    ):
        return replace(lineage, authentic=authentic)
    # each row may be a known person whose fields stand in other rows
    return replace(
        lineage,
        verdict="recombined",
        interval=(0, lineage.interval[1]),
        parents=lineage.parents or parents(),
        confidence=round((1 - 10**authentic.weight) * (1 - 0.01), 6),
        authentic=authentic,
    )


def _clearly_not_genuine(mixture: Mixture) -> Bools:
    others = RECOMBINED + INVENTED
    likely: Bools = mixture.posterior[:, others].sum(axis=1) > 0.5
    return likely & (mixture.ratio(others, GENUINE) >= _CLEARLY)


def _is_of_others(evidence: RowEvidence) -> Bools:
    """Which rows hold a value of a registered person, or one whose rest stands in another row."""
    found: Bools = np.any([*evidence.partner.values(), *evidence.known.values()], axis=0)
    # without a release the numbers and dates tell: few of 128 invented dates fit another row's number
    conflict = evidence.nir_dob == CONFLICTS
    within = conflict & evidence.nir_partner
    return found | within if is_most(int(within.sum()), int(conflict.sum())) else found


def _answer(weight: float, of_columns: float, rows: tuple[Bools, Bools, Bools], columns: set[str]) -> str:
    """One of `AUTHENTICITY`; `rows` are the known, the recombined and the invented ones, shape (n,) each."""
    known, recombined, invented = (int(each.sum()) for each in rows)
    decided = known + recombined + invented
    if weight <= ALARM and recombined + invented >= ENOUGH:
        if known > (1 - _NEARLY_ALL) * decided:
            return "padded"
        return "recombined" if recombined >= invented else "invented"
    if of_columns <= ALARM and "recombined" in columns:
        return "recombined"
    if "invented" in columns:
        # real people with an invented field
        return "padded"
    if known >= ENOUGH and is_most(known, len(rows[0])) and weight > 0 and of_columns > 0 and not recombined + invented:
        return "genuine"
    return "open"


def _likelihood(answer: str, weight: float) -> str:
    if answer == "open":
        return "not decided"
    return next((word for least, word in _WORDS if abs(weight) >= least), "likely")


def _shows_invention(evidence: RowEvidence, rows: Bools) -> bool:
    """Whether rows that no release knows are invented: values contradict each other in two ways, and agree in none.

    One way alone may be a column that was misunderstood, or edited: dates of visits beside dates of birth.
    """
    conflict, agree = _counts(evidence.nir_dob, rows)
    of_others, resembling = _counts(evidence.email_names, rows)
    with_key = rows & (evidence.nir_keys != NO_KEY)
    wrong = int((with_key & (evidence.nir_keys == WRONG_KEY)).sum())
    phones, outside = int((rows & evidence.filled["phone"]).sum()), int((rows & evidence.outside_plan).sum())
    mailboxes = of_others + resembling
    contradictions = [
        conflict >= ENOUGH and is_most(conflict, conflict + agree),
        mailboxes >= _MAILBOXES and share_bounds(resembling, mailboxes, SURE)[1] < _RESEMBLING,
        wrong >= ENOUGH and is_most(wrong, int(with_key.sum())),
        outside >= ENOUGH and share_bounds(outside, phones, SURE)[0] > _OUTSIDE_PLAN,
    ]
    agreements = [
        agree >= ENOUGH and is_most(agree, conflict + agree),
        mailboxes >= _MAILBOXES and share_bounds(resembling, mailboxes, SURE)[0] > _RESEMBLING,
    ]
    return sum(contradictions) >= 2 and not any(agreements)


def _counts(told: np.ndarray, rows: Bools) -> tuple[int, int]:
    """How many of the rows conflict, and how many agree."""
    return int((rows & (told == CONFLICTS)).sum()), int((rows & (told == AGREES)).sum())


# --- words -----------------------------------------------------------------------------------------------------------


def _reasons(evidence: RowEvidence, known: Bools, recombined: Bools) -> list[str]:
    """What tells, as sentences; each with the number of rows that it rests on."""
    count = len(evidence)
    reasons = []
    if twice := int((evidence.agreeing >= 2).sum()):
        power = _power_of_chance(twice, count)
        reasons.append(
            f"{twice} of {count} rows agree on two independent keys or more with one registered person: by chance less often "
            f"than once in 10 to the power of {power}"
        )
    if once := int((known & (evidence.agreeing == 1)).sum()):
        reasons.append(f"{once} of {count} rows agree on one key with a registered person")
    values = int((recombined & np.any([evidence.known[role] for role in NUMBERS], axis=0)).sum())
    if values:
        reasons.append(
            f"{values} of {count} rows hold known numbers or mailboxes beside other people's names and dates"
        )
    if within := int((recombined & np.any(list(evidence.partner.values()), axis=0)).sum()):
        reasons.append(
            f"of {within} of {count} rows the rest of the person stands in another row: columns were shuffled"
        )
    everybody = np.ones(count, np.bool_)
    conflict, agree = _counts(evidence.nir_dob, everybody)
    if conflict + agree:
        reasons.append(
            f"social security numbers agree with the dates of birth in {agree} of {conflict + agree} rows, and with those "
            f"of other rows in {evidence.chance['nir_dob'][AGREES]:.0%}"
        )
    of_others, resembling = _counts(evidence.email_names, everybody)
    if of_others + resembling:
        reasons.append(
            f"mailboxes resemble the names in {resembling} of {of_others + resembling} rows, and those of other rows in "
            f"{evidence.chance['email_names'][AGREES]:.0%}"
        )
    if with_key := int((evidence.nir_keys != NO_KEY).sum()):
        wrong = int((evidence.nir_keys == WRONG_KEY).sum())
        reasons.append(f"the control key of the social security number is wrong in {wrong} of {with_key} rows")
    if outside := int(evidence.outside_plan.sum()):
        phones = int(evidence.filled["phone"].sum())
        reasons.append(f"{outside} of {phones} telephone numbers are outside of the French numbering plan")
    if open_ := int((~known & ~recombined).sum()):
        reasons.append(
            f"{open_} of {count} rows are in no release: whether they are new people or made by a careful forger, nothing here tells"
        )
    return reasons


def _power_of_chance(part: int, whole: int) -> int:
    """The power of ten of how seldom strangers' rows agree so often: a bound of the binomial tail."""
    ways = math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)
    return max(0, math.floor(-(ways / math.log(10) + part * math.log10(_TWO_KEYS_BY_CHANCE))))
