"""Text is repaired line by line: damaged bytes, mixed encodings and UTF-8 that was encoded twice."""

from __future__ import annotations

import pytest

from crawler.readers.core.encoding import repair
from tests.crawler.readers.frames import read


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("Léa;Zoé\n".encode(), "Léa;Zoé\n"),
        ("Léa;Zoé\n".encode("cp1252"), "Léa;Zoé\n"),
        ("Léa\n".encode() + "Zoé\n".encode("cp1252"), "Léa\nZoé\n"),
        ("Léa;Zoé\n".encode().decode("cp1252").encode(), "Léa;Zoé\n"),
        # one bad byte is dropped; the accents of its line and the word behind it stay
        (b"\xff" + "Léa;Zoé;Inès\n".encode(), "Léa;Zoé;Inès\n"),
        (b"\xe9" + "Léa;Zoé;Inès\n".encode(), "Léa;Zoé;Inès\n"),
        (b"\xffDUPONT;Jean\n", "DUPONT;Jean\n"),
        (b"DUPONT;\xffJean\n", "DUPONT;Jean\n"),
        # here 0xff and 0xc9 are letters
        ("L'Haÿ-les-Roses;Béa\n".encode("cp1252"), "L'Haÿ-les-Roses;Béa\n"),
        ("É;é à\n".encode("cp1252"), "É;é à\n"),
    ],
)
def test_each_line_is_repaired_by_itself(block: bytes, expected: str) -> None:
    assert repair(block).decode() == expected


def test_character_references_do_not_divide_values() -> None:
    found = read(b"nom;prenom;ville\nLef&egrave;vre;Zo&eacute;;N&#238;mes\nD&#39;Arc;Lo&iuml;c;x\n" + b"a;b;c\n" * 5)
    assert found.format == "delimited"
    assert found.rows[1:3] == [["Lefèvre", "Zoé", "Nîmes"], ["D'Arc", "Loïc", "x"]]
