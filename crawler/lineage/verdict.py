"""The verdict on a sample: which of `data.model.VERDICTS` it is, and the reason or what could not be decided (pure)."""

from __future__ import annotations

import math

from crawler.lineage.chance_matches import SIGMAS
from crawler.lineage.mistyped_people import DEPENDENCE_FACTOR, TypingErrors
from crawler.lineage.people_counts import FULL_COVERAGE, Measurement
from crawler.lineage.typo_search import TypoSearch
from data.hashing.tags import Kind
from data.model import Origin

# The verdict stays `new` up to this share of known people.
NEW_MAX_KNOWN_SHARE = 0.01
# If this share of single values (numbers, addresses) is known, they tie a sample to a release even if no record does.
TYING_VALUE_SHARE = 0.05
# Fewer people than this who are only relatives of known people do not make a mixture.
SEVERAL_PEOPLE = 3
# `padded` if this share of the unmatched people have known values; not `padded` up to the second share.
PADDED_SHARE, NOT_PADDED_SHARE = 0.8, 0.4
# A kind of number decides whether people are invented if this share of the unmatched people has one.
OWNERS_SHARE = 0.5
# Of shuffled rows at most this share is known, by chance.
RECOMBINED_KNOWN = 0.05
# If undoing one edit of the whole sample makes this share of its people known, all of them count as known.
EDITED_SHARE = 0.95
# With fewer unmatched people than this, one mistyped number would decide whether they count as invented.
TOO_FEW_TO_DECIDE = 10
# Up to this share of rows without a record key the verdict of the others is that of the sample.
MAX_UNREAD_SHARE = 0.05
# Errors that were counted explain this share of the people at most: among more unmatched ones new people would not show
# (8 new people among 74 unmatched of 284, a third of whose telephones had been replaced, were a `subset`).
MOST_EXPLAINED = 0.2
# Verdicts that further people would change. That there are new people stays true whatever else there is.
_SAYS_NOTHING_NEW = frozenset({"re-post", "re-packaged", "subset", "unrelated"})
# Verdicts that say that there are known and new people.
_SAYS_BOTH = frozenset({"overlap", "superset"})

Verdict = tuple[str, str]
"""A verdict, and the reason for it or what could not be decided, as a sentence; the sentence may be empty."""


def decide_verdict(
    m: Measurement,
    errors: TypingErrors,
    search: TypoSearch | None,
    *,
    least_new: int,
    origin: Origin,
    has_hits: bool,
    stale: bool,
) -> Verdict:
    """The verdict, and the reason for it or what could not be decided.

    Args:
        m: what was counted.
        errors: what typing errors may have done.
        search: over the uncertain rows.
        least_new: the lower bound for the number of new people.
        origin: whose breach the sample is from.
        has_hits: whether canaries hit.
        stale: whether there are releases that could not be compared.
    """
    verdict, reason = _verdict_on_read_rows(m, errors, search, origin=origin, has_hits=has_hits, stale=stale)
    if verdict in _SAYS_BOTH and not least_new:
        return (
            "undecided",
            "all unmatched people may be known ones: the interval for the number of new people begins at 0",
        )
    unread, read = m.people.unkeyed_rows, max(m.people.rows, m.people.total)
    if unread > MAX_UNREAD_SHARE * (unread + read) and verdict in _SAYS_NOTHING_NEW:
        return "undecided", (
            f"{unread} of {unread + read} rows gave no record key: they may be of new people, so the verdict '{verdict}' on "
            "the others is not that on the sample"
        )
    twins = m.people.perhaps_twins
    # where all first names are others, those of children are a part of them
    is_open = twins > MAX_UNREAD_SHARE * m.people.total and ("first" not in m.replaced or 2 * twins > m.people.total)
    if is_open and verdict in _SAYS_NOTHING_NEW:
        return "undecided", (
            f"{twins} people have the birth date of a known child and the number of its parent, and another name: they are its "
            "twins, or the first names differ from those in the release"
        )
    return verdict, reason


