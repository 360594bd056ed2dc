"""Finds, from record keys alone, which rows belong to the same person."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import read_only
from data.hashing.tags import RECORD_KINDS, Kind

# The keys that identify the person of a row, the most reliable first (how often two people share one by coincidence:
# COINCIDENCE in crawler.lineage.chance_matches).
KEY_FAMILIES: tuple[tuple[Kind, ...], ...] = (
    (Kind.NIR_DOB, Kind.NIR_FIRST),
    (Kind.NAME_DOB,),
    (Kind.EMAIL_FIRST,),
    (Kind.PHONE_FIRST,),
    (Kind.PHONE_DOB,),
)
# Size of the bitmaps by which most keys that no other row has are ruled out: with 8 to 16 bits per row, one key in 10
# to 16 must still be compared.
_BITS_PER_ROW, _MIN_BITMAP_BITS, _MAX_BITMAP_BITS = 8, 6, 32
_TIE_WEIGHTS = np.arange(1, 2 * len(RECORD_KINDS), 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
# Above so many rows, only one key in SHARED_SAMPLE is counted to learn how many people share a key: of 300,000 people
# 500 share a telephone and a first name with another person, and a sample of 30 of them gives the rate well enough.
SHARED_EXACT, SHARED_SAMPLE = 200_000, 16


def group_people(keys: U64) -> I64:
    """The number of the person of each row, 0..p-1 in no special order.

    Each row is identified by the most reliable family of keys that it has: NIR, else name+dob, else email+first, and so
    on. It is grouped with the rows that share such a key. Among rows that also have a more reliable key it joins only
    one, so that a namesake without a NIR does not merge two people who each have their own. A person whose NIR was
    mistyped in one row counts twice: the count errs towards more people, which hides nothing. So do rows with one number
    that differ in the whole name and in the first name, or in the birth date: relatives stand on a parent's number.

    Args:
        keys: shape (n, 6), columns as `RECORD_KINDS`, 0 where a row has no such key; every row has at least one key.

    Returns:
        Shape (n,). The groups do not depend on the order of the rows.
    """
    shared = rows_sharing_a_key(keys)
    rows = np.flatnonzero(shared)
    if not len(rows):
        return np.arange(len(keys))
    # rows that share no key, usually nearly all, are one person each: they cost a scan of each column and little memory
    people = np.cumsum(~shared, dtype=np.int64)
    people -= 1
    people[rows] = _group_by_shared_keys(keys[rows]) + people[-1] + 1
    return people


def rows_sharing_a_key(keys: U64) -> Bools:
    """Shape (n,): the rows that share a key with another row."""
    from data.releases import people_kernels

    keys = read_only(keys, np.uint64)
    shared = np.zeros(len(keys), bool)
    bits = min(_MAX_BITMAP_BITS, max(_MIN_BITMAP_BITS, (_BITS_PER_ROW * len(keys)).bit_length()))
    seen_once, seen_twice = np.empty(1 << bits - 3, np.uint8), np.empty(1 << bits - 3, np.uint8)
    for column in range(keys.shape[1]):
        seen_once[:], seen_twice[:] = 0, 0
        possible_repeats = people_kernels.possible_repeats(keys, column, bits, seen_once, seen_twice)
        shared[possible_repeats[_repeated(keys[possible_repeats, column])]] = True
    return shared


def _group_by_shared_keys(keys: U64) -> I64:
    """`group_people`, without the short cut for rows that share no key."""
    n = len(keys)
    level = np.full(n, len(KEY_FAMILIES), np.int64)
    for rank in range(len(KEY_FAMILIES) - 1, -1, -1):
        for kind in KEY_FAMILIES[rank]:
            level[keys[:, RECORD_KINDS.index(kind)] != 0] = rank
    # rows with the most reliable keys first; ties are broken by the keys of a row, not by its place
    tie = (keys * _TIE_WEIGHTS).sum(axis=1, dtype=np.uint64)
    ranked = np.lexsort((tie, level))
    members, heads = [], []
    for rank, family in enumerate(KEY_FAMILIES):
        for kind in family:
            column = keys[:, RECORD_KINDS.index(kind)]
            rows = ranked[(column[ranked] != 0) & (level[ranked] <= rank)]
            if kind in KEY_FAMILIES[0]:
                column = _split_relatives(keys, kind)
            rows = rows[_repeated(column[rows])]
            if not len(rows):
                continue
            # of the rows that share a key, the first in `ranked` is the head, and the others join it
            order = rows[np.argsort(column[rows], kind="stable")]
            first = np.ones(len(order), bool)
            first[1:] = column[order[1:]] != column[order[:-1]]
            head = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
            joins = (level[order] == rank) & ~first
            members.append(order[joins])
            heads.append(head[joins])
    return connected_components(n, np.concatenate(members), np.concatenate(heads)) if members else np.arange(n)


def _split_relatives(keys: U64, kind: Kind) -> U64:
    """The keys of a kind with a NIR of rows, shape (n,), changed where relatives share one.

    Twins on a parent's number have one key nir+dob, and a family whose columns of names are exchanged has one key
    nir+first. Rows that share nir+dob are one person if the whole name is the same as well, and rows that share nir+first
    if the birth date is; a surname that changed leaves nir+first and the date.
    """
    other = Kind.NAME_DOB if kind is Kind.NIR_DOB else Kind.NIR_DOB
    shared, others = keys[:, RECORD_KINDS.index(kind)], keys[:, RECORD_KINDS.index(other)]
    complete = (keys[:, [RECORD_KINDS.index(each) for each in (*KEY_FAMILIES[0], Kind.NAME_DOB)]] != 0).all(axis=1)
    rows = np.flatnonzero(_repeated(shared) & (shared != 0))
    if not len(rows):
        return shared
    order = rows[np.lexsort((others[rows], shared[rows]))]
    is_new = np.concatenate([[True], shared[order][1:] != shared[order][:-1]])
    differs = ~is_new
    differs[1:] &= others[order][1:] != others[order][:-1]
    # nearly all rows that share such a key are visits of one person: only the others are looked at one by one
    group = np.cumsum(is_new) - 1
    several = np.zeros(group[-1] + 1, np.bool_)
    several[group[differs]] = True
    order = order[several[group]]
    changed = shared.copy()
    starts = np.flatnonzero(shared[order][1:] != shared[order][:-1]) + 1
    for some in np.split(order, starts) if len(order) else ():
        if complete[some].all():
            changed[some] += others[some] * np.uint64(2) + np.uint64(1)
    return changed


def _repeated(tags: U64) -> Bools:
    """Which tags occur more than once. They are usually few: only they need a costlier sort."""
    ordered = np.sort(tags)
    repeated_tags = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated_tags):
        return np.zeros(len(tags), bool)
    place = np.minimum(np.searchsorted(repeated_tags, tags), len(repeated_tags) - 1)
    repeated: Bools = repeated_tags[place] == tags
    return repeated


def connected_components(n: int, a: I64, b: I64) -> I64:
    """Connected components of n nodes and the edges a-b, numbered from 0 without gaps."""
    label = np.arange(n)
    while True:
        low = np.minimum(label[a], label[b])
        before = label.copy()
        np.minimum.at(label, label[a], low)
        np.minimum.at(label, label[b], low)
        # path halving: without it a chain of n rows takes n rounds
        label = label[label]
        label = label[label]
        if np.array_equal(label, before):
            break
    roots = label == np.arange(n)
    numbers: I64 = (np.cumsum(roots) - 1)[label]
    return numbers


def count_shared_keys(keys: U64, people: I64) -> dict[Kind, tuple[int, int, int]]:
    """For each kind of key, how often two people share one: (people minus keys, people with a key, sampling step).

    A father and a son with the same first name may share a telephone or a mailbox, and namesakes may be born on the
    same day. If nothing but that key remains of them, they look like one person. The counts cover one key in `sampling
    step`.

    Args:
        keys: shape (n, 6), columns as `RECORD_KINDS`, 0 where a row has no such key.
        people: shape (n,), the person of each row, the result of `group_people`.
    """
    one_in = 1 if len(keys) <= SHARED_EXACT else SHARED_SAMPLE
    found = {}
    for column, kind in enumerate(RECORD_KINDS):
        tags = keys[:, column]
        # chosen by high bits, because low bits choose the sample of values
        chosen = np.flatnonzero((tags != 0) & (tags >> np.uint64(40) & np.uint64(one_in - 1) == 0))
        if not len(chosen):
            continue
        tags = tags[chosen]
        repeated = _repeated(tags)
        tags, who = tags[repeated], people[chosen[repeated]]
        order = np.lexsort((who, tags))
        tags, who = tags[order], who[order]
        other_key = tags[1:] != tags[:-1]
        others = other_key | (who[1:] != who[:-1])
        bearers = int(others.sum()) + bool(len(tags))
        found[kind] = (int((others & ~other_key).sum()), len(chosen) - len(tags) + bearers, one_in)
    return found


def count_people(keys: U64) -> int:
    """The number of people in rows of keys, shape (n, 6); rows without any key do not count."""
    keyed = rows_with_key(keys)
    # people are not numbered, and rows are not copied if all have a key: for 15 M rows that saves 120 and 720 MB
    some = keys if keyed.all() else keys[keyed]
    shared = np.flatnonzero(rows_sharing_a_key(some))
    alone = len(some) - len(shared)
    return alone + (int(_group_by_shared_keys(some[shared]).max()) + 1 if len(shared) else 0)


def any_per_person(people: I64, rows: Bools) -> Bools:
    """For each person, shape (p, columns), what is true in at least one of their rows.

    Args:
        people: shape (n,), the person of each row, the result of `group_people`.
        rows: shape (n, columns).
    """
    from data.releases import people_kernels

    found = np.zeros((int(people.max()) + 1 if len(people) else 0, rows.shape[1]), bool)
    people_kernels.any_per_person(read_only(people, np.int64), read_only(rows, np.bool_), found)
    return found


def rows_with_key(rows: U64 | Bools) -> Bools:
    """Shape (n,): which rows, shape (n, 6), have any key."""
    # column by column, which is 4 times as fast as numpy's `any`
    found: Bools = rows[:, 0] != 0
    for column in range(1, rows.shape[1]):
        found |= rows[:, column] != 0
    return found
