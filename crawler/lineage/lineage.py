"""How a sample stands to all releases: verdict, counts and interval (pure). `crawler.lineage.people_counts` counts.

The counts are exact: a person is new if no release holds any of their keys. The interval around the number of new
people covers what exact keys cannot see: two people who look like one (coincidence), and one person who looks like two
(typing errors, `crawler.lineage.mistyped_people`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from crawler.lineage.chance_matches import NEVER, SIGMAS
from crawler.lineage.compared_sample import ComparedSample, TextCounts
from crawler.lineage.field_errors import BOTH_CHANGED_SHARE, CHANGED_SHARE, FIELDS, KEY_FIELDS, fewest_errors
from crawler.lineage.mistyped_people import ENOUGH_PEOPLE, TEASER_PEOPLE, TypingErrors, estimate_typing_errors
from crawler.lineage.origin import judge_origin, share_odds
from crawler.lineage.people_counts import Measurement, PeopleCounts, measure, new_values_of
from crawler.lineage.probability import share_bounds
from crawler.lineage.verdict import are_relatives_alone, decide_verdict, is_recombined
from data.hashing.tags import RECORD_KINDS, Kind
from data.model import NO_RELEASES, VERDICTS, Extrapolation, Lineage, Parent
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people, rows_with_key

# The doubt in the model itself, with one kind of record key, with two, and with more: between the share of
# wrong verdicts at the first sight of a new population (7.5 % with one kind, 0.5 % with three or more) and what was left of
# it afterwards (at most 2.4 and 0.6 %). With two kinds it is chosen. See decision 315.
MODEL_DOUBT = (0.05, 0.02, 0.01)
ALL_KINDS = 2 ** len(RECORD_KINDS) - 1
# The confidence of a statement about the whole from which the sample was drawn.
WHOLE_CONFIDENCE = 0.95


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
    if errors.edited and not m.releases.parents:
        m = replace(m, releases=replace(m.releases, parents=_parents_of_edited(m, errors, releases)))
    tied = max(0 if m.only_chance else m.people.known, errors.edited)
    origin = judge_origin(
        m.people.total,
        0 if _is_tied_to_open_origin_alone(m, releases) else tied,
        releases.people,
        replace(sample.evidence, most_covered=_most_covered(m, releases), doctors=_doctors(m)),
        has_hits=sample.has_hits,
    )
    interval = _interval(m, errors, is_put_together=is_recombined(m) and not are_relatives_alone(m, sample.typo_search))
    verdict, reason = decide_verdict(
        m,
        errors,
        sample.typo_search,
        least_new=interval[0],
        origin=origin,
        has_hits=sample.has_hits,
        stale=bool(releases.stale),
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
        interval,
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
        notes=(*notes, NO_RELEASES),
        origin=judge_origin(total, 0, 0, sample.evidence, has_hits=sample.has_hits),
        columns=tuple(kind.word for at, kind in enumerate(RECORD_KINDS) if sample.keys[:, at].any()),
    )


def _parents_of_edited(m: Measurement, errors: TypingErrors, releases: KnownReleases) -> tuple[Parent, ...]:
    """The releases that hold the people who are known once an edit of the whole sample is undone."""
    keys = errors.edited_keys
    found = []
    for release in releases.find_explaining(keys, releases.find_known_keys(keys)):
        share = float(rows_with_key(release.find_known_keys(keys)).mean()) * errors.edited / m.people.total
        if share:
            found.append(Parent(release.id, min(1.0, share * m.people.total / release.people), share))
    return tuple(sorted(found, key=lambda each: (-each.share, -each.coverage, each.release)))


def _most_covered(m: Measurement, releases: KnownReleases) -> tuple[int, int]:
    """People of the release that the sample covers best, and how many of them are in the sample."""
    sizes = {
        parent.release: releases.active[parent.release].people
        for parent in m.releases.parents
        if not releases.active[parent.release].is_of_open_origin
    }
    found = [
        (sizes[each.release], round(each.share * m.people.total))
        for each in m.releases.parents
        if each.release in sizes
    ]
    return max(found, key=lambda each: share_odds(each[0], min(each), m.people.total), default=(0, 0))


def _is_tied_to_open_origin_alone(m: Measurement, releases: KnownReleases) -> bool:
    """Whether all releases that hold people of the sample are themselves of open origin."""
    parents = m.releases.parents
    return bool(parents) and all(releases.active[parent.release].is_of_open_origin for parent in parents)


def _doctors(m: Measurement) -> tuple[int, int]:
    """Professional numbers of the sample, and those of them that a release has; none if no release has any."""
    word = Kind.PROFESSIONAL.word
    total = m.values.totals.get(word, 0)
    return total, total - m.values.new.get(word, 0)


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
            f"{people.incomparable} people have only kinds of record key that no release holds, or that differ for nearly all "
            "known people: they may be known"
        )
    wrong, right = m.errors.wrong, m.errors.right
    differing = [
        f"{name} {wrong[at] / (wrong[at] + right[at]):.2%}"
        for at, name in enumerate(FIELDS)
        if wrong[at] and wrong[at] + right[at] >= ENOUGH_PEOPLE
    ]
    if differing:
        notes.append(f"share of known people whose field differs from the registered one: {', '.join(differing)}")
    if m.replaced:
        notes.append(
            f"fields that differ for nearly all known people, so that they recognise nobody: {', '.join(m.replaced)}"
        )
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
            f"interval: {people.doubtful} people may be known: they have no value but ones that many people have, or share "
            "a number and a surname with a release whose names seem to be turned round"
        )
    if people.bare_rows:
        notes.append(
            f"interval: {people.bare_rows} rows hold one name or value that identifies nobody: they may be of further people"
        )
    if people.perhaps_twins:
        notes.append(
            f"interval: {people.perhaps_twins} known people have the number of a parent and the birth date of a known child, and "
            "another name: they may be its twins"
        )
    if people.repeated:
        notes.append(
            f"interval: {people.repeated} unmatched people share a key with another one and differ in a number: they may "
            "be the same people"
        )
    if errors.names:
        notes.append(errors.names)
    for field, count in _perhaps_changed(m, errors).items():
        if field == "surname":
            notes.append(
                f"interval: up to {count} people may be known under another surname, which names and birth dates alone do "
                "not show"
            )
        else:
            notes.append(
                f"interval: up to {count} people may be known with another telephone or mailbox, which nothing else in "
                "their rows shows"
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


def _interval(m: Measurement, errors: TypingErrors, *, is_put_together: bool) -> tuple[int, int]:
    """Bounds for the number of new people.

    Lower bound: known people with errors in every key look new, and people who have nothing that could be compared may
    be known. Where tables have no kind of key in common, it is that of the one that shows most new people. Upper bound: new people who match a known key by chance look known. Where their other keys contradict the
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
    low -= people.doubtful + people.repeated + _in_no_single_table(m, errors)
    low = max(0, low)
    if is_put_together:
        # each row may be a known person whose fields stand in other rows
        low = 0
    # a repeated row of a known person may belong to a new person who shares the key
    room = people.known + people.rows - people.total if people.known else 0
    hidden_among_known = min(room, people.perhaps_new + people.perhaps_twins + hidden.upper_bound())
    high = min(people.rows, people.new + hidden_among_known + people.hidden_behind_rows) - errors.at_least
    return low, max(low, high - errors.edited) + people.unkeyed_rows + people.bare_rows