def _verdict_on_read_rows(
    m: Measurement, errors: TypingErrors, search: TypoSearch | None, *, origin: Origin, has_hits: bool, stale: bool
) -> Verdict:
    """The verdict on the rows that gave a record key."""
    people = m.people
    is_tied = bool(people.known and not m.only_chance)
    if people.incomparable == people.total:
        return "undecided", "no release holds a kind of record key that the sample has"
    if not people.new:
        if not is_tied:
            return "undecided", "all people are known, but they are so few that chance may explain it"
        return _explained_by_releases(m, "")
    if stale:
        return "undecided", "releases that were not compared may hold the unmatched people"
    if is_tied and people.new == people.lookalikes and people.new < SEVERAL_PEOPLE:
        return "undecided", (
            f"the {people.new} unmatched people are either relatives of known people or known people with typing errors"
        )
    unexplained = people.new - people.incomparable - people.lookalikes
    if (
        is_tied
        and people.new <= people.doubtful <= MAX_UNREAD_SHARE * people.total
        and people.new > people.lookalikes + people.incomparable
    ):
        return _explained_by_releases(
            m, f"the {people.new} unmatched people have no value but one that many people have, which identifies nobody"
        )
    if is_tied and unexplained <= errors.at_most and people.new > people.lookalikes:
        if people.incomparable:
            return "undecided", f"{people.incomparable} people cannot be compared with any release"
        if errors.observed and unexplained - errors.edited > min(
            MOST_EXPLAINED * people.total, max(TOO_FEW_TO_DECIDE, _plausibly_hidden(errors))
        ):
            return "undecided", (
                f"{people.new} of {people.total} people are unmatched: typing errors and numbers that were replaced may "
                "explain so many, but new people among them would not show"
            )
        if errors.observed:
            return _explained_by_releases(
                m, f"the {people.new} unmatched people are no more than the sample's typing errors explain"
            )
        return "undecided", (
            f"the {people.new} unmatched people could not be told apart from known people with typing errors"
        )
    if is_tied and _is_any_in_full(m, errors):
        whole = _padded_or_overlap(m, search)
        return whole if whole[0] == "padded" else ("superset", "")
    if not is_tied or people.known <= NEW_MAX_KNOWN_SHARE * people.total:
        is_ours = origin.answer == "ours"
        return _mostly_unmatched(m, errors, search, is_ours=is_ours, is_tied=is_tied, has_hits=has_hits)
    if any(parent.coverage * (1 + errors.at_most / people.known) >= FULL_COVERAGE for parent in m.releases.parents):
        return "undecided", (
            "the sample holds nearly all of a release and typing errors may hide the rest: there are too few people to "
            "decide whether it is complete"
        )
    return _padded_or_overlap(m, search)


def _mostly_unmatched(
    m: Measurement, errors: TypingErrors, search: TypoSearch | None, *, is_ours: bool, is_tied: bool, has_hits: bool
) -> Verdict:
    """The verdict on a sample of which few or none are known for certain."""
    people = m.people
    if are_relatives_alone(m, search):
        return "undecided", (
            "nobody is known, but the numbers are those of known people who have the same surname: the people are their "
            "relatives, whom no release holds"
        )
    if is_recombined(m):
        return "undecided", (
            "hardly any person is known but nearly all numbers and mailboxes are: the columns were shuffled, or the people "
            "were put together from known values"
        )
    if errors.edits:
        if errors.edited >= EDITED_SHARE * people.new:
            return "subset", "all rows were edited in the same way: undone, the edit makes the people known"
        return "overlap", (
            f"hardly anybody is known as the rows stand, and {errors.edited} are once an edit of the whole sample is undone"
        )
    if is_ours:
        return "new", ""
    if is_tied:
        return "undecided", (
            f"only {people.known} of {people.total} people are known: another organisation may have these patients as well, "
            "so they do not show whose data it is"
        )
    if has_hits:
        return "undecided", "canaries hit so few of the people that they do not show whose data it is"
    if people.known and people.known > NEW_MAX_KNOWN_SHARE * people.total:
        return "undecided", "there are too few people to distinguish known people from namesakes"
    if errors.perhaps_mistyped > NEW_MAX_KNOWN_SHARE * people.total:
        return "undecided", (
            f"{errors.perhaps_mistyped} of the unmatched people may be known people with typing errors"
        )
    if _are_values_known(m):
        return "undecided", "no person is known but many single values are: the people may be recombined or invented"
    return "unrelated", ""


def _plausibly_hidden(errors: TypingErrors) -> float:
    """Up to how many unmatched people typing errors are the likely cause, and not only a possible one."""
    likely = max(0.0, errors.likely - errors.edited)
    return DEPENDENCE_FACTOR * likely + SIGMAS * math.sqrt(likely)


