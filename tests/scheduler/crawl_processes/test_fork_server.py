"""The fork server of crawl processes: it is replaced if it freezes or is killed, and it listens on no path."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.transport.dial_socket import dial_socket_pair
from data.errors import CrawlNotStarted
from scheduler.crawl_processes import fork_server
from scheduler.crawl_processes.fork_server import ForkedProcess, ForkServer

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer()
    yield made
    made._end()


def forked(server: ForkServer) -> ForkedProcess:
    ours, control = socket.socketpair()
    runner, dial = dial_socket_pair()
    with ours, control, runner, dial:
        return server.fork(control, [], dial)


def ended(process: ForkedProcess) -> int | None:
    process.kill()
    process.join(30)
    code = process.exitcode
    process.close()
    return code


def pid_of(server: ForkServer) -> int:
    assert server._process is not None
    return server._process.pid


def test_a_process_is_forked_watched_and_ended(server):
    assert ended(forked(server)) in {-signal.SIGKILL, 1}


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_fork_server_that_does_not_answer_is_replaced(server, monkeypatch, number):
    ended(forked(server))
    before = pid_of(server)
    monkeypatch.setattr(fork_server, "FORK_SECONDS", 0.5)
    os.kill(before, number)
    try:
        ended(forked(server))
    except CrawlNotStarted:
        ended(forked(server))
    assert pid_of(server) != before


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_check_ends_a_server_that_does_not_answer_with_its_processes(server, monkeypatch, number):
    server.check()
    process = forked(server)
    server.check()
    assert process.exitcode is None or process.exitcode == 1, "one that answers is left alone"
    before = pid_of(server)
    monkeypatch.setattr(fork_server, "FORK_SECONDS", 0.5)
    os.kill(before, number)
    with pytest.raises(CrawlNotStarted, match="does not answer"):
        server.check()
    process.join(30)
    assert process.exitcode is not None
    process.close()
    assert not Path(f"/proc/{before}").exists()


def test_a_process_that_is_closed_twice_closes_no_file_of_others(server):
    process = forked(server)
    process.kill()
    process.close()
    # they get the numbers that have become free
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    process.close()
    process.kill()
    process.join(0)
    assert process.exitcode is None
    for each in others:
        os.close(each)


RUNNER = """
import os, signal, socket, threading, time
from crawler.transport.dial_socket import dial_socket_pair
from scheduler.crawl_processes.fork_server import ForkServer
server, found = ForkServer(), []
def fork():
    ours, control = socket.socketpair()
    runner, dial = dial_socket_pair()
    found.append((server.fork(control, [], dial), ours, runner))
for _ in range(2):
    # of a thread that has ended, as those of the daemon may have
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
pids = [server._process.pid, found[0][0].pid]
for pid in pids:
    os.kill(pid, signal.SIGSTOP)
print(*pids, found[1][0].exitcode, flush=True)
time.sleep(600)
"""


def test_a_fork_server_that_stands_still_ends_with_its_runner_and_so_do_its_processes():
    with subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE) as runner:
        try:
            assert runner.stdout is not None
            *pids, exitcode = runner.stdout.readline().decode().split()
            assert exitcode == "None", "the server goes on although the thread that started it has ended"
            handles = [os.pidfd_open(int(pid)) for pid in pids]
        finally:
            runner.kill()
    for handle in handles:
        ready = select.poll()
        ready.register(handle, select.POLLIN)
        gone = ready.poll(30_000)
        if not gone:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        assert gone, "it outlives its runner"


def test_the_fork_server_listens_nowhere(server):
    ended(forked(server))
    descriptors = [str(each.readlink()) for each in Path(f"/proc/{pid_of(server)}/fd").iterdir()]
    inodes = {each[8:-1] for each in descriptors if each.startswith("socket:")}
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    # Sockets with the flag of a listening socket, or with a path or an abstract name.
    reachable = [
        line
        for line in lines
        if line.split()[6] in inodes and (int(line.split()[3], 16) & 0x10000 or len(line.split()) > 7)
    ]
    assert inodes
    assert reachable == []
