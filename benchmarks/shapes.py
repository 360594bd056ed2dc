"""One list of people in every shape in which such data is posted: what a whole scan finds in each.

Each file of the folder holds the same 60 invented people, who are enrolled as the canaries of two clients
and are registered as known, or these and 20 others (`NAME.plus.*`). `--folder=DIR` names another folder with `cab-nord.csv`,
`cab-sud.csv` and `baseline.csv`, or with these and a folder `in/SHAPE/` of the same files.

A row is right if all canaries are hit and the verdict says what is true: nobody new, or a superset with 20 new people. It is
told if the file is not complete: then the scan ends with status 2. Anything else is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "tests" / "samples" / "shapes"
PEOPLE, FURTHER = 60, 20
# the baseline and its parts, a mailbox of other people, and an excerpt
_NO_SHAPES = frozenset(
    {"README.md", "baseline.csv", "cab-nord.csv", "cab-sud.csv", "65-outlook.ost.xz", "dcmdump.same.txt"}
)
# a picture that shows 40 of them, and a mail in whose text one more person stands
_CANARIES = {"T10d-docx.docx": 40}
_FURTHER = {"64-outlook.msg": 1}
_KNOWN = frozenset({"re-post", "re-packaged", "subset"})
_PARTLY_NEW = frozenset({"superset", "overlap"})


def tocsin(home: Path, *arguments: str | Path, fails: bool = False) -> str:
    command = [sys.executable, "-m", "scheduler", "--home", home, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode > 1 and not fails:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def prepare(home: Path, folder: Path) -> None:
    """Enrol the people of both clients, and register them as published before."""
    subprocess.run([sys.executable, "-m", "scheduler", "init", str(home)], check=True, capture_output=True)
    for client in ("cab-nord", "cab-sud"):
        bundle = home / f"{client}.bundle"
        key = home / "keys" / "enrol.key"
        tocsin(home, "canary", "enrol", "--key", key, "--client", client, folder / f"{client}.csv", "--out", bundle)
        tocsin(home, "canary", "import", bundle)
    tocsin(home, "release", "add", "--name", "baseline", folder / "baseline.csv")


def shapes(folder: Path) -> dict[str, Path]:
    """The files and folders of shapes by name, `same` or `plus` in the name."""
    inside = folder / "in"
    if inside.is_dir():
        return {
            f"{shape.name} {which}": shape if len(found) > 1 else found[0]
            for shape in sorted(inside.iterdir())
            for which in ("same", "plus")
            if (found := sorted(each for each in shape.iterdir() if each.name.startswith(which)))
        }
    return {path.name: path for path in sorted(folder.iterdir()) if path.name not in _NO_SHAPES}


def judged(name: str, found: dict[str, Any]) -> str:
    """`right`, `told` or `wrong`."""
    hits, lineage = sum(hit["canaries"] for hit in found["hits"]), found["lineage"]
    further = _FURTHER.get(name, FURTHER if "plus" in name else 0)
    if hits == _CANARIES.get(name, PEOPLE) and lineage is not None:
        low, high = lineage["interval"]
        if lineage["verdict"] in (_PARTLY_NEW if further else _KNOWN) and low <= further <= high:
            return "right"
    return "wrong" if found["complete"] else "told"


def main() -> None:
    folder = next((Path(each.partition("=")[2]) for each in sys.argv if each.startswith("--folder=")), SAMPLES)
    counts = dict.fromkeys(("right", "told", "wrong"), 0)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        prepare(home, folder)
        print(f"{'shape':38} {'judged':6} {'hits':>4} {'rows':>5} {'people':>6} {'verdict':12} {'new':>4} interval   s")
        for name, path in shapes(folder).items():
            began = time.monotonic()
            inputs = json.loads(tocsin(home, "scan", "--json", path, fails=True))["inputs"]
            took = time.monotonic() - began
            # the parts of a divided file are one input; the others of a folder are judged by the best of them
            found = max(inputs, key=lambda each: (sum(hit["canaries"] for hit in each["hits"]), each["rows"]))
            outcome = judged(name, found)
            counts[outcome] += 1
            lineage = found["lineage"] or {"verdict": "-", "new": 0, "records": 0, "interval": ["-", "-"]}
            print(
                f"{name:38} {outcome:6} {sum(hit['canaries'] for hit in found['hits']):4} {found['rows']:5}"
                f" {lineage['records']:6} {lineage['verdict']:12} {lineage['new']:4}"
                f" {'..'.join(map(str, lineage['interval'])):8} {took:4.1f}",
                flush=True,
            )
    print(", ".join(f"{number} {outcome}" for outcome, number in counts.items()))


if __name__ == "__main__":
    main()
