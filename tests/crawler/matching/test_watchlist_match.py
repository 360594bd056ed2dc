"""Which canaries of which clients a sample holds, counted once however often and wherever they stand."""

from __future__ import annotations

import numpy as np
import pytest

from crawler.matching.watchlist_match import Matcher, confirm
from data.arrays.packed import Packed
from data.case.bundle import read_bundle
from data.case.watchlist import Watchlist, import_bundle
from data.hashing.case_keys import MatchKey
from data.hashing.tags import Kind
from tests.data.case.test_watchlist import bundle

KEYS = MatchKey(b"k" * 32).derive()


@pytest.fixture
def watchlist(tmp_path):
    for client, values in (
        ("c1", [b"a@b.example", b"c@d.example"]),
        ("c2", [b"c@d.example"]),
        ("c1", [b"e@f.example"]),
    ):
        path = bundle(tmp_path, client, values)
        import_bundle(tmp_path / "watchlist", KEYS.case, *read_bundle(path, KEYS.case, KEYS.bundle))
    return Watchlist.open(tmp_path / "watchlist", case=KEYS.case)


def found(watchlist, *values, kind=Kind.EMAIL):
    return confirm(watchlist, KEYS, np.full(len(values), kind, np.uint8), Packed.of(list(values)))


def hits(matcher):
    return [(hit.client, hit.canaries, hit.records, hit.kinds) for hit in matcher.hits()]


def test_only_what_stands_on_the_list_is_confirmed(watchlist):
    values = [b"", b"x@y.example", b"a@b.example", b"c@d.example"]
    confirmed = found(watchlist, *values)
    assert sorted(confirmed.values.tolist()) == [2, 3, 3]
    assert len(found(watchlist, b"a@b.example", kind=Kind.TOKEN)) == 0
    assert len(found(watchlist)) == 0


def test_rows_count_once_for_a_client_and_canaries_once_for_a_sample(watchlist):
    matcher = Matcher(watchlist, KEYS)
    confirmed = found(watchlist, b"a@b.example", b"c@d.example", b"a@b.example")
    for _ in range(2):
        # as in two batches of rows; both values of the first stand in one row
        matcher.add_rows(confirmed, np.array([0, 0, 1])[confirmed.values])
        matcher.add_bytes(confirmed)
    assert hits(matcher) == [("c1", 2, 4, ("email",)), ("c2", 1, 2, ("email",))]


def test_a_canary_that_no_row_showed_is_a_record_of_its_own(watchlist):
    matcher = Matcher(watchlist, KEYS)
    rows = found(watchlist, b"a@b.example")
    matcher.add_rows(rows, rows.values)
    matcher.add_bytes(found(watchlist, b"e@f.example", b"a@b.example"))
    assert hits(matcher) == [("c1", 2, 2, ("email",))]


def test_the_fingerprint_is_of_the_canaries_alone(watchlist):
    matchers = [Matcher(watchlist, KEYS) for _ in range(4)]
    one, both = found(watchlist, b"a@b.example"), found(watchlist, b"c@d.example", b"a@b.example")
    matchers[0].add_bytes(both)
    matchers[1].add_rows(one, one.values)
    matchers[1].add_bytes(both)
    matchers[2].add_bytes(one)
    prints = [matcher.fingerprint() for matcher in matchers]
    assert prints[0] == prints[1] != prints[2]
    assert prints[3] == ""
