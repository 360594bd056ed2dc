"""What the runner does with the results of a crawl process if a part of the machine fails."""

from __future__ import annotations

import pytest

from crawler.alerts.wording import message_of
from data.case import evidence
from data.model import EventKind
from scheduler.crawls import question_handler
from tests.command import must
from tests.scheduler.crawls.conftest import kinds
from tests.synth.people import people
from tests.whole.test_whole_way import enrol, table

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@pytest.mark.parametrize("trouble", ["not a folder", "no space"])
def test_a_hit_is_reported_although_its_evidence_cannot_be_kept_and_the_evidence_follows_later(
    crawl, site, tmp_path, full_folder, trouble
):
    crowd = people(5, 8)
    enrol(crawl.home.path, tmp_path, "practice-a", crowd)
    crawl.examiner.reload()
    folder = crawl.home.evidence_dir
    site.pages, site.bodies = {1: ["dump"]}, {"dump": table(crowd).encode()}
    if trouble == "no space":
        repair = full_folder(folder)
    else:
        folder.rmdir()
        folder.write_bytes(b"")
        repair = folder.unlink
    result = crawl()
    assert (result.state, result.hits, result.failed) == ("done", True, True)
    assert (result.examined, result.unexamined) == (0, 1)
    found = kinds(crawl.store)
    assert EventKind.FURTHER_RELEASE in found or EventKind.CANARY_HIT in found
    [state] = [each for each in crawl.store.states.lasting("") if each.kind is EventKind.SELFTEST_FAILED]
    assert state.subject == "evidence"
    assert len(crawl.store.posts.due("site")) == 1, "the post stays due until its evidence is kept"
    repair()
    again = crawl()
    assert (again.state, again.examined, again.unexamined) == ("done", 1, 0)
    assert len(evidence.entries(folder)) == 1
    must(crawl.home.path, "evidence", "verify")
    assert crawl.store.states.lasting("") == []
    assert sum(kind in {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT} for kind in kinds(crawl.store)) == 1


def test_whoever_is_asked_to_look_at_a_post_can_open_its_address_though_nothing_in_it_hit(crawl, site):
    """An archive that cannot be read names no client, and its address may be the name of a person."""
    must(crawl.home.path, "incident", "add", "vendor", "--source", "site", "--word", "base santé")
    site.pages, site.bodies = {1: ["quiet"]}, {}
    crawl()
    site.pages = {1: ["dupont.zip", "ann-2", "quiet"]}
    site.bodies = {"dupont.zip": b"PK\x03\x04" + bytes(300), "ann-2": "La base santé arrive.".encode()}
    crawl()
    found = {event.kind: event for event in crawl.store.events.latest(limit=100) if event.post}
    for kind, post in {EventKind.UNEXAMINED: "dupont.zip", EventKind.ANNOUNCEMENT: "ann-2"}.items():
        event = found[kind]
        [name] = event.facts["evidence"]
        assert f"tocsin evidence open {name} --address" in message_of(event, clients={}).advice
        opened = must(
            crawl.home.path, "evidence", "open", name, "--address", "--key", crawl.home.path / "keys/evidence.key"
        )
        assert opened == f"{site.url}/post/{post}\n"
        assert crawl.store.audit.about(event.id) == [], "nobody has decided anything"
    # posts that cannot be read at all are one event, which has the addresses of all of them
    site.pages = {1: ["rossi", "weber", "dupont.zip", "ann-2", "quiet"]}
    site.answers |= {f"/post/{name}": (503, {}, b"") for name in ("rossi", "weber")}
    crawl()
    [lasting] = [each for each in crawl.store.states.lasting("site") if each.kind is EventKind.UNEXAMINED]
    [name] = crawl.store.events.get(lasting.event).facts["evidence"]
    opened = must(
        crawl.home.path, "evidence", "open", name, "--address", "--key", crawl.home.path / "keys/evidence.key"
    )
    assert sorted(opened.split()) == [f"{site.url}/post/rossi", f"{site.url}/post/weber"]
    assert b"dupont" not in b"".join(file.read_bytes() for file in crawl.home.path.rglob("*") if file.is_file())
    must(crawl.home.path, "evidence", "verify")


