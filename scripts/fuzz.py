"""Fuzzes every reader with atheris (libFuzzer): changes files, and keeps each that reaches new code of the reader.

The kept files are then read once more in the sandbox in which readers really run. Files that real writers made
(`tests/samples/shapes`) are mostly too large for libFuzzer: these are changed at random and read in the sandbox. A reader may report a file as
damaged. It must not crash, hang, break its protocol, or fail with an error that is not ours. A file that causes such a
fault is stored, so that it can be made a test.
Usage: python scripts/fuzz.py [--seconds N] [--reader FORMAT]... [--jobs N] [--seed N] [--corpus DIR] [--keep DIR]
"""

from __future__ import annotations

import argparse
import gzip
import io
import lzma
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from crawler.process.frames import pack, pack_json  # noqa: E402 - the same
from crawler.readers.core.limits import HEAD, Limits  # noqa: E402 - the same
from crawler.readers.core.registry import choose, readers  # noqa: E402 - the same
from crawler.sandbox.reader_client import ReaderConnection  # noqa: E402 - the checkout comes first on the path
from crawler.sandbox.sandbox import Sandbox  # noqa: E402 - the same
from data.plural import counted  # noqa: E402 - the same
from tests.crawler.readers.databases.test_access_database import made  # noqa: E402 - the same
from tests.crawler.readers.frames import Consumer  # noqa: E402 - the same
from tests.synth.every_format import SOUND, sample  # noqa: E402 - the same
from tests.synth.hostile_corpus import CORPUS  # noqa: E402 - the same

# a file of some kilobytes that takes longer than this makes the reader hang: the slowest valid file takes 3 s
HANG_SECONDS = 20
LIMITS = Limits(wall=HANG_SECONDS, cpu=HANG_SECONDS, max_output=2**27, max_entries=2000)

SHAPES = ROOT / "tests" / "samples" / "shapes"
# at most so many bytes of a file are changed at once, and these stand for lengths and numbers
_CHANGES = 6
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# the names of the files at which libFuzzer stops, and the line that reports them
_ENDS = "(?:crash|timeout|oom|leak)-"
_STOPPED = re.compile(rf"Test unit written to (\S*-{_ENDS}\S+)")


@cache
def samples() -> dict[str, list[bytes]]:
    """Files to begin with, by format: sound files, the same with an archive behind them, and hostile samples."""
    found: dict[str, list[bytes]] = {}
    for kind, make in SOUND.items():
        behind = random.Random(kind).choice(
            (gzip.compress(b"nom;prenom\n" * 20, mtime=0), SOUND["zip"](), SOUND["rar"]())
        )
        found[kind] = [sample(kind, make()), sample(kind, make() + behind)]
    for hostile in (make().data for make in CORPUS.values()):
        reader = choose(hostile[:HEAD], "")
        found.setdefault(reader.FORMAT if reader else "unknown", []).append(hostile)
    found["access"].append(made(jet3=True)[0])
    for kind, files in written().items():
        found.setdefault(kind, []).extend(files)
    return found


