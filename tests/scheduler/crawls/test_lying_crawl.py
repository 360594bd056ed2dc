"""A crawl process that a hostile site has taken over: nothing that it puts into a frame is stored or sent in clear."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from crawler.alerts.wording import message_of
from crawler.pages.post_fields import listing_fields, page_fields, version_of
from crawler.pages.post_identity import AddressMask, host_id, post_id, seal_due, seal_host
from crawler.process import control_frames as frames
from crawler.process import job_frame, wire_values
from data.case import evidence
from data.case.canary_bitmaps import encode_bitmaps
from data.errors import WireError
from data.hashing.file_fingerprints import encode_fingerprints
from data.model import ColumnFacts, Extrapolation, Finding, Hit, Incident, Lineage, Parent, Post, TableFacts
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.store.store import Store
from scheduler.crawls.crawl_end import CrawlEnd
from scheduler.crawls.crawl_tally import CrawlTally
from scheduler.crawls.leased_crawl import LeasedCrawl
from scheduler.crawls.question_handler import QuestionHandler
from tests.leased_crawl import LeasedCrawl as StoredCrawl

KEY = bytes(range(32))
# words, digits and an address that a client's table could hold
CANARIES = ["Dupont-Lajoie Zwiebelturm", "zwiebel.turm@example.fr", "175031122334455"]
NUMBERS = [612345678, 1750311223344, 175031122334455]
DEFINITION = Definition.model_validate(
    {
        "name": "site", "platform": "declared", "url": "https://site.example/board/",
        "list": {"each": ["css:li"], "fields": {"extra": {"author": "css:b"}}},
    }
)  # fmt: skip
FOLLOW = {"pastes": frozenset({("pastes.example", 443)})}
RULES = job_frame.IncidentRules(words=("clinic",), expressions=(), files={})


def due_post(source: str = "site", native: str = "17") -> Post:
    return Post(
        source, native, f"https://{source if source == 'pastes' else 'site'}.example/threads/{native}", title="Part 2",
        body="full data, 12000 patients, 3 GB, 50 %, 400 eur", attachments=("https://site.example/a.zip",),
        fields={
            "size": "1234567", "files": "31", "timer": "3 days", "magnet": "magnet:?xt=1", "state": "new",
            "author": "x", "percent": "50",
        },
    )  # fmt: skip


def listed(post: Post, now: datetime) -> dict[str, Any]:
    found = listing_fields(KEY, post, now)
    return {
        "id": post_id(KEY, post.source, post.native),
        "version": version_of(KEY, found),
        "address": AddressMask(KEY, {"site.example", "pastes.example"}).mask(post.url, post.native),
        "due": seal_due(KEY, post),
        "fields": found,
    }


def finding(recipient: str) -> Finding:
    sealed = base64.b64encode(evidence.seal(recipient, b"proof" * 100)).decode()
    lineage = Lineage(
        "overlap", 20, 10, 10, (8, 10), (Parent("base", 0.5, 0.5),), {"email": 3},
        ("3 rows with record keys describe 2 people",), 0.9, ("name+dob",), 1, {"note": 2},
        Extrapolation("the sample is a random draw", 0.95, (0.1, 0.9)),
    )  # fmt: skip
    member = Finding("a.csv", "ab" * 32, 10, "delimited", rows=2, records=1)
    return Finding(
        "x.zip", "cd" * 32, 100, "zip", (member,), 3, 2, False, ("locked: it is encrypted and was not read",),
        (Hit("practice", 1, 2, ("email",)),), lineage, "ef" * 16, sealed, encode_bitmaps({"ab12ab12ab12ab12": b"\x01"}),
        "sighted-0123456789abcdef", encode_fingerprints([(1, 2)]), base64.b64encode(bytes(range(16))).decode(),
        (TableFacts(2, 1, (ColumnFacts("email", "header", 1.0),)),),
    )  # fmt: skip


def sound_questions(recipient: str) -> list[Any]:
    now = datetime.now(UTC)
    row, linked = listed(due_post(), now), listed(due_post("pastes", "5"), now)
    reference = {name: row[name] for name in ("id", "version", "address")}
    page = page_fields(KEY, "part 3, 12000 patients, 3 GB", ("https://site.example/b.zip",), "https://site.example")
    announced = frames.Announcements(
        rules=("word 'clinic'",),
        deadlines=(
            frames.AnnouncedTime(at=None, after=2880, exact=60, phrase="in 48 h"),
            frames.AnnouncedTime(at=int(now.timestamp() // 60) + 60, after=None, exact=60, phrase="2026-12-24 10:00"),
        ),
    )
    parts = (frames.PostPart(id="ab" * 16, version="cd" * 16),)
    post = {
        **reference, "fields": row["fields"], "page_fields": page, "parts": parts, "last_page": 40, "revisited": False,
    }  # fmt: skip
    committed = frames.CommittedPost(**post, announced=announced, facts=frames.PostFacts(left={"absent": 1}))
    return [
        frames.TurnFrame(host="site.example"),
        frames.ListedFrame(posts=(frames.ListedPost(**row),), page=1),
        frames.PartsFrame(parts=parts),
        frames.WalkedFrame(
            pages=2, rows=30, gap=True, cut=True,
            shape=frames.PageShape(
                rows=30, fields={"title": frames.FieldCounts(filled=30, numbers=1, words=2)}, charset="utf-8"
            ),
        ),
        frames.PagesFrame(
            shape=frames.PageShape(rows=9, fields={"id": frames.FieldCounts(filled=9, numbers=9, words=9)}, charset="")
        ),
        frames.PageFrame(sealed=evidence.seal(recipient, b"page" * 100)),
        frames.PreviewFrame(
            post=frames.PostReference(**reference),
            preview=frames.FileListPreview(
                how="zip", complete=True, files=encode_fingerprints([(1, 2, 3)]), fetched=9, total=99
            ),
        ),
        # one that was read to its end, and one that stays due: the store keeps different things of them
        frames.CommitFrame(post=committed, findings=(finding(recipient),), failed=None, links=(), hosts=(), previews={}),
        frames.CommitFrame(
            post=committed,
            findings=(finding(recipient),),
            failed=frames.Failure(code="cut", detail="the connection broke"),
            links=(frames.LinkedPost(source="pastes", **{name: linked[name] for name in (*reference, "due")}),),
            hosts=(frames.LinkedHost(id=host_id(KEY, "x.example"), sealed=seal_host(KEY, "x.example"), files=2),),
            previews={0: "ab" * 16},
        ),
        frames.SourceChangedFrame(
            kind="source_changed", subject="row", facts=frames.PageProblem(message="no link was found", page=1)
        ),
        frames.EndFrame(
            state="failed", counts={"listed": 3}, hosts={"[a1b2c3]:443": 1}, code="blocked", error="it failed", robots=b""
        ),
    ]  # fmt: skip


def field_names() -> set[str]:
    """The name of every field that a question of a crawl process has, at any depth."""
    found: set[str] = set()
    models = [
        each
        for each in get_args(frames.AnyQuestion)
        if each not in (frames.RowsFrame, frames.OpenedFrame, frames.ProposedFrame)
    ]
    seen: set[Any] = set()
    while models:
        model = models.pop()
        if model in seen:
            continue
        seen.add(model)
        if is_dataclass(model):
            found |= {field.name for field in fields(model)}
            continue
        for name, info in model.model_fields.items():
            found.add(str(info.serialization_alias or name))
            models += [each for each in _classes_in(info.annotation) if each not in seen]
    return found


def _classes_in(annotation: Any) -> Iterator[Any]:
    if annotation is Finding:
        yield from (Finding, Hit, Lineage, Parent, Extrapolation, TableFacts, ColumnFacts)
    elif isinstance(annotation, type) and issubclass(annotation, wire_values.WireValue):
        yield annotation
    for each in get_args(annotation):
        yield from _classes_in(each)


def lies(value: Any) -> Iterator[tuple[str, Any]]:
    """(the changed place, the value with a canary there) for every place of a JSON value, also as a further key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            for place, lie in lies(inner):
                yield f"{key}.{place}", {**value, key: lie}
        for canary in CANARIES:
            yield "key", {**value, canary: next(iter(value.values()), 1)}
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            for place, lie in lies(inner):
                yield f"{at}.{place}", [*value[:at], lie, *value[at + 1 :]]
        for canary in CANARIES:
            yield "item", [*value, canary]
    else:
        encoded = [base64.b64encode(each.encode()).decode() for each in CANARIES]
        for lie in (*CANARIES, *encoded, *NUMBERS, [CANARIES[0]], {CANARIES[0]: 1}):
            yield "value", lie


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[LeasedCrawl]:
    home = Home(tmp_path / "home", {})
    for folder in (home.path, home.watchlist_dir, home.releases_dir, home.releases_dir / "base", home.evidence_dir):
        folder.mkdir(exist_ok=True)
    store = Store.open(home.db_path, seal_key=KEY)
    stored = StoredCrawl(store, "site", now=datetime.now(UTC))
    incident = Incident("i", "I", sources=("site",), words=("clinic",))
    yield LeasedCrawl(home, store, Settings(), DEFINITION, stored.id, stored.fence, lambda _: ["chat"], incident)
    store.close()


