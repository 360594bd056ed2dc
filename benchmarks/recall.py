"""Recall over disguises, and false hits among decoys: what the examiner finds of the same people in every spelling, layout
and coding, beside `rg -F` with the same values in their usual spelling over the same bytes."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from crawler.examiner.examination import Examiner
from crawler.examiner.kernel_warmup import warm_up
from tests.synth.case import examine
from tests.synth.disguise import Disguise, combined, crowd, single
from tests.synth.people import Person
from tests.synth.recall import Recall, recall, watching

BAR_VALUES, BAR_KEYS = 0.999, 0.995
# One line of decoys: seven tokens that look like values and are none of a canary's. Canaries have numbers of mobile
# telephones and NIRs that begin with 1 or 2; these have neither, so that every hit is a false one.
LINE = b"aaaaaaaa.aaaaaa@aaaaaa.invalid;01########;3##0####0######;AAAAAAA;Aaaaaa;12/03/19##;aaaaaaaaaaaa\n"
TOKENS = 7
LINES = 50_000
PROSE = b"Aaaaaaa Aaaaaa, 12/03/19##, 01 ## ## ## ##, aaaaaaaa@aaaaaa.invalid; AAAAAAA Aaaaaa 12.03.19##.\n"
PROSE_TOKENS = 9


def usual(who: Sequence[Person]) -> list[str]:
    """The values as one would write them into a file of patterns."""
    return [value for person in who for value in (person.email, person.phone, person.nir)]


def ripgrep(who: Sequence[Person], data: bytes, folder: Path) -> float | None:
    """The share of values that ripgrep finds; None where it is not installed."""
    program = shutil.which("rg")
    if program is None:
        return None
    patterns, sample = folder / "patterns", folder / "sample"
    patterns.write_text("\n".join(usual(who)) + "\n")
    sample.write_bytes(data)
    command = [program, "--no-config", "--text", "-F", "-o", "--no-filename", "-f", str(patterns), str(sample)]
    done = subprocess.run(command, capture_output=True, check=False)
    found = set(done.stdout.decode("utf-8", "replace").split("\n"))
    wanted = usual(who)
    return sum(value in found for value in wanted) / len(wanted)


def table(
    examiner: Examiner, disguises: Sequence[Disguise], who: Sequence[Person], folder: Path, title: str
) -> list[Recall]:
    """Measure and print one line for each disguise."""
    print(
        f"\n{title}: {len(who)} people each\n{'values':>8} {'keys':>8} {'name+dob':>8} {'records':>8} {'rg -F':>8}  disguise"
    )
    made = []
    for disguise in disguises:
        found = recall(examiner, disguise, who)
        rival = ripgrep(who, disguise.of(who), folder)
        made.append(found)
        low = "  << below the bar" if found.values < BAR_VALUES or found.keys < BAR_KEYS else ""
        print(
            f"{found.values:8.4f} {found.keys:8.4f} {found.name_dob:8.4f} {found.records:8} "
            f"{'-' if rival is None else f'{rival:.4f}':>8}  {disguise.name}{low}",
            flush=True,
        )
    mean = [sum(getattr(each, name) for each in made) / len(made) for name in ("values", "keys", "name_dob")]
    print(f"{mean[0]:8.5f} {mean[1]:8.5f} {mean[2]:8.5f}  mean of {len(made)}; bars {BAR_VALUES} and {BAR_KEYS}")
    return made


def decoys(line: bytes, count: int, lines: int, seed: int) -> Iterator[bytes]:
    """Blocks of lines, `count` lines in all, with random letters and digits in the places of `a`, `A` and `#`."""
    dice = np.random.default_rng(seed)
    form = np.frombuffer(line, np.uint8)
    places = {mark: np.flatnonzero(form == ord(mark)) for mark in "aA#"}
    for at in range(0, count, lines):
        block = np.tile(form, (min(lines, count - at), 1))
        for mark, low, high in (("a", 97, 123), ("A", 65, 91), ("#", 48, 58)):
            block[:, places[mark]] = dice.integers(low, high, (len(block), len(places[mark])), np.uint8)
        yield block.tobytes()


def false_hits(examiner: Examiner, tokens: int) -> int:
    """How many canaries hit in this many decoys; prints what was examined."""
    hits = 0
    for title, line, each, share in (("a table", LINE, TOKENS, 0.99), ("prose", PROSE, PROSE_TOKENS, 0.01)):
        count = int(tokens * share) // each
        began = time.perf_counter()
        finding = examine(examiner, decoys(line, count, LINES, each), "decoys")
        found = sum(hit.canaries for hit in finding.hits)
        hits += found
        print(
            f"decoys in {title}: {count * each:,} tokens, {finding.bytes / 1e6:.0f} MB, {finding.records:,} records, "
            f"{found} hits, {time.perf_counter() - began:.1f} s, complete: {finding.complete}",
            flush=True,
        )
    return hits


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--combinations", type=int, default=200)
    parser.add_argument("--decoys", type=float, default=1e6, help="tokens; 1e8 takes some minutes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    warm_up()
    who = crowd(options.seed, options.people)
    if shutil.which("rg") is None:
        print("rg is not installed (Debian: ripgrep): its column is empty")
    with tempfile.TemporaryDirectory() as name, watching(Path(name), who) as examiner:
        made = table(examiner, single(), who, Path(name), "every disguise alone")
        made += table(examiner, combined(options.seed, options.combinations), who, Path(name), "combinations")
        print()
        hits = false_hits(examiner, int(options.decoys))
    values, keys = (sum(getattr(each, name) for each in made) / len(made) for name in ("values", "keys"))
    print(
        f"\nvalue tags {values:.5f} (bar {BAR_VALUES}), record keys {keys:.5f} (bar {BAR_KEYS}), false hits {hits} (bar 0)"
    )
    if values < BAR_VALUES or keys < BAR_KEYS or hits:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
