"""What happens on a board is found within one crawl: topics, replies in old threads, edits, files, later pages.

Each board is served in the markup of the real software and crawled with a source file of six lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import os
import random
import re
import threading
import time
import zipfile
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crawler.pages.post_identity import open_due
from crawler.process.examiner_client import ExaminerProcess
from data.model import EventKind, Post, Severity
from data.settings.home import Home
from data.sources.platform_files import marked_platforms
from data.sources.source_files import load_source
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.keyed_store import open_store
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from tests.command import must
from tests.servers.test_sites import written
from tests.synth.boards import BOARDS, BoardSite
from tests.synth.people import COLUMNS, HEADERS, people, row, to_csv

pytestmark = [pytest.mark.slow, pytest.mark.servers]
# Each server shows other people, since the same data on two sites is one event.
CROWD, MAILED, POSTED, MANY = people(15, 140), people(16, 30), people(17, 40), people(18, 230)


def words(person) -> str:
    """A person as a reply may mention one."""
    return "Un exemple : " + "; ".join(
        f"{HEADERS['fr'][name]} {text}" for name, text in zip(COLUMNS, row(person), strict=True)
    )


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lot.csv", data)
    return made.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    must(None, "init", folder / "home")
    made = Home(folder / "home", {})
    for client, crowd in (("p1", CROWD), ("p2", MAILED), ("p3", POSTED), ("p4", MANY)):
        (folder / f"{client}.csv").write_bytes(to_csv(crowd))
        must(
            None, "canary", "enrol", "--key", folder / "home" / "keys" / "enrol.key", "--client", client,
            folder / f"{client}.csv", "--out", folder / f"{client}.bundle",
        )  # fmt: skip
    must(folder / "home", "canary", "import", *(folder / f"{client}.bundle" for client in ("p1", "p2", "p3", "p4")))
    return made


@pytest.fixture(scope="module")
def examiner(home):
    with ExaminerProcess.start(home) as running:
        yield running


def test_a_hit_rings_once_and_is_no_hit_when_it_is_read_again_unchanged(home, examiner):
    site = BoardSite("mybb")
    board = site.board
    one, two, three = CROWD[130:133]
    thread = board.topic("Base", words(one))
    file = home.sources_dir / "again.yaml"
    # parts without ids: the whole page is examined whenever it is read
    file.write_text(
        f"name: again\nplatform: declared\nurl: {site.url}\nrate: 200/s\n"
        'list: {each: ["css:tr.inline_row"], fields: {title: "css:.subject_new", link: "css:.subject_new a::attr(href)"}}\n'
        'item: {each: ["css:div.post"], fields: {body: {x: "css:.post_body", text: html}}, revisit: 1s}\n'
    )
    definition = complete_definition(load_source(file))
    store = open_store(home, examiner)

    def crawl():
        before = {event.id for event in store.events.latest(limit=10_000)}
        result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
        return result, [event for event in store.events.latest(limit=10_000) if event.id not in before]

    result, events = crawl()
    assert (result.hits, result.canaries) == (True, result.clients["p1"])
    time.sleep(1.1)  # until the post is due again
    result, events = crawl()
    assert (result.state, result.hits, result.examined, events) == ("done", False, 1, [])
    thread.title = "Base, part 2"
    board.reply(thread, words(two))
    result, events = crawl()
    assert result.hits
    rang = [event.kind for event in events if event.severity.rank >= Severity.WARNING.rank]
    assert rang in ([EventKind.CANARY_HIT], [EventKind.FURTHER_RELEASE]), "the change of the title rings nobody"
    assert EventKind.LISTING_CHANGED in [event.kind for event in events]
    # an address alone is no record, so that it does not become a release that is known from then on
    address = board.topic("Mails", three.email)
    result, events = crawl()
    assert EventKind.CANARY_HIT in [event.kind for event in events]
    address.title = "Mails, part 2"
    result, events = crawl()
    # the first thread may be read again by now: that its data is known is an event of severity info
    rang = [(event.kind, event.severity) for event in events if event.severity.rank >= Severity.WARNING.rank]
    assert rang == [(EventKind.LISTING_CHANGED, Severity.WARNING)], "its hit was reported before and rings nobody"
    store.close()
    site.stop()


@pytest.mark.parametrize("form", ["", "?pids=1"], ids=["place", "query and place"])
def test_a_feed_of_replies_has_the_page_of_each_thread_requested_once(home, examiner, form):
    site = BoardSite("mybb")
    board = site.board
    for number in range(2):
        thread = board.topic(f"Sujet {number}", "Bonjour.")
        for person in CROWD[120 + 3 * number :][:3]:
            board.reply(thread, words(person))
    name = "replies-with-queries" if form else "replies"
    file = home.sources_dir / f"{name}.yaml"
    file.write_text(f"name: {name}\nplatform: feed\nurl: http://{site.host}/syndication.php{form}\nrate: 200/s\n")
    store = open_store(home, examiner)
    definition = complete_definition(load_source(file))
    result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
    assert (result.state, result.listed, result.examined, result.canaries) == ("done", 8, 8, 6)
    pages = [path.partition("&")[0] for path in site.asked if "showthread" in path]
    assert sorted(pages) == ["/showthread.php?tid=1", "/showthread.php?tid=2"]
    if form:
        store.close()
        site.stop()
        return

    # the same board by its pages, on which a reply is for members only
    board.reply(thread, "Hidden content: you must reply to this thread to see it.")
    file.write_text(f"name: replies\nplatform: mybb\nurl: {site.url}\nrate: 200/s\n")
    definition = complete_definition(load_source(file))
    result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
    assert (result.state, result.unexamined) == ("done", 1)
    [walled] = [event for event in store.events.latest() if event.facts.get("problems") == ["walled"]]
    assert walled.severity is Severity.NOTICE
    site.asked.clear()
    result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
    assert (result.state, result.unexamined, site.asked) == ("done", 0, ["/forumdisplay.php?fid=2"])
    store.close()
    site.stop()


@pytest.mark.parametrize("software", BOARDS)
def test_whatever_changes_on_a_board_is_found_by_the_next_crawl(home, examiner, software):
    site = BoardSite(software)
    board = site.board
    file = home.sources_dir / f"{software}.yaml"
    file.write_text(f"name: {software}\nplatform: {software}\nurl: {site.url}\nevery: 15m\nrate: 200/s\n")
    definition = complete_definition(load_source(file))
    for number in range(26):
        board.topic(f"Sujet {number}", f"Bonjour, le sujet {number} : clavier, écran et souris.")
    long = board.topic("Discussion sur les claviers", "Quel clavier choisir ?")
    for number in range(23 if software != "nodebb" else 43):
        board.reply(long, f"Réponse {number} : le mien est silencieux.")
    store = open_store(home, examiner)

    def crawl():
        before = {event.id for event in store.events.latest(limit=10_000)}
        site.asked.clear()
        result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
        assert (result.state, result.unexamined, result.error) == ("done", 0, ""), (
            result,
            store.events.latest()[:2],
        )
        return result, [event for event in store.events.latest(limit=10_000) if event.id not in before]

    def found(events):
        return sum(client["canaries"] for event in events for client in event.facts.get("clients", ()))

    # each board shows other people, since the same dump on two sites is one event
    crowd = iter(CROWD[20 * list(BOARDS).index(software) :])
    board.reply(board.threads[26], words(next(crowd)))
    result, events = crawl()
    assert (result.listed, result.gap, result.hits) == (27, False, True)
    assert [event.kind for event in events] == [EventKind.CANARY_HIT], "what the feed shows is not examined twice"
    result, events = crawl()
    assert (result.new, result.changed, events) == (0, 0, [])

    board.topic("Base", to_csv([next(crowd) for _ in range(3)]).decode())
    assert found(crawl()[1]) == 3, "a new topic with a table"
    said = board.threads[28].posts[0].text
    board.reply(board.threads[28], "merci", quoted=said)
    result, events = crawl()
    if software in ("mybb", "xenforo"):
        assert (events, result.hits) == ([], False), "a quote of a known post is nothing new"
    board.reply(long, "merci", quoted=board.threads[26].posts[1].text)
    result, events = crawl()
    if software in ("mybb", "xenforo"):
        assert (events, result.hits) == ([], False), "nor is a quote of a whole post that was read before"
    board.reply(board.threads[28], "et ?", quoted=said + "\n" + words(next(crowd)))
    assert any(found([event]) for event in crawl()[1]), "a quote of what nobody wrote is new"
    old = board.threads[3]
    board.reply(old, words(next(crowd)))
    assert found(crawl()[1]) == 1, "a reply in an old thread"
    asked = [path for path in site.asked if "robots" not in path]
    assert len(asked) <= 2 + 2 + (software not in ("mybb", "xenforo")), asked
    board.reply(long, words(next(crowd)))
    assert found(crawl()[1]) == 1, "a reply on the last page of a long thread"
    if software not in ("phpbb", "nodebb"):
        # no listing and no feed shows an edit: the thread is looked at again when its next reply comes
        board.reply(board.threads[4], "merci")
    first = board.threads[4].posts[0]
    board.edit(first, first.text + "\n" + words(next(crowd)))
    assert found(crawl()[1]) == 1, "an edit of a first post"
    if software != "nodebb":
        board.reply(board.threads[5], "voir la pièce jointe", zipped(to_csv([next(crowd) for _ in range(2)])))
        assert found(crawl()[1]) == 2, "a zip archive below a reply"
    for number in range(6, 14):
        board.reply(board.threads[number], f"mise à jour : voir https://exemple.invalid/{number}")
    result, events = crawl()
    assert [event for event in events if event.severity.rank > 0 and event.kind is not EventKind.REPOST] == [], (
        "harmless replies ring nothing"
    )
    result, events = crawl()
    assert (result.new, result.changed, result.hits, events) == (0, 0, False, [])

    rest = [row["visit"] for row in store.database.rows("select visit from post where visit is not null")]
    assert rest, "the pages of examined posts can be read again"
    for sealed in rest:
        kept = open_due(examiner.greeting.post_key, bytes(sealed))
        assert kept == Post(kept.source, kept.native, kept.url, kept.raw), "nothing else of a post is kept, even sealed"

    if software == "discourse":
        # its last page is gone: the thread is read from its beginning
        del long.posts[10:]
        board.reply(long, words(next(crowd)))
        assert found(crawl()[1]) == 1

    # what neither listing nor feed shows is found when pages are read again, ten in a crawl
    soon = definition.item.model_copy(update={"revisit": timedelta(milliseconds=800)})
    definition = definition.model_copy(update={"item": soon})
    board.edit(board.threads[15].posts[0], "Bonjour. " + words(next(crowd)))
    del board.threads[3]
    rang = [event for _ in range(4) for event in crawl()[1]]
    assert found(rang) == 1, "an edit that only the page shows"
    gone = [event for event in rang if event.facts.get("fields") == ["gone"]]
    assert len(gone) == 1, "the thread with hits is gone"
    store.close()
    site.stop()


def hard_csv(crowd) -> str:
    """A table whose text every forum damages: accents, quotes, markdown, codes, smileys, tabs, CRLF, addresses."""
    notes = ['dit "oui"', "**gras** _a_ `x`", "[b]gras[/b] [url=http://exemple.invalid/x]x[/url]", ":-) (c) ;)", "a\tb",
             "http://exemple.invalid/" + "long/" * 14 + "?a=1&b=2", "<b>x</b> &amp; &lt;"]  # fmt: skip
    lines = [";".join([*HEADERS["fr"].values(), "note"])]
    for number, person in enumerate(crowd):
        note = notes[number % len(notes)].replace('"', '""')
        lines.append(";".join([*row(person), f'"{note}"']))
    return "\r\n".join(lines) + "\r\n"


def test_all_messages_of_a_real_public_inbox_are_found_once_and_a_removed_one_is_told(home, examiner, public_inbox):
    archive = public_inbox
    front = archive.page()
    file = home.sources_dir / "lists.yaml"
    file.write_text(f"name: lists\nplatform: public-inbox\nurl: {archive.url}\nevery: 15m\nrate: 200/s\n")
    definition = complete_definition(load_source(file))
    assert "public-inbox" in {
        each.name for each in marked_platforms() if any(re.search(mark, front.text) for mark in each.marks)
    }
    crowd = MAILED
    mails = [archive.mail(f"Sujet {number}", f"Bonjour, le sujet {number} : clavier.") for number in range(16)]
    mails += [archive.mail(f"Exemple {number}", words(crowd[number])) for number in range(8)]
    mails.append(archive.mail("Base", hard_csv(crowd[8:15]), cte="base64"))
    mails.append(archive.mail("Re: Base", f"> {words(crowd[0])}\n\nmerci\n{words(crowd[15])}", answers=mails[-1].name))
    mails.append(archive.mail("Lot", "voir la pièce jointe", file=zipped(to_csv(crowd[16:20]))))
    archive.add(*mails)
    store = open_store(home, examiner)

    def crawl(definition=definition):
        before = {event.id for event in store.events.latest(limit=10_000)}
        result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
        assert (result.state, result.unexamined, result.error) == ("done", 0, ""), result
        return result, [event for event in store.events.latest(limit=10_000) if event.id not in before]

    result, events = crawl()
    assert (result.listed, result.new, result.examined) == (len(mails), len(mails), len(mails))
    assert result.canaries == 20, "the feed shows 25 messages; older ones are on its further pages"
    result, events = crawl()
    assert (result.new, result.changed, result.examined, events) == (0, 0, 0, [])
    old = archive.mail("Re: Sujet 3", words(crowd[20]), answers=mails[3].name)
    archive.add(old, archive.mail("Re: Sujet 4", "mise à jour : voir https://exemple.invalid/4"))
    result, events = crawl()
    assert (result.new, result.canaries) == (2, 1), "a reply in an old thread"
    archive.remove(mails[16], mails[17])
    again = definition.item.model_copy(update={"revisit": timedelta(milliseconds=1)})
    rang = [event for _ in range(3) for event in crawl(definition.model_copy(update={"item": again}))[1]]
    assert [event.facts["fields"] for event in rang if event.facts.get("fields")] == [["gone"], ["gone"]]
    store.close()


def test_what_users_of_a_real_forum_post_is_found_whatever_it_makes_of_the_text(home, examiner, spirit):
    file = home.sources_dir / "forum.yaml"
    file.write_text(f"name: forum\nplatform: spirit\nurl: {spirit.listing_url}\nevery: 15m\nrate: 200/s\n")
    definition = complete_definition(load_source(file))
    crowd = POSTED
    hard = hard_csv(crowd[:7])
    spirit.post_topic("Base", hard)
    spirit.post_topic("Base, code", "```\n" + hard_csv(crowd[7:14]) + "\n```")
    quoted = "".join(f"> {line}\n" for line in hard_csv(crowd[14:21]).splitlines())
    spirit.post_topic("Base, citation", quoted + "\nmerci")
    long = spirit.post_topic("Discussion", "Quel clavier choisir ?")
    for number in range(22):
        spirit.reply(long, f"Réponse {number}")
    spirit.reply(long, words(crowd[21]))
    store = open_store(home, examiner)

    def crawl():
        result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
        assert (result.state, result.unexamined, result.error) == ("done", 0, ""), result
        return result

    result = crawl()
    assert (result.canaries, result.examined) == (22, result.listed)
    assert (crawl().new, crawl().canaries) == (0, 0)
    last = spirit.reply(long, "à suivre")
    spirit.edit(last, words(crowd[22]))
    asked = crawl()
    assert (asked.changed, asked.canaries) == (1, 1), "a reply on the second page, edited at once"
    assert asked.requests <= 4
    store.close()


def test_of_two_hundred_posts_of_a_real_forum_all_are_found_once_and_edits_and_deletions_are_told(
    home, examiner, flaskbb
):
    file = home.sources_dir / "flaskbb.yaml"
    file.write_text(
        f"name: flaskbb\nplatform: flaskbb\nurl: {flaskbb.listing_url}\nevery: 15m\nrate: 400/s\nlist: {{pages: {{max: 20}}}}\n"
    )
    definition = complete_definition(load_source(file))
    draw, crowd, replies = random.Random(18), iter(MANY), {}
    for number in range(35):
        topic = flaskbb.post_topic(f"Sujet {number}", written(next(crowd), number, draw))
        # one thread of several pages
        count = 36 if number == 3 else 4
        replies[topic] = [flaskbb.reply(topic, written(next(crowd), number + each, draw)) for each in range(count)]
    topics = list(replies)
    posted = len(topics) + sum(map(len, replies.values()))
    assert posted >= 200
    store = open_store(home, examiner)

    def crawl(definition=definition):
        before = {event.id for event in store.events.latest(limit=10_000)}
        result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
        assert (result.state, result.unexamined, result.error) == ("done", 0, ""), result
        return result, [event for event in store.events.latest(limit=10_000) if event.id not in before]

    result, _ = crawl()
    assert (result.canaries, result.listed) == (posted, 1 + len(topics))
    assert result.examined == result.listed
    assert crawl()[0].examined == 0

    # in old threads: replies, the edit of what was the last post, and a reply on a later page
    for topic in topics[5:9]:
        flaskbb.reply(topic, words(next(crowd)))
    flaskbb.edit(flaskbb.reply(topics[3], "à suivre"), words(next(crowd)))
    result, _ = crawl()
    assert (result.changed, result.canaries) == (5, 5)
    assert result.requests <= 4 + 2 * result.changed, "at most two requests for each thread that changed"

    # what no listing shows: pages are read again
    flaskbb.edit(replies[topics[20]][1], words(next(crowd)))
    for topic in topics[30:33]:
        flaskbb.delete(topic)
    soon = definition.model_copy(
        update={"item": definition.item.model_copy(update={"revisit": timedelta(milliseconds=1)})}
    )
    found, rang = 0, []
    for _ in range(4):
        result, events = crawl(soon)
        found, rang = found + result.canaries, rang + events
    assert found == 1
    assert [event.facts["fields"] for event in rang if event.facts.get("fields")] == [["gone"]] * 3
    store.close()


class Folder(SimpleHTTPRequestHandler):
    """Python's own server of a folder: its list has neither size nor time."""

    def log_message(self, *args) -> None:
        pass