def handler_of(crawl: LeasedCrawl, tally: CrawlTally) -> QuestionHandler:
    return QuestionHandler(crawl, tally, follow=FOLLOW, post_key=KEY, rules=RULES)


def test_what_a_correct_crawl_process_sends_is_stored(crawl: LeasedCrawl):
    handler = handler_of(crawl, CrawlTally("site", crawl.id))
    _, recipient = evidence.new_identity()
    for question in sound_questions(recipient):
        handler.answer(frames.read_question(question.to_json()))
    assert crawl.store.findings.latest()
    [sealed] = evidence.entries(crawl.home.evidence_dir)
    assert sealed.bytes > 100
    body = crawl.store.findings.latest()[0]["body"]
    assert body["problems"] == ["locked: it is encrypted and was not read"]
    assert body["hits"][0]["client"].startswith("unknown-"), "no such client was imported here"
    assert body["lineage"]["parents"][0]["release"] == "base"


def test_every_field_of_every_question_is_tried():
    _, recipient = evidence.new_identity()
    tried = {
        name
        for question in sound_questions(recipient)
        for place, _ in lies(json.loads(question.to_json()))
        for name in place.split(".")
    }
    assert field_names() - tried == set(), "give the sound question a value here, so that lies about it are tried"


@pytest.mark.slow
def test_no_canary_of_a_lying_crawl_process_is_stored_or_sent(crawl: LeasedCrawl):
    _, recipient = evidence.new_identity()
    accepted = refused = 0
    said: list[str] = []
    for question in sound_questions(recipient):
        # one transaction and one crawl process for each kind of question
        tally = CrawlTally("site", crawl.id)
        handler = handler_of(crawl, tally)
        for _, lie in lies(json.loads(question.to_json())):
            try:
                with crawl.store.together():
                    handler.answer(frames.read_question(json.dumps(lie).encode()))
                accepted += 1
            except WireError as error:
                refused += 1
                said.append(f"{error} {error.hint}")
        said += [tally.error, tally.code, *tally.problems, *tally.problems.values(), *tally.hosts, *tally.clients]
        said.append(json.dumps([release._asdict() for release in tally.sighted], default=str))
        said.append(json.dumps([dict(tally.left), dict(tally.failed), dict(tally.counts)]))
    tally.state = "failed"
    CrawlEnd(crawl, tally).finish(datetime.now(UTC))
    for event in crawl.store.events.latest(limit=100_000):
        said.append(message_of(event, clients={}).text)
        said.append(json.dumps(event.facts, default=str))
    assert accepted
    assert refused > 100
    wanted = {
        form
        for canary in (*CANARIES, *map(str, NUMBERS))
        for text in (canary, canary.lower(), canary.replace(" ", ""))
        for form in (text.encode(), text.encode("utf-16-le"), base64.b64encode(text.encode()).rstrip(b"="))
    }
    # as SQLite writes numbers
    wanted |= {number.to_bytes(8, "big").lstrip(b"\0") for number in NUMBERS}
    places = {"what is shown": "\n".join(said).encode()}
    for path in crawl.home.path.rglob("*"):
        if path.is_file():
            places[path.name] = path.read_bytes()
    assert any(name.endswith("-wal") for name in places)
    leaks = [
        (name, form, blob[at - 60 : at + 60])
        for name, blob in places.items()
        for form in wanted
        if (at := blob.find(form)) >= 0
    ]
    print(*leaks, sep="\n")
    assert leaks == []
