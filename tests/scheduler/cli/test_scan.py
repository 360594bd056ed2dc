"""`tocsin scan`: examines local files like posts; exit status 0, 1 or 2, and 2 takes precedence."""

from __future__ import annotations

import gzip
import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from tests.command import tocsin
from tests.inside import fine, refused, run, snapshot
from tests.servers.webhook import Webhook
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow

CROWD = people(12, 12)
DOCS = Path(__file__).parents[3] / "docs" / "json.md"


def make_home(folder: Path) -> Path:
    home, table, bundle = folder / "home", folder / "patients.csv", folder / "p1.bundle"
    fine(None, "init", home)
    table.write_bytes(to_csv(CROWD[:5]))
    key = home / "keys" / "enrol.key"
    arguments = ("--key", key, "--client", "p1", "--name", "Cabinet Un", table, "--out", bundle)
    fine(None, "canary", "enrol", *arguments)
    fine(home, "canary", "import", bundle)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A home that no test may change."""
    return make_home(tmp_path_factory.mktemp("scan"))


@pytest.fixture
def own(tmp_path) -> Path:
    """A home that the test may change."""
    return make_home(tmp_path)


@pytest.fixture
def dump(tmp_path) -> Path:
    """Two canaries and five unrelated people."""
    path = tmp_path / "dump.csv"
    path.write_bytes(to_csv([*CROWD[:2], *CROWD[7:]]))
    return path


@pytest.fixture
def harmless(tmp_path) -> Path:
    folder = tmp_path / "harmless"
    folder.mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "noise.bin").write_bytes(bytes(range(0, 256, 5)) * 100)
    (folder / "note.txt").write_text("nothing of interest\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "strangers.csv").write_bytes(to_csv(CROWD[7:]))
    return folder


def paths(done) -> list[str]:
    return [each["path"] for each in done.json["inputs"]]


def test_a_folder_without_a_match_ends_with_0_and_every_file_is_named_once_in_order(home, harmless):
    done = run(home, "scan", "--json", harmless)
    assert done.returncode == 0, done.said
    expected = ["deep/strangers.csv", "empty", "noise.bin", "note.txt"]
    assert paths(done) == [str(harmless / name) for name in expected]
    assert all(each["complete"] for each in done.json["inputs"])
    assert [each["format"] for each in done.json["inputs"]] == ["delimited", "empty", "unknown", "text"]


def test_a_match_ends_with_1_and_is_printed(home, dump, harmless):
    done = run(home, "scan", harmless / "note.txt", dump)
    assert done.returncode == 1
    assert "HITS" in done.stdout
    assert re.search(r"p1 +Cabinet Un +2 +2 +1 +email, phone, nir", done.stdout)
    assert "lineage new: 7 people" in done.stdout
    assert "no canary of any client" in done.stdout
    for each in CROWD:
        assert each.email not in done.said
        assert each.nir not in done.said


def test_an_incomplete_examination_takes_precedence_over_a_match(home, dump, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "dump.csv").write_bytes(dump.read_bytes())
    (folder / "link.csv").symlink_to(dump)
    os.mkfifo(folder / "pipe")
    (folder / "cut.gz").write_bytes(gzip.compress(to_csv(CROWD) * 50, mtime=0)[:-20])
    done = run(home, "scan", "--json", folder, tmp_path / "nowhere", "/dev/zero")
    refused(done)
    found = {Path(each["path"]).name: each for each in done.json["inputs"]}
    assert found["dump.csv"]["hits"][0]["client"] == "p1", "the other files are still examined"
    assert not found["cut.gz"]["complete"]
    assert found["cut.gz"]["problems"] or any(each["problems"] for each in found["cut.gz"]["members"])
    assert len(done.json["inputs"]) == 6
    for said in ("a link inside a folder is not followed", "neither a file nor a folder", "no such file", "a device"):
        assert any(said in problem for each in done.json["inputs"] for problem in each["problems"]), said
        assert said in done.stderr
    assert not any(each["complete"] for each in done.json["inputs"] if Path(each["path"]).name != "dump.csv")


def test_a_link_that_a_person_names_is_followed(home, dump, tmp_path):
    link = tmp_path / "named.csv"
    link.symlink_to(dump)
    done = run(home, "scan", "--json", link)
    assert done.returncode == 1
    assert paths(done) == [str(link)]


def test_standard_input_is_examined_by_the_real_command(home, dump):
    done = tocsin(home, "scan", "--json", "-", stdin=dump.read_bytes())
    assert done.returncode == 1, done.stderr
    [found] = json.loads(done.stdout)["inputs"]
    assert (found["path"], found["bytes"], found["records"]) == ("-", dump.stat().st_size, 7)
    assert found["hits"][0]["canaries"] == 2


def test_empty_standard_input_gives_no_match(home):
    done = tocsin(home, "scan", "-", stdin=b"")
    assert done.returncode == 0
    assert "empty, 0 bytes" in done.stdout


def documented(part: str) -> set[str]:
    """The keys that docs/json.md names for one row of its table of INPUT, or all first cells."""
    section = DOCS.read_text().partition("## `scan --json`")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \| (.+) \|$", section, re.MULTILINE)
    if not part:
        return {key for cell, _ in rows for key in re.findall(r"`(\w+)`", cell)}
    [text] = [text for cell, text in rows if f"`{part}`" in cell]
    return set(re.findall(r"`(\w+)`", text))


def test_the_json_has_exactly_the_keys_that_are_documented(home, dump, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.write(dump, "inner/dump.csv")
        made.writestr("note.txt", "hello")
    done = run(home, "scan", "--json", archive)
    assert done.returncode == 1
    assert set(done.json) == {"inputs"}
    [whole] = done.json["inputs"]
    assert [member["path"] for member in whole["members"]] == ["inner/dump.csv", "note.txt"]
    for each in (whole, *whole["members"]):
        assert set(each) == documented("") - {"tables"}
    explained = run(home, "scan", "--json", "--explain", archive).json["inputs"][0]["members"][0]
    assert set(explained) == documented("")
    [table] = explained["tables"]
    assert set(table) | set(table["columns"][0]) | {"tables", "header", "values"} == documented("tables") | {"tables"}
    assert whole["format"] == "zip"
    assert whole["hits"][0]["canaries"] == 2
    assert set(whole["hits"][0]) == documented("hits")
    lineage = whole["lineage"]
    assert set(lineage) == documented("lineage") - {"release", "coverage", "share"}
    assert lineage["interval"][0] <= lineage["new"] <= lineage["interval"][1]


def test_the_json_of_a_parent_has_exactly_the_keys_that_are_documented(own, dump):
    told = run(own, "scan", "--authentic", dump).stdout
    assert "genuine: not decided (" in told, told
    assert "no column could be compared" in told
    assert "whose breach" not in told, "nothing is registered whose breach it could be"
    fine(own, "release", "add", "--name", "part-1", dump)
    done = run(own, "release", "compare", "--json", dump)
    assert done.returncode == 1
    lineage = done.json["inputs"][0]["lineage"]
    assert lineage["verdict"] == "re-post"
    assert [set(parent) for parent in lineage["parents"]] == [{"release", "coverage", "share"}]
    assert lineage["parents"][0] == {"release": "part-1", "coverage": 1.0, "share": 1.0}
    told = run(own, "scan", "--authentic", dump).stdout
    assert "genuine: yes: most rows are records of known people" in told, told
    assert "agree on two independent keys or more with one registered person" in told, told


def test_scanning_stores_nothing_at_all(own, dump):
    before = snapshot(own)
    assert run(own, "scan", dump).returncode == 1
    assert snapshot(own) == before


def test_an_empty_watch_list_is_noted(tmp_path, dump):
    home = tmp_path / "new"
    fine(None, "init", home)
    done = run(home, "scan", dump)
    assert done.returncode == 0
    assert "the watch-list is empty" in done.stderr


@pytest.mark.parametrize("key", [b"\xff\xfe\x00", b"nonsense\n", b"age1wrong\n"])
def test_a_hit_that_cannot_be_sealed_is_still_reported(own, dump, key):
    (own / "keys" / "evidence.pub").write_bytes(key)
    done = run(own, "scan", "--json", dump)
    assert done.returncode == 1
    [found] = done.json["inputs"]
    assert found["hits"][0]["canaries"] == 2
    assert "evidence: nothing was sealed: the evidence key is not an age public key" in found["problems"]


def test_no_path_is_a_usage_error(home):
    refused(run(home, "scan"), "PATH")


# --- --record --------------------------------------------------------------------------------------------------------


def channel(home: Path, url: str) -> None:
    (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{url}/SECRET"\n')


def alerts(home: Path) -> list[dict]:
    return fine(home, "alert", "list", "--json").json["alerts"]


@pytest.mark.servers
def test_a_recorded_hit_is_sealed_and_causes_one_alert_with_the_name_of_the_client(own, dump):
    with Webhook() as chat:
        channel(own, chat.url)
        done = run(own, "scan", "--record", dump)
        assert done.returncode == 1, done.said
        assert "1 alert delivered" in done.stderr
        [told] = chat.received
        assert "Cabinet Un (p1): 2 records with 2 canaries" in json.loads(told.body)["text"]
        assert b"@" not in told.body.replace(b"@here", b"")
        [alert] = alerts(own)
        assert (alert["kind"], alert["severity"], alert["source"], alert["state"]) == (
            "canary_hit", "critical", "scan", "sent",
        )  # fmt: skip
        [piece] = fine(own, "evidence", "list", "--json").json["evidence"]
        key = own / "keys" / "evidence.key"
        proof = json.loads(fine(own, "evidence", "open", piece["id"], "--key", str(key)).stdout)
        # an analyst can verify the hits: their lines, each once
        assert len(proof["lines"]) == 2
        assert all(
            any(each["value"] in line["line"].lower() for line in proof["lines"])
            for each in proof["excerpts"]
            if each["kind"] == "email"
        )
        again = run(own, "scan", "--record", dump)
        assert again.returncode == 1
        assert len(chat.received) == 1, "the first dump is stored as a release, so that its copy is a re-post"
        [release] = fine(own, "release", "list", "--json").json["releases"]
        assert (release["kind"], release["origin"]["source"]) == ("sighted", "scan")
        assert [each["event"] for each in alerts(own)] == [alert["event"]]
        assert "client Cabinet Un; 0 known" in fine(own, "alert", "show", alert["event"]).stdout


@pytest.mark.servers
def test_without_delivery_the_alert_waits_in_the_outbox(own, dump):
    with Webhook() as chat:
        channel(own, chat.url)
        assert run(own, "scan", "--record", "--no-deliver", dump).returncode == 1
        assert chat.received == []
        assert [(each["state"], each["attempts"]) for each in alerts(own)] == [("due", 0)]


@pytest.mark.servers
def test_an_undelivered_alert_takes_precedence_over_the_match(own, dump):
    with Webhook([(404, {}, b"no such hook")]) as chat:
        channel(own, chat.url)
        done = run(own, "scan", "--record", dump)
        refused(done, "not delivered yet: 1 alert,", "tocsin alert list")
        assert "SECRET" not in done.said
        assert [(each["state"], each["last_status"]) for each in alerts(own)] == [("refused", 404)]


def test_a_recorded_file_without_a_match_causes_no_alert(own, harmless):
    channel(own, "http://127.0.0.1:1")
    assert run(own, "scan", "--record", harmless / "note.txt").returncode == 0
    assert alerts(own) == []
    assert (own / "tocsin.db").exists()


def test_a_recorded_file_that_is_incomplete_causes_an_event(own, tmp_path):
    channel(own, "http://127.0.0.1:1")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"nothing of interest " * 5000, mtime=0)[:-20])
    assert run(own, "scan", "--record", "--no-deliver", cut).returncode == 2
    assert [each["kind"] for each in alerts(own)] == ["unexamined"]
