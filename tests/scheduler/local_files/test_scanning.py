"""Many files in a folder: some at a time, told in their order, each as if it were alone."""

from __future__ import annotations

import os

import pytest

from data.errors import InputError
from data.model import Finding
from data.settings.home import Home
from scheduler.local_files.scanning import SMALL, expand, open_scanner
from tests.command import must
from tests.synth.people import people, to_csv

CROWD = people(8, 300)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("case")
    must(None, "init", folder / "home")
    return Home(folder / "home", dict(os.environ))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("files")
    for number in range(60):
        (made / f"{number:02}.csv").write_bytes(to_csv(CROWD[number : number + 1 + number % 7]))
    (made / "30.csv-large").write_bytes(to_csv(CROWD) * 20)
    assert (made / "30.csv-large").stat().st_size > SMALL
    (made / "40-link").symlink_to(made / "41.csv")
    return made


def test_files_of_a_folder_are_told_in_order_each_as_it_is_alone(home, folder):
    with open_scanner(home) as scanner:
        paths = list(expand((str(folder), str(folder / "nothing"))))
        told = list(scanner.examine_all(paths))
        assert [path for path, _ in told] == ["" if isinstance(path, InputError) else path for path in paths]
        errors = [path for path, found in told if isinstance(found, InputError)]
        assert errors == ["", str(folder / "nothing")]
        for path, found in told[::9]:
            assert isinstance(found, Finding)
            assert found == scanner.examine(path)
        rows = [found.rows for _, found in told if isinstance(found, Finding)]
        assert rows == [
            *[1 + number % 7 for number in range(31)],
            20 * len(CROWD) + 19,
            *[1 + n % 7 for n in range(31, 60)],
        ]


def test_an_examiner_that_ends_costs_no_file(home, folder):
    with open_scanner(home) as scanner:
        told = []
        for path, found in scanner.examine_all(expand((str(folder),))):
            told.append((path, found))
            if len(told) == 5:
                scanner._process.process.kill()
        assert len(told) == 62
        assert {path for path, found in told if not isinstance(found, Finding)} == {""}
