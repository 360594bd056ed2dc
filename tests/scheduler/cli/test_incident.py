from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from data.errors import InputError
from data.settings.home import Home
from scheduler.cli import tocsin


def run(home: Home, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(tocsin, ["--home", str(home.path), *arguments])
    if done.exception is not None and not isinstance(done.exception, (SystemExit, InputError)):
        raise done.exception
    if isinstance(done.exception, InputError):
        return 2, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


def test_an_incident_is_added_listed_and_shown(home: Home) -> None:
    code, out, err = run(home, "incident", "add", "Vendor 2026", "--client", "p1", "--source", "board", "--word", "x")
    assert (code, out) == (0, "incident vendor-2026: 1 client, 1 source, 1 word\n")
    assert "no source board yet" in err
    assert run(home, "incident", "add", "Vendor 2026", "--client", "p2", "--source", "example")[2] == ""
    expected = {
        "id": "vendor-2026",
        "name": "Vendor 2026",
        "clients": ["p1", "p2"],
        "sources": ["board", "example"],
        "words": ["x"],
        "expressions": [],
        "yara": [],
        "releases": [],
    }
    assert json.loads(run(home, "incident", "list", "--json")[1]) == {"incidents": [expected]}
    shown = json.loads(run(home, "incident", "show", "vendor-2026", "--json")[1])
    assert expected.items() <= shown.items()
    assert [(each["client"], each["tagged"], each["share"]) for each in shown["blast_radius"]] == [
        ("p1", 0, None),
        ("p2", 0, None),
    ]
    assert "Without canaries: p1, p2." in run(home, "incident", "show", "Vendor 2026")[1]
    assert "vendor-2026" in run(home, "incident", "list")[1]


def test_an_unknown_incident_gives_one_sentence(home: Home) -> None:
    assert run(home, "incident", "show", "nobody") == (2, "", "there is no incident nobody")


def test_an_empty_list_says_what_to_do(home: Home) -> None:
    assert json.loads(run(home, "incident", "list", "--json")[1]) == {"incidents": []}
    assert "tocsin incident add" in run(home, "incident", "list")[2]


def test_rules_are_kept_and_a_wrong_one_is_refused_with_its_line(home: Home, tmp_path) -> None:
    good, bad = tmp_path / "good.yar", tmp_path / "bad.yar"
    good.write_text('rule a { strings: $a = "x" condition: $a }')
    bad.write_text("rule a {\n condition: foo }")
    code, out, _ = run(home, "incident", "add", "v", "--expression", r"part \d", "--yara", str(good))
    assert (code, out) == (0, "incident v: 0 clients, 0 sources, 0 words, 2 rules\n")
    assert (home.path / "rules" / "good.yar").read_text() == good.read_text()
    for option, value, said in (
        ("--yara", str(bad), "line:2"),
        ("--yara", str(tmp_path / "none.yar"), "No such file"),
        ("--expression", "(a+)+", "unbounded repeat"),
        ("--expression", "[", "not a valid regular expression"),
    ):
        code, _, err = run(home, "incident", "add", "v", option, value)
        assert code == 2
        assert said in err
    shown = json.loads(run(home, "incident", "show", "v", "--json")[1])
    assert (shown["expressions"], shown["yara"]) == ([r"part \d"], ["good.yar"])


@pytest.mark.slow
def test_the_blast_radius_counts_each_canary_once_over_all_samples(home: Home, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    assert run(home, "canary", "generate", "--client", "p1", "--count", "20", "--out", str(people))[0] == 0
    assert run(home, "incident", "add", "Vendor", "--client", "p1", "--client", "p2")[0] == 0
    head, *lines = people.read_text().splitlines()
    for name, rows in (("one", lines[:5]), ("two", lines[3:9])):
        sample = tmp_path / f"{name}.csv"
        sample.write_text("\n".join([head, *rows]))
        assert "HITS" in run(home, "scan", "--record", str(sample))[1]
    shown = json.loads(run(home, "incident", "show", "vendor", "--json")[1])
    assert shown["events"] == []
    first, second = shown["blast_radius"]
    assert (first["client"], first["tagged"], first["sighted"]) == ("p1", 20, 9)
    assert first["share"] == pytest.approx([0.23058, 0.68472], abs=1e-5)
    assert (first["first"]["source"], first["first"]["at"] < first["last"]["at"]) == ("scan", True)
    assert (second["sighted"], second["share"], second["first"]) == (0, None, None)
    text = run(home, "incident", "show", "vendor")[1]
    assert "Data of 1 of 2 clients was sighted." in text
    assert "23 % to 68.5 %" in text
    # sightings at other sources do not belong to an incident that names its own sources
    assert run(home, "incident", "add", "Other", "--source", "board")[0] == 0
    assert json.loads(run(home, "incident", "show", "other", "--json")[1])["blast_radius"] == []
