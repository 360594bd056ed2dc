"""A watch-list that is lost, older or damaged is an error of every command that needs it; retiring all is none."""

from __future__ import annotations

import contextlib
import shutil

import pytest

from data.store.expected_sets import WatchlistCounts, latest_watchlist_counts
from data.store.store import Store
from scheduler.canaries.known_watchlist import OTHER_DATABASE
from tests.command import tocsin
from tests.inside import fine, refused, run
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    fine(None, "init", path)
    return path


def bundle_of(home, folder, name, crowd):
    table, out = folder / f"{name}.csv", folder / f"{name}.bundle"
    table.write_bytes(to_csv(crowd))
    key = home / "keys" / "enrol.key"
    fine(None, "canary", "enrol", "--key", key, "--client", name, table, "--out", out)
    return out


def test_a_lost_or_damaged_watch_list_is_never_an_empty_one(home, tmp_path):
    crowd = people(11, 30)
    one, two = bundle_of(home, tmp_path, "p1", crowd[:20]), bundle_of(home, tmp_path, "p2", crowd[20:])
    dump = tmp_path / "dump.csv"
    dump.write_bytes(to_csv(crowd))
    watchlist, backup = home / "watchlist", tmp_path / "backup"

    def hits() -> dict[str, int]:
        done = run(home, "scan", "--json", dump)
        assert done.returncode in {0, 1}, done.stderr
        return {hit["client"]: hit["canaries"] for hit in done.json["inputs"][0]["hits"]}

    def wrong() -> list[str]:
        return [check["said"] for check in run(home, "doctor", "--json").json["checks"] if check["state"] == "wrong"]

    assert hits() == {}, "nothing was imported yet, which is no error"
    fine(home, "canary", "import", one)
    shutil.copytree(watchlist, backup)
    fine(home, "canary", "import", two)
    assert hits() == {"p1": 20, "p2": 10}
    counts = latest_watchlist_counts(home / "tocsin.db")
    assert counts is not None
    assert (counts.bundles, counts.retired, counts.clients, counts.canaries) == (2, 0, 2, 30)

    # the whole list, then an older one, then its manifest
    shutil.rmtree(watchlist)
    for held in ("none", "1 bundle"):
        refused(
            run(home, "scan", dump), "the watch-list is lost or older than it was", f"holds {held} of them", "hint:"
        )
        if held == "none":
            refused(run(home, "canary", "list"), "lost or older")
            refused(run(home, "canary", "retire", "p1"), "lost or older")
            refused(run(home, "canary", "import", two), "lost or older", "--anew")
            assert any("lost or older" in sentence for sentence in wrong())
            shutil.copytree(backup, watchlist)
    manifest = watchlist / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    refused(run(home, "scan", dump), "the manifest of the watch-list is missing, but its tags are there")
    manifest.write_bytes(content)

    # all bundles again, in place of the lost list
    assert "2 of 2 bundles added" in fine(home, "canary", "import", "--anew", one, two).stdout
    assert hits() == {"p1": 20, "p2": 10}

    # one flipped byte
    part = next(watchlist.rglob("records.part"))
    content = part.read_bytes()
    part.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    refused(run(home, "scan", dump), "does not match its checksum", "hint: restore watchlist/")
    assert any("does not match its checksum" in sentence for sentence in wrong())
    part.write_bytes(content)

    # an empty list that was made by retiring is legal
    fine(home, "canary", "retire", "p1")
    fine(home, "canary", "retire", "p2")
    assert hits() == {}
    shutil.rmtree(watchlist)
    refused(run(home, "scan", dump), "lost or older")


def test_a_home_whose_imports_were_not_recorded_is_recorded_by_the_next_command(home, tmp_path):
    fine(home, "canary", "import", bundle_of(home, tmp_path, "p1", people(11, 5)))
    database = home / "tocsin.db"
    known = latest_watchlist_counts(database)
    for path in home.glob("tocsin.db*"):
        path.unlink()
    assert latest_watchlist_counts(database) is None
    fine(home, "canary", "list")
    assert not database.exists(), "reading creates no store"
    fine(home, "status")
    fine(home, "canary", "list")
    assert latest_watchlist_counts(database) == known == WatchlistCounts(1, 0, 1, 5, known.tags)


@pytest.mark.parametrize("command", ["scan", "record", "crawl", "import", "generate", "retire"])
def test_a_database_that_was_deleted_is_told_by_whoever_first_uses_the_new_one(home, tmp_path, command):
    crowd = people(11, 20)
    bundle = bundle_of(home, tmp_path, "p1", crowd)
    fine(home, "canary", "import", bundle)

    def told() -> list[str]:
        with contextlib.closing(Store.open(home / "tocsin.db")) as store:
            return [event.id for event in store.events.latest() if event.facts.get("subject") == OTHER_DATABASE]

    assert told() == []
    for file in home.glob("tocsin.db*"):
        file.unlink()
    dump, out = tmp_path / "dump.csv", tmp_path / "planted.csv"
    dump.write_bytes(to_csv(crowd))
    if command == "scan":
        # the status makes a new database
        fine(home, "status")
    if command == "crawl":
        (home / "sources" / "nowhere.yaml").write_text("name: nowhere\nplatform: feed\nurl: http://127.0.0.1:9/feed\n")
    options = {
        "scan": ["scan", dump],
        "record": ["scan", "--record", "--no-deliver", dump],
        "crawl": ["crawl", "nowhere", "--no-deliver"],
        "import": ["canary", "import", bundle],
        "generate": ["canary", "generate", "--client", "p2", "--count", "2", "--out", out],
        "retire": ["canary", "retire", "p1"],
    }
    for _ in range(2):
        # a crawl forks, which this process with its threads must not
        done = tocsin(home, *options[command]) if command == "crawl" else run(home, *options[command])
        assert done.returncode in {0, 1, 2}
        assert len(told()) == 1
