"""Whole scans: archives that are locked with a password of a post, and archives whose paths name canaries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.inside import run
from tests.synth.case import enrol, examine, examining
from tests.synth.hostile import make_zip
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow
SECRET = "Chaton-bleu-2026"


def test_a_scan_opens_what_the_post_gives_and_keeps_no_password(tmp_path: Path) -> None:
    assert run(None, "init", tmp_path / "home").returncode == 0
    (tmp_path / "p.csv").write_bytes(to_csv(people(3, 300)))
    words = ["zip", "-q", "-j", "-P", SECRET, tmp_path / "p.zip", tmp_path / "p.csv"]
    subprocess.run(list(map(str, words)), check=True, capture_output=True, timeout=120)
    (tmp_path / "post.txt").write_text(f"Clinic data, 300 lines\nMDP : {SECRET}\n")
    locked = run(tmp_path / "home", "scan", "--json", tmp_path / "p.zip")
    [found] = locked.json["inputs"]
    assert (locked.returncode, found["rows"], found["complete"]) == (2, 0, False)
    opened = run(tmp_path / "home", "scan", "--record", "--json", "--post", tmp_path / "post.txt", tmp_path / "p.zip")
    [found] = opened.json["inputs"]
    assert (found["rows"], found["complete"]) == (300, True)
    assert found["problems"] == ["password: opened with a password that the post gives"]
    assert SECRET not in opened.said
    for file in (tmp_path / "home").rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_canaries_in_the_paths_of_an_archive_are_hit(tmp_path: Path) -> None:
    crowd = people(61, 30)
    enrol(tmp_path, crowd[:20])
    names = [f"Dossiers/{each.surname.upper()}_{each.first}_{each.dob:%Y-%m-%d}.pdf" for each in crowd]
    with examining(tmp_path) as examiner:
        found = examine(examiner, make_zip(dict.fromkeys(names, b"x")), "dossiers.zip")
        assert sum(hit.canaries for hit in found.hits) == 20
        assert found.records == 30
        other = [f"factures/FACTURE_{number}_2023-01-{number + 1:02}.pdf" for number in range(28)]
        found = examine(examiner, make_zip(dict.fromkeys(other, b"x")), "factures.zip")
        assert (found.hits, found.records) == ((), 0)
