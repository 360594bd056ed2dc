"""How a sample stands to all releases: verdict, counts and interval (pure). `crawler.lineage.people_counts` counts.

The counts are exact: a person is new if no release holds any of their keys. The interval around the number of new
people covers what exact keys cannot see: two people who look like one (coincidence), and one person who looks like two
(typing errors, `crawler.lineage.mistyped_people`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from crawler.lineage.chance_matches import NEVER
from crawler.lineage.compared_sample import ComparedSample, TextCounts
from crawler.lineage.field_errors import FIELDS, fewest_errors
from crawler.lineage.mistyped_people import ENOUGH_PEOPLE, TEASER_PEOPLE, TypingErrors, estimate_typing_errors
from crawler.lineage.origin import judge_origin, share_odds
from crawler.lineage.people_counts import FULL_COVERAGE, Measurement, PeopleCounts, measure, new_values_of
from crawler.lineage.probability import share_bounds
from crawler.lineage.typo_search import TypoSearch
from data.hashing.tags import RECORD_KINDS, Kind
from data.model import VERDICTS, Extrapolation, Lineage, Origin
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people

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
# With fewer unmatched people than this, one mistyped number would decide whether they count as invented.
TOO_FEW_TO_DECIDE = 10
# Up to this share of rows without a record key the verdict of the others is that of the sample.
MAX_UNREAD_SHARE = 0.05
# Verdicts that further people would change. That there are new people stays true whatever else there is.
_SAYS_NOTHING_NEW = frozenset({"re-post", "re-packaged", "subset", "unrelated"})
# The doubt in the model itself, with one kind of record key, with two, and with more. Chosen by hand and not calibrated:
# of 1,108 samples of people as practices have them 15 % were wrong before relatives and edits were modelled.
MODEL_DOUBT = (0.05, 0.02, 0.01)
# The confidence of a statement about the whole from which the sample was drawn.
WHOLE_CONFIDENCE = 0.95

_Verdict = tuple[str, str]
"""A verdict, and the reason for it or what could not be decided, as a sentence; the sentence may be empty."""


def compare_sample(sample: ComparedSample, releases: KnownReleases) -> Lineage:
    """The lineage of a sample: how it stands to all releases.

    Args:
        sample: its record keys, values and counts.
        releases: what is known.

    Returns:
        `records` counts people, not rows (see `group_people`). A person is known if any release holds any of their
        keys. `new` is `records - known` whatever the verdict: no verdict takes anything from it.

        - Without a release to compare with: `new` if canaries hit, else `undecided`; everybody counts as new.
        - Nobody is unmatched, or no more people than the sample's own typing errors explain: `re-post` (one release,
          in full, with the same kinds of key), `re-packaged` (in full with other columns, or put together from several
          releases), `subset`.
        - People are unmatched, and few or none are known: `new` if canaries or known people tie the sample to a client
          or a release, `unrelated` if nothing does.
        - There are both known and unmatched people: `superset` (a release in full and more), `padded` (the unmatched
          people have known numbers), `overlap`.
        - `undecided` if typing errors or chance explain the smaller part as well as a mixture does.
    """
    sample = sample.with_keyed_rows_only()
    if not len(sample.keys):
        reason = "no row gave a record key, so nothing could be compared"
        return Lineage("undecided", 0, 0, 0, (0, 0), notes=(reason,), new_values=_text_values(sample.texts))
    if not len(releases):
        return _without_releases(sample, releases)
    m = measure(sample, releases)
    errors = estimate_typing_errors(m, sample.typo_search)
    origin = judge_origin(
        m.people.total,
        0 if m.only_chance else m.people.known,
        releases.people,
        replace(sample.evidence, most_covered=_most_covered(m, releases)),
        has_hits=sample.has_hits,
    )
    verdict, reason = _verdict(
        m, errors, sample.typo_search, origin=origin, has_hits=sample.has_hits, stale=bool(releases.stale)
    )
    assert verdict in VERDICTS  # noqa: S101 - a misspelt verdict would pass every count
    notes = [*_notes(m, errors, releases), *errors.edits]
    if undecided_texts := sample.texts.read - sample.texts.known - sample.texts.new:
        notes.append(f"{undecided_texts} notes are too short or too common to tell whether they are new")
    if reason:
        notes.append(reason)
    if releases.value_sample > 1 and m.values.new:
        notes.append(f"the numbers of new values are estimates from one value in {releases.value_sample}")
    people = m.people
    return Lineage(
        verdict,
        people.total,
        people.known,
        people.new,
        _interval(m, errors),
        m.releases.parents,
        {**m.values.new, **_text_values(sample.texts)},
        tuple(notes),
        confidence=_confidence(verdict, m, errors),
        columns=tuple(kind.word for kind in m.columns),
        mistyped=min(people.new, round(errors.likely)),
        added=m.values.added,
        origin=origin,
        whole=_whole(people) if verdict != "undecided" and people.total <= TEASER_PEOPLE else None,
    )


def _without_releases(sample: ComparedSample, releases: KnownReleases) -> Lineage:
    """The lineage if there is no release to compare with: everybody counts as new."""
    people, part = count_people(sample.keys), sample.part
    rows = people if part else len(sample.keys) + sample.repeated_rows
    notes = [*_count_notes(rows, sample.unkeyed_rows, people), *_stale_notes(releases)]
    total = part.people if part else people
    return Lineage(
        "new" if sample.has_hits and not releases.stale else "undecided",
        total,
        0,
        total,
        (0 if releases.stale else total, total + sample.unkeyed_rows),
        new_values={**new_values_of(sample, releases)[0], **_text_values(sample.texts)},
        notes=(*notes, "no release is registered, so all people count as new"),
        origin=judge_origin(total, 0, 0, sample.evidence, has_hits=sample.has_hits),
        columns=tuple(kind.word for at, kind in enumerate(RECORD_KINDS) if sample.keys[:, at].any()),
    )


def _most_covered(m: Measurement, releases: KnownReleases) -> tuple[int, int]:
    """People of the release that the sample covers best, and how many of them are in the sample."""
    sizes = {parent.release: releases.active[parent.release].people for parent in m.releases.parents}
    found = [(sizes[each.release], round(each.share * m.people.total)) for each in m.releases.parents]
    return max(found, key=lambda each: share_odds(each[0], min(each), m.people.total), default=(0, 0))


def _text_values(texts: TextCounts) -> dict[str, int]:
    return {"note": texts.new} if texts.read else {}


# --- notes for the analyst -------------------------------------------------------------------------------------------


def _count_notes(rows: int, unkeyed_rows: int, people: int) -> list[str]:
    notes = []
    if rows != people:
        notes.append(f"{rows} rows with record keys describe {people} people")
    if unkeyed_rows:
        notes.append(f"{unkeyed_rows} rows gave no record key and were not compared")
    return notes


def _stale_notes(releases: KnownReleases) -> list[str]:
    if not releases.stale:
        return []
    names = ", ".join(releases.stale)
    return [f"releases made by another normaliser version were not compared: {names} (register them again)"]


def _notes(m: Measurement, errors: TypingErrors, releases: KnownReleases) -> list[str]:
    """What an analyst must know to read the numbers, as sentences."""
    people = m.people
    notes = [*_count_notes(people.rows, people.unkeyed_rows, people.total), *_stale_notes(releases)]
    if people.incomparable:
        notes.append(
            f"{people.incomparable} people have only kinds of record key that no release holds: they may be known"
        )
    wrong, right = m.errors.wrong, m.errors.right
    differing = [
        f"{name} {wrong[at] / (wrong[at] + right[at]):.2%}"
        for at, name in enumerate(FIELDS)
        if wrong[at] and wrong[at] + right[at] >= ENOUGH_PEOPLE
    ]
    if differing:
        notes.append(f"share of known people whose field differs from the registered one: {', '.join(differing)}")
    if people.new and people.known:
        notes.append(
            f"interval: up to {errors.at_most} of the {people.new} unmatched people may be known people hidden by "
            "typing errors"
        )
    highest = max(m.rates.highest_of_kind(kind).mean for kind in m.columns)
    notes.append(
        f"interval: a share of up to {highest:.1g} of new people matches a known key by chance (as measured on the "
        "registered releases)"
    )
    if people.counted_twice:
        notes.append(
            f"interval: {people.counted_twice} unmatched people have no kind of record key in common with the others: they "
            "may be the same people in another table"
        )
    if people.doubtful:
        notes.append(
            f"interval: {people.doubtful} people share a number and a surname with a release whose names seem to be turned "
            "round: they are known people or relatives of these"
        )
    if people.lookalikes:
        notes.append(
            f"{people.lookalikes} people share a telephone, mailbox or number with a known person but differ in "
            "everything else: they count as new"
        )
    if m.values.added:
        added = ", ".join(f"{word} ({count})" for word, count in m.values.added.items())
        notes.append(f"known people appear with data that no release explaining them holds: {added}")
    return notes


def _confidence(verdict: str, m: Measurement, errors: TypingErrors) -> float:
    """That the verdict is right; 0 for `undecided`.

    The most likely explanation that the verdict rejects counts, and that the model may not hold for this sample.
    """
    if verdict == "undecided":
        return 0.0
    rejected = 0.0
    if m.people.known and verdict != "unrelated" and not m.only_chance:
        rejected = max(rejected, m.chance)
    if m.people.new and m.people.known and verdict not in {"re-post", "re-packaged", "subset"} and not m.only_chance:
        rejected = max(rejected, errors.probability)
    doubt = MODEL_DOUBT[min(3, len(m.columns)) - 1]
    return round((1 - rejected) * (1 - doubt), 6)


def _whole(people: PeopleCounts) -> Extrapolation:
    """What the sample tells of the whole that it was taken from, if it is a random draw."""
    low, high = share_bounds(people.new, people.total, WHOLE_CONFIDENCE)
    return Extrapolation("the sample is a random draw", WHOLE_CONFIDENCE, (round(low, 4), round(high, 4)))


# --- bounds ----------------------------------------------------------------------------------------------------------


def _interval(m: Measurement, errors: TypingErrors) -> tuple[int, int]:
    """Bounds for the number of new people.

    Lower bound: known people with errors in every key look new, and people who have nothing that could be compared may
    be known. Upper bound: new people who match a known key by chance look known. Where their other keys contradict the
    known one, they are counted; where a pattern of keys cannot contradict, the rates of coincidence are used, with
    their upper bound for small numbers. A new person can only hide among the known people, share the row of another
    person, or have a row that was not understood.
    """
    people, table = m.people, m.errors.table
    hidden = NEVER
    for present in (np.flatnonzero(table[1:, 0]) + 1).tolist():
        rate = NEVER
        for at, kind in enumerate(RECORD_KINDS):
            if present >> at & 1 and fewest_errors(present, 1 << at) < 2:
                rate += m.rates.highest_of_kind(kind)
        hidden += rate.among(math.ceil(int(table[present, 0]) / (1 - min(0.5, rate.mean))))
    low = people.new - errors.at_most - errors.perhaps_mistyped - people.incomparable - people.lookalikes
    low = max(0, low - people.doubtful - people.counted_twice)
    if _is_recombined(m):
        # each row may be a known person whose fields stand in other rows
        low = 0
    # a repeated row of a known person may belong to a new person who shares the key
    room = people.known + people.rows - people.total if people.known else 0
    hidden_among_known = min(room, people.perhaps_new + hidden.upper_bound())
    high = min(people.rows, people.new + hidden_among_known + people.hidden_behind_rows)
    return low, max(low, high - errors.edited) + people.unkeyed_rows


# --- the verdict -----------------------------------------------------------------------------------------------------


def _verdict(
    m: Measurement, errors: TypingErrors, search: TypoSearch | None, *, origin: Origin, has_hits: bool, stale: bool
) -> _Verdict:
    """The verdict, and the reason for it or what could not be decided."""
    verdict, reason = _verdict_on_read_rows(m, errors, search, origin=origin, has_hits=has_hits, stale=stale)
    unread, read = m.people.unkeyed_rows, max(m.people.rows, m.people.total)
    if unread > MAX_UNREAD_SHARE * (unread + read) and verdict in _SAYS_NOTHING_NEW:
        return "undecided", (
            f"{unread} of {unread + read} rows gave no record key: they may be of new people, so the verdict '{verdict}' on "
            "the others is not that on the sample"
        )
    return verdict, reason


def _verdict_on_read_rows(
    m: Measurement, errors: TypingErrors, search: TypoSearch | None, *, origin: Origin, has_hits: bool, stale: bool
) -> _Verdict:
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
    if is_tied and unexplained <= errors.at_most and people.new > people.lookalikes:
        if people.incomparable:
            return "undecided", f"{people.incomparable} people cannot be compared with any release"
        if errors.observed:
            return _explained_by_releases(
                m, f"the {people.new} unmatched people are no more than the sample's typing errors explain"
            )
        return "undecided", (
            f"the {people.new} unmatched people could not be told apart from known people with typing errors"
        )
    if is_tied and _is_any_in_full(m, errors):
        return "superset", ""
    if not is_tied or people.known <= NEW_MAX_KNOWN_SHARE * people.total:
        return _mostly_unmatched(m, errors, is_ours=origin.answer == "ours", is_tied=is_tied, has_hits=has_hits)
    if any(parent.coverage * (1 + errors.at_most / people.known) >= FULL_COVERAGE for parent in m.releases.parents):
        return "undecided", (
            "the sample holds nearly all of a release and typing errors may hide the rest: there are too few people to "
            "decide whether it is complete"
        )
    return _padded_or_overlap(m, search)


def _mostly_unmatched(
    m: Measurement, errors: TypingErrors, *, is_ours: bool, is_tied: bool, has_hits: bool
) -> _Verdict:
    """The verdict on a sample of which few or none are known for certain."""
    people = m.people
    if _is_recombined(m):
        return "undecided", (
            "hardly any person is known but nearly all numbers and mailboxes are: the columns were shuffled, or the people "
            "were put together from known values"
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


def _is_any_in_full(m: Measurement, errors: TypingErrors) -> bool:
    """Whether the sample holds a release in full, if the people who are probably mistyped count as known."""
    growth = 1 + errors.likely / m.people.known
    return bool(m.releases.in_full) or any(parent.coverage * growth >= FULL_COVERAGE for parent in m.releases.parents)


def _explained_by_releases(m: Measurement, reason: str) -> _Verdict:
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


def _is_recombined(m: Measurement) -> bool:
    """Whether nearly all numbers and mailboxes are known and hardly a person is: columns were shuffled, or mixed."""
    deciding = {kind.word for kind in (Kind.NIR, Kind.EMAIL, Kind.PHONE)} & m.values.totals.keys()
    total = m.people.total
    return (
        len(deciding) >= 2
        and m.people.known <= RECOMBINED_KNOWN * total
        and all(m.values.new.get(word, 0) <= (1 - PADDED_SHARE) * m.values.totals[word] for word in deciding)
    )


def _padded_or_overlap(m: Measurement, search: TypoSearch | None) -> _Verdict:
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
    known_shares = [
        1 - m.values.new.get(word, 0) / max(1, owners_of[word] - m.people.counted_twice) for word in deciding
    ]
    owners = search.find_number_owners() if search is not None and min(known_shares) > NOT_PADDED_SHARE else None
    are_relatives = True if 2 * m.people.doubtful >= new else owners and owners.are_relatives
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
