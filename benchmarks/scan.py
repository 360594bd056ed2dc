"""Speed of the byte pass over typical CSV: MB/s on one core against tag sets of 1 M and 10 M (100 M with --large),
beside `rg -F -f` with 100,000 plaintext patterns and a plain Python loop of re and hmac over the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import hmac
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crawler.scan import BLOCK, ByteScanner
from crawler.warm import warm_up
from data.tags import Kind, probe_tag
from data.tagset import TagSet

KEY = bytes(range(16))
FIRST = [
    "Jean",
    "Marie",
    "Amélie",
    "Noé",
    "Zoé",
    "Pierre",
    "François",
    "Léa",
    "Hélène",
    "Loïc",
    "Chloé",
    "Mathieu",
    "Sophie",
    "Thomas",
    "Camille",
    "Anaïs",
    "Éric",
    "Julie",
]
LAST = [
    "Martin",
    "Bernard",
    "Dubois",
    "Lefèvre",
    "Durand",
    "Moreau",
    "Simon",
    "Laurent",
    "Lefebvre",
    "Roux",
    "Fournier",
    "Girard",
    "Béranger",
    "Prévost",
]
STREETS = [
    "rue de la République",
    "avenue du Général de Gaulle",
    "place de l'Église",
    "chemin des Acacias",
    "impasse Molière",
]
TOWNS = [
    "Paris",
    "Lyon",
    "Besançon",
    "Orléans",
    "Saint-Étienne",
    "Béziers",
    "Villeurbanne",
    "Montpellier",
    "Nîmes",
    "Clermont-Ferrand",
]
HOSTS = ["gmail.com", "orange.fr", "free.fr", "hotmail.fr", "laposte.net", "wanadoo.fr"]


def people(rows: int, seed: int) -> list[tuple[str, ...]]:
    """Invented people: surname, first name, date of birth, NIR, e-mail, phone, street, postcode, town."""
    draw = random.Random(seed)
    made = []
    for _ in range(rows):
        last, first = draw.choice(LAST), draw.choice(FIRST)
        year, month, day = draw.randrange(30, 100), draw.randrange(1, 13), draw.randrange(1, 29)
        nir = f"{draw.randrange(1, 3)}{year:02}{month:02}{draw.randrange(1, 96):02}{draw.randrange(10**6):06}"
        mail = f"{first}.{last}{draw.randrange(1000)}@{draw.choice(HOSTS)}".lower().encode("ascii", "ignore").decode()
        phone = f"0{draw.randrange(1, 8)}{draw.randrange(10**8):08}"
        street = f"{draw.randrange(1, 200)} {draw.choice(STREETS)}"
        made.append(
            (last, first, f"{day:02}/{month:02}/19{year}", nir + f"{97 - int(nir) % 97:02}", mail, phone, street,
             f"{draw.randrange(1000, 96000):05}", draw.choice(TOWNS))
        )  # fmt: skip
    return made


def timed(run: Callable[[], object], repeats: int = 3) -> float:
    """The best of a few runs, in seconds."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def scan(data: bytes, watch: TagSet) -> int:
    scanner = ByteScanner(KEY, watch)
    found = 0
    view = memoryview(data)
    for at in range(0, len(data), 2**20):
        found += len(scanner.feed(view[at : at + 2**20]))
    return found + len(scanner.finish())


def python_loop(data: bytes, wanted: set[bytes]) -> int:
    """What one writes first: a pattern for candidates, an HMAC of each, a set."""
    pattern = re.compile(rb"[\w.+-]+@[\w.-]+|\d[\d .-]{7,20}\d|\w{8,}")
    return sum(hmac.digest(KEY, found[0].lower(), hashlib.sha256)[:8] in wanted for found in pattern.finditer(data))


def tag_set(members: int, planted: list[int], seed: int) -> TagSet:
    drawn = np.random.default_rng(seed).integers(1, 2**64, members, np.uint64)
    return TagSet.build(np.concatenate((drawn, np.array(planted, np.uint64))))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="also 100 M tags (about 3 GB of memory while it is built)")
    parser.add_argument("--megabytes", type=int, default=64)
    options = parser.parse_args(arguments)
    rows = people(20_000, 1)
    part = "".join(";".join(row) + "\n" for row in rows).encode()
    data = part * max(options.megabytes * 2**20 // len(part), 1)
    megabytes = len(data) / 1e6
    planted = [probe_tag(KEY, Kind.EMAIL, row[4].encode()) for row in rows[::1000]]
    warm_up()
    lines: list[tuple[str, float]] = []
    for members in (10**6, 10**7, *([10**8] if options.large else [])):
        watch = tag_set(members, planted, members)
        scan(data[: 4 * BLOCK], watch)
        lines.append(
            (f"byte pass, {members / 1e6:.0f} M tags", megabytes / timed(lambda watch=watch: scan(data, watch)))
        )
    small = tag_set(10**6, planted, 1)
    for name, other in (
        ("UTF-16", data[: 2**24].decode("utf-8", "ignore").encode("utf-16")),
        ("JSON with \\u", data[: 2**24].decode("utf-8", "ignore").replace("é", "\\u00e9").encode()),
    ):
        lines.append((f"byte pass, 1 M tags, {name}", len(other) / 1e6 / timed(lambda other=other: scan(other, small))))
    wanted = {hmac.digest(KEY, row[4].encode(), hashlib.sha256)[:8] for row in rows}
    little = data[: 4 * 2**20]
    lines.append(("Python re + hmac, a set", len(little) / 1e6 / timed(lambda: python_loop(little, wanted), 1)))
    rival = ripgrep(data[: 16 * 2**20])
    if rival is None:
        print("rg is not installed (Debian: ripgrep): its line is missing and there is no ratio to it")
    else:
        lines.append(("rg -F -c -f, 100,000 plain patterns", rival))
    base = lines[-1]
    print(f"{megabytes:.0f} MB of CSV, one core; ratios to: {base[0]}")
    for name, speed in lines:
        print(f"{name:40} {speed:9.1f} MB/s {speed / base[1]:9.1f} x")


def ripgrep(data: bytes) -> float | None:
    """MB/s of ripgrep on one thread, reading standard input; None where it is not installed."""
    program = shutil.which("rg")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        patterns = Path(folder) / "patterns"
        patterns.write_text("".join(f"{row[4]}\n" for row in people(100_000, 2)))
        command = [program, "--no-config", "-j1", "-F", "-c", "-f", str(patterns), "-"]
        seconds = timed(lambda: subprocess.run(command, input=data, stdout=subprocess.DEVNULL, check=False), 1)
    return len(data) / 1e6 / seconds


if __name__ == "__main__":
    main()
