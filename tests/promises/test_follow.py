"""Links that one source finds and another one reads: P3 and P4 hold on that road too."""

from __future__ import annotations

import contextlib

import pytest

from crawler.pages.post_identity import open_due
from data.hashing.case_keys import parse_match_key
from data.settings.home import Home
from data.store.store import Store
from tests.command import must, tocsin, tocsin_json
from tests.promises.test_fail_closed import SOURCE, Recorder, page

pytestmark = [pytest.mark.slow, pytest.mark.servers]

FOLLOW = "follow:\n  - {{source: pastes, match: 'https?://127\\.0\\.0\\.[23]:\\d+/p/(\\w+)'}}\n"
PASTES = "name: pastes\nplatform: linked\nurl: {url}/\nraw: {{url: '{{host}}/raw/{{id}}'}}\n"


@pytest.fixture
def servers():
    made = [Recorder(f"127.0.0.{last}") for last in (1, 2, 3)]
    yield made
    for server in made:
        server.stop()


def add(home, tmp_path, name, text):
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    must(home, "source", "add", file)


def crawl(home, name):
    done = tocsin_json(home, "crawl", name)
    return done["crawls"][0]


def due(home, name):
    key = parse_match_key(Home(home, {}).match_key_text()).derive().post
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        return [open_due(key, sealed) for sealed in store.posts.due(name)]


def test_a_link_in_a_post_is_examined_by_the_source_that_reads_it(tmp_path, servers):
    board, undeclared, pastes = servers
    home = tmp_path / "home"
    must(None, "init", home)
    add(home, tmp_path, "pastes", PASTES.format(url=pastes.url))
    add(home, tmp_path, "site", SOURCE.format(url=board.url) + FOLLOW.format())
    board.answers = {
        "/": page("/post/1"),
        "/post/1": (
            200,
            {},
            f"part two: {pastes.url}/p/k7#secret-part and {undeclared.url}/p/x1, https://elsewhere.example/p/1".encode(),
        ),
    }
    text = {"Content-Type": "text/plain"}
    pastes.answers = {"/": (200, text, b"a pastebin"), "/raw/k7": (200, text, b"nothing of note")}

    assert crawl(home, "pastes")["state"] == "done"
    handed = crawl(home, "site")
    assert handed["handed"] == {"pastes": 1}
    assert handed["examined"] + handed["unexamined"] == 1
    assert undeclared.connections == 0, "a host that the other source does not declare"
    [post] = due(home, "pastes")
    assert post.url == f"{pastes.url}/p/k7#secret-part", "the fragment survives"
    assert handed["events"] == 1, "the undeclared link is told"

    read = crawl(home, "pastes")
    assert (read["listed"], read["examined"], read["gap"], read["state"]) == (0, 1, False, "done")
    assert pastes.paths.count("/raw/k7") == 1
    assert due(home, "pastes") == []
    for name in ("site", "pastes"):
        assert crawl(home, name)["examined"] == 0
    assert pastes.paths.count("/raw/k7") == 1


def test_a_place_without_a_list_that_is_gone_is_not_quiet(tmp_path, servers):
    _, _, pastes = servers
    home = tmp_path / "home"
    must(None, "init", home)
    add(home, tmp_path, "pastes", PASTES.format(url=pastes.url))
    assert tocsin(home, "crawl", "pastes").returncode == 2
    assert crawl(home, "pastes")["state"] == "failed"


def test_links_are_the_way_in_and_those_that_lead_nowhere_are_told(tmp_path, servers):
    """No rule says which links to follow: the sources that live of links say themselves which addresses are theirs."""
    board, undeclared, pastes = servers
    home = tmp_path / "home"
    must(None, "init", home)
    add(home, tmp_path, "pastes", PASTES.format(url=pastes.url))
    add(home, tmp_path, "site", SOURCE.format(url=board.url))
    secret = f"http://jean-dupont-19750311.example/all.7z and {undeclared.url}/dump.sql.gz"
    text = f"<a href='/files/part1.csv'>part 1</a> https://gofile.io/d/Zk7 {secret} https://www.GoFile.io/d/b {{}}"
    kinds = {"Content-Type": "text/html"}
    board.answers = {
        "/": page("/post/1", "/post/2"),
        "/post/1": (200, kinds, text.format(f"{pastes.url}/k7#key").encode()),
        "/post/2": (200, kinds, text.format(f"<a href='{pastes.url}/raw/k7'>k7</a> {pastes.url}/").encode()),
        "/files/part1.csv": (200, {"Content-Type": "text/csv"}, b"nom;ville\nDupont;Lyon\n"),
    }
    plain = {"Content-Type": "text/plain"}
    pastes.answers = {"/": (200, plain, b"a pastebin"), "/raw/k7": (200, plain, b"nothing of note")}

    first = crawl(home, "site")
    assert (first["state"], first["examined"], first["unexamined"]) == ("done", 2, 0)
    assert board.paths.count("/files/part1.csv") == 1, "a file on the source's own host is read, once for two posts"
    assert first["handed"] == {"pastes": 2}
    assert first["linked"] == {"gofile.io": 2}, "subdomains of a public service count for it"
    assert (first["linked_others"], first["linked_posts"], first["linked_files"]) == (2, 2, 4)
    assert undeclared.connections == 0, "hosts that nobody declares are never contacted"

    [event] = tocsin_json(home, "event", "list")["events"]
    assert event["kind"] == "unexamined"
    assert (event["facts"]["subject"], event["facts"]["files"]) == ("linked files", 4)
    hosts = {each["host"]: each for each in tocsin_json(home, "source", "hosts")["undeclared"]}
    assert {name: (each["kind"], each["posts"], each["files"]) for name, each in hosts.items()} == {
        "gofile.io": ("files", 2, 0),
        "jean-dupont-19750311.example": ("", 2, 2),
        "127.0.0.2": ("", 2, 2),
    }
    status = tocsin_json(home, "status")
    assert status["linked"] == {"services": {"gofile.io": 2}, "others": 2}
    assert next(each for each in status["sources"] if each["name"] == "site")["linked_files"] == 4
    stored = b"".join(path.read_bytes() for path in home.glob("tocsin.db*"))
    assert b"gofile.io" in stored
    assert b"dupont" not in stored.lower(), "a host may be the name of a person: it is stored sealed"

    assert crawl(home, "pastes")["examined"] == 1
    assert pastes.paths.count("/raw/k7") == 1, "two links, in two forms, are one paste"
    board.answers["/"] = page("/post/1", "/post/2", "/post/3")
    board.answers["/post/3"] = board.answers["/post/2"]
    again = crawl(home, "site")
    assert (again["examined"], again["events"]) == (1, 0), "what was told is not told again"
    assert board.paths.count("/files/part1.csv") == 1
    add(home, tmp_path, "files", "name: files\nplatform: linked\nhosts: [gofile.io]\n")
    assert tocsin_json(home, "status")["linked"]["services"] == {}
    assert "gofile.io" not in {each["host"] for each in tocsin_json(home, "source", "hosts")["undeclared"]}
