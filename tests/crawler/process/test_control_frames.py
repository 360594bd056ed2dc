"""Frames between the runner and a crawl process: they survive the wire, keep its keys, and are read strictly."""

import json
from collections import Counter
from pathlib import Path

import pytest

from crawler.process import control_frames as frames
from crawler.process import job_frame, wire_values
from data.errors import WireError
from data.model import Finding, Hit, Lineage
from data.sources.definition import Definition

SECRET = "dupont.marie@example.fr"
DEFINITION = Definition.model_validate(
    {"name": "s", "platform": "declared", "url": "https://a.example/", "list": {"each": ["css:p"]}}
)
JOB = job_frame.Job(
    crawl="c1",
    definition=DEFINITION,
    settings={"DOWNLOAD_DELAY": 0.5, "TOCSIN_ALLOWED": [["a.example", 443]]},
    network="refused",
    post_key=b"k" * 32,
    due=(b"\x00\xff",),
    revisit=(b"\xfe",),
    robots=b"\x02",
    mode="crawl",
    limits=job_frame.JobLimits(memory=2**30, wall=60.0),
    closed=Path("/closed"),
    settled=3,
    follow={"pastes": frozenset({("p.example", 443), ("b.example", 80)})},
    recipient="age1x",
    cookies=(job_frame.JobCookie(name="sid", value=SECRET, domain="a.example", path="/", secure=True),),
    shapes={"pastes": ("/p/(?P<id>[a-z]+)",)},
    rules=job_frame.IncidentRules(words=("clinic",), expressions=("a+",), files={"x.yar": "rule x {condition: true}"}),
)
FINDING = Finding(
    "",
    "00",
    10,
    "csv",
    members=(Finding("a", "01", 5, "text"),),
    hits=(Hit("client", 1, 2, ("email",)),),
    lineage=Lineage("new", 2, 0, 2, (2, 2)),
)
QUESTIONS = [
    frames.ListedFrame(
        posts=(frames.ListedPost(id="i", version="v", address="a", fields={"part": [2]}, due=b"\xfe"),), page=1
    ),
    frames.WalkedFrame(
        pages=2,
        rows=30,
        gap=True,
        cut=True,
        shape=frames.PageShape(
            rows=30, fields={"title": frames.FieldCounts(filled=30, numbers=1, words=2)}, charset="utf-8"
        ),
    ),
    frames.CommitFrame(
        post=frames.CommittedPost(
            id="i",
            version="v",
            address="a",
            fields={"part": [2]},
            page_fields={},
            announced=frames.Announcements(
                rules=("word 'clinic'",),
                deadlines=(frames.AnnouncedTime(at=None, after=2880, exact=60, phrase="in 48 h"),),
            ),
            facts=frames.PostFacts(left=Counter({"absent": 1})),
            parts=(frames.PostPart(id="p", version="w"),),
            last_page=3,
            revisited=False,
        ),
        findings=(FINDING,),
        failed=frames.Failure(code="cut", detail="the connection ended"),
        links=(frames.LinkedPost(source="pastes", id="j", version="w", address="b", due=b"\x01"),),
        hosts=(frames.LinkedHost(id="h", sealed=b"\x03", files=2),),
        previews={0: "event"},
    ),
    frames.PreviewFrame(
        post=frames.PostReference(id="i", version="v", address="a"),
        preview=frames.FileListPreview(how="zip", complete=True, files="AAAA", fetched=100, total=2**40),
    ),
    frames.SourceChangedFrame(
        kind="source_changed", subject="row", facts=frames.PageProblem(message="no link was found", page=1)
    ),
    frames.RowsFrame(posts=({"id": "1", "title": "t"},), problems=("row: bad",), rows=2, dropped=1),
    frames.OpenedFrame(
        posts=(
            frames.OpenedPost(
                native="7",
                url="https://x.example/7",
                state="ok",
                problem="",
                pages=(frames.OpenedPage(parts=2, characters=90, files=1, next=True),),
                size=0,
            ),
        )
    ),
    frames.ProposedFrame(
        url="https://x.example/",
        proposals=(frames.Proposed(platform="feed", why="it is a feed", keys={"list": {"next": "css:a"}}, boards=()),),
        notes=("a feed",),
    ),
    frames.PageFrame(sealed=b"\x04"),
    frames.PartsFrame(parts=(frames.PostPart(id="p", version="w"),)),
    frames.EndFrame(
        state="failed", counts={"listed": 3}, hosts={"x.example": 1}, code="blocked", error="refused", robots=b""
    ),
]
ANSWERS = [
    (QUESTIONS[0], frames.ListedAnswer(examine=("a",), changed=(), settled=1, settled_ids=("b",), start={"a": 3})),
    (QUESTIONS[1], frames.WalkedAnswer(page=True)),
    (QUESTIONS[3], frames.PreviewAnswer(event="e")),
    (QUESTIONS[-2], frames.PartsAnswer(examine=("p",))),
]


