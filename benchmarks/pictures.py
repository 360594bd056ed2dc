"""Recall of people in pictures of tables and forms: fonts, sizes and colours as screenshots have them, by the real `tocsin scan`.

A row is one kind of picture, of which several are scanned. Half of the people in each are enrolled, the others are not: those hit
are beside those enrolled (the bar is 90 %), and pictures of the others alone must hit nobody. Needs Pillow, tesseract-ocr with
French, and the fonts of DejaVu.

Options: --pictures=N of each kind (3).
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from benchmarks.patients import patients
from benchmarks.scan import make_home, run_tree, tocsin

BAR = 0.9
_SHOWN = ("nom", "prenom", "date_naissance", "email", "telephone")
_WIDTHS = (10, 12, 11, 32, 11)


@dataclass(frozen=True)
class Look:
    """How a picture looks: its font, the size of it in pixels, ink and paper, lines of a grid, or a form for each person."""

    font: str
    size: int
    ink: str = "black"
    paper: str = "white"
    grid: bool = False
    form: bool = False

    def __str__(self) -> str:
        kind = "form" if self.form else "grid" if self.grid else "table"
        return f"{kind}, {self.font} {self.size}, {self.ink} on {self.paper}"


LOOKS = (
    Look("DejaVuSans", 12),
    Look("DejaVuSans", 14),
    Look("DejaVuSans", 16, grid=True),
    Look("DejaVuSansCondensed", 14),
    Look("DejaVuSerif", 13),
    Look("DejaVuSansMono", 14, "#dddddd", "#202020"),
    Look("DejaVuSans", 13, "#333333", "#f4f6f8"),
    Look("DejaVuSans", 14, form=True),
    Look("DejaVuSerif", 16, form=True),
)


def draw(look: Look, people: Sequence[tuple[str, ...]]) -> Image.Image:
    """A picture of these people."""
    font = ImageFont.truetype(f"{look.font}.ttf", look.size)
    line, unit = round(look.size * 1.7), look.size * 0.68
    if look.form:
        texts = [[f"{label} : {value}"] for person in people for label, value in zip(_SHOWN, person, strict=True)]
    else:
        texts = [list(row) for row in (_SHOWN, *people)]
    picture = Image.new("RGB", (round(sum(_WIDTHS) * unit) + 20, (len(texts) + 1) * line), look.paper)
    drawing = ImageDraw.Draw(picture)
    for number, row in enumerate(texts):
        left, top = 8.0, number * line + 6
        for text, width in zip(row, _WIDTHS, strict=False):
            drawing.text((left, top), text, fill=look.ink, font=font)
            left += width * unit
        if look.grid:
            drawing.line((4, top - 4, picture.width - 4, top - 4), fill=look.ink)
    return picture


def _scan(home: Path, path: Path) -> dict[str, Any]:
    said = run_tree([*tocsin("--home", str(home), "scan", "--json", "--no-deliver"), str(path)], statuses=(0, 1, 2))[3]
    found: dict[str, Any] = json.loads(said[said.index("{") :])
    return found


def _hit(found: dict[str, Any]) -> int:
    return sum(hit["canaries"] for one in found["inputs"] for hit in one["hits"])


def main() -> None:
    """Print one row for each kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("tesseract") is None:
        raise SystemExit("tesseract is not installed (Debian: tesseract-ocr, tesseract-ocr-fra)")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = make_home(folder)
        with (folder / "people.csv").open(newline="") as file:
            enrolled = [tuple(row[name] for name in _SHOWN) for row in csv.DictReader(file)]
        lines = [line.split(";") for line in b"".join(patients(1000)).decode().splitlines()[1:]]
        others = [(row[0], row[1], row[2], row[4], row[5]) for row in lines]
        print(f"{'kind of picture':55} {'enrolled':>8} {'hit':>4} {'recall':>6} {'wrong':>5}")
        for look in LOOKS:
            each = 4 if look.form else 10
            shown, alone = folder / "shown", folder / "alone"
            for where in (shown, alone):
                shutil.rmtree(where, ignore_errors=True)
                where.mkdir()
            for number in range(options.pictures):
                some = enrolled[number * each : (number + 1) * each]
                beside = others[number * each : (number + 1) * each]
                mixed = [person for pair in zip(some, beside, strict=True) for person in pair]
                draw(look, mixed).save(shown / f"{number}.png")
                draw(look, beside).save(alone / f"{number}.png")
            known, hit, wrong = options.pictures * each, _hit(_scan(home, shown)), _hit(_scan(home, alone))
            below = "" if hit >= BAR * known and not wrong else "  BELOW THE BAR"
            print(f"{look!s:55} {known:8} {hit:4} {hit / known:6.0%} {wrong:5}{below}", flush=True)


if __name__ == "__main__":
    main()
