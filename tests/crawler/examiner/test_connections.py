"""Sample sockets of a real examiner: a connection with many small samples gets a worker, which changes no answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from crawler.process.examiner_client import ExaminerClient, ExaminerProcess
from data.errors import ExaminerDied
from data.model import Finding
from data.settings.home import Home
from tests.command import must
from tests.synth.people import people, to_csv

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: the examiner forks no worker"),
]
PEOPLE = people(5, 30)
PASTE = to_csv(PEOPLE)


def children(pid: int) -> list[int]:
    """The running child processes of a process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(entry.name))
    return found


def descendants(pid: int) -> list[int]:
    """All running processes below a process."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def workers(examiner: ExaminerProcess) -> list[int]:
    """The workers of an examiner: child processes with the same command line."""
    if not examiner.alive:
        return []
    called = Path(f"/proc/{examiner.process.pid}/cmdline").read_bytes()
    found = []
    for pid in children(examiner.process.pid):
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes() == called:
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def until(holds: Callable[[], object]) -> None:
    # a busy machine takes long to fork a worker
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def ask(client: ExaminerClient, body: bytes = PASTE, **more: object) -> Finding:
    return client.examine({"name": "p", "source": "s", **more}, [body])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("case")
    must(None, "init", folder / "home")
    return Home(folder / "home", {})


@pytest.fixture(scope="module")
def examiner(home) -> Iterator[ExaminerProcess]:
    with ExaminerProcess.start(home) as process:
        yield process


@contextmanager
def contended(examiner: ExaminerProcess) -> Iterator[tuple[ExaminerClient, ExaminerClient, int]]:
    """Two connections with small samples, of which one got a worker: that one, the other one, the worker."""
    with closing(ExaminerClient(examiner.attach())) as one, closing(ExaminerClient(examiner.attach())) as two:
        before = ask(one)
        found: list[Finding] = []

        stop = threading.Event()

        def send_samples(client: ExaminerClient) -> None:
            while not stop.is_set():
                found.append(ask(client))

        threads = [threading.Thread(target=send_samples, args=(client,)) for client in (one, two)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: workers(examiner))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        (worker,) = workers(examiner)
        assert all(finding == before for finding in (*found, ask(one), ask(two)))
        moved, other = (two, one) if answers_first(one, two, worker) else (one, two)
        yield moved, other, worker
    until(lambda: not workers(examiner))


def answers_first(one: ExaminerClient, two: ExaminerClient, stopped: int) -> bool:
    """Whether `one` is answered while a worker is stopped that serves one of the two connections."""
    answered: list[ExaminerClient] = []
    threads = [
        threading.Thread(target=lambda client=each: (ask(client), answered.append(client))) for each in (one, two)
    ]
    os.kill(stopped, signal.SIGSTOP)
    try:
        for thread in threads:
            thread.start()
        until(lambda: answered)
        return answered[0] is one
    finally:
        os.kill(stopped, signal.SIGCONT)
        for thread in threads:
            thread.join()


def test_the_next_sample_is_matched_with_new_sets_and_the_worker_ends(home, examiner, tmp_path):
    people_csv = tmp_path / "planted.csv"
    with contended(examiner) as (moved, other, worker):
        must(home.path, "canary", "generate", "--client", "practice", "--count", "5", "--out", people_csv)
        examiner.reload()
        for client in (moved, other):
            assert [hit.client for hit in ask(client, people_csv.read_bytes()).hits] == ["practice"]
        until(lambda: worker not in workers(examiner))
        assert ask(moved).hits == ()


def test_records_that_a_worker_collected_for_a_release_are_written_once(home, examiner):
    with closing(ExaminerClient(examiner.attach())) as before:
        ask(before, to_csv(PEOPLE[:10]), release="part-1")
    with contended(examiner) as (moved, other, worker):
        for client, group in ((moved, PEOPLE[10:20]), (other, PEOPLE[20:])):
            ask(client, to_csv(group), release="part-1")
        assert workers(examiner) == [worker]
        manifest = examiner.finish_release("part-1", {"name": "part 1"})
        assert manifest["records"] == len(PEOPLE)
        assert {ask(client).lineage.verdict for client in (moved, other)} == {"re-post"}


def test_a_large_sample_is_examined_completely_and_ends_the_worker(examiner):
    many = to_csv(people(6, 12_000))
    assert len(many) > 2**20
    with contended(examiner) as (moved, _, worker):
        finding = ask(moved, many)
        assert (finding.rows, finding.complete, finding.bytes) == (12_000, True, len(many))
        until(lambda: worker not in workers(examiner))
        assert ask(moved).rows == len(PEOPLE)


def test_a_worker_that_is_killed_ends_only_its_own_connection(examiner):
    with contended(examiner) as (moved, other, worker):
        os.kill(worker, signal.SIGSTOP)
        failed: list[ExaminerDied] = []

        def expect_failure() -> None:
            with pytest.raises(ExaminerDied) as met:
                ask(moved)
            failed.append(met.value)

        asking = threading.Thread(target=expect_failure)
        asking.start()
        os.kill(worker, signal.SIGKILL)
        asking.join()
        assert failed
        assert ask(other).rows == len(PEOPLE)
        assert examiner.alive
        with closing(ExaminerClient(examiner.attach())) as again:
            assert ask(again).rows == len(PEOPLE)


def test_a_worker_holds_no_reader_of_another_connection(examiner):
    (sandbox,) = children(examiner.process.pid)
    with contended(examiner) as (_, other, worker):
        held = len(descendants(sandbox))
        other.close()
        until(lambda: len(descendants(sandbox)) < held)
        assert workers(examiner) == [worker]


def test_workers_end_with_their_examiner(home):
    with ExaminerProcess.start(home) as examiner, contended(examiner) as (_, _, worker):
        examiner.process.kill()
        examiner.process.wait()
        until(lambda: not Path(f"/proc/{worker}").exists())
