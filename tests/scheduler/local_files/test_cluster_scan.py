"""`tocsin scan --cluster`: a Dask cluster finds what one machine finds, also if a worker is killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from data.errors import ConfigError, ExamineError
from data.hashing.case_keys import MatchKey, format_match_key, format_work_keys, parse_keys
from data.settings.home import Home
from scheduler.local_files import cluster_worker
from scheduler.local_files.cluster_case import case_files
from scheduler.local_files.cluster_scan import check_address
from scheduler.local_files.cluster_worker import CaseSecrets, pack_answer, unpack_answer
from tests.command import TOCSIN, environment
from tests.inside import refused, run
from tests.scheduler.cli.test_scan import CROWD, make_home
from tests.servers.dask_cluster import DaskCluster
from tests.synth.people import people, to_csv


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("local:2", ""),
        ("tcp://127.0.0.1:8786", ""),
        ("localhost:8786", ""),
        ("tls://10.1.2.3:8786", ""),
        ("tcp://10.1.2.3:8786", "only over TLS"),
        ("dask.example:8786", "only over TLS"),
        ("ws://127.0.0.1:8786", "only over TLS"),
        ("local:0", "local:N"),
        ("local:many", "local:N"),
    ],
)
def test_keys_travel_to_other_machines_only_over_tls(address, refused):
    if not refused:
        check_address(address)
        return
    with pytest.raises(ConfigError, match=refused):
        check_address(address)


def test_a_worker_gets_the_derived_keys_and_not_the_match_key():
    key = MatchKey(bytes(range(32)))
    text = format_work_keys(key.derive())
    assert parse_keys(text) == (key.derive(), None)
    assert parse_keys(format_match_key(key))[0] == key.derive()
    assert format_match_key(key).split()[1][:40] not in text


def test_answers_are_plain_bytes():
    assert unpack_answer(pack_answer({"index": None}, b"sealed")) == ({"index": None}, b"sealed")
    for wrong in (b"", b"\0\0\0\5{", b"\0\0\0\2[]"):
        with pytest.raises(ExamineError):
            unpack_answer(wrong)


def test_no_log_of_dask_holds_the_keys_although_a_worker_cannot_keep_the_case(tmp_path, caplog):
    from distributed import worker as dask
    from distributed.protocol.pickle import dumps

    class Worker:
        local_directory = str(tmp_path / "scratch")

        def __init__(self):
            """Dask only passes workers that may be made without arguments."""

    async def order(function, *arguments):
        return await dask.run(Worker(), None, function=dumps(function), args=dumps(arguments))

    def fails(secrets, dask_worker):
        raise OSError("as any order may fail")

    secrets = CaseSecrets(format_work_keys(MatchKey(bytes(32)).derive()), ("lune-2026",))
    with caplog.at_level(logging.INFO):
        answer = asyncio.run(order(cluster_worker.open_case, "c" * 64, {"tocsin.toml": "0" * 64}, secrets))
        failed = asyncio.run(order(fails, secrets))
    assert "a worker cannot keep the files of the case" in str(answer)
    assert failed["status"] == "error"
    assert "Run Failed" in caplog.text
    assert secrets.keys.split()[1][:20] not in caplog.text
    assert "lune-2026" not in caplog.text


def test_workers_have_the_limits_that_the_environment_of_the_command_sets(tmp_path):
    (tmp_path / "tocsin.toml").write_text('[examine]\nwall = "20m"\n[heartbeat]\nevery = "2h"\n')
    _, text = case_files(Home(tmp_path, {"TOCSIN_EXAMINE__MAX_DEPTH": "3"}))["tocsin.toml"]
    (tmp_path / "tocsin.toml").write_bytes(text)
    settings = Home(tmp_path, {}).settings()
    assert (settings.examine.max_depth, settings.examine.wall.total_seconds()) == (3, 1200)
    assert b"heartbeat" not in text


def test_a_worker_forgets_a_case_that_is_not_used(tmp_path, monkeypatch):
    class Worker:
        local_directory = str(tmp_path)

    monkeypatch.setattr(cluster_worker, "UNUSED", 0.01)
    assert not cluster_worker.open_case("c" * 64, {}, CaseSecrets("keys"), Worker())
    deadline = time.monotonic() + 300
    while list(tmp_path.glob("case-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    answer = cluster_worker.examine_piece("c" * 64, {}, "whole", None)
    assert unpack_answer(answer) == ({"lacks_case": True}, b"")
    assert not list(tmp_path.glob("case-*"))
    # it is opened again by the next order
    monkeypatch.setattr(cluster_worker, "UNUSED", 300)
    assert not cluster_worker.open_case("c" * 64, {}, CaseSecrets("keys"), Worker())
    assert list(tmp_path.glob("case-*"))
    cluster_worker.close_case("c" * 64, Worker())
    assert not list(tmp_path.glob("case-*"))


@pytest.mark.slow
@pytest.mark.servers
def test_a_cluster_over_tls_waits_for_workers_and_believes_none_that_lies(tmp_path):
    home, dump = make_home(tmp_path), tmp_path / "dump"
    dump.mkdir()
    for number in range(24):
        (dump / f"small-{number}.csv").write_bytes(to_csv(CROWD[number % 8 : number % 8 + 2]))
    out = tmp_path / "out"
    command = [TOCSIN, "--home", home, "scan", "--json", "--out", out, "--cluster"]
    said = tmp_path / "said"
    with DaskCluster(tmp_path / "cluster") as cluster, said.open("wb") as err:
        arguments = [*map(str, command), cluster.address, str(dump)]
        refused(
            subprocess.run(arguments, capture_output=True, text=True, env=environment()), "certificates of the cluster"
        )
        environ = environment(**cluster.environ)
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=err, env=environ) as process, ended(process):
            wait_for(said, "the cluster has no workers; waiting for some")
            cluster.start_worker("no_tocsin")
            wait_for(said, "is this version of Tocsin installed there?")
            # it has the first piece alone, and nobody else may have it
            dying = cluster.workers[cluster.start_worker("dies")]
            dying.wait(300)
            cluster.start_worker("blind")
            wait_for(said, "gets no more work: its results are refused")
            honest = cluster.workers[cluster.start_worker()]
            while not list(out.glob("*.result")) and process.poll() is None:
                time.sleep(0.01)
            # the one that fails has all pieces meanwhile, which then need a second opinion
            honest.send_signal(signal.SIGSTOP)
            cluster.start_worker("fails")
            while not cluster.failed.exists() and process.poll() is None:
                time.sleep(0.05)
            honest.send_signal(signal.SIGCONT)
            found, _ = process.communicate()
    one = run(home, "scan", "--json", dump)
    assert process.returncode == one.returncode == 1, said.read_text()
    assert json.loads(found) == one.json
    assert "the cluster has workers again" in said.read_text()
    assert "Traceback" not in said.read_text()


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]):
    """End a process if a test fails before it has ended by itself."""
    try:
        yield
    except BaseException:
        process.kill()
        raise


def wait_for(file: Path, words: str) -> None:
    """Wait until a file holds some words."""
    deadline = time.monotonic() + 300
    while words not in file.read_text():
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.servers
def test_a_cluster_finds_what_one_machine_finds_although_a_worker_is_killed(tmp_path):
    home, dump, out = make_home(tmp_path), tmp_path / "dump", tmp_path / "out"
    dump.mkdir()
    crowd = people(5, 35_000)
    (dump / "large.csv").write_bytes(to_csv([*crowd[:20_000], *CROWD[:3], *crowd[20_000:], *CROWD[3:5]]))
    for number in range(6):
        (dump / f"small-{number}.csv").write_bytes(to_csv(CROWD[number : number + 2]))
    post = tmp_path / "post.txt"
    post.write_text("Password: lune-2026\n")
    (tmp_path / "more.csv").write_bytes(to_csv(CROWD[3:5]))
    subprocess.run(["zip", "-q", "-j", "-P", "lune-2026", dump / "locked.zip", tmp_path / "more.csv"], check=True)
    command = [
        TOCSIN,
        "--home",
        home,
        "scan",
        "--json",
        "--cluster",
        "local:2",
        "--chunk-size",
        "1",
        "--out",
        out,
        "--post",
        post,
        dump,
    ]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, env=environment()) as process:
        while process.poll() is None and not any(out.glob("*.result")):
            time.sleep(0.05)
        workers = children(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        said, _ = process.communicate()
    one = run(home, "scan", "--json", "--post", post, dump)
    assert process.returncode == one.returncode == 1
    assert json.loads(said) == one.json


def children(pid: int) -> list[int]:
    """The workers that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and b"spawn_main" in path.with_name("cmdline").read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
