"""Sighted canaries: one set for each source and bundle, written with the findings and deleted by a purge."""

from __future__ import annotations

from datetime import timedelta

import pytest

from data.case.canary_bitmaps import count_canaries, encode_bitmaps
from data.errors import LeaseLost
from data.model import Finding
from data.store.posts import PostRow
from data.store.sightings import SightedPost
from data.store.store import Store
from tests.leased_crawl import NOW, LeasedCrawl


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "t.db")
    yield opened
    opened.close()


def post(name: str) -> PostRow:
    return PostRow(name, "v1", "http://x/[1]")


def with_canaries(bitmap: int, bundle: str = "a") -> Finding:
    return Finding("n", "ab" * 32, 10, "text", sighted=encode_bitmaps({bundle: bytes([bitmap])}))


def test_canaries_of_several_findings_are_united_with_the_first_and_the_last_post(store):
    crawl = LeasedCrawl(store)
    crawl.commit(post("p"), [with_canaries(0b0011), with_canaries(1, "b")])
    later = NOW + timedelta(hours=1)
    crawl.commit(post("q"), [with_canaries(0b0110)], now=later)
    mine, other = store.sightings.of_sources()
    assert (mine.bundle, count_canaries(mine.canaries), other.bundle) == ("a", 3, "b")
    assert (mine.first.at, mine.first.post, mine.last.at, mine.last.post) == (NOW, "p", later, "q")
    assert mine.last.address == "http://x/[1]"
    assert store.sightings.of_sources(["s"]) == [mine, other]
    assert store.sightings.of_sources(["another"]) == []
    assert all(row["body"]["sighted"] == {} for row in store.findings.latest())


def test_sightings_are_stored_with_their_finding_or_not_at_all(store):
    crawl = LeasedCrawl(store)
    with pytest.raises(LeaseLost):
        crawl.commit(post("p"), [with_canaries(1)], fence=crawl.fence + 1)
    assert store.sightings.of_sources() == []


def test_what_is_found_later_in_an_older_post_is_the_first_sighting_and_not_the_last(store):
    crawl = LeasedCrawl(store)
    crawl.commit(post("p"), [with_canaries(1)])
    earlier, later = NOW - timedelta(days=9), NOW + timedelta(days=1)
    store.sightings.add_bitmaps(SightedPost(earlier, "s", "old", "http://old/"), {"a": b"\2"})
    [found] = store.sightings.of_sources()
    assert (found.first.at, found.first.post, found.first.address) == (earlier, "old", "http://old/")
    assert (found.last.at, found.last.post, count_canaries(found.canaries)) == (NOW, "p", 2)
    store.purge(NOW - timedelta(days=1), later)
    assert store.sightings.of_sources() == [found], "it was renewed since"


def test_a_purge_deletes_sightings_that_were_not_renewed(store):
    crawl = LeasedCrawl(store)
    crawl.commit(post("p"), [with_canaries(1), with_canaries(1, "b")])
    later = NOW + timedelta(days=9)
    crawl.commit(post("q"), [with_canaries(2)], now=later)
    store.purge(NOW + timedelta(days=1), later)
    assert [each.bundle for each in store.sightings.of_sources()] == ["a"]
