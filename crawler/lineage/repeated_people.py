"""People of a sample who may be fewer, or more, than its groups of rows: rows that share a key, and separate tables (pure)."""

from __future__ import annotations

import math

import numpy as np

from crawler.lineage.chance_matches import NEVER, ChanceRate, merge_rate
from crawler.lineage.compared_sample import ComparedSample
from crawler.lineage.person_keys import PersonKeys
from crawler.lineage.weakly_known import WeaklyKnown
from data.arrays.array_types import I64, U64
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.known_releases import KnownReleases
from data.releases.people import KEY_FAMILIES, connected_components, rows_sharing_a_key
from data.releases.stored_release import StoredRelease

# At most this share of the people of a release are counted as one with another person.
NAMESAKES_SHARE = 0.01
# Of all people so many stand beside a twin on a parent's number: 3 in 100 people are a twin (INSEE, births: 1.7 % of
# deliveries), a fifth of the people are children, and half of these have no number of their own.
TWINS = ChanceRate(1.5e-3)


def hidden_behind_rows(keys: PersonKeys, rows: U64, table: I64, releases: list[StoredRelease]) -> int:
    """The most new people who can share all their keys with another one (fathers and sons, namesakes)."""
    if keys.count == len(keys.people):
        return 0
    repeated = int((np.bincount(keys.people)[~keys.known] - 1).sum())
    covered, likely = 0, NEVER
    has_first_names = bool(keys.present[:, RECORD_KINDS.index(Kind.NIR_FIRST)].any())
    for family in KEY_FAMILIES:
        bits = sum(1 << RECORD_KINDS.index(kind) for kind in family)
        # people who have a key of this family, and none that distinguishes them better
        count = sum(
            int(number) for present, number in enumerate(table[:, 0]) if present & bits and not present & covered
        )
        covered |= bits
        if repeated and count:
            # twins on a parent's number have nothing in a row of number and date that tells them apart
            likely += TWINS.among(count) if family == KEY_FAMILIES[0] and not has_first_names else NEVER
            rate = max((merge_rate(kind, count, releases) for kind in family), key=lambda each: each.mean)
            likely += rate.among(count)
    return min(repeated, likely.upper_bound() + further_names(keys, rows))


def not_met(sample: ComparedSample, releases: KnownReleases, keys: PersonKeys, weakly: WeaklyKnown) -> int | None:
    """`PeopleCounts.not_met`.

    Where somebody has two rows, the second one may be mistyped and look like another person, whom a release need not
    hold once more. In two tables of one archive the same people may stand, so that only those with one kind of key count.
    A release counts people who have the same keys once: one in a hundred is allowed for.
    """
    if sample.part is not None or sample.repeated_rows or keys.count < len(keys.people):
        return None
    met = int((keys.present & keys.known[:, np.newaxis]).sum(axis=0).max()) - weakly.lookalikes - weakly.perhaps_new
    return max(0, releases.people - max(0, met)) + math.ceil(NAMESAKES_SHARE * releases.people)


def separate_tables(table: I64) -> tuple[tuple[int, int], ...]:
    """The groups of keys of which no person has keys of two, each with its unmatched people.

    People of two tables without a common kind of key cannot be recognised in each other.

    Args:
        table: people by the keys they have and the keys that are known, as `count_patterns` returns it.

    Returns:
        The kinds of key of each group, as bits, and how many people with such keys are unmatched.
    """
    groups: list[tuple[int, int]] = []
    for present in (np.flatnonzero(table[1:].sum(axis=1)) + 1).tolist():
        unmatched = int(table[present, 0])
        joined = [group for group in groups if group[0] & present]
        groups = [group for group in groups if not group[0] & present]
        kinds = present
        for other, count in joined:
            kinds, unmatched = kinds | other, unmatched + count
        groups.append((kinds, unmatched))
    return tuple(groups)


def further_names(keys: PersonKeys, rows: U64) -> int:
    """How many further names with birth dates the rows of unmatched people have: other names, or other people."""
    names = rows[:, RECORD_KINDS.index(Kind.NAME_DOB)]
    has_several = np.bincount(keys.people, minlength=keys.count) > 1
    of_new = np.flatnonzero((has_several & ~keys.known)[keys.people] & (names != 0))
    order = of_new[np.lexsort((names[of_new], keys.people[of_new]))]
    people, named = keys.people[order], names[order]
    return int(((people[1:] == people[:-1]) & (named[1:] != named[:-1])).sum())


def perhaps_repeated(keys: PersonKeys, rows: U64) -> int:
    """The most unmatched people who are the same as another one of them, as a key shows that both have.

    A row with a mistyped number is not grouped with the other rows of its person. Where hardly anybody has several rows,
    people who share a key are relatives: such rows are no more than those that are grouped.

    Args:
        keys: the people.
        rows: shape (n, 6), the keys of each row.
    """
    grouped = len(keys.people) - keys.count
    if not grouped:
        return 0
    unmatched = np.flatnonzero(~keys.known[keys.people])
    # sorting the keys of all rows would take a third of the time of a comparison
    unmatched = unmatched[rows_sharing_a_key(rows[unmatched])]
    members, heads = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for at in range(len(RECORD_KINDS)):
        column = rows[unmatched, at]
        order = unmatched[np.argsort(column, kind="stable")]
        order = order[rows[order, at] != 0]
        same = rows[order[1:], at] == rows[order[:-1], at]
        one, other = keys.people[order[1:]][same], keys.people[order[:-1]][same]
        members.append(one[one != other])
        heads.append(other[one != other])
    edges, ends = np.concatenate(members), np.concatenate(heads)
    if not len(edges):
        return 0
    people = np.unique(np.concatenate([edges, ends]))
    groups = connected_components(len(people), np.searchsorted(people, edges), np.searchsorted(people, ends))
    return round(min(grouped, len(people) - len(np.unique(groups))) * keys.weights.new)
