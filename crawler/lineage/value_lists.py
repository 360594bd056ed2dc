"""The verdict on lists that give no record key: numbers or addresses alone, or beside a surname (pure).

A list of mailboxes describes people, but nothing in it tells two people apart who share one, or one who has two. So values
are counted, and the interval for the people is wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from crawler.lineage.chance_matches import SIGMAS
from crawler.lineage.field_errors import CHANGED_SHARE
from crawler.lineage.origin import OriginEvidence, judge_origin
from data.arrays.array_types import U64
from data.hashing.tags import Kind
from data.model import Lineage, Parent
from data.releases.known_releases import KnownReleases
from data.releases.stored_release import sample_tags

# Fewer values than this are no list.
LEAST_VALUES = 5
# A list is tied to a release by so many known values, if they are this share of all.
TYING_VALUES, TYING_SHARE = 3, 0.05
# From this share of known values on, the others count as changed or mistyped.
KNOWN_SHARE = 0.98
# If fewer rows than this share have a value, the values say nothing of the others: names alone identify nobody.
ROWS_WITH_VALUES = 0.1
# Up to this share of rows in which only a name stands the verdict on the others is that on the list.
MAX_NAMED_SHARE = 0.05
# A release is in the list in full from this coverage.
FULL_COVERAGE = 0.95
# At most this share of the people with a known number are relatives of its owner (children on a parent's number).
RELATIVES_SHARE = 0.25
# At most this share of known people have another address than in the release, or one that is written otherwise (chosen).
CHANGED_ADDRESSES = 0.3
# The kinds of value that describe a person, the most reliable first.
KINDS = (Kind.NIR, Kind.EMAIL, Kind.PHONE, Kind.NAME_ADDRESS)


def compare_list(
    values: Mapping[Kind, U64],
    described: tuple[int, int],
    releases: KnownReleases,
    evidence: OriginEvidence,
    *,
    has_hits: bool,
) -> Lineage | None:
    """The lineage of a sample without record keys; None if it is no list of people.

    Args:
        values: the distinct tags of its single values, per kind.
        described: rows that describe people, each without a record key; and further rows in which only a name stands.
        releases: what is known.
        evidence: of its origin.
        has_hits: whether canaries hit.

    Returns:
        `records` is the number of distinct values of the kind that most rows have, and `known` and `new` count them.
    """
    rows, named = sum(described), described[1]
    if described[0] < LEAST_VALUES or not len(releases):
        return None
    sizes = {kind: len(values[kind]) for kind in KINDS if kind in values and len(values[kind]) >= LEAST_VALUES}
    if not sizes:
        reason = "no row gave a record key, so nothing could be compared"
        return Lineage("undecided", 0, 0, 0, (0, rows), notes=(reason,))
    # the most reliable kind that at least half of the rows have, or else the most frequent one
    kind = next((each for each in sizes if 2 * sizes[each] >= rows), max(sizes, key=lambda each: sizes[each]))
    total = sizes[kind]
    unknown, compared = releases.count_new_values(kind, values[kind])
    if not compared:
        reason = "no row gave a record key, so nothing could be compared"
        return Lineage("undecided", total, 0, total, (0, rows), notes=(reason,))
    new = round(unknown * total / compared)
    known = total - new
    tied = compared - unknown >= TYING_VALUES and known >= TYING_SHARE * total
    parents = _parents(kind, values[kind], releases) if tied else ()
    origin = judge_origin(total, known if tied else 0, releases.people, evidence, has_hits=has_hits)
    notes = [f"no row gave a record key, so values were compared: {known} of {total} ({kind.word}) are in a release"]
    verdict = "overlap"
    if not tied:
        verdict = "undecided" if has_hits or known else "unrelated"
    elif known >= KNOWN_SHARE * total:
        in_full = any(parent.coverage >= FULL_COVERAGE for parent in parents)
        verdict = "re-packaged" if in_full else "subset"
    if verdict != "overlap" and (total < ROWS_WITH_VALUES * rows or named > MAX_NAMED_SHARE * rows):
        verdict = "undecided"
        notes.append(
            f"{rows} rows have {total} different values: in the others nothing stands but names, which identify nobody"
        )
    notes.append(
        "a known value may be a relative's, and an unknown one may be a known person's: the interval allows for both"
    )
    # people may have other telephones and mailboxes than before, but hardly another social security number
    spread = SIGMAS * math.sqrt(max(1.0, new * total / compared))
    share = CHANGED_ADDRESSES if kind is Kind.NAME_ADDRESS else CHANGED_SHARE.get(kind.word, 0.0)
    changed = 0.05 * new if kind is Kind.NIR else share / (1 - share) * known
    low = max(0, math.floor(new - changed - spread))
    if verdict == "overlap" and not low:
        verdict = "undecided"
        notes.append("all values that no release has may be new ones of known people, who have others than before")
    high = min(max(rows, total), math.ceil(max(rows - known, new) + RELATIVES_SHARE * known + spread))
    return Lineage(
        verdict,
        total,
        known,
        new,
        (min(low, new), max(high, new)),
        parents,
        {
            each.word: round(releases.count_new_values(each, values[each])[0] * releases.value_sample)
            for each in sizes
            if each is not Kind.NAME_ADDRESS
        },
        tuple(notes),
        confidence=0.0 if verdict == "undecided" else 0.95,
        origin=origin,
    )


def releases_with_values(values: Mapping[Kind, U64], releases: KnownReleases) -> tuple[Parent, ...]:
    """The releases that hold values of a sample, by the kind of which it has most; the largest share first."""
    sizes = {kind: len(values[kind]) for kind in KINDS if kind in values}
    if not sizes:
        return ()
    kind = max(sizes, key=lambda each: sizes[each])
    return _parents(kind, values[kind], releases)


def _parents(kind: Kind, tags: U64, releases: KnownReleases) -> tuple[Parent, ...]:
    """The releases that hold values of the list, the largest share first."""
    found = []
    for release in releases.active.values():
        if (held := release.values.get(kind)) is None:
            continue
        compared = sample_tags(tags, release.value_sample)
        count = int(held.lookup(compared).sum())
        if count >= TYING_VALUES and count >= TYING_SHARE * len(compared):
            found.append(Parent(release.id, min(1.0, count / max(1, len(held))), count / len(compared)))
    return tuple(sorted(found, key=lambda each: (-each.share, -each.coverage, each.release)))
