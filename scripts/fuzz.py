"""Fuzzes every reader behind the walls it really runs in: valid files and hostile samples, changed at random.

A reader may call its sample damaged. It may not crash, hang, or fail with an error that is not ours; what brought it to
that is kept in a file, to be made a test. Usage: python scripts/fuzz.py [--seconds N] [--reader FORMAT]... [--seed N]
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from crawler.reader_talk import ReaderTalk  # noqa: E402 - the checkout comes first on the path
from crawler.readers import choose, readers  # noqa: E402 - the same
from crawler.readers.base import HEAD, Limits  # noqa: E402 - the same
from crawler.sandbox import Sandbox  # noqa: E402 - the same
from crawler.wire import pack, pack_json  # noqa: E402 - the same
from tests.crawler.readers.frames import Consumer  # noqa: E402 - the same
from tests.crawler.readers.test_access_database import made  # noqa: E402 - the same
from tests.synth.every_format import SOUND, sample  # noqa: E402 - the same
from tests.synth.hostile_corpus import CORPUS  # noqa: E402 - the same

# a changed sample of at most MOST bytes that takes longer than this hangs: the slowest honest one takes 3 s
HANG_SECONDS = 20.0
MOST = 200_000
LIMITS = Limits(wall=HANG_SECONDS, cpu=HANG_SECONDS, max_output=2**27, max_entries=2000)
# what means something to one reader or another
TOKENS = (b"", b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"'", b'"', b"\\", b"\n", b"\r\n", b"<", b">", b"{", b"}",
          b"[", b"]", b"<!--", b"]]>", b"&#", b"PK\x03\x04", b"stream\n", b"9" * 30, b"-1", b"\xed\xa0\x80", b"\xef\xbb\xbf")  # fmt: skip


def seeds() -> dict[str, list[bytes]]:
    """Samples by the format that reads them: sound ones, the same with a packed file behind them, and hostile ones."""
    found: dict[str, list[bytes]] = {}
    for kind, make in SOUND.items():
        behind = random.Random(kind).choice(
            (gzip.compress(b"nom;prenom\n" * 20, mtime=0), SOUND["zip"](), SOUND["rar"]())
        )
        found[kind] = [sample(kind, make())[:MOST], sample(kind, make() + behind)[:MOST]]
    for hostile in (make().data for make in CORPUS.values()):
        reader = choose(hostile[:HEAD], "")
        found.setdefault(reader.FORMAT if reader else "unknown", []).append(hostile[:MOST])
    found["access"].append(made(jet3=True)[0])
    return found


def changed(random_: random.Random, samples: list[bytes]) -> bytes:
    """A sample with some places changed, taken out, doubled, or joined with another."""
    data = bytearray(random_.choice(samples))
    for _ in range(random_.choice((1, 1, 2, 4, 16, 64))):
        at, size = random_.randrange(len(data) + 1), random_.choice((1, 1, 2, 4, 16, 300))
        way = random_.randrange(6)
        if way == 0:
            data[at : at + size] = random_.randbytes(size)
        elif way == 1:
            del data[at : at + size]
        elif way == 2:
            data[at:at] = data[at : at + size] * random_.choice((1, 2, 50))
        elif way == 3:
            data[at : at + random_.choice((0, size))] = random_.choice(TOKENS)
        elif way == 4 and at < len(data):
            data[at] ^= 1 << random_.randrange(8)
        else:
            other = random_.choice(samples)
            start = random_.randrange(len(other) + 1)
            data[at:at] = other[start : start + size]
    return bytes(data[: random_.randrange(1, len(data) + 1)] if data and random_.random() < 0.1 else data[: 2 * MOST])


def wrong(sandbox: Sandbox, data: bytes, cut: int) -> str:
    """What a reader did that it must not; '' for nothing."""
    consumer = Consumer()

    def take(kind: bytes, payload: bytes) -> bool:
        consumer.take(kind, payload)
        return kind == b"Z"

    with sandbox.open() as reader:
        talk = ReaderTalk(reader, take, HANG_SECONDS)
        try:
            for start in range(0, len(data), cut):
                talk.send(pack(b"D", data[start : start + cut]))
            talk.send(pack_json(b"E", {"complete": True}))
            talk.finish()
        except AssertionError as error:
            return f"protocol: {error}"
        if not talk.ended_well:
            reader.kill()
            leave = reader.wait(5)
            return f"end: {talk.broken or leave.reason or leave}"
    if consumer.sample is None or "reader" in consumer.sample.all_problems:
        details = [each for member in (consumer.sample.walk() if consumer.sample else ()) for each in member.details]
        return f"error: {next((each for each in details if 'failed with' in each), details[:1])}"
    return ""


def fuzz(kind: str, samples: list[bytes], seconds: float, random_: random.Random, kept: Path) -> Iterator[str]:
    """Faults of one reader, each kind of them once."""
    told: set[str] = set()
    until, runs = time.monotonic() + seconds, 0
    with Sandbox(LIMITS) as sandbox:
        while time.monotonic() < until or not runs:
            data = changed(random_, samples)
            runs += 1
            fault = wrong(sandbox, data, random_.choice((997, 65_536, 2**20)))
            if fault and fault not in told:
                told.add(fault)
                kept.mkdir(parents=True, exist_ok=True)
                place = kept / f"{kind}-{len(told)}-{random_.getrandbits(32):08x}.bin"
                place.write_bytes(data)
                yield f"{fault} ({place})"
    print(f"{kind}: {runs} samples in {seconds:g} s, {len(told)} faults", flush=True)


def main() -> int:
    """Status 1 where anything was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=600.0, help="for each reader")
    options.add_argument("--reader", action="append", help="a format; all that have samples, if none is given")
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="folder for what brought a fault about")
    given = options.parse_args()
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    pool = seeds()
    lacking = {reader.FORMAT for reader in readers()} - set(pool)
    if lacking and not given.reader:
        print(f"no sample of their own, fuzzed as members alone: {', '.join(sorted(lacking))}", flush=True)
    found = 0
    for kind in given.reader or sorted(pool):
        for fault in fuzz(kind, pool[kind], given.seconds, random.Random(f"{seed}-{kind}"), given.keep):
            found += 1
            print(f"{kind}: {fault}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