def test_a_file_that_two_posts_link_to_is_read_although_the_post_that_read_it_vanished_before_it_was_there(crawl, site):
    text = f"the data: {site.url}/files/lot.csv and more".encode()
    site.pages = {1: ["one", "two"]}
    site.bodies = {"one": text, "two": text}
    site.answers["/files/lot.csv"] = (503, {}, b"busy")
    result = crawl()
    assert (result.state, result.examined, result.unexamined) == ("done", 0, 2), "both posts stay due"
    assert "/files/lot.csv" in site.asked
    reader = next(path for path in site.asked if path.startswith("/post/"))
    site.answers |= {reader: (404, {}, b""), "/files/lot.csv": (200, {"Content-Type": "text/csv"}, b"nom;mail\n")}
    site.asked.clear()
    result = crawl()
    assert (site.asked.count("/files/lot.csv"), result.examined) == (1, 1)
    site.asked.clear()
    result = crawl()
    assert (result.examined, result.unexamined, site.asked.count("/files/lot.csv")) == (0, 0, 0)


def test_posts_with_hits_that_are_gone_are_told_one_by_one_and_the_rest_as_a_number(crawl, site, monkeypatch):
    monkeypatch.setattr(question_handler, "MAX_MISSING", 3)
    site.pages = {1: [f"p{number}" for number in range(10)]}
    assert crawl(complete=True).examined == 10
    # as if canaries had been found in eight of them
    crawl.store.database.execute(
        "update post set hit = 1 where rowid in (select rowid from post order by rowid limit 8)"
    )
    site.pages = {1: ["p9"]}

    def gone() -> list[str]:
        found = crawl.store.events.latest(limit=1000)
        return [event.post for event in found if event.facts.get("fields") == ["gone"]]

    def rest() -> list[str]:
        lasting = crawl.store.states.lasting("site")
        found = [crawl.store.events.get(state.event) for state in lasting if state.subject == "reading gone"]
        return [event.facts["reason"].split(" ", 1)[0] for event in found]

    numbers = []
    for _ in range(4):
        crawl(complete=True)
        numbers.append((len(gone()), rest()))
    assert numbers == [(3, ["5"]), (6, ["5"]), (8, []), (8, [])]
    assert len(set(gone())) == 8


ITEM = """\
item:
  each: ["css:div.post"]
  fields: {id: "xpath:./@id", body: "css:.text", attachments: "css:a.file::attr(href)"}
"""


def test_a_redesign_of_the_pages_of_posts_is_told_with_the_rule_and_a_page_and_ends_when_they_are_as_before(
    crawl, site
):
    def post(number: int, file: str, name: str = "id") -> tuple[int, dict[str, str], bytes]:
        link = f'<a class="{file}" href="/files/{number}.csv">the file</a>' if number % 2 else ""
        page = f'<div class="post" {name}="p{number}"><div class="text">some text {number}</div>{link}</div>'
        return 200, {"Content-Type": "text/html"}, f"<html><body>{page}</body></html>".encode()

    def show(numbers, *form: str) -> None:
        site.pages = {1: [str(number) for number in range(max(numbers), max(numbers) - 20, -1) if number >= 0]}
        site.answers |= {f"/post/{number}": post(number, *form) for number in numbers}
        files = {f"/files/{number}.csv": (200, {"Content-Type": "text/csv"}, b"a;b\n1;2\n") for number in numbers}
        site.answers |= files

    def told(result) -> tuple[set[str], list[str]]:
        lasting = [each for each in crawl.store.states.lasting("site") if each.subject == "post pages"]
        return set(result.look), [crawl.store.events.get(each.event).facts["reason"] for each in lasting]

    show(range(20), "file")
    assert told(crawl(item=ITEM)) == (set(), [])
    show(range(20, 22), "file", "data-id")
    result = crawl(item=ITEM)
    assert told(result) == ({"item id"}, ["item id: xpath:./@id found a value on 0 of 2 pages; before on 100 %"])
    assert (result.changed_page, result.failed) == (True, True)
    [event] = [each for each in crawl.store.events.latest() if each.kind is EventKind.SOURCE_CHANGED]
    assert len(evidence.entries(crawl.home.evidence_dir)) == len(event.facts["evidence"]) == 1
    show([22], "file")
    assert told(crawl(item=ITEM))[1] != [], "one page is too few to judge by"
    show(range(23, 27), "file")
    assert told(crawl(item=ITEM)) == (set(), [])
    # half of the pages have a file; then none of many
    for first in range(27, 67, 20):
        show(range(first, first + 20), "attachment")
        result = crawl(item=ITEM)
    assert set(result.look) == {"item attachments"}
