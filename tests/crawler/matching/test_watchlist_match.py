"""Which canaries of which clients a sample holds; each counts once however often and wherever it occurs."""

from __future__ import annotations

import numpy as np
import pytest

from crawler.matching.watchlist_match import HitCollector, confirm_hits
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
    return confirm_hits(watchlist, KEYS, np.full(len(values), kind, np.uint8), Packed.of(list(values)))


def hits(collector):
    return [(hit.client, hit.canaries, hit.records, hit.kinds) for hit in collector.hits()]


def test_only_values_on_the_watch_list_are_confirmed(watchlist):
    values = [b"", b"x@y.example", b"a@b.example", b"c@d.example"]
    confirmed = found(watchlist, *values)
    assert sorted(confirmed.values.tolist()) == [2, 3, 3]
    assert len(found(watchlist, b"a@b.example", kind=Kind.TOKEN)) == 0
    assert len(found(watchlist)) == 0


def test_rows_count_once_for_a_client_and_canaries_once_for_a_sample(watchlist):
    collector = HitCollector(watchlist, KEYS)
    confirmed = found(watchlist, b"a@b.example", b"c@d.example", b"a@b.example")
    for _ in range(2):
        # like two batches of rows, in which the first two values are in the same row
        collector.add_rows(confirmed, np.array([0, 0, 1])[confirmed.values])
        collector.add_bytes(confirmed)
    assert hits(collector) == [("c1", 2, 4, ("email",)), ("c2", 1, 2, ("email",))]


def test_a_canary_that_only_the_byte_pass_found_counts_as_one_record(watchlist):
    collector = HitCollector(watchlist, KEYS)
    rows = found(watchlist, b"a@b.example")
    collector.add_rows(rows, rows.values)
    collector.add_bytes(found(watchlist, b"e@f.example", b"a@b.example"))
    assert hits(collector) == [("c1", 2, 2, ("email",))]


def test_the_fingerprint_depends_on_the_canaries_alone(watchlist):
    collectors = [HitCollector(watchlist, KEYS) for _ in range(4)]
    one, both = found(watchlist, b"a@b.example"), found(watchlist, b"c@d.example", b"a@b.example")
    collectors[0].add_bytes(both)
    collectors[1].add_rows(one, one.values)
    collectors[1].add_bytes(both)
    collectors[2].add_bytes(one)
    prints = [collector.fingerprint() for collector in collectors]
    assert prints[0] == prints[1] != prints[2]
    assert prints[3] == ""