@cache
def written() -> dict[str, list[bytes]]:
    """Files that real writers made, by format; those inside an archive by themselves as well."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(SHAPES.iterdir()):
        data = path.read_bytes()
        if path.suffix == ".gz":
            files = [("", gzip.decompress(data))]
        elif path.suffix == ".xz":
            files = [("", lzma.decompress(data))]
        elif path.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith("/")]
        else:
            files = [("", data)]
        for name, each in files:
            reader = choose(each[:HEAD], "") or choose(each[:HEAD], name)
            found.setdefault(reader.FORMAT if reader else "unknown", []).append(each)
    return found


def changed(data: bytes, random_: random.Random) -> bytes:
    """The file with some of its bytes changed, doubled, moved or left out; mostly where it is not empty."""
    new = bytearray(data)
    for _ in range(random_.randint(1, _CHANGES)):
        at = random_.randrange(len(new))
        for _ in range(20):
            if new[at]:
                break
            at = random_.randrange(len(new))
        what, size = random_.randrange(6), random_.choice((1, 1, 2, 4, 8, 64))
        if what == 0:
            new[at] ^= 1 << random_.randrange(8)
        elif what == 1:
            number = random_.choice(_NUMBERS) & (2 ** (8 * min(size, 4)) - 1)
            new[at : at + min(size, 4)] = number.to_bytes(min(size, 4), random_.choice(("little", "big")))
        elif what == 2:
            new[at : at + size] = random_.randbytes(size)
        elif what == 3:
            del new[at : at + size]
        elif what == 4:
            new[at:at] = new[at : at + size] * random_.choice((1, 1, 100))
        else:
            other = random_.randrange(len(new))
            new[at : at + size] = new[other : other + size]
        if not new:
            return data
    return bytes(new)


@dataclass
class Outcome:
    """The result of fuzzing one reader.

    Attributes:
        runs: number of files read.
        coverage: number of places in the code that were reached, as libFuzzer counts them, at the start and at the end.
        kept: number of files that reached new code; each was read in the sandbox.
        written: number of changed files of real writers that were read in the sandbox.
        faults: one line each.
    """

    runs: int = 0
    coverage: tuple[int, int] = (0, 0)
    kept: int = 0
    written: int = 0
    faults: list[str] = field(default_factory=list)


def longest(kind: str) -> int:
    """Greatest size of a changed file in bytes: larger ones are slow and find nothing more."""
    return max(8192, 2 * min(map(len, samples()[kind])))


def fault_of(consumer: Consumer) -> str:
    """The fault of a reader according to its frames; '' if there is none."""
    if consumer.sample is None or not consumer.ended:
        return "protocol: the sample did not end"
    if "reader" not in consumer.sample.all_problems:
        return ""
    details = (each for member in consumer.sample.walk() for each in member.details)
    return f"error: {next((each for each in details if 'failed with' in each), 'no details')}"


def pieces(data: bytes) -> Iterator[bytes]:
    """A file in pieces, as a reader gets it.

    Its last byte decides the size of pieces, so that each run can be repeated.
    """
    size = (997, 65_536)[bool(data) and data[-1] & 1]
    return (data[start : start + size] for start in range(0, len(data), size))


def fault_in_sandbox(sandbox: Sandbox, data: bytes) -> str:
    """The fault that a file causes in a reader in the sandbox; '' if there is none."""
    consumer = Consumer()

    def take(kind: bytes, payload: bytes) -> bool:
        consumer.take(kind, payload)
        return kind == b"Z"

    with sandbox.open() as reader:
        connection = ReaderConnection(reader, take, HANG_SECONDS)
        try:
            for piece in pieces(data):
                connection.send(pack(b"D", piece))
            connection.send(pack_json(b"E", {"complete": True}))
            connection.finish()
        except AssertionError as error:
            return f"protocol: {error}"
        if not connection.ended_well:
            reader.kill()
            leave = reader.wait(5)
            return f"end: {connection.broken or leave.reason or leave}"
    return fault_of(consumer)


def stopped(kind: str, keep: Path) -> set[Path]:
    """Files at which libFuzzer itself stopped because of a crash, a time limit or a memory limit."""
    return {path for path in keep.iterdir() if re.match(rf"{kind}-{_ENDS}", path.name)}


def guided(kind: str, given: argparse.Namespace, outcome: Outcome) -> None:
    """Fuzz one format in a process of its own until its time is over."""
    until = time.monotonic() + given.seconds
    corpus: Path = given.corpus / kind
    while (left := round(until - time.monotonic())) > 0:
        # libFuzzer ends at the first crash; it is started again for the rest of the time, without the file that crashed
        # it
        done = subprocess.run(
            [sys.executable, "-P", str(ROOT / "scripts" / "fuzz_guided.py"), kind, str(left), str(given.seed),
             str(longest(kind)), str(corpus), str(given.keep)],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        outcome.faults += (line for line in done.stdout.splitlines() if line)
        counts = re.findall(r"^#(\d+)\s.*?cov: (\d+)", done.stderr, re.MULTILINE)
        crashes = {Path(place).read_bytes() for place in _STOPPED.findall(done.stderr)}
        if not counts and not crashes:
            raise SystemExit(f"the fuzzer of '{kind}' did not start:\n{done.stderr[-2000:]}")
        for path in corpus.iterdir() if crashes else ():
            if path.read_bytes() in crashes:
                path.unlink()
        if counts:
            outcome.runs += int(counts[-1][0])
            outcome.coverage = (outcome.coverage[0] or int(counts[0][1]), int(counts[-1][1]))


def read_changed(kind: str, given: argparse.Namespace, outcome: Outcome, sandbox: Sandbox) -> None:
    """Change files that real writers made of a format, and read each in the sandbox, until its time is over."""
    sound = written().get(kind, [])
    random_, until = random.Random(f"{given.seed}-{kind}"), time.monotonic() + given.seconds / 2
    while sound and time.monotonic() < until:
        data = changed(random_.choice(sound), random_)
        outcome.written += 1
        fault = fault_in_sandbox(sandbox, data)
        if fault and not any(known.startswith(f"{fault} (") for known in outcome.faults):
            path = given.keep / f"{kind}-{sha256(data).hexdigest()[:12]}.bin"
            path.write_bytes(data)
            outcome.faults.append(f"{fault} ({path})")


def fuzz(kind: str, given: argparse.Namespace) -> Outcome:
    """Fuzz one reader, then read the kept files, and changed files of real writers, in the sandbox."""
    corpus: Path = given.corpus / kind
    corpus.mkdir(parents=True, exist_ok=True)
    given.keep.mkdir(parents=True, exist_ok=True)
    for data in samples()[kind]:
        if len(data) <= longest(kind):
            (corpus / sha256(data).hexdigest()).write_bytes(data)
    outcome = Outcome()
    guided(kind, given, outcome)
    # a file at which libFuzzer itself stopped counts as a fault only if it causes one in the sandbox
    ends = stopped(kind, given.keep)
    with Sandbox(LIMITS) as sandbox:
        for path in (*sorted(corpus.iterdir()), *sorted(ends)):
            outcome.kept += path.parent == corpus
            fault = fault_in_sandbox(sandbox, path.read_bytes())
            if not fault and path in ends:
                path.unlink()
            elif fault and not any(known.startswith(f"{fault} (") for known in outcome.faults):
                outcome.faults.append(f"{fault} ({path})")
        read_changed(kind, given, outcome, sandbox)
    return outcome


def main() -> int:
    """Fuzz the readers; the exit status is 1 if a fault was found."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--seconds",
        type=int,
        default=600,
        help="for each reader; half as much again where there are files of real writers",
    )
    options.add_argument("--reader", action="append", help="a format; all of them, if none is given")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="readers at a time")
    options.add_argument("--seed", type=int, default=None)
    options.add_argument(
        "--corpus", type=Path, default=Path("fuzz-corpus"), help="folder that the next run goes on from"
    )
    options.add_argument(
        "--keep", type=Path, default=Path("fuzz-faults"), help="folder for the files that cause a fault"
    )
    given = options.parse_args()
    given.seed = random.SystemRandom().getrandbits(31) if given.seed is None else given.seed
    print(f"seed {given.seed}", flush=True)
    missing = {reader.FORMAT for reader in readers()} - set(samples())
    if missing:
        raise SystemExit(f"these formats have no file to begin with: {', '.join(sorted(missing))}")
    if unknown := set(given.reader or ()) - set(samples()):
        raise SystemExit(f"there is no reader of '{min(unknown)}'; choose from {', '.join(sorted(samples()))}")
    found = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        kinds = given.reader or sorted(samples())
        for kind, outcome in zip(kinds, pool.map(lambda kind: fuzz(kind, given), kinds), strict=True):
            print(
                f"{kind}: {outcome.runs:,} files in {given.seconds} s, coverage {outcome.coverage[0]:,} to"
                f" {outcome.coverage[1]:,}, {outcome.kept:,} kept and read in the sandbox,"
                f" {outcome.written:,} of real writers,"
                f" {counted(len(outcome.faults), 'fault')}",
                *(f"\n{kind}: {fault}" for fault in outcome.faults),
                sep="",
                flush=True,
            )
            found += len(outcome.faults)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