def _is_any_in_full(m: Measurement, errors: TypingErrors) -> bool:
    """Whether the sample holds a release in full, if the people who are probably mistyped count as known."""
    growth = 1 + errors.likely / m.people.known
    return bool(m.releases.in_full) or any(parent.coverage * growth >= FULL_COVERAGE for parent in m.releases.parents)


def _explained_by_releases(m: Measurement, reason: str) -> Verdict:
    """The verdict on a sample all of whose people are known, with the reason given."""
    explaining = [parent for parent in m.releases.parents if parent.release in m.releases.explain_all]
    if not explaining:
        if m.releases.may_explain_all:
            return "undecided", "there are too few people to decide whether all come from one release"
        return "re-packaged", reason
    # unmatched people, if any, are known people with typing errors here, so that coverage counts them as well
    growth = m.people.total / m.people.known
    in_full = [parent for parent in explaining if parent.coverage * growth >= FULL_COVERAGE]
    if not in_full:
        return "subset", reason
    has_same_columns = any(parent.release in m.releases.same_columns for parent in in_full)
    return ("re-post" if has_same_columns else "re-packaged"), reason


def _are_values_known(m: Measurement) -> bool:
    """Whether enough single values of any kind are known to tie the sample to a release."""
    return any(
        total and 1 - m.values.new.get(word, 0) / total >= TYING_VALUE_SHARE for word, total in m.values.totals.items()
    )


def is_recombined(m: Measurement) -> bool:
    """Whether nearly all numbers and mailboxes are known and hardly a person is: columns were shuffled, or mixed."""
    deciding = {kind.word for kind in (Kind.NIR, Kind.EMAIL, Kind.PHONE)} & m.values.totals.keys()
    total = m.people.total
    return (
        len(deciding) >= 2
        and m.people.known <= RECOMBINED_KNOWN * total
        and all(m.values.new.get(word, 0) <= (1 - PADDED_SHARE) * m.values.totals[word] for word in deciding)
    )


def are_relatives_alone(m: Measurement, search: TypoSearch | None) -> bool:
    """Whether the sample looks recombined because all its people are relatives on the numbers of known people."""
    return search is not None and is_recombined(m) and search.find_number_owners().are_relatives is True


def _padded_or_overlap(m: Measurement, search: TypoSearch | None) -> Verdict:
    """The verdict on known and unmatched people together: were the unmatched people invented from known values?"""
    new = m.people.new
    owners_of = {word: min(new, count + m.people.lookalikes) for word, count in m.values.owners.items()}
    deciding = {
        word
        for word in (kind.word for kind in (Kind.NIR, Kind.EMAIL, Kind.PHONE))
        if word in m.values.totals and owners_of[word] >= OWNERS_SHARE * new
    }
    if Kind.NIR.word not in deciding and len(deciding) < 2:
        return "overlap", "without their numbers it cannot be decided whether the unmatched people are invented"
    if m.values.one_in > 1 and new < TOO_FEW_TO_DECIDE * m.values.one_in:
        return "overlap", (
            "it cannot be decided whether the unmatched people are invented: the releases keep too few of their values"
        )
    known_shares = []
    for word in deciding:
        values = owners_of[word] - m.people.counted_twice
        if search is not None:
            # new twins on one new number do not have a known number
            values = round(values * search.values_per_owner(word, owners_of[word]))
        known_shares.append(1 - m.values.new.get(word, 0) / max(1, values))
    owners = search.find_number_owners() if search is not None and min(known_shares) > NOT_PADDED_SHARE else None
    are_relatives = True if 2 * m.people.relatives >= new else owners and owners.are_relatives
    if min(known_shares) > NOT_PADDED_SHARE and are_relatives:
        return (
            "overlap",
            "the unmatched people are relatives of known people: they have their numbers and their surname",
        )
    if min(known_shares) >= PADDED_SHARE and (search is None or are_relatives is False):
        return "padded", "the unmatched people have known numbers"
    if max(known_shares) > NOT_PADDED_SHARE and new < TOO_FEW_TO_DECIDE:
        # a typing error or two in one kind of number would decide
        return "undecided", "there are too few unmatched people to decide whether they are invented or further people"
    if min(known_shares) > NOT_PADDED_SHARE:
        return "undecided", (
            "many unmatched people have known numbers: they are either invented or relatives of known people"
        )
    return "overlap", ""
