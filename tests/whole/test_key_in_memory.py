"""A match key that comes by the environment: where its bytes are while the daemon runs, and what it protects."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data.hashing.case_keys import parse_match_key
from tests.command import TOCSIN, environment, must, tocsin
from tests.servers.webhook import Webhook

pytestmark = pytest.mark.slow


@dataclass
class Running:
    home: Path
    key: str
    process: subprocess.Popen
    webhook: Webhook

    def child(self, words: str, at_most: int = 0) -> int:
        """The process of the daemon whose command line holds these words; with `at_most` 0 if there is none."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                line = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if parent == self.process.pid and words in line:
                found.append(int(path.parent.name))
        assert len(found) == 1 or (at_most and not found), (words, found)
        return found[0] if found else 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon whose home has no match key; a source file that cannot be used gives it something to report."""
    folder = tmp_path_factory.mktemp("memory")
    home = folder / "home"
    must(None, "init", home)
    key = (home / "keys" / "match.key").read_text().strip()
    (home / "keys" / "match.key").unlink()
    bad = home / "sources" / "bad.yaml"
    bad.write_text("name: bad\nplatform: feed\nurl: http://127.0.0.1/\nevry: 1h\n")
    # a source that cannot be read: each of its crawls makes sure that an examiner runs
    dead = home / "sources" / "dead.yaml"
    dead.write_text("name: dead\nplatform: feed\nurl: http://127.0.0.1:1/\nevery: 1s\n")
    for path in (bad, dead):
        path.chmod(0o600)
    with Webhook() as webhook:
        (home / "tocsin.toml").write_text(
            f'[channels.team]\nkind = "generic"\nunsigned = true\nurl = "{webhook.url}/x"\n'
        )
        process = subprocess.Popen(
            [TOCSIN, "--home", str(home), "daemon"],
            env=environment(TOCSIN_MATCH_KEY=key),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            end = time.monotonic() + 120
            while not webhook.received:
                assert process.poll() is None, "the daemon ended"
                assert time.monotonic() < end, "no alert came"
                time.sleep(0.05)
            yield Running(home, key, process, webhook)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def forms(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)]


def mappings_with(pid: int, needles: list[bytes]) -> list[tuple[str, set[str]]]:
    """Each mapping of a process that holds one of some byte strings, with its VmFlags."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text()):
            line = part.partition("\n")[0]
            first, last = (int(each, 16) for each in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line:
                continue
            memory.seek(first)
            try:
                content = memory.read(last - first)
            except OSError:
                continue
            if any(needle in content for needle in needles):
                flags = re.search(r"VmFlags: (.*)", part)
                assert flags is not None
                found.append((line, set(flags[1].split())))
    return found


def test_the_runner_does_not_hold_the_match_key(running):
    secret = parse_match_key(running.key).secret
    needles = forms(bytes(secret.view))
    assert mappings_with(running.process.pid, [str(running.home).encode()]), "the search finds what is there"
    assert mappings_with(running.process.pid, needles) == []
    assert not any(needle in Path(f"/proc/{running.process.pid}/environ").read_bytes() for needle in needles)
    for pid in (running.child("crawler.examiner.main"), running.child("data.settings.key_keeper")):
        assert not any(needle in Path(f"/proc/{pid}/environ").read_bytes() for needle in needles)


def test_the_match_key_and_the_keys_of_the_case_lie_in_locked_memory_outside_of_core_dumps(running):
    match_key = parse_match_key(running.key)
    secret = bytes(match_key.secret.view)
    keeper = mappings_with(running.child("data.settings.key_keeper"), forms(secret))
    assert len(keeper) == 1
    examiner = running.child("crawler.examiner.main")
    # the examiner overwrites the match key once it has derived the keys of the case from it
    assert mappings_with(examiner, forms(secret)) == []
    derived = match_key.derive()
    held = mappings_with(examiner, [derived.confirm, derived.bundle, derived.probe])
    assert held
    for line, flags in [*keeper, *held]:
        assert {"dd", "lo"} <= flags, (line, flags)


def test_no_process_leaves_a_core_and_the_examiner_has_no_network(running):
    found = descendants(running.process.pid)
    assert len(found) >= 3
    for pid in [running.process.pid, *found]:
        with contextlib.suppress(FileNotFoundError):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits), (Path(f"/proc/{pid}/cmdline").read_bytes(), limits)
    examiner = Path("/proc") / str(running.child("crawler.examiner.main"))
    ours = Path("/proc/self/ns/net").readlink()
    refused = re.search(r"Seccomp:\s+2", (examiner / "status").read_text()) is not None
    assert (examiner / "ns" / "net").readlink() != ours or refused


def test_a_scan_that_is_ended_by_sigquit_leaves_no_core(running, tmp_path):
    """Ctrl-\\ in a terminal sends SIGQUIT to all processes of the command, while they hold a sample."""
    # whoever runs the tests in the background ignores SIGQUIT
    code = (
        "import os, resource, signal, sys; resource.setrlimit(resource.RLIMIT_CORE, (-1, -1));"
        " signal.signal(signal.SIGQUIT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    scan = subprocess.Popen(
        [sys.executable, "-c", code, TOCSIN, "--home", str(running.home), "scan", "-"],
        env=environment(TOCSIN_MATCH_KEY=running.key),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert scan.stdin is not None
    scan.stdin.write(b"Dupont;Jean;12/03/1975\n" * 9)
    scan.stdin.flush()
    end = time.monotonic() + 240
    while not any(b"crawler.sandbox" in command_line(pid) for pid in descendants(scan.pid)):
        assert scan.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    for pid in [scan.pid, *descendants(scan.pid)]:
        with contextlib.suppress(FileNotFoundError):
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits), command_line(pid)
    os.killpg(scan.pid, signal.SIGQUIT)
    ended, status = 0, 0
    while not ended:
        ended, status = os.waitpid(scan.pid, os.WNOHANG)
        assert time.monotonic() < end, "SIGQUIT does not end the command"
        time.sleep(0.05)
    scan.returncode = -signal.SIGQUIT
    scan.stdin.close()
    assert os.WTERMSIG(status) == signal.SIGQUIT
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    below = [pid]
    for each in below:
        below += [child for child, parent in parents.items() if parent == each]
    return below[1:]


def test_the_alert_carries_a_head_and_the_keys_of_the_chain_are_checked_with_the_match_key_alone(running):
    heads = [json.loads(each.body)["tocsin"]["head"] for each in running.webhook.received]
    assert all(heads)
    assert f": {heads[0]}" in json.loads(running.webhook.received[0].body)["message"]
    checked = json.loads(
        tocsin(running.home, "evidence", "verify", "--head", heads[0], "--json", TOCSIN_MATCH_KEY=running.key).stdout
    )
    assert (checked["problems"], checked["keys"], checked["contains_head"]) == ([], "checked", True)
    without = json.loads(tocsin(running.home, "evidence", "verify", "--json").stdout)
    assert (without["problems"], without["keys"]) == ([], "not available")
    assert json.loads(tocsin(running.home, "status", "--json").stdout)["head"] >= heads[0][:2]


def test_an_examiner_that_died_is_started_again_with_the_key(running):
    first = running.child("crawler.examiner.main")
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 120
    while (second := running.child("crawler.examiner.main", at_most=1)) in (0, first):
        assert time.monotonic() < end, "no examiner was started"
        time.sleep(0.1)
    assert running.process.poll() is None
    assert second
    match_key = parse_match_key(running.key)
    assert mappings_with(running.process.pid, forms(bytes(match_key.secret.view))) == []
