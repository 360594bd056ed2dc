from __future__ import annotations

import contextlib
import json
from pathlib import Path

import lxml.html
import pytest
from click.testing import CliRunner

from data.errors import InputError
from data.settings.home import Home
from data.store.store import Store
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
    err = run(home, "incident", "add", "Vendor 2026", "--client", "p2", "--source", "example")[2]
    assert "no source" not in err
    assert "no canaries yet, so Tocsin cannot recognise their data: p2" in err
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


@pytest.mark.slow  # the file of incidents is written anew with 1,500 clients
def test_clients_are_added_from_a_file_or_a_table_and_nothing_is_changed_if_a_line_is_wrong(
    home: Home, tmp_path
) -> None:
    listed, bad, empty, binary = (tmp_path / name for name in ("ids.csv", "bad.txt", "empty.txt", "table.xlsx"))
    listed.write_text(
        "\ufeffclient,name\np1,Cabinet A\n\n# a remark\np2\np1\n" + "\n".join(f"q{n}" for n in range(1_500))
    )
    bad.write_text("p3\nCabinet des Lilas\n")
    empty.write_text("client\n\n")
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    for arguments, said in (
        (("--clients-from", str(bad)), "'Cabinet des Lilas' is not a valid client id"),
        (("--clients-from", str(empty)), "holds no client id"),
        (("--clients-from", str(binary)), "cannot be read as text"),
        (("--clients-from", str(tmp_path / "none.csv")), "No such file"),
        (("--clients-from", str(tmp_path)), "Is a directory"),
        (("--all-clients",), "the watch-list has no client yet"),
    ):
        code, _, err = run(home, "incident", "add", "vendor", "--word", "x", *arguments)
        assert (code, said in err, "nothing was changed" in err) == (2, True, True), err
    assert json.loads(run(home, "incident", "list", "--json")[1]) == {"incidents": []}
    code, out, err = run(home, "incident", "add", "vendor", "--client", "p0", "--clients-from", str(listed))
    assert (code, out) == (0, "incident vendor: 1,503 clients, 0 sources, 0 words\n")
    assert "1,502 of 1,502 clients in the file have no canaries yet" in err
    assert "p1, p2, q0, q1, q2 and 1,497 more" in err
    text = run(home, "incident", "show", "vendor")[1]
    assert "Data of 0 of 1,503 clients was sighted" in text
    assert len(text.splitlines()) < 10
    assert len(run(home, "incident", "show", "vendor", "--all")[1].splitlines()) > 1_500


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
    assert "Data of 1 of 2 clients was sighted: 9 of 20 canaries." in text
    assert "p2" not in text.partition("No data of the other 1 clients")[0]
    assert "not known" in run(home, "incident", "show", "vendor", "--client", "p2")[1]
    assert "23 % to 68.5 %" in text
    # what stands in the rows of the five people was counted; of invented people that says which columns are out
    with contextlib.closing(Store.open(home.db_path)) as store:
        [hit] = store.findings.latest()[-1]["body"]["hits"]
    assert hit["data"].items() >= dict.fromkeys(("names", "dob", "nir", "email", "phone"), 5).items()
    # the report tells the same figures
    assert run(home, "report", "vendor", "--out", str(tmp_path / "report.html"))[0] == 0
    tree = lxml.html.parse(tmp_path / "report.html")
    rows = [[cell.text_content().strip() for cell in row][:4] for row in tree.xpath("//tr[@data-find]")]
    assert rows == [
        [each["client"], str(each["sighted"]), str(each["tagged"]), share]
        for each, share in zip(shown["blast_radius"], ("23\u00a0% to 68.5\u00a0%", "not known"), strict=True)
    ]
    # sightings at other sources do not belong to an incident that names its own sources
    assert run(home, "incident", "add", "Other", "--source", "board")[0] == 0
    assert json.loads(run(home, "incident", "show", "other", "--json")[1])["blast_radius"] == []
