"""Parts of a divided file that lie in one folder are examined as one file; a missing part is named."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.errors import InputError
from data.model import Finding
from data.settings.home import Home
from scheduler.local_files.divided_files import DividedFile, join_parts
from scheduler.local_files.scanning import Scanner, expand_paths, open_scanner
from tests.command import must
from tests.corpora.fetch import RARFILE, files
from tests.synth.people import people, to_csv

TABLE = to_csv(people(31, 400))


def run(*words: str | Path, folder: Path) -> None:
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout


def test_parts_are_joined_in_their_folder_only(tmp_path: Path) -> None:
    for name in ("a/x.csv.aa", "a/x.csv.ab", "b/x.csv.ab", "f.r00", "f.ra.csv", "f.rar", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [each.parts if isinstance(each, DividedFile) else each for each in expand_paths((str(tmp_path),))]
    path = str(tmp_path) + "/"
    assert found == [
        (path + "a/x.csv.aa", path + "a/x.csv.ab"),
        (path + "b/x.csv.ab",),
        (path + "f.rar", path + "f.r00"),
        path + "f.ra.csv",
        path + "z.txt",
    ]


def test_paths_that_are_no_parts_stay_as_they_are() -> None:
    assert join_parts(["b.csv", "a.csv", "b.csv"]) == [["b.csv"], ["a.csv"], ["b.csv"]]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("case")
    must(None, "init", folder / "home")
    return Home(folder / "home", dict(os.environ))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for each kind of parts, each made by the program that people use for it."""
    made = tmp_path_factory.mktemp("shelf")
    source = made / "patients.csv"
    source.write_bytes(TABLE)

    def folder(name: str) -> Path:
        (made / name).mkdir()
        return made / name

    for kind in ("7z", "zip"):
        run("7z", "a", "-mx=0", "-v9k", f"p.{kind}", source, folder=folder(f"7z {kind}"))
    noise = made / "noise.bin"
    noise.write_bytes(random.Random(7).randbytes(150_000))
    run("zip", "-q", "-j", "-s", "64k", "p.zip", noise, source, folder=folder("zip -s"))
    run("split", "-b", "9000", source, "p.csv.", folder=folder("split"))
    run("gzip", "-k", source, folder=made)
    run("split", "-d", "-b", "2000", made / "patients.csv.gz", "p.csv.gz.", folder=folder("split -d"))
    # there is no free program that writes RAR: these are volumes of WinRAR from the tests of rarfile
    for name, data in files(RARFILE).items():
        kind, _, rest = name.rpartition("/")[2].partition("-")
        if kind in ("rar3", "rar5") and rest.startswith(("vols.", "old.")) and not name.endswith(".exp"):
            into = made / f"{kind} {rest[:4].rstrip('.')}"
            into.mkdir(exist_ok=True)
            (into / f"p.{rest.partition('.')[2]}").write_bytes(data)
    return made


@pytest.fixture(scope="module")
def scanner(home: Home) -> Iterator[Scanner]:
    with open_scanner(home) as opened:
        yield opened


KINDS = {
    "7z 7z": 400,
    "7z zip": 400,
    "zip -s": 400,
    "split": 400,
    "split -d": 400,
    "rar3 vols": 0,
    "rar5 vols": 0,
    "rar3 old": 0,
}


@pytest.mark.parametrize(("kind", "rows"), KINDS.items())
def test_divided_files_are_read_as_one(kind: str, rows: int, scanner: Scanner, shelf: Path) -> None:
    [(path, found)] = list(scanner.examine_all(expand_paths((str(shelf / kind),))))
    assert isinstance(found, Finding), found
    parts = sorted((shelf / kind).iterdir())
    assert len(parts) > 1
    assert path.startswith(str(shelf / kind / "p."))
    assert found.bytes == sum(part.stat().st_size for part in parts)
    assert found.rows == rows, found.problems
    if "rar" in kind:
        assert [each.bytes for each in found.members] == [205_000, 2050]
    if kind == "zip -s":
        # one of its two members is noise, which no reader understands
        assert [problem for problem in found.problems if not problem.startswith("unread")] == []
    else:
        assert found.complete, (found.problems, [each.problems for each in found.members])
        assert found.problems == ()


@pytest.mark.parametrize(
    ("kind", "missing"), [("split", 3), ("7z zip", 2), ("zip -s", 1), ("rar5 vols", 2), ("rar3 old", 2)]
)
def test_a_missing_part_is_named_and_the_others_are_examined(
    kind: str, missing: int, scanner: Scanner, shelf: Path, tmp_path: Path
) -> None:
    parts = sorted((shelf / kind).iterdir())
    for number, part in enumerate(parts, 1):
        if number != missing:
            shutil.copy(part, tmp_path)
    if kind == "rar3 old":
        # the first volume is not the first by its name
        (tmp_path / parts[0].name).unlink()
        shutil.copy(parts[1], tmp_path)
    found = [each for _, each in scanner.examine_all(expand_paths((str(tmp_path),)))]
    assert sum(each.bytes for each in found if isinstance(each, Finding)) == sum(
        part.stat().st_size for part in tmp_path.iterdir()
    )
    for each in found:
        assert isinstance(each, Finding)
        assert not each.complete
        assert f"cut: part {missing} of this divided file is missing" in each.problems


def test_the_last_volume_is_missed_by_what_the_volumes_say(scanner: Scanner, shelf: Path, tmp_path: Path) -> None:
    for kind in ("rar5 vols", "rar3 vols"):
        into = tmp_path / kind
        into.mkdir()
        for part in sorted((shelf / kind).iterdir())[:-1]:
            shutil.copy(part, into)
        [(_, found)] = list(scanner.examine_all(expand_paths((str(into),))))
        assert isinstance(found, Finding)
        assert not found.complete
        assert "cut: the archive goes on in a further volume, which is missing" in found.problems


def test_a_part_that_cannot_be_opened_is_reported(scanner: Scanner, shelf: Path, tmp_path: Path) -> None:
    names = ["p.csv.aa", "p.csv.ab"]
    for name in names:
        shutil.copy(shelf / "split" / name, tmp_path)
    [divided] = list(expand_paths((str(tmp_path),)))
    assert isinstance(divided, DividedFile)
    (tmp_path / names[1]).unlink()
    os.mkfifo(tmp_path / names[1])
    found = scanner.examine(divided)
    assert "cut: a part of this divided file could not be opened" in found.problems
    assert not found.complete
    (tmp_path / names[0]).unlink()
    with pytest.raises(InputError):
        scanner.examine(divided)


def test_files_that_are_one_table_are_read_together(scanner: Scanner, tmp_path: Path) -> None:
    shapes = Path(__file__).parents[2] / "samples" / "shapes"
    with zipfile.ZipFile(shapes / "T7b-dbase-memo.zip") as archive:
        archive.extractall(tmp_path, ["patvfp.dbf", "patvfp.fpt", "patfox.dbf"])
    [alone, together] = expand_paths((str(tmp_path),))
    assert alone == str(tmp_path / "patfox.dbf")
    assert str(together) == f"{tmp_path}/patvfp.dbf (with patvfp.fpt)"
    assert isinstance(together, DividedFile)
    found = scanner.examine(together)
    assert (found.complete, found.rows, found.problems) == (True, 60, ())
    assert [member.format for member in found.members] == ["dbase", "dbase_memo"]
