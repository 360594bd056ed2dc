"""An examiner, or a part of it, that is frozen is noticed within a deadline, ended, and blocks nobody."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crawler.process import examiner_client
from crawler.process.examiner_client import ExaminerClient, ExaminerProcess
from crawler.process.progress import Progress, kill_tree, processor_ticks
from data.errors import ConfigError, ExaminerDied, ReaderFailed
from data.settings.home import Home
from tests.whole.test_kill import tree

pytestmark = pytest.mark.slow
FROZEN_SECONDS = examiner_client.FROZEN_SECONDS


@pytest.fixture
def examiner(home, monkeypatch):
    monkeypatch.setattr(examiner_client, "FROZEN_SECONDS", 1.5)
    with ExaminerProcess.start(home) as started:
        yield started


def reader_server(root: int) -> int:
    """The innermost process of the sandbox, which forks readers."""
    found = []
    for pid in tree(root):
        # a reader may end meanwhile
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [pid] if b"fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return max(found)


def test_a_frozen_examiner_is_ended_at_the_next_order_and_new_sample_sockets_do_not_wait_for_it(examiner):
    examiner.ping()
    assert examiner.selftest() == []
    os.kill(examiner.process.pid, signal.SIGSTOP)
    errors: list[ExaminerDied] = []

    def test() -> None:
        with pytest.raises(ExaminerDied) as caught:
            examiner.selftest()
        errors.append(caught.value)

    testing = threading.Thread(target=test)
    testing.start()
    time.sleep(0.2)
    began = time.monotonic()
    examiner.attach().close()
    examiner.ping()
    assert time.monotonic() - began < 1, "neither waits for the order that is under way"
    testing.join(30)
    assert "did not answer" in str(errors[0])
    examiner.process.wait(10)
    assert not examiner.alive
    assert "no progress" in examiner.frozen
    with pytest.raises(ExaminerDied):
        examiner.ping()


def test_a_frozen_fork_server_of_readers_is_replaced_and_the_sample_is_examined(examiner, monkeypatch):
    client = ExaminerClient(examiner.attach())
    before = reader_server(examiner.process.pid)
    os.kill(before, signal.SIGSTOP)
    # both have their real times: the examiner that waits does nothing, and must not count as frozen itself
    monkeypatch.setattr(examiner_client, "FROZEN_SECONDS", FROZEN_SECONDS)
    assert examiner.selftest() == []
    assert examiner.ping() >= 1
    finding = client.examine({"name": "a.csv"}, [b"nom;prenom\nMartin;Paul\n"])
    assert (finding.complete, finding.rows) == (True, 1)
    assert reader_server(examiner.process.pid) != before
    assert not Path(f"/proc/{before}").exists()
    client.close()


def test_an_examination_ends_when_nobody_waits_for_it_any_more(examiner):
    client = ExaminerClient(examiner.attach())
    server = reader_server(examiner.process.pid)

    def chunks() -> Iterator[bytes]:
        yield b"nom;prenom\nMartin;Paul\n"
        until(lambda: len(tree(server)) > 1)
        [reader] = set(tree(server)) - {server}
        readers.append(reader)
        # Its limit is ten minutes.
        os.kill(reader, signal.SIGSTOP)

    def ask() -> None:
        with contextlib.suppress(ExaminerDied):
            client.examine({"name": "a.csv"}, chunks())

    readers: list[int] = []
    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: readers and stopped(readers[0]))
    time.sleep(0.3)
    client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: not Path(f"/proc/{readers[0]}").exists())
    asking.join(10)
    client.close()
    assert examiner.selftest() == []


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_readers_without_bubblewrap_are_refused_if_it_is_required(home, tmp_path):
    empty = {"PATH": str(tmp_path)}
    with ExaminerProcess.start(Home(home.path, empty)) as started:
        assert "bubblewrap is not installed" in started.greeting.protection["reader walls"]
    # an examiner has no variables of the environment of its own, and is told what they say
    required = {**empty, "TOCSIN_EXAMINE__BUBBLEWRAP": "required"}
    with pytest.raises(ReaderFailed, match="required to run inside it"):
        ExaminerProcess.start(Home(home.path, required))
    with pytest.raises(ConfigError, match="bubblewrap"):
        ExaminerProcess.start(Home(home.path, {**empty, "TOCSIN_EXAMINE__BUBBLEWRAP": "perhaps"}))


def test_a_working_process_makes_progress_and_a_stopped_one_does_not():
    # The shell waits for a loop that works, so that the work is that of a child.
    process = subprocess.Popen(["sh", "-c", "(while :; do :; done); true"])
    try:
        progress, before, end = Progress(process.pid, 0.3), processor_ticks(process.pid), time.monotonic() + 60
        while processor_ticks(process.pid) == before:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert not progress.has_stopped()
        for pid in tree(process.pid):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        progress.has_stopped()
        time.sleep(0.5)
        assert progress.has_stopped()
        progress.note_sign()
        assert not progress.has_stopped()
    finally:
        kill_tree(process.pid)
        process.wait()
