"""What happens on a board is found within one crawl: topics, replies in old threads, edits, files, later pages.

Each board is served in the markup of the real software and crawled with a source file of six lines.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from datetime import timedelta

import pytest

from crawler.pages.post_identity import open_due
from crawler.process.examiner_client import ExaminerProcess
from data.model import EventKind, Post
from data.settings.home import Home
from data.sources.source_files import load_source
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.keyed_store import open_store
from scheduler.crawls.lease_owner import owner_name
from scheduler.crawls.run_crawl import run_crawl
from tests.command import must
from tests.synth.boards import BOARDS, BoardSite
from tests.synth.people import COLUMNS, HEADERS, people, row, to_csv

pytestmark = [pytest.mark.slow, pytest.mark.servers]
CROWD = people(15, 60)


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
    (folder / "clients.csv").write_bytes(to_csv(CROWD))
    must(
        None, "canary", "enrol", "--key", folder / "home" / "keys" / "enrol.key", "--client", "p1",
        folder / "clients.csv", "--out", folder / "p1.bundle",
    )  # fmt: skip
    must(folder / "home", "canary", "import", folder / "p1.bundle")
    return Home(folder / "home", {})


@pytest.mark.parametrize("software", BOARDS)
def test_whatever_changes_on_a_board_is_found_by_the_next_crawl(home, software):
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
    with ExaminerProcess.start(home) as examiner:
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
        result, events = crawl()
        assert (result.listed, result.gap, result.hits) == (27, False, False)
        result, events = crawl()
        assert (result.new, result.changed, events) == (0, 0, [])

        board.topic("Base", to_csv([next(crowd) for _ in range(3)]).decode())
        assert found(crawl()[1]) == 3, "a new topic with a table"
        old = board.threads[3]
        board.reply(old, words(next(crowd)))
        assert found(crawl()[1]) == 1, "a reply in an old thread"
        asked = [path for path in site.asked if "robots" not in path]
        assert len(asked) <= 2 + 2 + (software != "mybb"), asked
        board.reply(long, words(next(crowd)))
        assert found(crawl()[1]) == 1, "a reply on the last page of a long thread"
        if software == "mybb":
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
            assert kept == Post(kept.source, kept.native, kept.url, kept.raw), (
                "nothing else of a post is kept, even sealed"
            )

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