class BareFolder(Folder):
    """As mini_httpd and Express write it: a link to a folder has no slash at its end."""

    def list_directory(self, path):
        page = super().list_directory(path)
        return page and io.BytesIO(page.read().replace(b'/">', b'">').replace(b"/</a>", b"</a>") + b" " * 80)


class MuteFolder(Folder):
    """A server that knows no request for the state of a file."""

    def do_HEAD(self) -> None:
        self.send_error(501)


@contextlib.contextmanager
def served(folder: Path, handler: type[Folder]):
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


@pytest.mark.parametrize("handler", [Folder, BareFolder, MuteFolder])
def test_a_folder_whose_list_tells_neither_folders_nor_times_is_read_whole_and_again(home, examiner, tmp_path, handler):
    crowd = iter(POSTED[30:])
    files = [tmp_path / name for name in ("a.csv", "README", "100% é #1?.csv", "lot 1/b.csv", "lot 1/v2.1/c.csv")]

    def write(file: Path, when: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(to_csv([next(crowd)]))
        os.utime(file, (when, when))

    for file in files:
        write(file, 1_600_000_000)
    name, store = handler.__name__.lower(), open_store(home, examiner)
    with served(tmp_path, handler) as url:
        source = home.sources_dir / f"{name}.yaml"
        source.write_text(f"name: {name}\nplatform: open_directory\nurl: {url}\ndepth: 2\nrate: 500/s\n")
        definition = complete_definition(load_source(source))

        def crawl():
            result = asyncio.run(run_crawl(home, store, definition, examiner, owner=owner_name()))
            assert (result.state, result.unexamined) == ("done", 0), result
            return result.listed, result.examined, result.canaries

        assert crawl() == (5, 5, 5)
        assert crawl() == (5, 0, 0)
        for file in (files[0], files[-1]):
            write(file, 1_600_000_100)
        mute = handler is MuteFolder
        assert crawl() == (5, 0 if mute else 2, 0 if mute else 2)
        told = [
            event
            for event in store.events.latest()
            if event.source == name and event.facts.get("subject") == "reading changes"
        ]
        assert len(told) == mute, "that changes cannot be seen is said"
    store.close()
