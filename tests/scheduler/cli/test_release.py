from __future__ import annotations

import contextlib
import gzip
import json
import random
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.errors import InputError
from data.hashing.case_keys import MatchKey, format_match_key
from data.settings.home import Home
from data.store.store import Store
from scheduler.cli import tocsin
from scheduler.crawls.known_releases import release_faults
from tests.inside import refused
from tests.inside import run as run_here
from tests.synth.population import notes
from tests.synth.practices import COLUMNS, Practices

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
    (folder / "b.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *people(200, 2)]).encode(), mtime=0))
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


def test_a_lost_folder_of_releases_is_an_error_until_it_is_restored_or_given_up(
    registered: Home, tmp_path: Path
) -> None:
    dump = write(tmp_path / "x.csv", people(300, 1))
    shutil.rmtree(registered.releases_dir)
    for command in (["scan", dump], ["release", "compare", dump], ["release", "add", "--name", "new", dump]):
        refused(run_here(registered.path, *command), "1 release", "is lost: part-1", "hint:", "release retire")
    assert release_faults(registered)
    wrong = [
        check for check in run_here(registered.path, "doctor", "--json").json["checks"] if check["state"] == "wrong"
    ]
    assert any("is lost: part-1" in check["said"] for check in wrong)
    assert "is lost" in run(registered, "retire", "part-1").stdout
    assert release_faults(registered) == []
    assert run_here(registered.path, "scan", dump).returncode == 0
    # one that was found in the folder is expected from then on, whoever put it there
    assert run(registered, "add", "--name", "new", str(dump)).return_value == 0
    with contextlib.closing(Store.open(registered.db_path)) as store:
        store.expected_releases.forget("new")
    assert release_faults(registered) == []
    (registered.releases_dir / "new").rename(tmp_path / "aside")
    refused(run_here(registered.path, "scan", dump), "new is lost")
    assert "is lost" in run(registered, "retire", "new").stdout
    assert release_faults(registered) == []


def test_a_file_that_cannot_be_examined_is_named_and_the_rest_is_registered(home: Home, tmp_path: Path) -> None:
    good = write(tmp_path / "good.csv", people(50, 6))
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"nom;prenom\n" * 5000, mtime=0)[:-20])
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


def test_an_unknown_release_gives_one_sentence(home: Home) -> None:
    assert "no release nobody" in str(run(home, "show", "nobody").exception)
    assert "no release nobody" in str(run(home, "retire", "nobody").exception)


def scan(home: Home, path: Path) -> Result:
    arguments = ["--home", str(home.path), "scan", str(path), "--record", "--no-deliver", "--json"]
    return CliRunner().invoke(tocsin, arguments, standalone_mode=False, catch_exceptions=False)


def test_a_sighted_dump_becomes_one_release_and_its_copy_is_a_repost(registered: Home, tmp_path: Path) -> None:
    rows = people(300, 1)[:150] + people(150, 4)
    first = scan(registered, write(tmp_path / "seen.csv", rows))
    assert json.loads(first.stdout)["inputs"][0]["lineage"]["verdict"] == "overlap"
    listed = json.loads(run(registered, "list", "--json").stdout)["releases"]
    [seen] = [each for each in listed if each["kind"] == "sighted"]
    assert (seen["people"], seen["origin"]["source"], f"stored as release {seen['id']}" in first.stderr) == (
        300,
        "scan",
        True,
    )

    # the same dump in another format, at another path
    other = tmp_path / "again.jsonl"
    names = HEADER.split(";")
    other.write_text("\n".join(json.dumps(dict(zip(names, row.split(";"), strict=True))) for row in reversed(rows)))
    again = json.loads(scan(registered, other).stdout)["inputs"][0]["lineage"]
    assert (again["verdict"], again["new"], again["parents"][0]["release"]) == ("re-post", 0, seen["id"])
    assert len(json.loads(run(registered, "list", "--json").stdout)["releases"]) == len(listed)
    # data of unrelated people becomes no release
    assert json.loads(scan(registered, write(tmp_path / "strangers.csv", people(50, 9))).stdout)["inputs"]
    assert len(json.loads(run(registered, "list", "--json").stdout)["releases"]) == len(listed)


