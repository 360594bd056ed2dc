"""Readers from outside: which of them may go on to another sample, and what their end does to it."""

from __future__ import annotations

import gzip
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.examiner.examination import MAX_PLAIN_BYTES, Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.sandbox.reader_session import ReaderSession
from crawler.sandbox.reusable_reader import MAX_REUSE, ReusableReader
from crawler.sandbox.sandbox import Limits, Sandbox
from data.case.watchlist import Watchlist
from data.hashing.case_keys import MatchKey
from data.model import Finding
from data.releases.known_releases import KnownReleases

TEXT = b"nothing of note was said here\n" * 20


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("sets")
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=5)) as sandbox:
        yield Examiner(
            keys, Watchlist.open(folder / "watchlist", case=keys.case), KnownReleases.open(folder / "releases"), sandbox
        )


def examined(examiner: Examiner, kept: ReusableReader, body: bytes, source: str = "forum") -> Finding:
    return examiner.examine(SampleRequest("x", source=source), [body], {"complete": True}, kept)


def kept_reader(kept: ReusableReader) -> object:
    return kept._reader


def test_a_reader_goes_on_to_the_next_plain_sample_of_its_source(examiner):
    kept = ReusableReader(examiner.sandbox)
    first = examined(examiner, kept, TEXT)
    reader = kept_reader(kept)
    second = examined(examiner, kept, b"a;b\n1;2\n3;4\n" * 10)
    assert reader is not None
    assert kept_reader(kept) is reader
    assert (first.format, second.format) == ("text", "delimited")
    assert first.complete
    assert second.complete
    assert second.rows
    kept.close()


@pytest.mark.parametrize(
    ("body", "source"), [(gzip.compress(TEXT, mtime=0), "forum"), (b"z" * (MAX_PLAIN_BYTES + 1), "forum"), (TEXT, "")]
)
def test_no_reader_goes_on_from_a_container_a_large_sample_or_a_local_file(examiner, body, source):
    kept = ReusableReader(examiner.sandbox)
    assert examined(examiner, kept, body, source).complete
    assert kept_reader(kept) is None


def test_no_reader_meets_samples_of_two_sources(examiner):
    kept = ReusableReader(examiner.sandbox)
    examined(examiner, kept, TEXT, "forum")
    reader = kept_reader(kept)
    examined(examiner, kept, TEXT, "board")
    assert kept_reader(kept) is not reader
    kept.close()


def test_a_reader_is_exchanged_after_so_many_samples(examiner):
    kept = ReusableReader(examiner.sandbox)
    readers = {id(reader) for _ in range(MAX_REUSE + 1) for reader in [_next(examiner, kept)]}
    assert len(readers) == 2
    kept.close()


def _next(examiner: Examiner, kept: ReusableReader) -> object:
    examined(examiner, kept, TEXT)
    return kept_reader(kept)


def test_a_reader_that_was_killed_makes_its_sample_incomplete_and_the_next_one_is_whole(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=5), bwrap=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        kept = ReusableReader(sandbox)
        examined(examiner, kept, TEXT)
        zygote = sandbox._zygote
        assert zygote is not None
        [reader] = Path(f"/proc/{zygote.process.pid}/task/{zygote.process.pid}/children").read_text().split()
        os.kill(int(reader), signal.SIGKILL)
        lost = examined(examiner, kept, TEXT)
        again = examined(examiner, kept, TEXT)
        kept.close()
    assert not lost.complete
    assert any(problem.startswith("reader: ") for problem in lost.problems)
    assert again.complete


def test_a_reader_that_is_killed_after_its_end_says_what_ended_it():
    """Found by fuzzing: it was the sandbox that was said to have ended."""
    ours, theirs = socket.socketpair()
    life, watched = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    session = ReaderSession(ours, life)
    session.kill()
    watched.send(b'{"code": null, "signal": 9, "reason": "it reached the limit of 20 seconds"}')
    watched.close()
    theirs.close()
    assert session.wait(5).reason == "it reached the limit of 20 seconds"


def test_a_reader_that_stops_is_ended_after_its_time(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=0.5), bwrap=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        kept = ReusableReader(sandbox)
        examined(examiner, kept, TEXT)
        zygote = sandbox._zygote
        assert zygote is not None
        [reader] = Path(f"/proc/{zygote.process.pid}/task/{zygote.process.pid}/children").read_text().split()
        os.kill(int(reader), signal.SIGSTOP)
        stopped = examined(examiner, kept, TEXT)
        kept.close()
    assert not stopped.complete
    assert any("seconds" in problem for problem in stopped.problems)


def test_a_sandbox_that_is_not_waited_for_reads_as_soon_as_it_can(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=5), bwrap=False, wait=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        kept = ReusableReader(sandbox)
        assert examined(examiner, kept, TEXT).complete
        kept.close()
        before = sandbox._zygote
        sandbox.ready()
        assert sandbox._zygote is before
        assert sandbox.protection()["reader walls"].startswith("degraded: bubblewrap was not asked for")


def test_a_sandbox_that_is_closed_before_it_was_ready_leaves_no_process():
    sandbox = Sandbox(Limits(wall=5), bwrap=False, wait=False)
    begun = sandbox._begun
    assert begun is not None
    sandbox.close()
    assert begun.process.poll() is not None
