from __future__ import annotations

import json

from click.testing import CliRunner

from data.config import Home
from data.errors import InputError
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
    assert (code, out) == (0, "incident vendor-2026: 1 clients, 1 sources, 1 words\n")
    assert "no source board yet" in err
    assert run(home, "incident", "add", "Vendor 2026", "--client", "p2", "--source", "example")[2] == ""
    expected = {
        "id": "vendor-2026",
        "name": "Vendor 2026",
        "clients": ["p1", "p2"],
        "sources": ["board", "example"],
        "words": ["x"],
        "releases": [],
    }
    assert json.loads(run(home, "incident", "list", "--json")[1]) == {"incidents": [expected]}
    assert json.loads(run(home, "incident", "show", "vendor-2026", "--json")[1]) == expected
    assert "p1, p2" in run(home, "incident", "show", "Vendor 2026")[1]
    assert "vendor-2026" in run(home, "incident", "list")[1]


def test_an_unknown_incident_is_one_sentence(home: Home) -> None:
    assert run(home, "incident", "show", "nobody") == (2, "", "there is no incident nobody")


def test_an_empty_list_says_what_to_do(home: Home) -> None:
    assert json.loads(run(home, "incident", "list", "--json")[1]) == {"incidents": []}
    assert "tocsin incident add" in run(home, "incident", "list")[2]
