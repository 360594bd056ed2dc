"""`tocsin scan --part` and `--fold`: several machines print together what one would have printed."""

from __future__ import annotations

import os

import pytest

from data.settings.home import Home
from scheduler.local_files.scan_plan import Plan
from tests.inside import refused, run
from tests.scheduler.cli.test_scan import CROWD, make_home
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    crowd = people(5, 35_000)
    (folder / "large.csv").write_bytes(to_csv([*crowd[:20_000], *CROWD[:3], *crowd[20_000:], *CROWD[3:5]]))
    (folder / "small.csv").write_bytes(to_csv(CROWD[:2]))
    (folder / "note.txt").write_text("nothing of interest\n")
    (folder / os.fsdecode(b"zo\xe9.csv")).write_bytes(to_csv(CROWD[2:4]))
    return folder


def test_the_parts_together_find_what_one_machine_finds_and_may_be_repeated(home, dump, tmp_path):
    out = tmp_path / "results"
    for part, examined in ((1, 4), (2, 2), (1, 0)):
        done = run(home, "scan", "--part", f"{part}/2", "--out", out, "--chunk-size", "1", "--json", dump)
        assert done.returncode == 0, done.said
        assert (done.json["examined"], done.json["failed"]) == (examined, 0)
        if part == 1 and examined:
            refused(run(home, "scan", "--fold", out), "parts are missing: 2 of 2")
    one, fold = run(home, "scan", "--json", dump), run(home, "scan", "--fold", out, "--json")
    assert one.returncode == fold.returncode == 1
    assert fold.json == one.json
    # a result that is damaged or exchanged is told, and the other files are not lost by it
    for each in CROWD[:5]:
        assert not any(each.email.encode() in path.read_bytes() for path in out.iterdir())
    largest = max(out.glob("*.result"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    fold = run(home, "scan", "--fold", out, "--json")
    assert fold.returncode == 2
    assert "a result is damaged, forged or of another case" in fold.stderr
    assert [each["complete"] for each in fold.json["inputs"]] == [False, True, True, True]
    assert fold.json["inputs"][1:] == one.json["inputs"][1:]
    (index,) = out.glob("*.index")
    index.write_bytes(index.read_bytes()[:-1])
    fold = run(home, "scan", "--fold", out, "--json")
    refused(fold, "was not examined")
    assert fold.json["inputs"][1:] == one.json["inputs"][1:]


def test_a_piece_that_cannot_be_examined_keeps_no_other_file_from_the_fold(home, dump, tmp_path):
    out = tmp_path / "results"
    plan = Plan.of(Home(home), (str(dump),), 2**20, {"exact": True, "explain": False})
    # a folder stands where the index of the large file is to be
    (out / f"{plan.name_of(plan.inputs[0], 'index')}.index").mkdir(parents=True)
    part = run(home, "scan", "--part", "1/1", "--out", out, "--chunk-size", "1", "--json", dump)
    assert (part.returncode, part.json["examined"], part.json["failed"]) == (2, 3, 1), part.said
    fold = run(home, "scan", "--fold", out, "--json")
    refused(fold, "large.csv")
    assert [(each["complete"], bool(each["hits"])) for each in fold.json["inputs"]] == [
        (False, False), (True, False), (True, True), (True, True)
    ]  # fmt: skip


def test_what_was_examined_with_other_limits_or_passwords_is_examined_again(home, dump):
    def compared(passwords=(), **environ):
        return Plan.of(Home(home, environ), (str(dump),), 2**20, {"exact": True}, passwords).compared

    assert compared() == compared() == compared(TOCSIN_CASE="another name")
    assert len({compared(), compared(["lune"]), compared(TOCSIN_EXAMINE__MAX_DEPTH="3")}) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--part", "3/2", "--out", "x", "y"), "give it as I/N"),
        (("--part", "1/2", "y"), "go together"),
        (("--part", "1/2", "--out", "y/x", "y"), "--out lies in a folder that is examined"),
        (("--fold", ".", "y"), "neither paths"),
        (("--record", "--fold", "."), "--record"),
        (("--fold", "."), "no part of a scan is there"),
        (("--fold", ".", "--explain"), "go with --part"),
        (("--fold", ".", "--bounded"), "go with --part"),
        (("--part", "1/2", "--out", "x", "-"), "standard input"),
        ((), "Missing argument"),
    ],
)
def test_options_that_do_not_go_together_are_refused(home, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    refused(run(home, "scan", *arguments), said)
