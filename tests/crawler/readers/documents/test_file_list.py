"""Lists of files: paths become lines in which people are found; other columns of the lists are not read as people."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from crawler.records.running_text import RunningTextReader
from data.identifiers.path_lines import path_line
from tests.crawler.readers.frames import read
from tests.synth.people import people

PEOPLE = people(51, 12)
DIR = """ Le volume dans le lecteur D s'appelle Données
 Le numéro de série du volume est 1234-ABCD

""" + "".join(
    f""" Répertoire de D:\\Dossiers\\{each.surname} {each.first} {each.dob:%d-%m-%Y}

03/02/2024  10:15    <DIR>          .
03/02/2024  10:15    <DIR>          ..
03/02/2024  10:15           123 456 ordonnance.pdf
               1 fichier(s)          123 456 octets

"""
    for each in PEOPLE
)


def found(text: bytes) -> set[tuple[str, str]]:
    reader = RunningTextReader()
    people = [*reader.feed(text), *reader.finish()]
    return {(person.readings[0][0], person.readings[0][2]) for person in people if person.certain}


def wanted(form: str) -> set[tuple[str, str]]:
    return {(each.surname.upper(), f"{each.dob:{form}}") for each in PEOPLE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("list") / "dossiers"
    for each in PEOPLE:
        (made / "2024").mkdir(parents=True, exist_ok=True)
        (made / "2024" / f"{each.surname.upper()}_{each.first}_{each.dob:%Y-%m-%d}.pdf").write_bytes(b"x")
    return made


@pytest.mark.parametrize(
    "command", [["ls", "-lR"], ["ls", "-lR", "--time-style=full-iso"], ["find", ".", "-type", "f"]]
)
def test_people_in_lists_of_real_programs_are_found(command: list[str], folder: Path) -> None:
    listed = subprocess.run(command, cwd=folder, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    sample = read(listed)
    assert sample.format == "file_list"
    assert found(bytes(sample.text)) == wanted("%Y-%m-%d")
    assert sample.tables == []
    assert sample.complete


def test_people_in_a_tree_are_found() -> None:
    names = [f"{each.surname.upper()} {each.first} {each.dob:%d-%m-%Y}" for each in PEOPLE]
    lines = (
        ["."] + [line for name in names for line in (f"├── {name}", "│   └── ordonnance.pdf")] + ["", "12 directories"]
    )
    sample = read("\n".join(lines).encode())
    assert sample.format == "file_list"
    assert found(bytes(sample.text)) == wanted("%d-%m-%Y")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_dir_is_a_list_of_files_and_its_times_are_nobodys(encoding: str) -> None:
    sample = read(DIR.encode(encoding))
    assert sample.format == "file_list"
    text = sample.text.decode()
    assert "2024" not in text
    assert "octets" in text
    first = PEOPLE[0]
    assert f"Dossiers | {first.surname} {first.first} {first.dob:%d-%m-%Y} | ordonnance" in text


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("Dossiers/DUPONT_Jean_1975-03-12.pdf", "Dossiers | DUPONT Jean 1975-03-12"),
        ("C:\\a\\jean.dupont@x.example.msg", "a | jean.dupont@x.example"),
        ("./jean.dupont.12.03.1975.docx", "jean dupont.12.03.1975"),
        ("../../---/", ""),
    ],
)
def test_paths_become_lines(path: str, line: str) -> None:
    assert path_line(path) == line


def test_other_texts_are_no_lists() -> None:
    for text in (b"a/b\nVoir la lettre\nfin\nautre\n", b"nom;ville\nA;B\nC;D\nE;F\n", b"/etc/passwd\n" + b"mot\n" * 9):
        assert read(text).format != "file_list"


def test_hostile_lists_stay_small_and_complete() -> None:
    deep = "\n".join("│   " * depth + "├── x" for depth in range(400))
    long = "./a/" + "b" * 3_000_000
    for text in (deep, f"./a/b\n./a/c\n./a/d\n./a/e\n{long}", "\n".join(["./a/b"] * 5000)):
        sample = read(text.encode())
        assert sample.format == "file_list"
        assert sample.complete
        assert len(sample.text) < 100 * len(text) + 10_000
