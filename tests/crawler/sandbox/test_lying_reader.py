"""A reader that hostile input has taken over: the examiner bounds what it sends, and always makes a finding."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import orjson
import pytest

from crawler.examiner.examination import MAX_BEYOND_DEPTH, MAX_MEMBERS_IN_ALL, Examination, Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.examiner.sample_socket import finding_frame
from crawler.process.finding_checks import checked_finding, without_identifiers
from crawler.process.frames import HEADER, MAX_FRAME, pack
from crawler.sandbox.reader_frames import READER_FRAMES
from crawler.sandbox.reader_session import ReaderSession
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


CANARY = "Dupont-Lajoie Zwiebelturm"
NUMBER = 612345678


class LyingReader(ReusableReader):
    """Gives the examiner a real process that sends the given frames, whatever the sample is.

    Args:
        examiner: as in the base class.
        frames: kinds and payloads.
        drip: bytes that are sent after them, one every 0.1 seconds.
    """

    def __init__(self, examiner: Examiner, frames: Sequence[tuple[bytes, bytes]], drip: bytes = b"") -> None:
        super().__init__(examiner.sandbox)
        self.frames, self.drip = frames, drip

    def take(self, source: str) -> ReaderSession:
        ours, theirs = socket.socketpair()
        status, status_of_child = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                ours.close()
                status.close()
                theirs.sendall(b"".join(pack(kind, payload) for kind, payload in self.frames))
                for byte in self.drip:
                    theirs.sendall(bytes([byte]))
                    time.sleep(0.1)
                while theirs.recv(65536):
                    pass
            os._exit(0)
        theirs.close()
        status_of_child.close()
        return ReaderSession(ours, status)

    def keep(self, reader: ReaderSession) -> None:
        reader.close()


def sound_frames() -> dict[bytes, dict[str, object]]:
    """One sound value of each JSON frame, by its kind; the class of each frame says which fields there are."""
    sound: dict[bytes, dict[str, object]] = {
        b"M": {"name": "a.csv", "format": "delimited"},
        b"P": {"code": "locked", "detail": "it is encrypted and was not read"},
        b"H": {"columns": ["a", "b"]},
        b"E": {"bytes": 9, "complete": True},
    }
    for frame in READER_FRAMES:
        assert set(sound[frame.KIND]) == {field.name for field in fields(frame)}, "a new field needs a sound value here"
    assert len(sound) == len(READER_FRAMES)
    return sound


LIES = [
    (frame.KIND, field.name, lie)
    for frame in READER_FRAMES
    for field in fields(frame)
    for lie in (CANARY, NUMBER, f"{NUMBER} lines are not JSON; they were examined as text", [CANARY], None)
]


@pytest.mark.slow
def test_no_field_of_a_lying_reader_reaches_the_finding_in_clear(examiner: Examiner) -> None:
    for kind, name, lie in LIES:
        frames = sound_frames()
        frames[kind] = {**frames[kind], name: lie}
        coded = {each: orjson.dumps(value) for each, value in frames.items()}
        begin, end = b'{"name":"","format":"zip"}', b'{"bytes":9,"complete":true}'
        script = [
            (b"M", begin), (b"M", coded[b"M"]), (b"P", coded[b"P"]), (b"H", coded[b"H"]),
            (b"E", coded[b"E"]), (b"E", end), (b"Z", b"{}"),
        ]  # fmt: skip
        reader = LyingReader(examiner, script)
        finding = Examination(examiner, SampleRequest("x", source="s"), reader, lambda: None).run([b"bytes"], {})
        os.waitpid(reader.pid, 0)
        finding = checked_finding(finding)
        stored = orjson.dumps(without_identifiers(finding).to_json()).decode()
        assert CANARY not in stored, (kind, name, lie)
        assert str(NUMBER) not in stored, (kind, name, lie)
        assert "Zwiebelturm" not in stored, (kind, name, lie)
        is_sound = (kind == b"M" and name == "name" and isinstance(lie, str)) or (
            kind == b"H" and lie in ([CANARY], None)
        )
        has_rounded_number = isinstance(lie, str) and name == "detail" and lie.startswith(str(NUMBER))
        if not (is_sound or has_rounded_number or (kind == b"E" and name == "bytes" and lie == NUMBER)):
            assert not finding.complete, (kind, name, lie)
            problems = {problem.partition(":")[0] for each in (finding, *finding.members) for problem in each.problems}
            assert problems & {"invalid", "reader"}, (kind, name, lie)


@pytest.mark.slow
def test_a_reader_that_drips_is_given_up_and_leaves_nothing_behind(tmp_path: Path) -> None:
    drip = HEADER.pack(b"T", 600) + b"x" * 600
    with Sandbox(Limits(wall=0.5), bwrap=False) as sandbox:
        watchlist = Watchlist.open(tmp_path / "watchlist", case=KEYS.case)
        impatient = Examiner(KEYS, watchlist, KnownReleases.open(tmp_path / "releases"), sandbox)
        before = sorted(Path("/proc/self/fd").iterdir())
        threads = set(threading.enumerate())  # servers of other tests may still run in this process
        for body in ([b"bytes"], [b"bytes" * 2**20, b"further bytes"]):
            reader = LyingReader(impatient, [(b"M", b'{"name":"","format":"text"}')], drip)
            finding = Examination(impatient, SampleRequest("x"), reader, lambda: None).run(body, {})
            os.waitpid(reader.pid, 0)
            assert not finding.complete
            assert finding.problems[0].startswith("reader: the examiner waited ")
            assert checked_finding(finding).problems == finding.problems
        assert sorted(Path("/proc/self/fd").iterdir()) == before
        assert set(threading.enumerate()) <= threads


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
            examination._handle_frame(b"P", b'{"code":"cut","detail":"the document ends inside a group"}')
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
