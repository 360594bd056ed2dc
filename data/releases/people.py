"""Which rows are the same person, from record keys alone; what is known of these people is left to others."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U64, Bools
from data.arrays.packed import read_only
from data.hashing.tags import RECORD_KINDS, Kind

# What a row's identity hangs on, the most telling first (coincidence rates: COINCIDENCE in crawler.lineage.chance_matches).
FAMILIES: tuple[tuple[Kind, ...], ...] = (
    (Kind.NIR_DOB, Kind.NIR_FIRST),
    (Kind.NAME_DOB,),
    (Kind.EMAIL_FIRST,),
    (Kind.PHONE_FIRST,),
    (Kind.PHONE_DOB,),
)
# Bits of a map by which keys are found that no other row has: at 8 to 16 a row, one key in 10 to 16 is looked at again.
_BITS_A_ROW, _LEAST_BITS, _MOST_BITS = 8, 6, 32
_ODD = np.arange(1, 2 * len(RECORD_KINDS), 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
# Above so many rows, how many people share a key is counted on one key in SHARED_SAMPLE: 500 of 300,000 people share
# a telephone and a first name with another one, of whom 30 tell the rate well enough.
SHARED_EXACT, SHARED_SAMPLE = 200_000, 16


def group_people(keys: U64) -> I64:
    """The person of each row, numbered 0..p-1 in no special order.

    Each row speaks through its most telling family of keys that is there: NIR, else name+dob, else email+first, and
    so on. It joins the rows that share such a key; of those that also hold something more telling, one alone, so that
    two people with a number each are not made one by a namesake without number. A person whose number was
    mistyped in one row counts twice: the count errs towards more people, which hides nothing.

    Args:
        keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent; every row has at least one key.

    Returns:
        Shape (n,). Which rows are together does not hang on their order.
    """
    shared = _shares_a_key(keys)
    rows = np.flatnonzero(shared)
    if not len(rows):
        return np.arange(len(keys))
    # whoever shares no key is alone: mostly nearly all, which cost one sort a column and no memory to speak of
    people = np.cumsum(~shared, dtype=np.int64)
    people -= 1
    people[rows] = _group(keys[rows]) + people[-1] + 1
    return people


def _shares_a_key(keys: U64) -> Bools:
    """Shape (n,): the rows that have a key which another row has as well."""
    from data.releases import people_kernels

    keys = read_only(keys, np.uint64)
    shared = np.zeros(len(keys), bool)
    bits = min(_MOST_BITS, max(_LEAST_BITS, (_BITS_A_ROW * len(keys)).bit_length()))
    once, twice = np.empty(1 << bits - 3, np.uint8), np.empty(1 << bits - 3, np.uint8)
    for column in range(keys.shape[1]):
        once[:], twice[:] = 0, 0
        suspects = people_kernels.suspects(keys, column, bits, once, twice)
        shared[suspects[_repeated(keys[suspects, column])]] = True
    return shared


def _group(keys: U64) -> I64:
    """`group_people` of rows most of which share a key."""
    n = len(keys)
    level = np.full(n, len(FAMILIES), np.int64)
    for rank in range(len(FAMILIES) - 1, -1, -1):
        for kind in FAMILIES[rank]:
            level[keys[:, RECORD_KINDS.index(kind)] != 0] = rank
    # the most telling rows first; ties are broken by what rows hold, not by where they stand
    tie = (keys * _ODD).sum(axis=1, dtype=np.uint64)
    ranked = np.lexsort((tie, level))
    members, heads = [], []
    for rank, family in enumerate(FAMILIES):
        for kind in family:
            column = keys[:, RECORD_KINDS.index(kind)]
            rows = ranked[(column[ranked] != 0) & (level[ranked] <= rank)]
            rows = rows[_repeated(column[rows])]
            if not len(rows):
                continue
            # within one key the first of `ranked` is the head that the others join
            order = rows[np.argsort(column[rows], kind="stable")]
            first = np.ones(len(order), bool)
            first[1:] = column[order[1:]] != column[order[:-1]]
            head = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
            joins = (level[order] == rank) & ~first
            members.append(order[joins])
            heads.append(head[joins])
    return _components(n, np.concatenate(members), np.concatenate(heads)) if members else np.arange(n)


def _repeated(tags: U64) -> Bools:
    """Which tags occur more than once: mostly few, and only they need the costlier sort."""
    ordered = np.sort(tags)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(len(tags), bool)
    place = np.minimum(np.searchsorted(twice, tags), len(twice) - 1)
    repeated: Bools = twice[place] == tags
    return repeated


def _components(n: int, a: I64, b: I64) -> I64:
    """Connected components of n nodes and the edges a-b, numbered from 0 without gaps."""
    label = np.arange(n)
    while True:
        low = np.minimum(label[a], label[b])
        before = label.copy()
        np.minimum.at(label, label[a], low)
        np.minimum.at(label, label[b], low)
        # short cuts: without them a chain of n rows takes n rounds
        label = label[label]
        label = label[label]
        if np.array_equal(label, before):
            break
    roots = label == np.arange(n)
    numbers: I64 = (np.cumsum(roots) - 1)[label]
    return numbers


def shared_keys(keys: U64, people: I64) -> dict[Kind, tuple[int, int, int]]:
    """How often two people have the same key: per kind (people more than keys, people who have one, of one key in so many).

    Fathers and sons of one first name share telephones and mailboxes; namesakes are born on one day. Where nothing
    but that key is left of them, they look like one person.

    Args:
        keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent.
        people: shape (n,), the person of each row, as `group_people` gives it.
    """
    one_in = 1 if len(keys) <= SHARED_EXACT else SHARED_SAMPLE
    found = {}
    for column, kind in enumerate(RECORD_KINDS):
        tags = keys[:, column]
        # by high bits: low ones choose what a sample of values holds
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
    """How many people rows of shape (n, 6) speak of; rows without any key count for none."""
    keyed = any_key(keys)
    # not numbered, and not copied where every row has a key: of 15 M rows that is 120 and 720 MB
    some = keys if keyed.all() else keys[keyed]
    shared = np.flatnonzero(_shares_a_key(some))
    alone = len(some) - len(shared)
    return alone + (int(_group(some[shared]).max()) + 1 if len(shared) else 0)


def any_per_person(people: I64, rows: Bools) -> Bools:
    """Shape (p, columns): what is true in at least one row, of shape (n, columns), of a person; see `group_people`."""
    from data.releases import people_kernels

    found = np.zeros((int(people.max()) + 1 if len(people) else 0, rows.shape[1]), bool)
    people_kernels.any_per_person(read_only(people, np.int64), read_only(rows, np.bool_), found)
    return found


def any_key(rows: U64 | Bools) -> Bools:
    """Shape (n,): the rows, shape (n, 6), that have any key; column by column, which is 4 times as fast as numpy's `any`."""
    found: Bools = rows[:, 0] != 0
    for column in range(1, rows.shape[1]):
        found |= rows[:, column] != 0
    return found
