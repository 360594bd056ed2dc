"""RTF: words and accents are read as a word processor shows them, tables as rows, and hidden groups are read, too."""

from __future__ import annotations

import pytest

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import read

HEAD = rb"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}}"


def rtf(body: bytes) -> bytes:
    return HEAD + body + b"}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb"Lef\'e8vre Zo\'e9\par n\'e9e le 12/03/1975", "Lefèvre Zoé\nnée le 12/03/1975\n"),
        (rb"Zo\u233?\par", "Zoé\n"),
        (rb"Zo\u233\'e9 x\par", "Zoé x\n"),
        (rb"{\uc0 Zo\u233 !}\u8217'", "Zoé!’\n"),
        (rb"\uc2 \u233\'c3\'a9t\'e9", "été\n"),
        (rb"\u-10179?\u-8704?", "\U0001f600\n"),
        (rb"DU{\b PO}NT\~Jean, 06{\i 12}345678", "DUPONT Jean, 0612345678\n"),
        (b"Du\r\npont\\line Jean\\\n1975\\tab x", "Dupont\nJean\n1975\tx\n"),
        (rb"{\*\unheard of DUPONT Jean}", "of DUPONT Jean\n"),
        (rb"a\{b\}c\\d", "a{b}c\\d\n"),
        (rb"{\pict\wmetafile8 " + b"0123456789abcdef" * 40 + rb"}apr\'e8s", "après\n"),
        (b"175037505612345 0612345678 0612345679 0612345680", "175037505612345 0612345678 0612345679 0612345680\n"),
        (rb"l\rquote h\'f4pital\emdash x", "l’hôpital—x\n"),
        (rb"\bin5 }}}}}apr\'e8s", "après\n"),
    ],
)
@pytest.mark.parametrize("cut", [1, 3, 2**20])
def test_words_are_those_that_a_program_shows(body: bytes, text: str, cut: int) -> None:
    found = read(rtf(body), cut=cut)
    assert found.format == "rtf"
    assert found.text.decode().endswith(text)
    assert found.complete
    assert not found.problems


def test_tables_are_rows() -> None:
    rows = [["nom", "prénom", "né le"], ["LEFÈVRE", "Zoé Marie", "12/03/1975"], ["DUPONT", "Jean", "01/02/1980"]]
    body = b"".join(
        rb"\trowd\cellx1\cellx2\cellx3\pard\intbl "
        + b"".join(cell.replace(" ", r"\par ").encode("cp1252") + rb"\cell " for cell in row)
        + rb"\row"
        for row in [*rows[:1], *rows[1:]]
    )
    found = read(rtf(rb"Liste :\par " + body + rb"\pard fin\par"))
    assert found.rows == [[cell.replace("né le", "né le") for cell in row] for row in rows]
    assert found.text.decode().endswith("Liste :\nfin\n")


def test_other_code_pages_are_read() -> None:
    text = "Şahin Ömer"
    coded = "".join(f"\\'{byte:02x}" for byte in text.encode("cp1254")).encode()
    found = read(rb"{\rtf1\ansi\ansicpg1254 " + coded + rb"\par}")
    assert found.text.decode() == text + "\n"
    assert read(rb"{\rtf1\ansi\ansicpg99999 caf\'e9}").text.decode() == "café\n"


def test_truncation_and_trailing_bytes_are_reported() -> None:
    whole = rtf(rb"Dupont Jean\par")
    assert "cut" in read(whole[:-1]).problems
    assert read(whole[:-1]).shows("Dupont Jean")
    trailing = read(whole + b"\r\n" + b"nom;prenom\nMartin;Paul\n" * 3)
    assert "trailing" in trailing.problems
    assert trailing.members[0].rows[1] == ["Martin", "Paul"]
    assert not read(whole + b"\r\n\0").problems


@pytest.mark.slow
def test_many_groups_and_long_lines_are_read_to_the_end() -> None:
    assert "cut" in read(b"{\\rtf1 " + b"{" * 300_000).problems
    assert read(rtf(b"x" * (3 * 2**20))).bytes == len(rtf(b"")) + 3 * 2**20
    for endless in (rb"\'e9", rb"\u233?", rb"\tab", rb"a\cell "):
        found = read(rtf(endless * 50_000), Limits(max_line=10_000))
        assert found.complete
        assert all(len(line) < 50_000 for line in found.text.split(b"\n"))