def _in_no_single_table(m: Measurement, errors: TypingErrors) -> int:
    """How many of the unmatched people are not new for certain, going by one of the tables alone.

    Those of the other tables may be the same people, and those of this one may be known under other values.
    """
    tables = m.people.tables
    everybody = sum(unmatched for _, unmatched in tables)
    left_out = [everybody - unmatched + sum(_perhaps_changed(m, errors, kinds).values()) for kinds, unmatched in tables]
    return min(left_out, default=0)


def _perhaps_changed(m: Measurement, errors: TypingErrors, kinds: int = ALL_KINDS) -> dict[str, int]:
    """The most known people who look new because a field of all their keys changed, by field.

    Only people with keys of some of the `kinds` (as bits) count.

    Only where nothing else in the sample shows how often that happens: where it does, it is a rate like another one. Who
    has a telephone and a mailbox and nothing else may have replaced both together.
    """
    changed: dict[str, int] = {}
    if m.only_chance or not m.people.new or errors.names:
        # names show who is known under other values
        return changed
    counted = dict(zip(FIELDS, (m.errors.wrong + m.errors.right).tolist(), strict=True))
    table = m.errors.table
    for present in (np.flatnonzero(table[1:, 0]) + 1).tolist():
        if not present & kinds:
            continue
        fields = [set(KEY_FIELDS[kind]) for at, kind in enumerate(RECORD_KINDS) if present >> at & 1]
        open_ = [
            field for field in CHANGED_SHARE if counted[field] < ENOUGH_PEOPLE and all(field in of for of in fields)
        ]
        if open_:
            field = max(open_, key=lambda each: CHANGED_SHARE[each])
            share = CHANGED_SHARE[field]
        elif (
            all(of & {"phone", "email"} for of in fields)
            and any("phone" in of for of in fields)
            and any("email" in of for of in fields)
        ):
            # whoever has both replaced is known by nothing, so that no count shows how many these are
            field, share = "phone", BOTH_CHANGED_SHARE
        else:
            continue
        known = int(table[present, 1:].sum()) + errors.edited * int(table[present, 0]) / m.people.new
        mean = share / (1 - share) * known
        people = math.ceil(mean + SIGMAS * math.sqrt(mean)) if field != "surname" else math.ceil(share * known)
        changed[field] = changed.get(field, 0) + min(int(table[present, 0]), people)
    # they are people of the releases who are not met in the sample
    left = m.people.total if m.people.not_met is None else max(0, m.people.not_met - errors.at_most)
    for field, people in changed.items():
        changed[field] = min(people, left)
        left -= changed[field]
    return {field: people for field, people in changed.items() if people}