def changed(frame: wire_values.WireValue, /, **fields: object) -> bytes:
    return json.dumps(json.loads(frame.to_json()) | fields).encode()


def test_a_job_survives_the_wire():
    assert job_frame.Job.from_json(JOB.to_json()) == JOB


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.frame)
def test_a_question_survives_the_wire(question):
    assert frames.read_question(question.to_json()) == question


@pytest.mark.parametrize(("question", "answer"), ANSWERS, ids=lambda part: type(part).__name__)
def test_an_answer_survives_the_wire(question, answer):
    assert question.read_answer(answer.to_json()) == answer
    assert question.read_answer(frames.LOST.to_json()) == frames.LOST
    for wrong in (b"{}", b"[]", b"null", b"no JSON", b'{"ok": false}', b'{"lost": false}'):
        with pytest.raises(WireError):
            question.read_answer(wrong)


def test_keys_on_the_wire_are_those_of_the_architecture():
    assert set(json.loads(JOB.to_json())) == {
        "crawl", "source", "settings", "post_key", "due", "revisit", "mode", "limits", "settled", "follow", "shapes", "recipient", "cookies", "closed", "rules", "robots",
        "network",
    }  # fmt: skip
    on_the_wire = {question.frame: json.loads(question.to_json()) for question in QUESTIONS}
    assert {name: set(frame) - {"frame"} for name, frame in on_the_wire.items()} == {
        "listed": {"posts", "page"},
        "parts": {"parts"},
        "walked": {"pages", "rows", "gap", "cut", "shape"},
        "page": {"sealed"},
        "commit": {"post", "findings", "failed", "links", "hosts", "early"},
        "early": {"post", "look"},
        "event": {"kind", "subject", "facts"},
        "opened": {"posts"},
        "proposed": {"url", "proposals", "notes"},
        "rows": {"posts", "problems", "rows", "dropped"},
        "end": {"state", "counts", "hosts", "code", "error", "robots"},
    }
    assert set(on_the_wire["listed"]["posts"][0]) == {"id", "version", "address", "traits", "due"}
    assert set(on_the_wire["commit"]["post"]) == {
        "id",
        "version",
        "address",
        "traits",
        "page",
        "announced",
        "facts",
        "parts",
        "last_page",
        "revisited",
    }
    assert set(on_the_wire["commit"]["links"][0]) == {"source", "id", "version", "address", "due"}
    assert set(on_the_wire["early"]["post"]) == {"id", "version", "address"}
    assert set(on_the_wire["early"]["look"]) == {"how", "complete", "files", "fetched", "total"}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.frame)
def test_a_question_with_a_missing_or_unknown_field_is_refused(question):
    whole = json.loads(question.to_json())
    for name in whole:
        with pytest.raises(WireError):
            frames.read_question(json.dumps({key: value for key, value in whole.items() if key != name}).encode())
    with pytest.raises(WireError, match="unknown fields"):
        frames.read_question(changed(question, further=SECRET))


@pytest.mark.parametrize("name", sorted(json.loads(JOB.to_json())))
def test_a_job_with_a_missing_field_is_refused(name):
    whole = json.loads(JOB.to_json())
    del whole[name]
    with pytest.raises(WireError):
        job_frame.Job.from_json(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("question", "fields"),
    [
        (QUESTIONS[0], {"page": "1"}),
        (QUESTIONS[0], {"page": 2**63}),
        (QUESTIONS[1], {"gap": 1}),
        (QUESTIONS[1], {"rows": True}),
        (QUESTIONS[2], {"findings": [{}]}),
        (QUESTIONS[2], {"findings": [SECRET]}),
        (QUESTIONS[2], {"early": {"1": "the event of a finding that does not exist"}}),
        (QUESTIONS[2], {"links": [{"source": "pastes"}]}),
        (QUESTIONS[4], {"kind": "further_release"}),
        (QUESTIONS[6], {"state": "perhaps"}),
        (QUESTIONS[6], {"counts": {"listed": SECRET}}),
        (QUESTIONS[6], {"frame": "no such frame"}),
    ],
)
def test_a_question_with_a_wrong_value_is_refused(question, fields):
    with pytest.raises(WireError):
        frames.read_question(changed(question, **fields))


def test_refusals_quote_nothing_that_was_sent():
    for question, field in ((QUESTIONS[0], "posts"), (QUESTIONS[5], "rows"), (QUESTIONS[6], "state")):
        with pytest.raises(WireError) as refused:
            frames.read_question(changed(question, **{field: SECRET, SECRET: SECRET}))
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None
    assert SECRET not in repr(frames.ListedPost(id="i", version="v", address="a", fields={}, due=SECRET.encode()))
    assert (b"k" * 32).decode() not in repr(JOB)
