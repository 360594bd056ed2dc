"""`tocsin source`: a file is checked before it is added, and every mistake is reported with file, line and field."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from scheduler.demo.servers import FeedEntry, LeakSite
from tests.command import tocsin
from tests.inside import fine, refused, run, snapshot
from tests.scheduler.crawls.conftest import SOURCE, Site
from tests.servers.webhook import Webhook
from tests.synth.boards import BoardSite

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
        "name: a\nplatform: fed\nurl: http://h.example/\n", ("wrong.yaml:2: platform", "no platform 'fed'", "platforms: archive_org, bepasty, declared"),
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


def test_a_source_is_edited_and_a_wrong_edit_changes_nothing(home, tmp_path, monkeypatch):
    text = CARDS.format(url="http://127.0.0.1:9")
    fine(home, "source", "add", write(tmp_path, text))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/20m/45m/")
    assert "every      45m" in fine(home, "source", "edit", "cards").stdout
    for command, words in (("s/45m/soon/", "cards.yaml:5: every"), ("s/name:.cards/name: other/", "must stay cards")):
        monkeypatch.setenv("EDITOR", f"sed -i '{command}'")
        refused(run(home, "source", "edit", "cards"), words, "your text is kept")
        # it is no source file, the editor that is closed at once leaves it, and the next edit begins with it
        draft = home / "sources" / "cards.yaml.draft"
        kept = draft.read_text()
        assert fine(home, "source", "list", "--json").json["errors"] == []
        monkeypatch.setenv("EDITOR", "true")
        assert "is unchanged" in fine(home, "source", "edit", "cards").stdout
        monkeypatch.setenv("EDITOR", f"cp {home / 'sources' / 'cards.yaml'}")
        assert draft.read_text() == kept
        assert "is unchanged" in fine(home, "source", "edit", "cards").stdout
        assert not draft.exists(), "the text of the file was restored"
    monkeypatch.setenv("EDITOR", "sed -i 's/45m/soon/'")
    refused(run(home, "source", "edit", "cards"))
    monkeypatch.setenv("EDITOR", "sed -i 's/soon/45m/'")
    assert "is unchanged" in fine(home, "source", "edit", "cards").stdout
    assert (home / "sources" / "cards.yaml").read_text() == text.replace("20m", "45m")
    assert ("operator", "source edited", "cards") in audit(home)


@pytest.mark.parametrize(("platform", "host", "url"), [
    ("linked", "paste.example", "https://paste.example/"),
    ("pinnwand", "http://paste.example:8080", "http://paste.example:8080/"),
])  # fmt: skip
def test_a_site_without_a_listing_is_named_by_its_host_alone(home, tmp_path, platform, host, url):
    fine(home, "source", "add", write(tmp_path, f"name: pastes\nplatform: {platform}\nhosts: [{host}]\n"))
    assert {each["name"]: each["url"] for each in fine(home, "source", "list", "--json").json["sources"]}[
        "pastes"
    ] == url
    refused(run(home, "source", "add", write(tmp_path, f"name: none\nplatform: {platform}\n")), "url")


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
        assert "2 posts, 2 opened, state ok" in done.stdout
        assert "nothing was stored" in done.stdout
        assert "Post 1" in done.stdout
        assert f"{site.url}/files/f2.csv" in done.stdout
        value = run(home, "source", "check", "cards", "--json").json
    assert set(value) == {"source", "state", "posts", "opened", "problems", "requests", "refused", "hosts"}
    assert [post["title"] for post in value["posts"]] == ["Post 2", "Post 1"]
    assert [post["native"] for post in value["posts"]] == ["p2", "p1"]
    assert (value["refused"], value["requests"]) == (0, 3)
    assert [(post["native"], post["state"], post["size"]) for post in value["opened"]] == [
        ("p2", "ok", 2),
        ("p1", "ok", 1),
    ]
    assert snapshot(home) == before


@pytest.mark.slow
@pytest.mark.servers
def test_check_opens_two_posts_a_long_one_among_them_and_says_what_their_pages_hold(home, tmp_path):
    site = BoardSite("phpbb")
    for number in range(4):
        site.board.topic(f"Sujet {number}", "Bonjour")
    long = site.board.threads[2]
    for number in range(12):
        site.board.reply(long, f"Réponse {number}", b"x" if number == 3 else b"")
    long.bumped = 0
    text = f"name: board\nplatform: phpbb\nurl: {site.url}\nrate: 200/s\n"
    fine(home, "source", "add", write(tmp_path, text))
    done = run(home, "source", "check", "board", "--json")
    assert (done.returncode, done.json["state"], len(done.json["posts"])) == (0, "ok", 4)
    first, longest = done.json["opened"]
    assert [page["parts"] for page in first["pages"]] == [1]
    assert (longest["native"], longest["state"]) == ("2", "ok")
    assert [(page["parts"], page["files"], page["next"]) for page in longest["pages"]] == [(10, 1, True), (3, 0, False)]
    assert "next page" in fine(home, "source", "check", "board").stdout

    # a rule that finds no text blinds the source: that is no good check
    (home / "sources" / "board.yaml").write_text(text + 'item: {fields: {body: "css:.renamed"}}\n')
    done = run(home, "source", "check", "board")
    refused(done, "the rules find no text on page 1 of the post", "(state empty)", "compare `list.each`, or `item`")
    site.stop()


@pytest.mark.slow
@pytest.mark.servers
def test_backfill_reads_what_a_gap_left_unread_and_an_empty_listing_of_own_rules_rings(home, tmp_path):
    site = Site()
    fine(home, "source", "add", write(tmp_path, SOURCE.format(url=site.url, pages=1)))
    done = tocsin(home, "crawl", "site")
    assert done.returncode == 2
    assert "no post: this source never showed one" in " ".join(done.stdout.split())
    # the rules are the operator's own, so that they may not fit the page
    assert [each["severity"] for each in fine(home, "event", "list", "--json").json["events"]] == ["warning"]
    site.pages = {1: ["a"]}
    assert tocsin(home, "crawl", "site").returncode == 0
    site.pages = {1: ["d"], 2: ["c"], 3: ["b"], 4: ["a"]}
    done = tocsin(home, "crawl", "site")
    assert done.returncode == 2
    assert "tocsin source backfill site" in " ".join(done.stdout.split())
    gap = fine(home, "event", "list", "--kind", "gap", "--json").json["events"][0]["id"]
    assert "tocsin source backfill site" in fine(home, "alert", "show", gap).stdout
    done = tocsin(home, "source", "backfill", "site", "--json")
    [crawl] = json.loads(done.stdout)["crawls"]
    assert (done.returncode, crawl["gap"], crawl["new"]) == (0, False, 2)
    assert "the listing is read back to known posts" in fine(home, "event", "list", "--kind", "recovered").stdout


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.parametrize(
    ("answer", "state", "hint"),
    [
        ((200, {"Content-Type": "text/html"}, b"<p>We moved</p>"), "empty", "compare `list.each`"),
        (
            (200, {"Content-Type": "text/html"}, b"<div id=app></div><script src=x.js></script>"),
            "empty",
            "render: browser",
        ),
        ((404, {}, b"gone"), "absent", "correct `url`"),
        (
            (200, {"Content-Type": "text/html"}, b"<form><input name=u><input type=password name=p></form>"),
            "walled",
            "the site shows its listing to members alone",
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
