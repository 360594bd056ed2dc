"""`tocsin source`: a file is checked before it is added, and every mistake is reported with file, line and field."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from scheduler.demo.servers import FeedEntry, LeakSite
from tests.command import tocsin
from tests.inside import fine, refused, run, snapshot
from tests.servers.webhook import Webhook

CARDS = """\
# what we watch
name: cards
platform: declared
url: {url}/
every: 20m
robots: {{ignore: "a test server of our own"}}
list:
  each: ["css:div.card"]
  fields:
    id: "xpath:./@id"
    title: "css:h3::text"
    link: "css:a.get::attr(href)"
    size: "css:.size::text"
"""


@pytest.fixture
def home(tmp_path) -> Path:
    path = tmp_path / "home"
    fine(None, "init", path)
    return path


def write(folder: Path, text: str, name: str = "site.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def audit(home: Path) -> list[tuple[str, str, str]]:
    with contextlib.closing(sqlite3.connect(home / "tocsin.db")) as db:
        return list(db.execute("select actor, action, detail from audit order by rowid"))


# --- add, list ---------------------------------------------------------------------------------------------------


def test_a_source_file_is_copied_unchanged_and_its_meaning_is_printed(home, tmp_path):
    text = CARDS.format(url="https://leaks.example") + 'hosts: [mirror.example]\nitem: {each: ["css:.body"]}\n'
    said = fine(home, "source", "add", write(tmp_path, text)).stdout
    copy = home / "sources" / "cards.yaml"
    assert copy.read_text() == text
    assert copy.stat().st_mode & 0o777 == 0o600
    for line in (
        "added cards\n",
        "platform   declared",
        "listing    https://leaks.example/",
        "every      20m, via direct",
        "hosts      leaks.example, mirror.example; no other host is contacted",
        "posts      read from {link}",
        "robots.txt ignored, because: a test server of our own",
        "tocsin source check cards",
    ):
        assert line in said


def test_adding_and_the_reason_to_ignore_robots_are_in_the_audit_chain(home, tmp_path):
    fine(home, "source", "add", write(tmp_path, CARDS.format(url="https://leaks.example")))
    assert audit(home)[-2:] == [
        ("operator", "source added", "cards"),
        ("operator", "robots.txt ignored", "cards: a test server of our own"),
    ]


def test_sources_are_listed(home, tmp_path):
    fine(home, "source", "add", write(tmp_path, CARDS.format(url="https://leaks.example")))
    listed = fine(home, "source", "list", "--json").json
    assert [each["name"] for each in listed["sources"]] == ["cards", "example"]
    assert listed["sources"][0] == {
        "name": "cards",
        "platform": "declared",
        "url": "https://leaks.example/",
        "via": "direct",
        "every_seconds": 1200.0,
        "enabled": True,
        "version": 1,
    }
    table = fine(home, "source", "list").stdout
    assert "cards" in table
    assert "20m" in table


def test_an_existing_source_is_not_overwritten(home, tmp_path):
    fine(home, "source", "add", write(tmp_path, CARDS.format(url="https://leaks.example")))
    before = snapshot(home / "sources")
    again = write(tmp_path, CARDS.format(url="https://other.example"), "again.yaml")
    refused(run(home, "source", "add", again), "again.yaml:2: name", "already a source 'cards'; nothing was changed")
    assert snapshot(home / "sources") == before


WRONG = {
    "not YAML": ("name: a\nplatform: [feed\nurl: x\n", ("wrong.yaml:3", "invalid YAML")),
    "a tab": ("name: a\n\tplatform: feed\n", ("wrong.yaml:2", "invalid YAML")),
    "a list": ("- name: a\n", ("wrong.yaml:1", "a mapping of keys to values")),
    "nothing": ("", ("wrong.yaml:1", "a mapping of keys to values")),
    "no platform": ("name: a\nurl: http://h.example/\n", ("wrong.yaml:1: platform", "is missing")),
    "an unknown platform": (
        "name: a\nplatform: fed\nurl: http://h.example/\n", ("wrong.yaml:2: platform", "no platform 'fed'", "declared, feed"),
    ),
    "an unknown key": (
        "name: a\nplatform: feed\nurl: http://h.example/\nevry: 5m\n",
        ("wrong.yaml:4: evry", "no such key; did you mean 'every'?"),
    ),
    "an unknown key deep down": (
        "name: a\nplatform: declared\nurl: http://h.example/\nlist:\n  each: [css:a]\n  fields:\n    titel: css:b\n",
        ("wrong.yaml:7: list.fields.titel", "did you mean 'title'?"),
    ),
    "a key twice": ("name: a\nplatform: feed\nurl: http://h.example/\nname: b\n", ("wrong.yaml:4: name", "is given twice")),
    "a bad CSS selector": (
        'name: a\nplatform: declared\nurl: http://h.example/\nlist:\n  each: ["css:div["]\n  fields: {id: "css:a"}\n',
        ("wrong.yaml:5: list.each.0",),
    ),
    "a bad XPath": (
        'name: a\nplatform: declared\nurl: http://h.example/\nlist:\n  each: [css:a]\n  fields:\n    id: "xpath:.//["\n',
        ("wrong.yaml:7: list.fields.id",),
    ),
    "a selector of no language": (
        "name: a\nplatform: declared\nurl: http://h.example/\nlist:\n  each: [jquery:a]\n  fields: {id: css:a}\n",
        ("wrong.yaml:5: list.each.0", "css:"),
    ),
    "an expression that may take for ever": (
        "name: a\nplatform: feed\nurl: http://h.example/\nfollow:\n  - {source: b, match: '(a+)+$'}\n",
        ("wrong.yaml:5: follow.0.match", "possessive"),
    ),
    "alternatives that match the same text": (
        "name: a\nplatform: feed\nurl: http://h.example/\nfollow:\n  - {source: b, match: '(a|aa)+$'}\n",
        ("wrong.yaml:5: follow.0.match", "the same text in several ways"),
    ),
    "a bad interval": (
        "name: a\nplatform: feed\nurl: http://h.example/\nevery: soon\n",
        ("wrong.yaml:4: every", "write a time span such as 90s, 15m"),
    ),
    "a bad rate": (
        "name: a\nplatform: feed\nurl: http://h.example/\nrate: fast\n", ("wrong.yaml:4: rate", "0.2/s"),
    ),
    "a negative size": (
        "name: a\nplatform: feed\nurl: http://h.example/\nmax_bytes: -1\n", ("wrong.yaml:4: max_bytes",),
    ),
    "robots ignored without a reason": (
        'name: a\nplatform: feed\nurl: http://h.example/\nrobots: {ignore: ""}\n',
        ("wrong.yaml:4: robots", "the reason, which will be recorded"),
    ),
    "no rows": (
        "name: a\nplatform: declared\nurl: http://h.example/\nlist: {fields: {id: css:a}}\n",
        ("wrong.yaml:4: list.each", "is missing"),
    ),
    "no identity": (
        "name: a\nplatform: declared\nurl: http://h.example/\nlist: {each: [css:a]}\n",
        ("wrong.yaml:4: list.fields", "cannot be distinguished"),
    ),
    "an onion without Tor": (
        "name: a\nplatform: feed\nurl: http://h.example/\nhosts:\n  - b.example\n  - abcdefghijklmnop.onion\n",
        ("wrong.yaml:6: hosts.1", "via: tor"),
    ),
    "a password in the address": (
        "name: a\nplatform: feed\nurl: http://me:pw@h.example/\n", ("wrong.yaml:3: url", "must not contain a user name or password"),
    ),
    "a pattern of hosts": (
        "name: a\nplatform: feed\nurl: http://h.example/\nhosts: ['*.example']\n", ("wrong.yaml:4: hosts.0",),
    ),
    "an unknown placeholder": (
        "name: a\nplatform: feed\nurl: http://h.example/{pge}\n", ("wrong.yaml:3: url", "did you mean 'page'?"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_reported_with_file_line_and_field_and_not_added(home, tmp_path, name):
    text, words = WRONG[name]
    done = run(home, "source", "add", write(tmp_path, text, "wrong.yaml"))
    refused(done, "error: ", *words, "hint: ")
    assert done.stdout == ""
    assert sorted(path.name for path in (home / "sources").iterdir()) == ["example.yaml"]


def test_a_file_that_cannot_be_read_is_named(home, tmp_path):
    refused(run(home, "source", "add", tmp_path / "gone.yaml"), "gone.yaml", "does not exist")
    refused(run(home, "source", "add", tmp_path), "is not a file")
    (tmp_path / "latin.yaml").write_bytes("name: a\n# é\n".encode("latin-1"))
    refused(run(home, "source", "add", tmp_path / "latin.yaml"), "latin.yaml:2", "UTF-8")


def test_one_wrong_file_in_the_home_does_not_hide_the_others(home, tmp_path):
    write(home / "sources", "name: broken\nplatform: feed\nurl: http://h.example/\nevry: 5m\n", "broken.yaml")
    write(home / "sources", "name: other\nplatform: feed\nurl: http://h.example/\n", "renamed.yaml")
    write(home / "sources", "name: short\nplatform: feed\nurl: http://h.example/\n", "short.yml")
    write(home / "sources", "name: strange\nplatform: nobody\nurl: http://h.example/\n", "strange.yaml")
    done = run(home, "source", "list", "--json")
    assert done.returncode == 2
    assert [each["name"] for each in done.json["sources"]] == ["example"]
    found = {each["file"]: each for each in done.json["errors"]}
    assert set(found) == {"broken.yaml", "renamed.yaml", "short.yml", "strange.yaml"}
    assert (found["broken.yaml"]["line"], found["broken.yaml"]["field"]) == (4, "evry")
    assert "differs from the file name renamed.yaml" in found["renamed.yaml"]["error"]
    assert found["strange.yaml"]["field"] == "platform"
    told = run(home, "source", "list")
    refused(told, *(f"error: {name}" for name in found))
    assert "example" in told.stdout


# --- enable, disable ---------------------------------------------------------------------------------------------


def test_disabling_and_enabling_a_source_leaves_the_rest_of_its_file_unchanged(home, tmp_path):
    text = CARDS.format(url="https://leaks.example")
    fine(home, "source", "add", write(tmp_path, text))
    copy = home / "sources" / "cards.yaml"

    def enabled() -> bool:
        return fine(home, "source", "list", "--json").json["sources"][0]["enabled"]

    assert fine(home, "source", "disable", "cards").stdout == "cards is disabled\n"
    assert copy.read_text() == text + "enabled: false\n"
    assert not enabled()
    assert fine(home, "source", "enable", "cards").stdout == "cards is enabled\n"
    assert copy.read_text() == text + "enabled: true\n"
    assert enabled()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in copy.parent.iterdir()) == ["cards.yaml", "example.yaml"]
    assert ("operator", "source disabled", "cards") in audit(home)
    assert ("operator", "source enabled", "cards") in audit(home)


def test_for_a_file_in_one_line_the_change_to_make_by_hand_is_printed(home, tmp_path):
    text = '{name: flow, platform: feed, url: "http://h.example/"}'
    fine(home, "source", "add", write(tmp_path, text))
    refused(run(home, "source", "disable", "flow"), "flow.yaml", "cannot be changed automatically", "enabled: false")
    assert (home / "sources" / "flow.yaml").read_text() == text


def test_a_source_is_replaced_and_removed_and_the_audit_chain_says_so(home, tmp_path):
    (tmp_path / "cards.yaml").write_text(CARDS.format(url="http://127.0.0.1:9"))
    fine(home, "source", "add", tmp_path / "cards.yaml")
    (tmp_path / "better.yaml").write_text(CARDS.format(url="http://127.0.0.1:9").replace("every: 20m", "every: 40m"))
    assert "replaced cards" in fine(home, "source", "replace", tmp_path / "better.yaml").said
    assert "40m" in fine(home, "source", "list").said
    fine(home, "source", "remove", "cards")
    assert list((home / "sources").glob("cards*")) == []
    refused(run(home, "source", "remove", "cards"), "no source 'cards'")
    with contextlib.closing(sqlite3.connect(home / "tocsin.db")) as database:
        actions = [row[0] for row in database.execute("select action from audit where detail = 'cards' order by seq")]
    assert [each for each in actions if "source" in each] == ["source added", "source replaced", "source removed"]


def test_the_address_of_a_platform_that_it_does_not_have_is_refused_with_an_example(home, tmp_path):
    (tmp_path / "board.yaml").write_text("name: board\nplatform: mybb\nurl: https://board.example/index.php\n")
    done = run(home, "source", "add", tmp_path / "board.yaml")
    refused(done, "board.yaml:3")
    assert "https://board.example/forumdisplay.php?fid=2" in done.said


@pytest.mark.parametrize("command", ["enable", "disable", "check"])
def test_for_an_unknown_name_the_nearest_name_is_suggested(home, command):
    refused(run(home, "source", command, "exampel"), "there is no source 'exampel'; did you mean 'example'?")
    refused(run(home, "source", command, "../keys/match"), "there is no source")


# --- check -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.servers
def test_check_shows_the_posts_and_stores_nothing(home, tmp_path):
    with LeakSite() as site:
        for number in (1, 2):
            site.publish(FeedEntry(f"p{number}", f"Post {number}", "", f"f{number}.csv", b"x" * number))
        fine(home, "source", "add", write(tmp_path, CARDS.format(url=site.url)))
        before = snapshot(home)
        done = tocsin(home, "source", "check", "cards")
        assert done.returncode == 0, done.stderr
        assert "2 posts, state ok" in done.stdout
        assert "nothing was stored" in done.stdout
        assert "Post 1" in done.stdout
        assert f"{site.url}/files/f2.csv" in done.stdout
        value = run(home, "source", "check", "cards", "--json").json
    assert set(value) == {"source", "state", "posts", "problems", "requests", "refused", "hosts"}
    assert [post["title"] for post in value["posts"]] == ["Post 2", "Post 1"]
    assert [post["native"] for post in value["posts"]] == ["p2", "p1"]
    assert (value["refused"], value["requests"]) == (0, 1)
    assert snapshot(home) == before


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize(
    ("answer", "state", "hint"),
    [
        ((200, {"Content-Type": "text/html"}, b"<p>We moved</p>"), "empty", "compare `list.each`"),
        ((404, {}, b"gone"), "absent", "correct `url`"),
        (
            (200, {"Content-Type": "text/html"}, b"<form><input name=u><input type=password name=p></form>"),
            "blocked",
            "refuses access",
        ),
    ],
)
def test_a_page_without_posts_ends_with_2_and_says_what_to_do(home, tmp_path, answer, state, hint):
    with Webhook([answer]) as site:
        fine(home, "source", "add", write(tmp_path, CARDS.format(url=site.url)))
        done = run(home, "source", "check", "cards")
    refused(done, f"(state {state})", hint)


@pytest.mark.slow
@pytest.mark.servers
def test_an_expression_that_takes_too_long_is_told_when_the_source_is_checked(home, tmp_path):
    slow = CARDS.replace('"css:h3::text"', """{{x: "css:h3::text", re: '^(?:a|[a-z]b?)*$'}}""")
    with LeakSite() as site:
        site.publish(FeedEntry("p1", "a" * 5000 + "!", "", "f.csv", b"x"))
        fine(home, "source", "add", write(tmp_path, slow.format(url=site.url)))
        done = run(home, "source", "check", "cards")
    assert "an expression took longer than 1 s and was given up" in done.said


@pytest.mark.slow
@pytest.mark.servers
def test_the_text_of_a_hostile_site_cannot_control_the_terminal(home, tmp_path):
    with LeakSite() as site:
        site.publish(FeedEntry("p1", "evil \x1b[2J \u202e txet", "", "f.csv", b"x"))
        fine(home, "source", "add", write(tmp_path, CARDS.format(url=site.url)))
        done = run(home, "source", "check", "cards")
    assert done.returncode == 0
    assert "evil" in done.stdout
    for char in ("\x1b[2J", "\u202e"):
        assert char not in done.said