def test_shuffled_columns_become_no_release_whatever_stands_beside_them(home: Home, tmp_path: Path) -> None:
    patients = [[*each.row().values()] for each in Practices(5).fill(300)]

    def written(name: str, header: str, rows: Iterable[Sequence[str]]) -> str:
        (tmp_path / name).write_text("\n".join([header, *(";".join(row) for row in rows)]) + "\n")
        return str(tmp_path / name)

    header = ";".join(COLUMNS)
    assert run(home, "add", "--name", "part", written("part.csv", header, patients)).return_value == 0
    rng = random.Random(3)
    columns = [rng.sample(column, len(column)) for column in zip(*patients[20:], strict=True)]
    rows = [*patients[:20], *map(list, zip(*columns, strict=True))]
    # the known people among them appear with account numbers, which the release does not have
    accounts = [f"3000{number:019}" for number in range(len(rows))]
    ibans = [f"FR{98 - int(account + '152700') % 97:02}{account}" for account in accounts]
    sample = written("sample.csv", f"{header};iban", ([*row, iban] for row, iban in zip(rows, ibans, strict=True)))
    found = json.loads(scan(home, Path(sample)).stdout)["inputs"][0]["lineage"]
    assert (found["verdict"], set(found["added"])) == ("recombined", {"iban"})
    listed = json.loads(run(home, "list", "--json").stdout)["releases"]
    assert [each["kind"] for each in listed] == ["baseline"]


def letters(folder: Path, rows: list[str], texts: list[str]) -> Path:
    """One text file a patient, named after them."""
    folder.mkdir()
    for row, note in zip(rows, texts, strict=True):
        surname, first, born, email, phone = row.split(";")
        text = f"Patient : {first} {surname.upper()}\nNé(e) le {born}\nTél. {phone}\nE-mail : {email}\n\n{note}\n"
        (folder / f"{surname}_{first}_{phone[-6:]}.txt").write_text(text)
    return folder


def test_people_a_day_and_then_a_package_of_one_file_for_each_patient(home: Home, tmp_path: Path) -> None:
    """The shape of Vastaamo: a hundred people a day on one board, months later 31,980 text files elsewhere."""
    rows, texts = people(100, 5), notes(5, 100)
    # the match key decides which note prints are stored
    (home.path / "keys" / "match.key").write_text(format_match_key(MatchKey(b"k" * 32)))
    for day in range(2):
        part = slice(30 * day, 30 * day + 30)
        done = run(
            home, "add", "--name", f"day {day + 1}", str(letters(tmp_path / f"day{day}", rows[part], texts[part]))
        )
        assert (done.return_value, done.stdout.split()[2]) == (0, "30")
    package = tmp_path / "package.zip"
    with zipfile.ZipFile(package, "w") as made:
        for path in sorted(letters(tmp_path / "all", rows, texts).iterdir()):
            made.write(path, f"patients/{path.name}")
    found = lineage(home, package)
    assert (found["verdict"], found["known"], found["new"]) == ("superset", 60, 40)
    assert {parent["release"]: parent["coverage"] for parent in found["parents"]} == {"day-1": 1.0, "day-2": 1.0}
    assert found["new_values"]["note"] in {39, 40}
    assert found["added"] == {}
    # the same people with other notes: no new people, but new harm to known ones
    package.unlink()
    with zipfile.ZipFile(package, "w") as made:
        for path in sorted(letters(tmp_path / "again", rows[:30], notes(6, 30)).iterdir()):
            made.write(path, path.name)
    found = lineage(home, package)
    assert (found["verdict"], found["new"], list(found["added"])) == ("re-post", 0, ["note"])
    # 30 notes are too few to detect templates: some new notes share more with the templates than they have of their own
    assert found["added"]["note"] >= 20
