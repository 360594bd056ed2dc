from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.config import Home
from data.errors import InputError
from scheduler.cli import tocsin

pytestmark = pytest.mark.slow

HEADER = "nom;prenom;date_naissance;email;telephone"
SURNAMES = [
    f"{a}{b}{c}"
    for a in ("Mar", "Ber", "Dub", "Leg", "Fau")
    for b in ("ti", "na", "vo", "re")
    for c in ("n", "rd", "ux")
]
FIRSTS = ["Camille", "Jean-Pierre", "Zoé", "Louis", "Inès", "Hugo", "Chloé", "Noël"]


def people(count: int, seed: int) -> list[str]:
    """Rows of invented people, no two alike."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        surname, first = rng.choice(SURNAMES), rng.choice(FIRSTS)
        born = f"{rng.randrange(1, 29):02}/{rng.randrange(1, 13):02}/{rng.randrange(1930, 2015)}"
        rows.append(f"{surname};{first};{born};p{seed}x{number}@example.org;06{seed:02}{number:06}")
    return rows


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def run(home: Home, *arguments: str) -> Result:
    done = CliRunner().invoke(tocsin, ["--home", str(home.path), "release", *arguments], standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, InputError):
        raise done.exception
    return done


@pytest.fixture
def registered(home: Home, tmp_path: Path) -> Home:
    folder = tmp_path / "part1"
    folder.mkdir()
    write(folder / "a.csv", people(300, 1))
    (folder / "b.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *people(200, 2)]).encode()))
    done = run(home, "add", "--incident", "Vendor 2026", "--name", "Part 1", str(folder))
    assert done.return_value == 0, done.stderr
    assert done.stdout == "release part-1: 500 people in 500 records of 500 rows, 2 files\n"
    return home


def lineage(home: Home, path: Path) -> dict:
    done = run(home, "compare", str(path), "--json")
    return json.loads(done.stdout)["inputs"][0]["lineage"]


def test_a_registered_release_is_listed_shown_and_recognised(registered: Home, tmp_path: Path) -> None:
    listed = json.loads(run(registered, "list", "--json").stdout)["releases"]
    assert [(each["id"], each["incident"], each["kind"], each["people"], each["complete"]) for each in listed] == [
        ("part-1", "vendor-2026", "baseline", 500, True)
    ]
    shown = json.loads(run(registered, "show", "Part 1", "--json").stdout)
    assert shown["sets"]["name+dob"] > 490
    assert "part-1" in run(registered, "list").stdout
    assert "500" in run(registered, "show", "part-1").stdout

    rows = people(300, 1) + people(200, 2)
    random.Random(3).shuffle(rows)
    again = lineage(registered, write(tmp_path / "again.csv", rows))
    assert (again["verdict"], again["records"], again["new"], again["parents"][0]["coverage"]) == (
        "re-post",
        500,
        0,
        1.0,
    )
    part = lineage(registered, write(tmp_path / "part.csv", rows[:80]))
    assert (part["verdict"], part["known"]) == ("subset", 80)
    more = lineage(registered, write(tmp_path / "more.csv", rows[:200] + people(150, 4)))
    assert (more["verdict"], more["known"], more["new"]) == ("overlap", 200, 150)
    assert more["new_values"]["email"] == 150


def test_no_value_of_a_registered_release_is_at_rest(registered: Home) -> None:
    for path in registered.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert b"p1x0@" not in content
            assert b"jean-pierre" not in content
            assert b"a.csv" not in content


def test_a_release_is_registered_once_and_retired(registered: Home, tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", people(5, 5))
    assert isinstance(run(registered, "add", "--name", "part 1", str(file)).exception, InputError)
    assert run(registered, "retire", "part-1").exception is None
    assert json.loads(run(registered, "list", "--json").stdout)["releases"][0]["retired"]
    assert lineage(registered, file)["verdict"] == "undecided"


def test_what_cannot_be_examined_is_named_and_the_rest_is_registered(home: Home, tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", people(50, 6))
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"nom;prenom\n" * 5000)[:-20])
    done = run(home, "add", "--name", "p", str(good), str(tmp_path / "missing.csv"), str(broken))
    assert done.return_value == 2
    assert "missing.csv: no such file" in done.stderr
    assert "broken.csv.gz: not completely examined" in done.stderr
    found = json.loads(run(home, "show", "p", "--json").stdout)
    assert (found["complete"], found["people"]) == (False, 50)


def test_files_without_records_register_nothing(home: Home, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("nothing of interest\n")
    done = run(home, "add", "--name", "p", str(tmp_path / "note.txt"))
    assert isinstance(done.exception, InputError)
    assert json.loads(run(home, "list", "--json").stdout) == {"releases": []}


def test_an_unknown_release_is_one_sentence(home: Home) -> None:
    assert "no release nobody" in str(run(home, "show", "nobody").exception)
    assert "no release nobody" in str(run(home, "retire", "nobody").exception)
