from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage import uncertain_rows
from crawler.lineage.uncertain_rows import ROLES, Doubtful, Kept
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind

NAME, NIR_DOB, PHONE_FIRST = (RECORD_KINDS.index(kind) for kind in (Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_FIRST))


def keys_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def forms_of(numbers: np.ndarray) -> dict[str, Packed]:
    return {role: Packed.of([b"%s %d" % (role.encode(), number) for number in numbers]) for role in ROLES}


def test_kept_are_people_whom_nobody_knows_or_who_are_known_by_a_weak_key_alone() -> None:
    keys = keys_of(5, 1)
    keys[4] = 0
    seen = np.zeros(keys.shape, bool)
    seen[1, NAME], seen[2, NIR_DOB], seen[3, PHONE_FIRST] = True, True, True
    kept = Doubtful()
    rows = kept.wanted(keys, seen)
    assert sorted(rows) == [0, 3]
    kept.keep(keys[rows], seen[rows], {role: column.take(rows) for role, column in forms_of(np.arange(5)).items()})
    assert kept.unmatched.forms()["dob"].to_list() == [b"dob 0"]
    assert kept.weak.forms()["dob"].to_list() == [b"dob 3"]
    # nothing of a sample stands in what is logged
    assert repr(kept) == "<Doubtful 1 unmatched, 1 weakly known>"


def test_who_has_nothing_but_the_weak_keys_that_are_known_is_in_no_doubt() -> None:
    keys = keys_of(1, 2)
    keys[0, [at for at in range(6) if at != PHONE_FIRST]] = 0
    assert not len(Doubtful().wanted(keys, keys != 0))


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_which_rows_are_kept_hangs_neither_on_their_order_nor_on_how_they_come(n: int, batch: int, seed: int) -> None:
    keys = keys_of(n, 3)
    order = np.random.default_rng(seed).permutation(n)
    found = []
    most, uncertain_rows.MOST = uncertain_rows.MOST, 8
    try:
        for rows in (np.arange(n), order):
            kept = Kept()
            for begin in range(0, n, batch):
                some = rows[begin : begin + batch]
                wanted = some[kept.wanted(keys[some])]
                kept.keep(keys[wanted], forms_of(wanted))
            found.append(kept.forms()["nir"].to_list())
    finally:
        uncertain_rows.MOST = most
    assert found[0] == found[1]
    assert len(found[0]) == min(n, 8)
