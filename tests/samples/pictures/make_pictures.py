"""Renders the pictures of this folder: `python make_pictures.py` where Pillow 11 and DejaVu fonts are installed.

They show invented people (tests.synth.people, seed 77) in tables and forms, at sizes of usual screenshots and scans.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent.parent))

from tests.synth.people import people  # noqa: E402

FONTS = Path("/usr/share/fonts/truetype/dejavu")
PEOPLE = people(77, 60)


def font(size: int, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size)


def table(start: int, rows: int, size: int, *, grid: bool, name: str = "DejaVuSans", dark: bool = False) -> Image.Image:
    cells = [["Nom", "Prénom", "Né(e) le", "Téléphone", "E-mail"]]
    shown = PEOPLE[start : start + rows]
    cells += [[each.surname, each.first, f"{each.dob:%d/%m/%Y}", each.phone, each.email] for each in shown]
    face = font(size, name)
    widths = [max(face.getlength(row[column]) for row in cells) + 2 * size for column in range(5)]
    height = round(1.9 * size)
    picture = Image.new("L", (round(sum(widths)) + 2 * size, height * len(cells) + 2 * size), 30 if dark else 255)
    draw = ImageDraw.Draw(picture)
    for number, row in enumerate(cells):
        x, y = float(size), size + number * height
        for text, width in zip(row, widths, strict=True):
            if grid:
                draw.rectangle((x, y, x + width, y + height), outline=150)
            draw.text((x + size / 2, y + size * 0.35), text, fill=230 if dark else 0, font=face)
            x += width
    return picture


def form(at: int, size: int, name: str = "DejaVuSerif") -> Image.Image:
    each = PEOPLE[at]
    lines = [
        "FICHE PATIENT",
        "",
        f"Nom : {each.surname}",
        f"Prénom : {each.first}",
        f"Date de naissance : {each.dob:%d/%m/%Y}",
        f"Téléphone : {each.phone}",
        f"Adresse électronique : {each.email}",
        f"N° de sécurité sociale : {each.nir}",
    ]
    face = font(size, name)
    picture = Image.new("L", (round(max(map(face.getlength, lines))) + 4 * size, 2 * size * len(lines) + 4 * size), 255)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((2 * size, 2 * size + 2 * size * number), line, fill=0, font=face)
    return picture


PICTURES = {
    "table-12.png": lambda: table(0, 12, 12, grid=False),
    "table-14-grid.png": lambda: table(12, 10, 14, grid=True),
    "table-13-dark.png": lambda: table(22, 8, 13, grid=False, dark=True),
    "table-16-mono.jpg": lambda: table(30, 10, 16, grid=True, name="DejaVuSansMono"),
    "form-16.png": lambda: form(40, 16),
    "form-13.webp": lambda: form(41, 13, "DejaVuSans"),
    "form-15.gif": lambda: form(42, 15),
    "form-14.bmp": lambda: form(43, 14, "DejaVuSans"),
    "form-24.tiff": lambda: form(44, 24),
}


def main() -> None:
    for name, make in PICTURES.items():
        picture = make()
        if name.endswith(".bmp"):
            picture = picture.convert("1")
        if name.endswith(".webp"):
            picture = picture.convert("RGB")
        options = {"quality": 85} if name.endswith(("jpg", "webp")) else {}
        options |= {"optimize": True} if name.endswith("png") else {}
        options |= {"compression": "tiff_lzw"} if name.endswith("tiff") else {}
        picture.save(HERE / name, **options)


if __name__ == "__main__":
    main()
