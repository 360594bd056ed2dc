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
