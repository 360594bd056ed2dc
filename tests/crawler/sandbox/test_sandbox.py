"""Readers as the examiner sees them: which of them may read another sample, and what happens if one ends early."""

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


def examine(examiner: Examiner, reusable: ReusableReader, body: bytes, source: str = "forum") -> Finding:
    return examiner.examine(SampleRequest("x", source=source), [body], {"complete": True}, reusable)


def reader_of(reusable: ReusableReader) -> object:
    return reusable._reader


def test_the_process_that_forks_readers_gets_nothing_of_the_environment_and_starts_no_threads_that_calculate(examiner):
    # bubblewrap is the parent of the process that it starts
    inside = examiner.sandbox._server.process.pid
    while children := Path(f"/proc/{inside}/task/{inside}/children").read_text().split():
        inside = int(children[0])
    assert b"fork_server" in Path(f"/proc/{inside}/cmdline").read_bytes()
    given = Path(f"/proc/{inside}/environ").read_bytes().split(b"\0")
    assert {each for each in given if each and not each.startswith(b"PWD=")} == {b"OPENBLAS_NUM_THREADS=1"}


@pytest.mark.slow
def test_a_reader_is_reused_for_the_next_plain_sample_of_its_source(examiner):
    reusable = ReusableReader(examiner.sandbox)
    first = examine(examiner, reusable, TEXT)
    reader = reader_of(reusable)
    second = examine(examiner, reusable, b"a;b\n1;2\n3;4\n" * 10)
    assert reader is not None
    assert reader_of(reusable) is reader
    assert (first.format, second.format) == ("text", "delimited")
    assert first.complete
    assert second.complete
    assert second.rows
    reusable.close()


@pytest.mark.parametrize(
    ("body", "source"), [(gzip.compress(TEXT, mtime=0), "forum"), (b"z" * (MAX_PLAIN_BYTES + 1), "forum"), (TEXT, "")]
)
def test_no_reader_is_reused_after_a_container_a_large_sample_or_a_local_file(examiner, body, source):
    reusable = ReusableReader(examiner.sandbox)
    assert examine(examiner, reusable, body, source).complete
    assert reader_of(reusable) is None


def test_no_reader_reads_samples_of_two_sources(examiner):
    reusable = ReusableReader(examiner.sandbox)
    examine(examiner, reusable, TEXT, "forum")
    reader = reader_of(reusable)
    examine(examiner, reusable, TEXT, "board")
    assert reader_of(reusable) is not reader
    reusable.close()


@pytest.mark.slow
def test_a_reader_is_replaced_after_the_greatest_number_of_samples(examiner):
    reusable = ReusableReader(examiner.sandbox)
    readers = {id(reader) for _ in range(MAX_REUSE + 1) for reader in [_next(examiner, reusable)]}
    assert len(readers) == 2
    reusable.close()


def _next(examiner: Examiner, reusable: ReusableReader) -> object:
    examine(examiner, reusable, TEXT)
    return reader_of(reusable)


@pytest.mark.slow
def test_a_killed_reader_makes_its_sample_incomplete_and_the_next_sample_complete(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=5), bwrap=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        reusable = ReusableReader(sandbox)
        examine(examiner, reusable, TEXT)
        server = sandbox._server
        assert server is not None
        [reader] = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(reader), signal.SIGKILL)
        lost = examine(examiner, reusable, TEXT)
        again = examine(examiner, reusable, TEXT)
        reusable.close()
    assert not lost.complete
    assert any(problem.startswith("reader: ") for problem in lost.problems)
    assert again.complete


def test_a_reader_that_is_killed_after_it_has_ended_still_reports_why_it_ended():
    """Found by fuzzing: the report said that the sandbox had ended."""
    ours, theirs = socket.socketpair()
    status, server_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    session = ReaderSession(ours, status)
    session.kill()
    server_status.send(b'{"code": null, "signal": 9, "reason": "it reached the limit of 20 seconds"}')
    server_status.close()
    theirs.close()
    assert session.wait(5).reason == "it reached the limit of 20 seconds"


@pytest.mark.slow
def test_a_reader_that_stops_working_is_ended_after_its_time_limit(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=0.5), bwrap=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        reusable = ReusableReader(sandbox)
        examine(examiner, reusable, TEXT)
        server = sandbox._server
        assert server is not None
        [reader] = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(reader), signal.SIGSTOP)
        stopped = examine(examiner, reusable, TEXT)
        reusable.close()
    assert not stopped.complete
    assert any("seconds" in problem for problem in stopped.problems)


@pytest.mark.slow
def test_a_sandbox_that_is_still_starting_can_be_used(tmp_path):
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=5), bwrap=False, wait=False) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        reusable = ReusableReader(sandbox)
        assert examine(examiner, reusable, TEXT).complete
        reusable.close()
        before = sandbox._server
        sandbox.ready()
        assert sandbox._server is before
        assert sandbox.protection()["reader walls"].startswith("degraded: bubblewrap was not asked for")


@pytest.mark.slow
def test_a_sandbox_that_is_closed_before_it_is_ready_leaves_no_process():
    sandbox = Sandbox(Limits(wall=5), bwrap=False, wait=False)
    starting = sandbox._starting
    assert starting is not None
    sandbox.close()
    assert starting.process.poll() is not None
