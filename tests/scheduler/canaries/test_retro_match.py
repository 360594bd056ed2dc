"""Canaries that are enrolled today are found in what was seen before, through the commands that a team uses."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from crawler.matching.seen_values import SeenValues
from data.case.bundle import RECORD_DTYPE, BundleHeader
from data.case.canary_bitmaps import count_canaries
from data.case.seen_tags import MAX_TAGS, open_seen, seal_seen
from data.errors import WireError
from data.hashing.case_keys import MatchKey
from data.hashing.tags import Kind
from data.settings.home import Home
from data.store.store import Store
from scheduler.canaries.retro_match import BY_CHANCE, _chance, match_back, store_matches
from tests.inside import fine, run
from tests.servers.strict_chats import slack
from tests.servers.webhook import Webhook
from tests.synth.people import people, to_csv

POST_KEY = bytes(range(32))


def enrolled(home, folder, client: str, crowd):
    table, bundle = folder / f"{client}.csv", folder / f"{client}.bundle"
    table.write_bytes(to_csv(crowd))
    fine(None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", client, table, "--out", bundle)
    return bundle


@pytest.mark.servers
@pytest.mark.slow
def test_a_client_that_is_enrolled_today_learns_of_what_was_seen_before(tmp_path):
    home, crowd = tmp_path / "home", people(7, 120)
    fine(None, "init", home)
    dump, mails, baseline = tmp_path / "dump.csv", tmp_path / "mails.txt", tmp_path / "baseline.csv"
    dump.write_bytes(to_csv(crowd[:40]))
    mails.write_text("email\n" + "\n".join(person.email for person in crowd[60:90]) + "\n")
    baseline.write_bytes(to_csv(crowd[90:]))
    fine(home, "release", "add", "--name", "part 1", baseline)
    assert run(home, "scan", "--record", dump, mails).returncode == 0
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        assert len(list(store.seen.all())) == 2
        for (sealed,) in store.database.connection.execute("select sealed from seen"):
            assert crowd[0].email.encode() not in sealed
    with Webhook([slack]) as chat:
        (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/x"\n')
        said = fine(home, "canary", "import", enrolled(home, tmp_path, "in-dump", crowd[20:30])).stdout
        assert "compared with 2 earlier samples seen since" in said
        assert "1 client found in 1 of them" in said
        assert "Not compared: " in said
        text = json.loads(chat.received[0].body)["text"]
        assert "Found in data seen on" in text
        assert "Client data published: 10 records, client in-dump" in text
        assert "canaries were enrolled after this data was seen" in text
        said = fine(home, "canary", "import", enrolled(home, tmp_path, "in-mails", crowd[60:70])).stdout
        assert "1 client found in 1 of them" in said
        said = fine(home, "canary", "import", enrolled(home, tmp_path, "nowhere", crowd[40:60])).stdout
        assert "no canary found" in said
        assert len(chat.received) == 2
        said = fine(home, "canary", "import", enrolled(home, tmp_path, "in-baseline", crowd[90:95])).stdout
        assert "1 client found in 1 of them" in said
        assert len(chat.received) == 2, "what the team registered is known: a notice, which rings nobody"
        again = fine(home, "canary", "import", tmp_path / "in-dump.bundle", tmp_path / "in-baseline.bundle").stdout
        assert "imported before" in again
        assert "compared with 2 earlier samples" in again
        assert len(chat.received) == 2, "what was told is not told again"
    events = fine(home, "event", "list", "--kind", "canary_hit", "--json").json["events"]
    assert [event["severity"] for event in events] == ["notice", "critical", "critical"]
    assert events[0]["facts"]["retro"]["release"] == "part-1"
    assert {event["facts"]["clients"][0]["canaries"] for event in events} == {5, 10}
    purged = datetime.now(UTC) + timedelta(days=1)
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        assert store.seen.expire(purged, 10**9) == 2
        assert store.seen.since() is None


def encoded(*parts: np.ndarray, people: int = 0) -> str:
    collected = SeenValues()
    for part in parts:
        collected.add(part.astype(np.uint64))
    return collected.encode(np.full((people, 6), 7, np.uint64))


MATCH = MatchKey(bytes(32)).derive()


def bundle_of(client: str, *tags: int):
    records = np.zeros(len(tags), RECORD_DTYPE)
    records["tag"], records["canary"], records["kind"] = tags, range(len(tags)), int(Kind.EMAIL)
    return BundleHeader(client * 8, MATCH.case, client, client, "", len(tags), len(tags), {"email": len(tags)}), records


def sealed(*tags: int) -> bytes:
    return seal_seen(MATCH.post, encoded(np.array(tags)))


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path, {})
    home.config_path.write_text("")
    with contextlib.closing(Store.open(home.db_path)) as store:
        yield home, store


NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
POST = "a" * 32


def told(home, store, bundles, before=()):
    """What is found: client -> number of canaries, by post; and how many events were new."""
    found = match_back(home, store, MATCH, bundles, NOW, enrolled_before=before)
    new = store_matches(home, store, found, NOW)
    by_post = {each.post: {hit["client"]: hit["canaries"] for hit in each.facts["clients"]} for each in found.events}
    return by_post, new


def test_the_samples_of_one_post_are_one_event_that_names_the_clients_of_all_of_them(home):
    store = home[1]
    store.seen.add("forum", POST, "", [sealed(1, 2), sealed(3, 4), sealed(9)], NOW)
    bundles = [bundle_of("a", 1, 3), bundle_of("b", 4, 5)]
    assert told(*home, bundles) == ({POST: {"a": 2, "b": 1}}, 1)
    assert {each.bundle[0]: count_canaries(each.canaries) for each in store.sightings.of_sources()} == {"a": 2, "b": 1}


def test_a_reply_to_a_thread_does_not_replace_what_its_earlier_pages_held(home):
    store = home[1]
    store.seen.add("forum", POST, "", [sealed(1), sealed(2)], NOW)
    store.seen.add("forum", POST, "", [sealed(7)], NOW, partial=True)
    assert told(*home, [bundle_of("a", 1, 2, 7)]) == ({POST: {"a": 3}}, 1)
    store.seen.add("forum", POST, "", [sealed(8)], NOW)
    assert len(list(store.seen.all())) == 1, "a post that was read as a whole replaces what was kept of it"


def test_an_import_that_was_killed_before_it_compared_is_made_up_for_and_nothing_is_told_twice(home):
    store, bundle = home[1], bundle_of("a", 1, 2)
    store.seen.add("forum", POST, "", [sealed(1, 2)], NOW)
    known = {bundle[0].bundle}
    assert told(*home, [bundle], known) == ({POST: {"a": 2}}, 1)
    assert told(*home, [bundle], known) == ({}, 0)
    # examined before the daemon was reloaded, so with the watch-list of before
    store.seen.add("paste", "b" * 32, "", [sealed(2)], NOW)
    assert told(*home, [bundle], known) == ({"b" * 32: {"a": 1}}, 1)


def test_a_sample_that_cannot_be_opened_hides_no_other_and_is_told(home):
    store = home[1]
    store.seen.add("forum", POST, "", [sealed(1)], NOW)
    store.seen.add("paste", "b" * 32, "", [bytes(60)], NOW)
    found = match_back(*home, MATCH, [bundle_of("a", 1)], NOW)
    assert ([each.post for each in found.events], found.samples, found.unreadable) == ([POST], 1, 1)
    assert any("1 earlier sample cannot be opened" in note for note in found.notes)


def test_of_a_large_sample_a_fair_part_is_kept_and_its_number_is_told():
    assert encoded() == encoded(np.zeros(3)) == ""
    total, kept = open_seen(POST_KEY, seal_seen(POST_KEY, encoded(np.array([9, 5, 0]), np.array([5]), people=2)))
    assert (total, kept.tolist()) == (3, [5, 7, 9])
    many = np.random.default_rng(1).integers(1, 2**64 - 1, 20 * MAX_TAGS, np.uint64)
    total, kept = open_seen(POST_KEY, seal_seen(POST_KEY, encoded(*np.split(many, 40), many)))
    assert kept.tolist() == np.sort(many)[:MAX_TAGS].tolist()
    assert 0.95 < total / len(many) < 1.05


@pytest.mark.parametrize("text", ["=", "AAAA", "A" * 4 * (MAX_TAGS * 4)])
def test_values_of_another_form_are_not_stored(text):
    with pytest.raises(WireError):
        seal_seen(POST_KEY, text)


def test_sealed_values_open_with_their_key_alone_and_a_flipped_bit_is_found():
    sealed = bytearray(seal_seen(POST_KEY, encoded(people=1)))
    with pytest.raises(WireError):
        open_seen(bytes(32), bytes(sealed))
    sealed[20] ^= 1
    with pytest.raises(WireError):
        open_seen(POST_KEY, bytes(sealed))


def test_matches_that_chance_explains_are_not_certain():
    assert _chance(1, 0.01) > BY_CHANCE
    assert _chance(5, 0.01) < BY_CHANCE
    assert _chance(20, 25.0) == 1.0
    # the bound lies above the exact probability of a Poisson number: 1 - exp(-2) * (1 + 2 + 2 + 4/3) = 0.143
    assert _chance(4, 2.0) >= 0.143


def test_the_oldest_samples_beyond_the_size_are_deleted_first(tmp_path):
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        now = datetime(2026, 11, 1, tzinfo=UTC)
        for number in range(5):
            store.seen.add("s", f"{number:032x}", "", [bytes(1000)], now + timedelta(days=number))
        assert store.seen.expire(now + timedelta(hours=1), 2500) == 3
        assert [sample.place.at.day for sample in store.seen.all()] == [4, 5]
