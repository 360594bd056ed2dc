from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.lineage import uncertain_rows
from crawler.lineage.uncertain_rows import ROLES, HeldRows, UncertainRows
from data.arrays.packed import Packed
from data.hashing.tags import RECORD_KINDS, Kind

NAME, NIR_DOB, NIR_FIRST, PHONE_FIRST = (
    RECORD_KINDS.index(kind) for kind in (Kind.NAME_DOB, Kind.NIR_DOB, Kind.NIR_FIRST, Kind.PHONE_FIRST)
)


def keys_of(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def forms_of(numbers: np.ndarray) -> dict[str, Packed]:
    return {role: Packed.of([b"%s %d" % (role.encode(), number) for number in numbers]) for role in ROLES}


def test_people_are_uncertain_if_no_release_knows_them_or_only_by_a_weak_key() -> None:
    keys = keys_of(5, 1)
    keys[4] = 0
    seen = np.zeros(keys.shape, bool)
    seen[1, NAME], seen[2, NIR_DOB], seen[3, PHONE_FIRST] = True, True, True
    uncertain = UncertainRows()
    rows = uncertain.select(keys, seen)
    assert sorted(rows) == [0, 3]
    uncertain.add(keys[rows], seen[rows], {role: column.take(rows) for role, column in forms_of(np.arange(5)).items()})
    assert uncertain.unmatched.forms()["dob"].to_list() == [b"dob 0"]
    assert uncertain.weakly_known.forms()["dob"].to_list() == [b"dob 3"]
    # the representation, which may be logged, holds no content of the sample
    assert repr(uncertain) == "<UncertainRows 1 unmatched, 1 weakly known>"


def test_a_person_with_only_weak_keys_all_of_which_are_known_is_held_for_the_name_alone() -> None:
    keys = keys_of(2, 2)
    keys[0, [at for at in range(6) if at != PHONE_FIRST]] = 0
    # whoever has a number as well is not looked for by name
    keys[1, [at for at in range(6) if at not in (PHONE_FIRST, NIR_FIRST)]] = 0
    uncertain = UncertainRows()
    rows = uncertain.select(keys, keys != 0)
    assert rows.tolist() == [0]
    uncertain.add(keys[rows], keys[rows] != 0, forms_of(rows))
    assert uncertain.reached.forms()["dob"].to_list() == [b"dob 0"]
    assert not len(uncertain.weakly_known)
    assert not len(uncertain.unmatched)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_same_rows_are_held_whatever_their_order_and_batches(n: int, batch: int, seed: int) -> None:
    keys = keys_of(n, 3)
    order = np.random.default_rng(seed).permutation(n)
    found = []
    max_held, uncertain_rows.MAX_HELD = uncertain_rows.MAX_HELD, 8
    try:
        for rows in (np.arange(n), order):
            held = HeldRows()
            for begin in range(0, n, batch):
                some = rows[begin : begin + batch]
                selected = some[held.select(keys[some])]
                held.add(keys[selected], forms_of(selected))
            found.append(held.forms()["nir"].to_list())
    finally:
        uncertain_rows.MAX_HELD = max_held
    assert found[0] == found[1]
    assert len(found[0]) == min(n, 8)
