"""Attacks on a running daemon at random moments: whatever is hit and when, nothing is lost, doubled or left untold.

`python -m tests.whole.campaign --seed N --attacks K` makes a campaign; the same seed makes the same attacks, at moments
that the machine's speed moves a little. `tests/whole/test_faults.py` has a short one, and the matrix of fixed moments.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.command import must, tocsin
from tests.servers.hostile_answers import ANSWERS, HostileServer
from tests.whole.fault_world import BEAT, INTERVALS, LOOKS, TEST, VISIT, World, opened_world
from tests.whole.file_damage import fail_reading, flip_bits
from tests.whole.test_kill import tree

# Files of the home, of which the daemon tells any damage.
FILES = (
    "watchlist/segment-*/*.part", "releases/known/**/*.tags", "keys/match.key", "keys/enrol.key", "keys/evidence.pub",
    "tocsin.toml", "sources/site.yaml", "watchlist/manifest.json", "releases/known/manifest.json",
)  # fmt: skip
# What must be told of a part that stands still or is killed, whatever it was doing; of other processes of the daemon
# only what they were doing.
NO_INODES = "no inodes"
ALWAYS_TOLD = {
    "examiner": ("the examiner was replaced",),
    "fork server of crawls": ("fork server of crawl processes",),
    "fork server of readers": ("process that starts readers",),
}
CLOCKS = ("+700d", "-2d", "+3h", "-3h")
CLOCK_WORDS = ("the system's clock was set", "the clock of this machine was ahead")
# Answers whose post is not read again, because no further request would bring more.
FINAL = {"bomb"}
# Answers of a chat after which an alert is certainly not there, so that the other chat is told.
NOT_TAKEN = {"retry-after", "retry-after-date", "bad-redirect", "other-redirect", "no-http", "nothing"}
OTHER_CHANNEL = """
[channels.other]
kind = "slack"
burst = 0
timeout = "2s"
url = "{url}/other/hook"
"""


@dataclass(slots=True)
class Attack:
    """One attack while it lasts.

    Attributes:
        name: for a person. undo: ends it. words: that an event or a trouble must hold, one of them; none if nothing has to be
            told. kinds: the same for kinds of events. unit: of the intervals within which it is told. mark: of the trace,
            before it.
    """

    name: str
    undo: Callable[[], None] = lambda: None
    words: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()
    unit: str = VISIT
    mark: int = 0


class Campaign:
    """Attacks on one world.

    Args:
        world: runs, and has no lasting state.
        seed: of everything that is chosen.
        clock: the file of the daemon's system clock, if that is faked.
        channel: the server of a further channel, if there is one; it answers well as long as its `answer` is empty.
    """

    def __init__(
        self, world: World, seed: int, clock: Path | None = None, channel: HostileServer | None = None
    ) -> None:
        self._world, self._random, self._clock, self._channel = world, random.Random(seed), clock, channel
        self._kinds: list[Callable[[], Attack]] = [
            self._signal_part, self._signal_part, self._signal_part, self._signal_runner, self._fill_disk,
            self._use_up_inodes, self._flip_bits, self._fail_reading, self._answer_badly,
        ]  # fmt: skip
        if clock is not None:
            self._kinds.append(self._set_clock)
        if channel is not None:
            self._kinds.append(self._answer_alerts_badly)

    def run(self, attacks: int) -> None:
        """Make so many rounds of one or two attacks; raises AssertionError with the log if one breaks a promise."""
        for number in range(1, attacks + 1):
            self._round(number)
        must(self._world.home, "evidence", "verify")

    def _round(self, number: int) -> None:
        world, chance = self._world, self._random
        world.calm()
        hits, began = world.hits(), time.monotonic()
        posts = [world.publish_hit()]
        time.sleep(chance.uniform(0, 2.5))
        chosen = chance.sample(self._kinds, 1 if chance.random() < 0.7 else 2)
        if self._signal_runner in chosen:
            # a daemon whose files are damaged does not start, and says so
            chosen = [self._signal_runner]
        # files can be put aside only as long as there is room, and the ballast is a file itself
        last = [self._fill_disk, self._use_up_inodes]
        attacks = []
        for attack in sorted(chosen, key=lambda each: last.index(each) + 1 if each in last else 0):
            mark = world.mark()
            attacks.append(attack())
            attacks[-1].mark = mark
        if len(attacks) > 1 and (none := next((each for each in attacks if each.name == NO_INODES), None)):
            # what else is wrong may keep posts from being examined, of which evidence would be kept
            none.words = ()
        is_long, pause = chance.random() < 0.5, chance.uniform(0.3, 6)
        names = " and ".join(attack.name for attack in attacks)
        print(f"{number:>4}  {names}, {'until it is told' if is_long else f'for {pause:.1f} s'}", flush=True)
        try:
            posts.append(world.publish_hit())
            if is_long:
                for attack in attacks:
                    world.until(lambda attack=attack: self._is_told(attack), f"{attack.name}: nobody was told")
                if not any(attack.words or attack.kinds for attack in attacks):
                    time.sleep(pause)
            else:
                time.sleep(pause)
        finally:
            for attack in reversed(attacks):
                attack.undo()
        world.site.hold.set()
        told = time.monotonic() - began
        world.until(world.examined, f"{names}: a post was lost")
        world.until(lambda: world.hits() >= hits + len(posts), f"{names}: a hit was not reported")
        world.calm()
        world.until(lambda: tocsin(world.home, "status").returncode == 0, f"{names}: status does not recover")
        world.until(lambda: not world.unsent(), f"{names}: an alert was not delivered")
        assert world.hits() == hits + len(posts), f"{names}: a hit was reported twice"
        print(f"      over after {told:.0f} s, well again after {time.monotonic() - began:.0f} s", flush=True)

    def _is_told(self, attack: Attack) -> bool:
        """Whether an attack is told; raises AssertionError if that took more than two intervals."""
        if not attack.words and not attack.kinds:
            return True
        over = self._world.intervals_until_told(attack.mark, attack.unit, attack.words, attack.kinds)
        assert over is None or over <= INTERVALS, f"{attack.name}: told after {over} intervals ({attack.unit})"
        return over is not None

    # --- the attacks -----------------------------------------------------------------------------------------------

    def _signal_part(self) -> Attack:
        world, chance = self._world, self._random
        assert world.process is not None
        parts = {
            pid: part for pid in sorted(tree(world.process.pid)) if (part := world.part_of(pid)) not in {"", "runner"}
        }
        # by its part, because there are many more readers than examiners
        part = chance.choice(sorted(set(parts.values())))
        target = chance.choice([pid for pid in parts if parts[pid] == part])
        number = chance.choice([signal.SIGSTOP, signal.SIGKILL])
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, number)
        return Attack(f"{number.name} of the {part}", words=ALWAYS_TOLD.get(part, ()), unit=LOOKS)

    def _signal_runner(self) -> Attack:
        world = self._world
        process = world.process
        assert process is not None
        number = self._random.choice([signal.SIGSTOP, signal.SIGKILL])
        process.send_signal(number)
        if number == signal.SIGSTOP:
            return Attack("SIGSTOP of the runner", undo=lambda: process.send_signal(signal.SIGCONT))
        process.wait()
        done = tocsin(world.home, "status")
        assert (done.returncode, "daemon" in done.stdout) == (2, True), "nobody is told of the daemon"
        self._logged = 0
        world.log.write_text("")
        world.start(self._clock)
        return Attack("SIGKILL of the runner")

    def _fill_disk(self) -> Attack:
        ballast = self._world.home / "ballast"
        with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while out.write(b"\0" * 4096):
                pass
        return Attack("a full disk", undo=ballast.unlink)

    def _use_up_inodes(self) -> Attack:
        home = self._world.home
        used = os.statvfs(home).f_files - os.statvfs(home).f_ffree
        subprocess.run(["mount", "-o", f"remount,nr_inodes={used}", home], check=True)
        return Attack(
            NO_INODES,
            words=("no space is left on the disk for evidence",),
            undo=lambda: subprocess.run(["mount", "-o", "remount,nr_inodes=100k", home], check=True) and None,
        )

    def _some_files(self) -> list[Path]:
        patterns = self._random.sample(FILES, self._random.randint(1, 3))
        return [file for pattern in patterns for file in sorted(self._world.home.glob(pattern))]

    def _flip_bits(self) -> Attack:
        files = self._some_files()
        with self._world.paused():
            mend = flip_bits(files)
        return Attack(
            f"flipped bits of {', '.join(file.name for file in files)}",
            undo=self._reloaded(mend),
            kinds=frozenset({"selftest_failed"}),
            unit=TEST,
        )

    def _fail_reading(self) -> Attack:
        files = self._some_files()
        with self._world.paused():
            repair = fail_reading(files)
        return Attack(
            f"EIO of {', '.join(file.name for file in files)}",
            undo=self._reloaded(repair),
            kinds=frozenset({"selftest_failed"}),
            unit=TEST,
        )

    def _reloaded(self, repair: Callable[[], None]) -> Callable[[], None]:
        def undo() -> None:
            with self._world.paused():
                repair()
            self._world.reload()

        return undo

    def _answer_badly(self) -> Attack:
        world, chance = self._world, self._random
        what = chance.choice(["listing", "post"])
        answer = chance.choice(sorted(ANSWERS if what == "listing" else set(ANSWERS) - FINAL))
        path = "/?page=1" if what == "listing" else f"/post/dump-{world.posts + 1}"
        world.site.raw[path] = ANSWERS[answer]
        return Attack(
            f"answer {answer} for the {what}",
            undo=lambda: world.site.raw.clear(),
            words=("site: ",),
            kinds=frozenset({"source_silent", "unexamined", "source_changed", "gap"}),
        )

    def _set_clock(self) -> Attack:
        clock = self._clock
        assert clock is not None
        offset = self._random.choice(CLOCKS)

        def set_to(value: str) -> None:
            # a new file takes the place of the old one, so that nobody reads an empty one
            (new := clock.with_suffix(".new")).write_text(value)
            new.rename(clock)

        set_to(offset)
        return Attack(f"clock {offset}", undo=lambda: set_to("+0"), words=CLOCK_WORDS, unit=BEAT)

    def _answer_alerts_badly(self) -> Attack:
        channel, home = self._channel, self._world.home
        assert channel is not None
        channel.answer = answer = self._random.choice(sorted(ANSWERS))

        def undo() -> None:
            channel.answer = ""
            # what was deferred for an hour, or refused
            for _ in range(3):
                tocsin(home, "alert", "retry", "--all")

        told = frozenset({"delivery_failed"}) if answer in NOT_TAKEN else frozenset()
        return Attack(f"answer {answer} of a channel", undo=undo, kinds=told, unit=LOOKS)


@contextlib.contextmanager
def _folder(given: str) -> Iterator[Path]:
    if given:
        Path(given).mkdir(parents=True)
        yield Path(given)
    else:
        with tempfile.TemporaryDirectory(prefix="tocsin-campaign-") as name:
            yield Path(name)


def main() -> None:
    """Run one campaign, and print each attack before it is made."""
    parser = argparse.ArgumentParser(prog="python -m tests.whole.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of all choices")
    parser.add_argument("--attacks", type=int, default=100, help="rounds of one or two attacks each")
    parser.add_argument("--folder", default="", help="for the home and the log, kept; a temporary one without it")
    given = parser.parse_args()
    # a shell lets what it starts in the background ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(f"seed {given.seed}, {given.attacks} rounds", flush=True)
    with _folder(given.folder) as folder:
        clock = folder / "clock"
        clock.write_text("+0")
        channel = HostileServer(lambda _: None if channel.answer else b"ok")
        settings = OTHER_CHANNEL.format(url=channel.url)
        crowd = 2 * (2 * given.attacks + 2)
        with opened_world(folder, crowd=crowd, clock=clock, settings=settings) as world:
            Campaign(world, given.seed, clock, channel).run(given.attacks)
        channel.close()
    print(f"nothing lost, nothing doubled, all told: {given.attacks} rounds with seed {given.seed}")


if __name__ == "__main__":
    main()
