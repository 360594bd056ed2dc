"""Scans on a Dask cluster while its members are killed and lie, and compares each finding with that of one machine.

`python -m tests.whole.cluster_campaign --runs 50 --seed N` makes so many scans. In each, workers are killed when 25, 50 and
75 % of the results are there; in every second one the scheduler is killed twice, or the command; in every third one a chunk
ends each worker that examines it, which must be told while the others are finished; and in each one worker lies in one of
the ways of `tests.servers.faulty_worker`. A scan that was broken off is repeated with the same folder of results. At the
end nothing may be missing, and nothing be there twice: the finding is that of one machine in every field.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.command import TOCSIN, environment, tocsin
from tests.scheduler.cli.test_scan import CROWD, make_home
from tests.servers.dask_cluster import DaskCluster
from tests.synth.people import people, to_csv

LIARS = ("forger", "blind", "other_list", "breaks_files", "fails", "forgets", "no_tocsin")
SHARES = (0.25, 0.5, 0.75)
_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Attack:
    """What happens in a run.

    Attributes:
        kills: shares of the results at which a worker is killed. breaks: those at which the scheduler or command is killed.
        victim: of `breaks`, `scheduler` or `command`.
        liar: fault of one worker, '' for none. poison: number of the chunk that ends its workers, -1 for none.
    """

    kills: tuple[float, ...] = SHARES
    breaks: tuple[float, ...] = ()
    victim: str = "scheduler"
    liar: str = ""
    poison: int = -1


def attacks(seed: int, chunks: int) -> Iterator[Attack]:
    """The attacks of a campaign, in order, without an end."""
    dice, number = random.Random(seed), 0
    while True:
        breaks = tuple(sorted(dice.uniform(0.05, 0.9) for _ in range(2))) if number % 2 else ()
        victim = "scheduler" if number % 4 == 1 else "command"
        poison = dice.randrange(chunks) if number % 3 == 2 else -1
        yield Attack(breaks=breaks, victim=victim, liar=LIARS[number % len(LIARS)], poison=poison)
        number += 1


@dataclass(slots=True)
class World:
    """A case, files, and what one machine finds in them.

    Attributes:
        folder: holds all. home: of the case. dump: the files. one: what one machine prints.
        results: how many files of results a scan makes. chunks: of the large file.
    """

    folder: Path
    home: Path
    dump: Path
    one: Any = None
    results: int = 0
    chunks: int = 0

    @classmethod
    def make(cls, folder: Path, rows: int = 130_000, files: int = 8) -> World:
        """A home, a large file and small ones, with canaries in all of them."""
        world = cls(folder, make_home(folder), folder / "dump")
        world.dump.mkdir()
        crowd = people(5, rows)
        half = rows // 2
        (world.dump / "large.csv").write_bytes(to_csv([*crowd[:half], *CROWD[:3], *crowd[half:], *CROWD[3:5]]))
        for number in range(files):
            (world.dump / f"small-{number}.csv").write_bytes(to_csv(CROWD[number % 8 : number % 8 + 2]))
        done = tocsin(world.home, "scan", "--json", world.dump, timeout=_SECONDS)
        assert done.returncode == 1, done.stderr
        world.one = json.loads(done.stdout)
        parts = folder / "parts"
        done = tocsin(
            world.home, "scan", "--part", "1/1", "--chunk-size", "1", "--out", parts, world.dump, timeout=_SECONDS
        )
        assert done.returncode == 0, done.stderr
        world.results = len(list(parts.glob("*.result")))
        # besides: one of the index, and one of each small file
        world.chunks = world.results - 1 - files
        return world

    def scan(self, cluster: DaskCluster, out: Path) -> subprocess.Popen[bytes]:
        """The command, begun."""
        command = [TOCSIN, "--home", self.home, "scan", "--json", "--cluster", cluster.address, "--chunk-size", "1"]
        command += ["--out", out, self.dump]
        return subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**cluster.environ)
        )


@dataclass(slots=True)
class Run:
    """One scan under an attack.

    Attributes:
        said: what the command wrote to standard error, all times together. poisoned: whether the poison chunk was told.
        commands: how often it was started. refused: notes about workers that get no more work.
    """

    world: World
    cluster: DaskCluster
    attack: Attack
    out: Path
    said: str = ""
    poisoned: bool = False
    commands: int = 0
    kills: list[float] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)

    def go(self) -> None:
        """Scan, and compare; raises AssertionError if anything is not as it should be."""
        attack = self.attack
        self.kills, self.breaks = list(attack.kills), list(attack.breaks)
        fault = f"poison-{attack.poison}" if attack.poison >= 0 else ""
        for kind in (attack.liar, fault, fault):
            if kind or not attack.liar:
                self.cluster.start_worker(kind)
        if not fault:
            self.cluster.start_worker()
            self.cluster.start_worker()
        code, found = self._until_done(fault)
        if fault:
            assert code == 2, (code, self.said)
            assert "a piece of it could not be examined: its workers ended" in self.said, self.said
            missing = self.world.results - self._there()
            assert missing == 1, f"{missing} results are missing because of one chunk: {self.said}"
            self.poisoned = True
            for name in list(self.cluster.workers):
                self.cluster.kill(name)
            self.cluster.start_worker()
            code, found = self._until_done("")
        assert code == 1, (code, self.said)
        assert found == self.world.one, "the finding is not that of one machine"
        assert self._there() == self.world.results
        # a command that is killed while it writes leaves that file under another name
        unfinished = [path for path in self.out.iterdir() if path.suffix not in (".result", ".index", ".json")]
        assert len(unfinished) <= (len(attack.breaks) if attack.victim == "command" else 0), unfinished

    def _there(self) -> int:
        return len(list(self.out.glob("*.result"))) if self.out.is_dir() else 0

    def _until_done(self, fault: str) -> tuple[int, Any]:
        """Start the command until it was not broken off; its status and what it printed."""
        while True:
            self.commands += 1
            process = self.world.scan(self.cluster, self.out)
            try:
                broken = self._watch(process, fault)
                out, said = process.communicate(timeout=_SECONDS)
            finally:
                process.kill()
            self.said += said.decode()
            assert "Traceback" not in said.decode(), said.decode()
            # it may have had all results, or told of the chunk that ends its workers, before the scheduler was killed
            is_done = broken == "scheduler" and process.returncode == 1
            if not broken or is_done:
                return process.returncode, json.loads(out) if out else None
            if broken == "scheduler":
                assert process.returncode == 2, (process.returncode, said.decode())
                has_told = bool(fault) and "its workers ended while they examined it" in said.decode()
                assert has_told or "goes on where it stopped" in said.decode(), said.decode()

    def _watch(self, process: subprocess.Popen[bytes], fault: str) -> str:
        """Kill what is to be killed until the command ends; who was killed to break it off, '' for nobody."""
        cluster, deadline = self.cluster, time.monotonic() + _SECONDS
        while process.poll() is None:
            assert time.monotonic() < deadline, (self.said, cluster.log())
            share = self._there() / self.world.results
            if self.breaks and share >= self.breaks[0]:
                self.breaks.pop(0)
                if self.attack.victim == "command":
                    process.kill()
                    return "command"
                cluster.kill_scheduler()
                cluster.start_scheduler()
                for kind in (fault, fault):
                    cluster.start_worker(kind)
                return "scheduler"
            if self.kills and share >= self.kills[0]:
                self.kills.pop(0)
                honest = [name for name in cluster.workers if name.startswith(("honest", "poison"))]
                cluster.kill(honest[0])
                cluster.start_worker(fault)
            for name, worker in list(cluster.workers.items()):
                # a chunk ended it, or it was told to end
                if worker.poll() is not None:
                    del cluster.workers[name]
                    cluster.start_worker(fault)
            time.sleep(0.02)
        return ""


def campaign(folder: Path, wanted: Iterable[Attack], world: World) -> Iterator[Run]:
    """Run attacks one after another; yields each run that ended as it should."""
    for number, attack in enumerate(wanted):
        with DaskCluster(folder / f"cluster-{number}") as cluster:
            run = Run(world, cluster, attack, folder / f"out-{number}")
            run.go()
            yield run


def main() -> None:
    """Make a campaign."""
    parser = argparse.ArgumentParser(prog="python -m tests.whole.cluster_campaign", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="runs at the beginning that are not made")
    parser.add_argument("--rows", type=int, default=130_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-campaign-") as made:
        world = World.make(Path(made), arguments.rows)
        print(f"{world.results} results, {world.chunks} of them chunks of one file", flush=True)
        dice = attacks(arguments.seed, world.chunks)
        wanted = [next(dice) for _ in range(arguments.runs)][arguments.skip :]
        for number, run in enumerate(campaign(Path(made), wanted, world), arguments.skip + 1):
            told = run.said.count("gets no more work")
            print(f"run {number}: {run.attack}: exact; {run.commands} commands, {told} workers set aside", flush=True)
    print(f"{arguments.runs - arguments.skip} runs: 0 lost, 0 doubled")


if __name__ == "__main__":
    main()
