"""Every hostile sample by the real command: hits, honest findings, and what the processes that stay need for it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crawler.readers.core.limits import Limits
from tests.command import TOCSIN, environment, must
from tests.synth.hostile import CANARY, Hostile
from tests.synth.hostile_corpus import CORPUS

pytestmark = pytest.mark.slow

# what an examiner may need beside its own 200 MiB and the hashes of what it was told
MOST_MEMORY = 300 * 2**20
# the limits of the samples that are made for narrow ones
NARROW = {"max_ratio": 50.0, "max_entries": 500}
PLAIN = Limits()


@dataclass
class Run:
    """What one `tocsin scan` said of its files.

    Attributes:
        command, examiner: most memory of these processes, in bytes.
        seconds: processor time of all processes together, which does not depend on what else the machine does.
    """

    findings: dict[str, dict[str, Any]]
    status: int
    errors: str
    command: int = 0
    examiner: int = 0
    seconds: float = 0.0


@dataclass
class Watch:
    """The peaks of a process and of the examiner that it started."""

    process: subprocess.Popen[bytes]
    peaks: dict[str, int] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(0.05):
            pid = self.process.pid
            self._take("command", pid)
            for child in _words(f"/proc/{pid}/task/{pid}/children"):
                self._take("examiner", int(child))

    def _take(self, name: str, pid: int) -> None:
        words = _words(f"/proc/{pid}/status")
        if "VmHWM:" in words:
            self.peaks[name] = max(self.peaks.get(name, 0), int(words[words.index("VmHWM:") + 1]) * 1024)


def _processor_seconds() -> float:
    """Processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _words(path: str) -> list[str]:
    try:
        return Path(path).read_text().split()
    except OSError:
        # it has ended
        return []


def _scan(folder: Path, samples: dict[str, Hostile], **limits: float) -> Run:
    home, files = folder / "home", folder / "files"
    must(None, "init", home)
    if limits:
        with (home / "tocsin.toml").open("a") as settings:
            settings.write("\n[examine]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items()))
    people, bundle = folder / "people.csv", folder / "bundle"
    people.write_text(f"mail\n{CANARY}\n")
    must(None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", "p1", "--columns", "mail=email",
         people, "--out", bundle)  # fmt: skip
    must(home, "canary", "import", bundle)
    files.mkdir()
    for name, sample in samples.items():
        (files / name).write_bytes(sample.data)
    before = _processor_seconds()
    command = [TOCSIN, "--home", str(home), "scan", "--json", str(files)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    watch = Watch(process)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        out, errors = process.communicate(timeout=1800)
    finally:
        process.kill()
        watch.over.set()
        thread.join()
    findings = {Path(each["path"]).name: each for each in json.loads(out)["inputs"]}
    return Run(findings, process.returncode, errors.decode(), **watch.peaks, seconds=_processor_seconds() - before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Run]:
    """By whether the limits are narrow."""
    # the compiler needs more memory than any sample, once on a machine
    subprocess.run([sys.executable, "-m", "crawler.examiner.kernel_warmup"], check=True, capture_output=True)
    parts: dict[bool, dict[str, Hostile]] = {False: {}, True: {}}
    for name, make in CORPUS.items():
        sample = make()
        parts[sample.limits != PLAIN][name] = sample
    return {
        False: _scan(tmp_path_factory.mktemp("plain"), parts[False]),
        True: _scan(tmp_path_factory.mktemp("narrow"), parts[True], **NARROW),
    }


def _walk(finding: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield finding
    for member in finding["members"]:
        yield from _walk(member)


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_sample_is_a_finding_with_its_canary(name: str, runs: dict[bool, Run]) -> None:
    sample = CORPUS[name]()
    narrow = sample.limits != PLAIN
    finding = runs[narrow].findings[name]
    assert finding["bytes"] == len(sample.data)
    said = {problem.partition(":")[0] for each in _walk(finding) for problem in each["problems"]}
    assert "input" not in said
    assert finding["complete"] or said
    if sample.limits in (PLAIN, Limits(max_ratio=50), Limits(max_entries=500)):
        assert finding["complete"] == sample.complete
        assert (sample.problems & said) or not sample.problems
    if sample.visible or sample.bytes:
        assert [hit["client"] for hit in finding["hits"]] == ["p1"]


def test_the_processes_that_stay_are_small_and_in_time(runs: dict[bool, Run]) -> None:
    for run in runs.values():
        assert run.errors == ""
        assert run.status == 2
        assert 0 < run.command < MOST_MEMORY
        assert 0 < run.examiner < MOST_MEMORY
        assert run.seconds < 240
