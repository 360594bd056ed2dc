"""A reader that hostile input has taken over: the examiner bounds what it sends, and always makes a finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from crawler.examiner.examination import MAX_BEYOND_DEPTH, MAX_MEMBERS_IN_ALL, Examination, Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.examiner.sample_socket import finding_frame
from crawler.process.frames import HEADER, MAX_FRAME
from crawler.sandbox.reusable_reader import ReusableReader
from crawler.sandbox.sandbox import Limits, Sandbox
from data.case.watchlist import Watchlist
from data.errors import WireError
from data.model import Finding
from data.releases.known_releases import KnownReleases
from tests.synth.case import KEYS


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder: Path = tmp_path_factory.mktemp("sets")
    with Sandbox(Limits(wall=5), bwrap=False) as sandbox:
        watchlist = Watchlist.open(folder / "watchlist", case=KEYS.case)
        yield Examiner(KEYS, watchlist, KnownReleases.open(folder / "releases"), sandbox)


def begin_zip(examiner: Examiner) -> Examination:
    examination = Examination(examiner, SampleRequest("x"), ReusableReader(examiner.sandbox), lambda: None)
    examination._handle_frame(b"M", b'{"name":"","format":"zip"}')
    return examination


def test_endlessly_nested_members_break_the_protocol(examiner: Examiner) -> None:
    examination = begin_zip(examiner)
    for _ in range(examiner.sandbox.limits.max_depth + MAX_BEYOND_DEPTH):
        examination._handle_frame(b"M", b'{"name":"a","format":"zip"}')
    with pytest.raises(WireError):
        examination._handle_frame(b"M", b'{"name":"a","format":"zip"}')
    finding = examination._finish()
    assert not finding.complete
    assert any(problem.startswith("reader: ") for member in finding.members for problem in member.problems)


@pytest.mark.slow
def test_very_many_nested_members_do_not_make_an_endless_finding(examiner: Examiner) -> None:
    examination = begin_zip(examiner)
    for _ in range(15):
        examination._handle_frame(b"M", b'{"name":"a","format":"zip"}')
        for _ in range(1000):
            examination._handle_frame(b"M", b'{"name":"b","format":"empty"}')
            examination._handle_frame(b"P", b'{"code":"cut","detail":"it is cut"}')
            examination._handle_frame(b"E", b'{"bytes":0,"complete":false}')
        examination._handle_frame(b"E", b'{"bytes":0,"complete":true}')
    examination._handle_frame(b"E", b'{"bytes":9,"complete":true}')
    finding = examination._finish()
    assert len(finding.members) == 15, "the members of the sample itself are all listed"
    assert sum(1 + len(member.members) for member in finding.members) <= MAX_MEMBERS_IN_ALL + 15
    assert not finding.complete
    assert finding.members[-1].problems == (
        "members: 1,000 further members were examined and are not listed one by one; their problems: cut",
    )


def test_a_finding_that_is_too_large_is_sent_without_its_members() -> None:
    member = Finding(path="a", sha256="", bytes=0, format="empty", problems=("x" * 9000,))
    whole = Finding(path="x", sha256="", bytes=9, format="zip", members=(member,) * 2000, problems=("cut: it is cut",))
    frame = finding_frame(whole)
    assert len(frame) < MAX_FRAME
    received = Finding.from_json(orjson.loads(frame[HEADER.size :]))
    assert received.members == ()
    assert received.problems[0] == "cut: it is cut"
    assert received.problems[1].startswith("members: ")
    small = replace(whole, members=(member,))
    assert Finding.from_json(orjson.loads(finding_frame(small)[HEADER.size :])) == small
