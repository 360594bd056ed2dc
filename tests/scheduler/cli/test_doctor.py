"""`tocsin doctor`: finds what is wrong, and says how to repair each problem."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import zipfile
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from data.errors import ConfigError
from data.settings.settings import load_settings
from scheduler.reports.doctor import MAX_SKEW
from tests.command import TOCSIN, tocsin, tocsin_json
from tests.inside import Done, fine, run, snapshot

pytestmark = pytest.mark.slow

# The checks of one home take a second, because a real examiner is started.


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    path = folder / "home"
    fine(None, "init", path)
    (path / "keys" / "evidence.key").rename(folder / "evidence.key")
    fine(path, "canary", "generate", "--client", "p1", "--count", "3", "--out", folder / "plant.csv")
    return path


@pytest.fixture
def home(tmp_path, sound) -> Path:
    """A home that is complete except for a channel."""
    return shutil.copytree(sound, tmp_path / "home")


@pytest.fixture
def clock():
    """A chat server that answers any request, and whose clock is wrong by `offset` seconds."""
    servers = []

    def start(offset: float) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_OPTIONS(self):
                self.send_response_only(204)
                self.send_header("Date", formatdate(time.time() + offset, usegmt=True))
                self.end_headers()

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/hook"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def channel(home: Path, url: str) -> None:
    (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{url}"\ntimeout = "2s"\n')


def checks(done: Done, state: str = "") -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["said"], each["mend"]) for each in done.json["checks"] if state in ("", each["state"])}


def wrong(home: Path) -> dict[str, tuple[str, str]]:
    """The checks whose state is `wrong`. Every problem must say how to repair it, and the exit status must agree."""
    done = run(home, "doctor", "--json")
    assert all(each["mend"] for each in done.json["checks"] if each["state"] != "ok"), done.stdout
    found = checks(done, "wrong")
    assert done.returncode == (2 if found else 0)
    return found


@pytest.mark.servers
def test_in_a_healthy_home_every_check_is_ok(home, clock):
    # a clock that is wrong by less than MAX_SKEW is accepted
    channel(home, clock(MAX_SKEW / 2))
    done = tocsin(home, "doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)["checks"]
    # who runs the tests, and whether this machine swaps, is not the home's
    assert {each["state"] for each in found if each["name"] not in ("user", "swap")} == {"ok"}, found
    assert {"home", "disk", "match key", "enrolment key", "evidence key", "settings", "store", "sources", "watch-list",
            "releases", "system", "examiner", "channel team", "record", "self-test", "user", "swap", "inodes", "key memory"} <= {each["name"] for each in found}  # fmt: skip


def test_a_new_home_has_only_warnings_about_what_is_still_to_do(tmp_path):
    path = tmp_path / "home"
    fine(None, "init", path)
    done = run(path, "doctor", "--json")
    assert done.returncode == 0
    todo = checks(done, "warning")
    assert set(todo) - {"user", "swap"} == {"evidence key", "channels", "watch-list"}
    assert str(path / "keys" / "evidence.key") in todo["evidence key"][1]


def test_the_levels_of_protection_are_shown_and_checking_changes_nothing(home):
    before = snapshot(home)
    table = run(home, "doctor").stdout
    for name in ("examiner network", "reader walls", "reader network", "reader system calls", "reader limits"):
        assert re.search(rf"^ (ok|warning) +{name} +\S", table, re.MULTILINE), name
    assert snapshot(home) == before


def test_files_that_others_can_read_are_named_with_the_command_that_protects_them(home):
    for name in ("keys/match.key", "sources/example.yaml", "watchlist"):
        (home / name).chmod(0o755)
    done = run(home, "doctor", "--json")
    assert done.returncode == 2
    found = [each for each in done.json["checks"] if each["name"] == "permissions"]
    assert [each["mend"] for each in found] == [
        f"chmod go-rwx {home / 'keys/match.key'}",
        f"chmod go-rwx {home / 'sources/example.yaml'}",
        f"chmod go-rwx {home / 'watchlist'}",
    ]
    assert not any(each["name"] == "home" for each in done.json["checks"])


def test_without_a_match_key_every_check_that_needs_it_is_wrong(home):
    (home / "keys" / "match.key").unlink()
    found = wrong(home)
    assert {"keys", "sets", "examiner"} <= set(found)
    assert "restore it" in found["keys"][1]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"tocsin-match-key-1 AAAA\n"])
def test_a_damaged_match_key_gives_one_sentence(home, content):
    (home / "keys" / "match.key").write_bytes(content)
    assert wrong(home)["keys"][1]


def test_a_damaged_enrolment_key_is_reported_and_can_be_restored(home):
    key = home / "keys" / "enrol.key"
    whole = key.read_bytes()
    key.write_bytes(b"\xff\xfe\x00")
    assert "--restore-enrol-key" in wrong(home)["enrolment key"][1]
    assert run(home, "doctor", "--restore-enrol-key").returncode == 0
    assert key.read_bytes() == whole
    assert key.stat().st_mode & 0o777 == 0o600


def test_an_enrolment_key_of_another_case_is_wrong(home, tmp_path):
    fine(None, "init", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "keys" / "enrol.key", home / "keys" / "enrol.key")
    assert wrong(home)["enrolment key"][0] == "it belongs to another case"


def test_a_missing_enrolment_key_is_a_warning(home):
    (home / "keys" / "enrol.key").unlink()
    done = run(home, "doctor", "--json")
    assert done.returncode == 0
    assert "--restore-enrol-key" in checks(done, "warning")["enrolment key"][1]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"age1nonsense\n"])
def test_an_evidence_key_that_cannot_seal_is_wrong(home, content):
    (home / "keys" / "evidence.pub").write_bytes(content)
    assert "age1" in wrong(home)["keys"][1]


def test_a_watch_list_of_another_normaliser_version_is_wrong(home):
    manifest = home / "watchlist" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["normaliser"] += 1
    manifest.write_text(json.dumps(content))
    result, repair = wrong(home)["sets"]
    assert "normaliser version" in result
    assert "enrol again" in repair


def test_a_watch_list_of_another_case_is_wrong(home, tmp_path):
    fine(None, "init", tmp_path / "other")
    shutil.copy(tmp_path / "other" / "keys" / "match.key", home / "keys" / "match.key")
    assert "belongs to case" in wrong(home)["sets"][0]


def test_of_several_channels_those_that_cannot_be_reached_are_wrong(home):
    keys = {
        "slack": "",
        "syslog": "",
        "email": 'sender = "tocsin@team.example"\nrecipients = ["duty@team.example"]\n',
    }
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        urls = {
            "closed-hook": ("slack", "http://127.0.0.1:1/T000/SECRET"),
            "closed-syslog": ("syslog", "tcp://127.0.0.1:1"),
            "open-syslog": ("syslog", f"tcp://127.0.0.1:{port}"),
            "open-mail": ("email", f"smtp://127.0.0.1:{port}"),
        }
        text = [
            f'[channels.{name}]\nkind = "{kind}"\nurl = "{url}"\ntimeout = "2s"\n{keys[kind]}'
            for name, (kind, url) in urls.items()
        ]
        route = '[[routes]]\nchannels = ["open-mail"]\nsources = ["example", "exampel"]\nincidents = ["vendro"]\n'
        (home / "tocsin.toml").write_text("".join(text) + route + 'clients = ["practise-1"]\n')
        done = run(home, "doctor", "--json")
    found = checks(done, "wrong")
    assert set(found) == {"channel closed-hook", "channel closed-syslog"}
    for name in ("closed-hook", "closed-syslog"):
        result, repair = found[f"channel {name}"]
        assert "cannot be reached" in result
        assert f"tocsin alert test {name}" in repair
    assert "SECRET" not in done.said
    routes = [each["said"] for each in done.json["checks"] if each["name"] == "routes"]
    assert [re.findall(r"the (\w+) '([\w-]+)'", each) for each in routes] == [
        [("incident", "vendro")], [("source", "exampel")], [("client", "practise-1")]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/SECRET", "http://host:SECRET/", "http://[::1/SECRET", "ftp://h/"]
)
def test_a_channel_with_an_invalid_address_is_refused_without_showing_it(tmp_path, url):
    channel(tmp_path, url)
    with pytest.raises(ConfigError, match=r"channels.team: url must be a complete http\(s\) address") as caught:
        load_settings(tmp_path / "tocsin.toml", {})
    assert "SECRET" not in str(caught.value)


@pytest.mark.servers
@pytest.mark.parametrize(("offset", "word"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_wrong_clock_is_reported(home, clock, offset, word):
    channel(home, clock(offset))
    found = wrong(home)
    assert set(found) == {"clock"}
    assert word in found["clock"][0]
    assert "timedatectl" in found["clock"][1]


def test_missing_debian_packages_are_named(home, tmp_path):
    empty = tmp_path / "bin"
    empty.mkdir()
    found = {each["name"]: each for each in tocsin_json(home, "doctor", PATH=str(empty))["checks"]}
    assert Path(TOCSIN).exists()
    assert found["system"]["state"] == "warning"
    assert found["system"]["mend"] == "apt-get install bubblewrap"
    assert found["reader walls"]["state"] == "warning", (
        "without bwrap the confinement is degraded, and the check says so"
    )


def test_for_a_folder_that_is_no_home_init_is_suggested(tmp_path):
    done = run(tmp_path, "doctor", "--json")
    assert done.returncode == 2
    assert f"tocsin init {tmp_path}" in checks(done, "wrong")["home"][1]


def test_an_unknown_setting_and_a_wrong_source_are_wrong(home):
    (home / "tocsin.toml").write_text("[crawl]\ntimout = 5\n")
    (home / "sources" / "bad.yaml").write_text("name: bad\nplatform: feed\nurl: http://127.0.0.1/\nevry: 1h\n")
    found = wrong(home)
    assert "did you mean 'timeout'" in found["settings"][0]
    assert "bad.yaml:4: evry" in found["sources"][0]


def test_a_broken_audit_chain_is_wrong(home):
    import sqlite3
    from contextlib import closing

    (home / "sources" / "example.yaml").rename(home.parent / "site.yaml")
    fine(home, "source", "add", home.parent / "site.yaml")
    with closing(sqlite3.connect(home / "tocsin.db")) as db, db:
        table = next(
            name for (name,) in db.execute("select name from sqlite_master where type = 'table'") if "audit" in name
        )
        db.execute(f"update {table} set actor = 'nobody'")
    db.close()
    assert "chain is broken" in wrong(home)["audit"][0]


def test_a_damaged_database_is_wrong(home):
    (home / "sources" / "example.yaml").rename(home.parent / "site.yaml")
    fine(home, "source", "add", home.parent / "site.yaml")
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "tocsin.db")) as db, db:
        (root,) = db.execute("select rootpage from sqlite_master where name = 'post_due'").fetchone()
        (size,) = db.execute("pragma page_size").fetchone()
        db.execute("pragma wal_checkpoint(truncate)")
    with (home / "tocsin.db").open("r+b") as file:
        # an index page that says it is a page of a table
        file.seek((root - 1) * size)
        file.write(b"\x0d")
    result, repair = wrong(home)["store"]
    assert "damaged" in result or "cannot be used" in result
    assert "backup" in repair


def test_evidence_that_is_missing_is_wrong(home):
    from datetime import UTC, datetime

    from data.case import evidence

    evidence.keep(home / "evidence", "f1", b"sealed", datetime(2026, 1, 1, tzinfo=UTC))
    (home / "sources" / "example.yaml").rename(home.parent / "site.yaml")
    fine(home, "source", "add", home.parent / "site.yaml")
    assert "belongs to no finding" in wrong(home)["evidence"][0]


def test_files_that_others_may_write_are_refused_and_named(home):
    (home / "tocsin.toml").chmod(0o622)
    (home / "sources" / "example.yaml").chmod(0o662)
    found = wrong(home)
    assert "can be written by other users" in found["settings"][0]
    assert "can be written by other users" in found["sources"][0]
    assert f"chmod go-w {home / 'tocsin.toml'}" in found["settings"][1]


def watchlist_state(home: Path) -> list[tuple[str, str]]:
    from data.settings.home import Home
    from scheduler.reports.doctor import PARTS

    return [(each.state, each.result) for each in PARTS["sets"](Home(home, {})) if each.name == "watch-list"]


def test_a_watch_list_without_checksums_is_told_until_it_is_converted(tmp_path):
    with zipfile.ZipFile(Path(__file__).parents[2] / "samples" / "homes" / "2026-11.zip") as archive:
        archive.extractall(tmp_path)
    assert ("warning", True) in [
        (state, "without checksums" in said) for state, said in watchlist_state(tmp_path / "home")
    ]


def test_a_watch_list_most_of_which_recognises_nobody_is_wrong(tmp_path):
    from data.hashing.case_keys import MatchKey, format_match_key
    from data.watchlist.segment import MAX_SHARING
    from tests.synth.case import enrol
    from tests.synth.people import people

    path = tmp_path / "home"
    fine(None, "init", path)
    (path / "keys" / "match.key").write_text(format_match_key(MatchKey(bytes(range(32)))))
    for number in range(MAX_SHARING):
        enrol(path, people(1, 1), f"c{number}")
    assert [state for state, _ in watchlist_state(path)] == ["ok"]
    enrol(path, people(1, 1), "one-too-many")
    assert ("wrong", True) in [(state, "recognise nobody" in said) for state, said in watchlist_state(path)]


def test_little_room_and_files_of_another_user_are_warnings(home, monkeypatch):
    from data.settings.home import Home
    from scheduler.reports import doctor

    def told() -> dict[str, tuple[str, str]]:
        return {each.name: (each.state, each.result) for each in doctor.PARTS["folder"](Home(home, {}))}

    assert (told()["disk"][0], "GiB are free" in told()["disk"][1], "owner" in told()) == ("ok", True, False)
    monkeypatch.setattr(doctor, "MIN_FREE", 2**80)
    monkeypatch.setattr("os.geteuid", lambda: home.stat().st_uid + 1)
    assert (told()["disk"][0], "MiB are free" in told()["disk"][1]) == ("warning", True)
    assert told()["owner"][0] == "warning"
    assert "belongs to another user" in told()["owner"][1]


def test_a_missing_evidence_key_is_a_warning(home):
    (home / "keys" / "evidence.pub").unlink()
    done = run(home, "doctor", "--json")
    assert done.returncode == 0
    assert "no evidence is sealed" in checks(done, "warning")["evidence key"][0]
