"""Code pages are told by what the accented letters of names look like under each."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from crawler.readers.core.code_pages import _ACCENTED, EBCDIC_PAGES, PAGES, page_of
from crawler.readers.core.encoding import as_utf8, detect, repair
from tests.crawler.readers.frames import must_end

TABLE = (Path(__file__).parents[3] / "samples" / "shapes" / "cab-nord.csv").read_text()
PROSE = (
    "L’hôpital a reçu la patiente âgée : « ça va mieux », dit-elle à 12 h (n° 3). Très bien, où ? Là-bas, à Besançon.\n"
)


@pytest.mark.parametrize("page", ["cp1252", "cp850", "mac_roman"])
def test_a_table_of_names_is_read_under_its_page(page: str) -> None:
    assert repair(TABLE.encode(page)).decode() == TABLE


def test_what_the_oldest_page_lacks_is_the_only_loss():
    assert repair(TABLE.encode("cp437", "replace")).decode() == TABLE.encode("cp437", "replace").decode("cp437")


def test_names_of_central_europe_are_read_under_their_page():
    names = "Łukasz Wiśniewski;Małgorzata Dąbrowska;Jiří Dvořák;Žofie Nováková\n" * 5
    assert repair(names.encode("cp1250")).decode() == names


@pytest.mark.parametrize("line", TABLE.splitlines()[1:])
def test_single_lines_in_the_usual_page_are_read_as_before(line: str) -> None:
    assert repair(line.encode("cp1252")).decode() == line


def test_prose_in_the_usual_page_is_read_as_before():
    assert page_of(PROSE.encode("cp1252")) == ("cp1252", False)
    assert repair(PROSE.encode("cp1252")).decode() == PROSE


def test_lines_in_utf_8_beside_others_are_kept():
    text = TABLE.encode() + TABLE.encode("cp850")
    assert repair(text).decode() == TABLE + TABLE


@pytest.mark.parametrize("other", ["cp850", "mac_roman", "utf-8"])
@pytest.mark.parametrize("page", ["cp1252", "cp850"])
def test_lines_in_two_pages_are_each_read_under_their_own(page: str, other: str) -> None:
    """As where an old export was continued by a new program: one page for the whole block would spoil a part of the names."""
    lines = TABLE.splitlines(keepends=True)
    text = b"".join(line.encode(other if number % 7 == 3 else page) for number, line in enumerate(lines))
    wrong = [
        line for line, read in zip(lines, repair(text).decode().splitlines(keepends=True), strict=True) if line != read
    ]
    assert wrong == []


def test_signs_and_measures_do_not_make_a_line_of_another_page():
    line = "3×4 cm, Ø12, 40 m², 5 µg, n° 7 § 2 « Été » ½ dose ; ÉLÈVE, Noël, à côté de l’œil – 12 €\n"
    assert repair((PROSE * 3 + line).encode("cp1252")).decode() == PROSE * 3 + line


@pytest.mark.parametrize("page", EBCDIC_PAGES)
def test_ebcdic_is_recognised(page: str) -> None:
    raw = TABLE.encode(page, "replace")
    found, skip = detect(raw)
    assert (found in EBCDIC_PAGES, skip) == (True, 0)
    assert as_utf8(raw).decode().replace("\x85", "\n").splitlines()[0] == TABLE.splitlines()[0]


def test_the_french_page_of_mainframes_is_told_from_the_others():
    assert detect(TABLE.encode("tocsin_cp1147"))[0] == "tocsin_cp1147"
    assert as_utf8(TABLE.encode("tocsin_cp1147")).decode() == TABLE


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, "Привет, как дела? ".encode("cp1251") * 30, b"A@B" * 99])
def test_other_bytes_are_not_ebcdic(data: bytes) -> None:
    assert detect(data)[0] not in EBCDIC_PAGES


def test_any_byte_has_a_page():
    for byte in range(128, 256):
        assert page_of(bytes([byte]))[0] in PAGES


@pytest.mark.parametrize(
    "letters", [b"A" * 2**18 + b"\xe9", b"\xe9" * 2**18, b"A\xe9" * 2**17, b"A " * 2**17 + b"\xe9"]
)
def test_long_words_are_searched_once(letters: bytes):
    """Found by the hostile samples: each letter of a word in ASCII was tried as the beginning of an accented one."""
    started = time.process_time()
    assert page_of(letters)[0] in PAGES
    assert time.process_time() - started < 5


def test_ebcdic_of_one_endless_word_is_searched_in_linear_time() -> None:
    """Each byte of it was the beginning of a word that has no accent: 65 KB took a minute to recognise."""

    with must_end():
        assert _ACCENTED.findall("j" * 300_000) == []
    assert _ACCENTED.findall("été, Zoé abc Éa-né") == ["été", "Zoé", "Éa", "né"]
