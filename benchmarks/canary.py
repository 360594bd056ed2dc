"""Enrolment at the client and import at the monitor, against a plain loop of csv and hmac over the same table."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a first script for this job does: one HMAC for each value and record key, no normal forms, no variants.
RIVAL = """
import csv, hmac, sys
key, out = bytes(32), open(sys.argv[2], "wb")
with open(sys.argv[1], newline="") as table:
    for row in csv.DictReader(table, delimiter=";"):
        names = "\\x1f".join(sorted((row["nom"].lower(), row["prenom"].lower())))
        day, month, year = row["date_naissance"].split("/")
        born = year[2:] + month + day
        phone, email, nir, first = row["telephone"][1:], row["email"], row["nir"], row["prenom"].lower()
        for kind, value in enumerate((email, phone, nir, names + born, nir + first, nir + born, email + first,
                                      phone + first, phone + born)):
            out.write(hmac.digest(key, bytes((kind,)) + value.encode(), "sha256")[:16])
"""


def _table(path: Path, rows: int) -> None:
    from data.identifiers.first_names import FIRST_NAMES

    dice = random.Random(3)
    firsts = sorted(FIRST_NAMES)[:600]
    with path.open("w") as table:
        table.write("nom;prenom;date_naissance;telephone;email;nir;cabinet\n")
        for number in range(rows):
            surname = "".join(dice.choice("bcdfglmnprst") + dice.choice("aeiou") for _ in range(dice.randint(2, 4)))
            first, year, month = dice.choice(firsts), dice.randint(30, 99), dice.randint(1, 12)
            table.write(
                f"{surname.upper()};{first.title()};{dice.randint(1, 28):02}/{month:02}/19{year}"
                f";06{dice.randint(0, 99_999_999):08};{first}.{surname}{number}@example.org"
                f";{dice.choice('12')}{year}{month:02}{dice.randint(1, 95):02}{dice.randint(0, 999_999):06}"
                f";cabinet-{dice.randrange(1500):04}\n"
            )


def _timed(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print seconds and ratios; `--rows=N` for another size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    tocsin = (sys.executable, "-m", "scheduler")
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        home = str(folder / "home")
        _timed(*tocsin, "init", home)
        _table(folder / "in.csv", rows)
        (folder / "rival.py").write_text(RIVAL)
        rival = _timed(sys.executable, str(folder / "rival.py"), str(folder / "in.csv"), str(folder / "rival.out"))
        bundle, key = str(folder / "c.bundle"), str(folder / "home/keys/enrol.key")
        enrol = _timed(
            *tocsin, "canary", "enrol", "--key", key, "--client", "c", "--out", bundle, str(folder / "in.csv")
        )
        vendor = _timed(
            *tocsin, "canary", "enrol", "--key", key, "--client-column", "cabinet", "--out", f"{bundle}s",
            str(folder / "in.csv"),
        )  # fmt: skip
        import_ = _timed(*tocsin, "--home", home, "canary", "import", bundle)
        list_ = _timed(*tocsin, "--home", home, "canary", "list")
    print(f"{f'{rows:,} rows, 9 tags each':<44}{'wall s':>9}{'rows/s':>11}{'ratio':>8}")
    for label, took in (
        ("csv and hmac in a loop, nothing normalised", rival),
        ("tocsin canary enrol", enrol),
        ("tocsin canary enrol --client-column, 1,500", vendor),
        ("tocsin canary import", import_),
        ("tocsin canary list (opens the watch-list)", list_),
    ):
        print(f"{label:<44}{took:>9.2f}{rows / took:>11,.0f}{took / rival:>8.2f}")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
