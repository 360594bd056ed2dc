"""Many files of a folder are examined several at a time, with the same results in the same order as one by one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from crawler.process import examiner_client
from data.errors import ExaminerDied, InputError
from data.model import Finding
from data.settings.home import Home
from scheduler.local_files.scanning import SMALL_FILE, expand_paths, open_scanner
from tests.command import must
from tests.inside import refused, run
from tests.synth.people import people, to_csv
from tests.whole.test_kill import tree

CROWD = people(8, 300)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("case")
    must(None, "init", folder / "home")
    return Home(folder / "home", dict(os.environ))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("files")
    for number in range(60):
        (made / f"{number:02}.csv").write_bytes(to_csv(CROWD[number : number + 1 + number % 7]))
    (made / "30.csv-large").write_bytes(to_csv(CROWD) * 20)
    assert (made / "30.csv-large").stat().st_size > SMALL_FILE
    (made / "40-link").symlink_to(made / "41.csv")
    return made


def test_results_come_in_order_and_equal_those_of_single_examinations(home, folder):
    with open_scanner(home) as scanner:
        paths = list(expand_paths((str(folder), str(folder / "nothing"))))
        results = list(scanner.examine_all(paths))
        assert [path for path, _ in results] == ["" if isinstance(path, InputError) else path for path in paths]
        errors = [path for path, found in results if isinstance(found, InputError)]
        assert errors == ["", str(folder / "nothing")]
        for path, found in results[::9]:
            assert isinstance(found, Finding)
            assert found == scanner.examine(path)
        rows = [found.rows for _, found in results if isinstance(found, Finding)]
        assert rows == [
            *[1 + number % 7 for number in range(31)],
            # the names of the columns stand in it twenty times, and are no rows
            20 * len(CROWD),
            *[1 + n % 7 for n in range(31, 60)],
        ]


def test_no_file_is_lost_when_the_examiner_ends(home, folder):
    with open_scanner(home) as scanner:
        results = []
        for path, found in scanner.examine_all(expand_paths((str(folder),))):
            results.append((path, found))
            if len(results) == 5:
                scanner._process.process.kill()
        assert len(results) == 62
        assert {path for path, found in results if not isinstance(found, Finding)} == {""}


def test_an_examiner_that_stands_still_ends_the_scan_with_an_error(home, folder, monkeypatch, capsys):
    monkeypatch.setattr(examiner_client, "FROZEN_SAMPLE_SECONDS", 4.0)
    with open_scanner(home) as scanner:
        [name] = [found.path for path, found in scanner.examine_all([str(folder / "30.csv-large")])]
        for _ in range(2):
            os.kill(scanner._process.process.pid, signal.SIGSTOP)
            with pytest.raises(ExaminerDied, match="made no progress and was ended"):
                scanner.examine(name)
        # input that comes slowly is no reason
        reading, writing = os.pipe()
        timer = threading.Timer(6, lambda: (os.write(writing, to_csv(CROWD[:3])), os.close(writing)))
        timer.start()
        assert scanner.examine(f"/dev/fd/{reading}").rows == 3
        os.close(reading)
        timer.join()
        # several small files: those that were being examined are examined by the next examiner
        os.kill(scanner._process.process.pid, signal.SIGSTOP)
        results = list(scanner.examine_all(str(folder / f"{number:02}.csv") for number in range(4)))
        assert [found.rows for _, found in results if isinstance(found, Finding)] == [1, 2, 3, 4]
    # the command itself, whose examiner is stopped as soon as it has started
    monkeypatch.setattr(examiner_client, "FROZEN_START_SECONDS", 4.0)
    before = set(tree(os.getpid()))
    stopping = threading.Thread(target=stop_new_examiner, args=(before,))
    stopping.start()
    refused(run(home.path, "scan", name), "made no progress", "hint:")
    stopping.join()


def stop_new_examiner(before: set[int]) -> None:
    while True:
        for pid in set(tree(os.getpid())) - before:
            with contextlib.suppress(OSError):
                if b"crawler.examiner.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGSTOP)
                    return
        time.sleep(0.02)
