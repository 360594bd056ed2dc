"""Which canaries of which clients a sample holds; each counts once however often and wherever it occurs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.matching.canary_numbers import CanaryNumbers, MarkedCanaries
from crawler.matching.candidates import Candidates, order_by_tag
from crawler.matching.watchlist_match import HitCollector, confirm_hits
from data.arrays.packed import Packed
from data.case.bundle import read_bundle
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundle
from data.errors import StoreError
from data.hashing.case_keys import MatchKey
from data.hashing.tags import Kind, probe_tags
from tests.data.case.test_watchlist import bundle

KEYS = MatchKey(b"k" * 32).derive()


@pytest.fixture
def numbers(tmp_path):
    for client, values in (
        ("c1", [b"a@b.example", b"c@d.example"]),
        ("c2", [b"c@d.example"]),
        ("c1", [b"e@f.example"]),
    ):
        path = bundle(tmp_path, client, values)
        import_bundle(tmp_path / "watchlist", KEYS.case, *read_bundle(path, KEYS.case, KEYS.bundle))
    return CanaryNumbers(Watchlist.open(tmp_path / "watchlist", case=KEYS.case))


def found(numbers, *values, kind=Kind.EMAIL):
    packed = Packed.of(list(values))
    kinds = np.full(len(values), kind, np.uint8)
    candidates = Candidates(kinds, probe_tags(KEYS.probe, kinds, packed), packed, np.arange(len(values)))
    return confirm_hits(numbers, KEYS.confirm, candidates)


def add_rows(collector, numbers, confirmed, rows):
    """Add hits whose values are in the given rows."""
    places = np.array(rows)[confirmed.candidates]
    people = numbers.hits_of_people(confirmed.canaries, places, confirmed.candidates)
    # an odd row has names and a note, an even one names alone
    data = (1 + 64 * (places[people] % 2)).astype(np.uint8)
    collector.add_rows(confirmed, people, data)


def hits(collector):
    return [(hit.client, hit.canaries, hit.records, hit.kinds) for hit in collector.hits()]


def test_only_values_on_the_watch_list_are_confirmed(numbers):
    values = [b"", b"x@y.example", b"a@b.example", b"c@d.example"]
    confirmed = found(numbers, *values)
    assert sorted(confirmed.candidates.tolist()) == [2, 3, 3]
    assert len(found(numbers, b"a@b.example", kind=Kind.TOKEN)) == 0
    assert len(found(numbers)) == 0


def test_what_all_bundles_say_is_asked_once_and_not_for_each_sample(numbers, monkeypatch):
    """1,500 practices are as many bundles, and small samples come by the thousand."""
    asked, bundles = [], numbers.owners.bundles
    monkeypatch.setattr(numbers.owners, "bundles", lambda: asked.append(1) or bundles())
    assert not any(numbers.any_planted(np.array([at])) for at in (0, 1, 0, 1))
    assert len(asked) == 1
    assert not numbers.owners.has_tokens
    assert "has_tokens" in vars(numbers.owners)


def test_candidates_are_ordered_by_their_tags_and_those_that_are_known_left_out():
    tags = np.random.default_rng(3).integers(1, 2**64, 1000, np.uint64)
    order = order_by_tag(tags)
    assert (np.diff(tags[order] >> np.uint64(20)) >= 0).all()
    assert sorted(order.tolist()) == list(range(1000))
    values = Packed.of([b"%d" % number for number in range(1000)])
    candidates = Candidates(np.ones(1000, np.uint8), tags, values, np.arange(1000))
    left = candidates.without(tags[::3])
    assert left.places.tolist() == [number for number in range(1000) if number % 3]
    assert left.values.to_list() == [b"%d" % number for number in range(1000) if number % 3]
    assert len(candidates.without(tags)) == 0
    assert candidates.without(tags[:0]) is candidates


def test_the_canaries_of_a_client_have_numbers_next_to_each_other_in_however_many_bundles(numbers):
    assert (numbers.clients, numbers.borders.tolist(), len(numbers)) == (["c1", "c2"], [0, 3, 4], 4)
    codes = np.array([0, 1, 1 << 32, 2 << 32], np.uint64)
    assert numbers.of_codes(codes).tolist() == [0, 1, 3, 2]
    assert numbers.codes(np.array([0, 1, 3, 2])).tolist() == codes.tolist()
    for outside in (2, 3 << 32):
        with pytest.raises(StoreError, match="damaged"):
            numbers.of_codes(np.array([outside], np.uint64))


def test_a_person_counts_once_in_however_many_rows(numbers):
    collector = HitCollector(numbers, KEYS.post)
    confirmed = found(numbers, b"a@b.example", b"c@d.example", b"a@b.example")
    for _ in range(2):
        # like two batches of rows, in which the first two values are in the same row
        add_rows(collector, numbers, confirmed, [0, 1, 2])
        collector.add_bytes(confirmed)
    assert hits(collector) == [("c1", 2, 2, ("email",)), ("c2", 1, 1, ("email",))]


def test_a_row_is_about_the_canaries_that_values_of_their_own_confirm(numbers):
    collector = HitCollector(numbers, KEYS.post)
    # a row with the values of two people, as a file whose lines were not told apart
    add_rows(collector, numbers, found(numbers, b"a@b.example", b"c@d.example"), [0, 0])
    assert hits(collector) == [("c1", 2, 2, ("email",)), ("c2", 1, 1, ("email",))]


@pytest.mark.parametrize(
    ("canaries", "rows", "values", "expected"),
    [
        ([], [], [], []),
        # each value confirms one canary: whatever hits is a person
        ([0, 1, 2], [5, 5, 6], [0, 1, 2], [0, 1, 2]),
        # value 0 is the telephone of 0 and 2, who are of one client; value 1 is of 2 alone
        ([0, 2, 2], [5, 5, 5], [0, 0, 1], [2]),
        # nothing but the telephone: one person, the first
        ([2, 0], [5, 5], [0, 0], [0]),
        # of two shared values, two confirm 1 and one confirms 0
        ([0, 1, 1, 2], [5, 5, 5, 5], [0, 0, 1, 1], [1]),
        # the same person at two clients is a person at both
        ([1, 3], [5, 5], [0, 0], [1, 3]),
        # rows are judged each for itself
        ([0, 2, 0, 2, 0], [5, 5, 6, 6, 6], [0, 0, 1, 1, 2], [0, 0]),
    ],
)
def test_a_shared_value_makes_a_row_about_one_person_only(numbers, canaries, rows, values, expected):
    arrays = [np.array(each, np.int64) for each in (canaries, rows, values)]
    assert arrays[0][numbers.hits_of_people(*arrays)].tolist() == expected


def test_a_canary_that_only_the_byte_pass_found_counts_as_one_record(numbers):
    collector = HitCollector(numbers, KEYS.post)
    add_rows(collector, numbers, found(numbers, b"a@b.example"), [0])
    collector.add_bytes(found(numbers, b"e@f.example", b"a@b.example"))
    assert hits(collector) == [("c1", 2, 2, ("email",))]


def test_the_fingerprint_depends_on_the_canaries_alone(numbers):
    collectors = [HitCollector(numbers, KEYS.post) for _ in range(4)]
    one, both = found(numbers, b"a@b.example"), found(numbers, b"c@d.example", b"a@b.example")
    collectors[0].add_bytes(both)
    add_rows(collectors[1], numbers, one, [0])
    collectors[1].add_bytes(both)
    collectors[2].add_bytes(one)
    prints = [collector.fingerprint() for collector in collectors]
    assert prints[0] == prints[1] != prints[2]
    assert prints[3] == ""
    assert [collector.has_hits for collector in collectors] == [True, True, True, False]
    assert set(collectors[0].sighted()) == {numbers.bundle_of(bundle) for bundle in (0, 1)}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 99), max_size=40), st.sampled_from([1, 2, 4])), max_size=12),
    st.integers(1, 60),
)
def test_marks_of_canaries_are_the_same_however_they_are_held(parts, most):
    from crawler.matching import canary_numbers

    expected: dict[int, int] = {}
    before, canary_numbers._MAX_UNSORTED = canary_numbers._MAX_UNSORTED, most
    try:
        marked = MarkedCanaries()
        assert not marked
        for numbers, mark in parts:
            marked.add(np.array(numbers, np.int64), mark, 100)
            for number in numbers:
                expected[number] = expected.get(number, 0) | mark
        assert bool(marked) == bool(expected)
        found = [part.tolist() for part in marked.sorted()]
    finally:
        canary_numbers._MAX_UNSORTED = before
    assert dict(zip(*found, strict=True)) == expected
    assert found[0] == sorted(expected)


def test_what_stands_in_the_rows_of_people_is_counted_by_client_and_a_person_counts_once(numbers):
    collector = HitCollector(numbers, KEYS.post)
    # of client c1 one person stands in an even row and in an odd one, of c2 one in an even row
    add_rows(collector, numbers, found(numbers, b"a@b.example"), [0])
    add_rows(collector, numbers, found(numbers, b"a@b.example"), [1])
    assert {hit.client: hit.data for hit in collector.hits()} == {"c1": {"names": 1, "note": 1}}
    collector.add_bytes(found(numbers, b"c@d.example"))
    # what only the byte pass found has no row
    assert {hit.client: hit.data for hit in collector.hits()} == {"c1": {"names": 1, "note": 1}, "c2": None}
