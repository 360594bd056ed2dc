from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from crawler.readers.core.registry import choose
from crawler.readers.structured.json_lines import FORMAT as LINES
from tests.crawler.readers.frames import read
from tests.synth.people import HEADERS, Person, people

Tables = list[tuple[list[str] | None, list[list[str]]]]
PAIR = (["nom", "prenom"], [["A", "B"], ["C", "D"]])

# a text, the tables that the reader outputs, and the codes of the problems that it reports
CASES: dict[str, tuple[str, Tables, list[str]]] = {
    "an array": ('[{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D"}]', [PAIR], []),
    "inside objects": (
        '{"data":{"patients":[{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D"}],"total":2}}',
        [PAIR, (["data.total"], [["2"]])],
        [],
    ),
    "Elasticsearch": (
        '{"took":1,"hits":{"total":2,"hits":[{"_id":"1","_source":{"nom":"A"}},{"_id":"2","_source":{"nom":"C"}}]}}',
        [(["_id", "_source.nom"], [["1", "A"], ["2", "C"]]), (["took", "hits.total"], [["1", "2"]])],
        [],
    ),
    "phpMyAdmin": (
        (
            '[{"type":"header"},{"type":"table","name":"patients",'
            '"data":[{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D"}]}]'
        ),
        [PAIR],
        [],
    ),
    "phpMyAdmin before 4.7": (
        '/**\n Export to JSON\n */\n\n// x.patients\n\n[{"nom":"A","prenom":"B"}, {"nom":"C","prenom":"D"}]\n',
        [PAIR],
        [],
    ),
    "arrays with names first": (
        '[["nom","prenom"],["A","B"],["C","D"]]',
        [(None, [["nom", "prenom"], ["A", "B"], ["C", "D"]])],
        [],
    ),
    "arrays with names beside": (
        '{"columns":["nom","prenom"],"rows":[["A","B"],["C","D"]]}',
        [(["columns.0", "columns.1"], [["nom", "prenom"]]), PAIR],
        [],
    ),
    "arrays with described columns": (
        '{"rows":[["A","B"],["C","D"]],"fields":[{"name":"nom"},{"name":"prenom"}]}',
        [(["name"], [["nom"], ["prenom"]]), PAIR],
        [],
    ),
    "objects under their ids": (
        '{"17":{"nom":"A","prenom":"B"},"18":{"nom":"C","prenom":"D"}}',
        [(["key", "nom", "prenom"], [["17", "A", "B"], ["18", "C", "D"]])],
        [],
    ),
    "a list for each column": ('{"nom":["A","C"],"prenom":["B","D"]}', [PAIR], []),
    "a column of ids for each column": ('{"nom":{"0":"A","1":"C"},"prenom":{"0":"B","1":"D"}}', [PAIR], []),
    "records over many lines": (
        '{\n "nom": "A",\n "prenom": "B"\n}\n{\n "nom": "C",\n "prenom": "D"\n}\n',
        [PAIR],
        [],
    ),
    "records without anything between": ('{"nom":"A","prenom":"B"}{"nom":"C","prenom":"D"}', [PAIR], []),
    "MongoDB": (
        (
            '[{"_id":{"$oid":"5f"},"ddn":{"$date":{"$numberLong":"-86400000"}},"d":{"$date":"1970-01-02"}},'
            '{"n":{"$numberLong":"5"}}]'
        ),
        [(["_id", "ddn", "d", "n"], [["5f", "1969-12-31T00:00:00Z", "1970-01-02", ""], ["", "", "", "5"]])],
        [],
    ),
    "contacts of a person stay with the person": (
        '[{"nom":"A","prenom":"B","contacts":[{"type":"mel","valeur":"x@y"},{"type":"tel","valeur":"06"}]}]',
        [
            (
                ["nom", "prenom", "contacts.0.type", "contacts.0.valeur", "contacts.1.type", "contacts.1.valeur"],
                [["A", "B", "mel", "x@y", "tel", "06"]],
            )
        ],
        [],
    ),
    "children of a person are people": (
        '[{"nom":"A","ddn":"1980-01-01","enfants":[{"nom":"C","ddn":"2010-01-01"}]}]',
        [(["nom", "ddn"], [["C", "2010-01-01"], ["A", "1980-01-01"]])],
        [],
    ),
    "a list of addresses": ('{"emails":["a@b.example"]}', [(["emails.0"], [["a@b.example"]])], []),
    "a script": ('var patients = [{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D"}];', [PAIR], []),
    "a key that comes twice": ('[{"a":1,"a":"x"}]', [(["a", "a_2"], [["1", "x"]])], []),
    "lone surrogates and NaN": ('[{"a":"\\ud800x","b":NaN}]', [(["a", "b"], [["?x", "nan"]])], []),
    "commas at the end": ('[{"nom":"A","prenom":"B",},{"nom":"C","prenom":"D"},]', [PAIR], ["json"]),
    "single quotes": ("[{'nom':'A','prenom':'B'},{'nom':'C','prenom':\"D\"}]", [PAIR], ["json"]),
    "keys without quotes": ('[{nom:"A",prenom:"B"},{nom:"C",prenom:"D"}]', [PAIR], ["json"]),
    "comments": ('[{"nom":"A","prenom":/* x */"B"},// y\n{"nom":"C","prenom":"D"}]', [PAIR], ["json"]),
    "a superfluous quote": (
        '[{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D"E"}]',
        [(PAIR[0], [["A", "B"], ["C", 'D"E']])],
        ["json"],
    ),
    "cut": ('[{"nom":"A","prenom":"B"},{"nom":"C","prenom":"D', [PAIR], ["json", "cut"]),
    "nothing": ("{}", [([""], [[""]])], []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_document_gives_its_tables(case: str) -> None:
    text, tables, problems = CASES[case]
    for data in (text.encode(), text.encode("utf-16")):
        found = read(data)
        assert found.format == "json"
        assert [(table.columns, table.rows) for table in found.tables] == tables
        assert found.problems == problems
        assert found.complete


NOT_JSON = (
    "[Section]\nkey = value\n",
    "[2026-01-01 10:00:00] started\n",
    "{\\rtf1\\ansi text}",
    "[b]text[/b] and more",
    "{{ template }}",
    "[1] a footnote, and more",
)


@pytest.mark.parametrize("text", NOT_JSON)
def test_other_text_is_not_recognised_as_json(text: str) -> None:
    reader = choose(text.encode(), "")
    assert reader is not None
    assert reader.FORMAT not in ("json", LINES)


def persons() -> list[Person]:
    return people(5, 400)


def record(person: Person) -> dict[str, object]:
    return {HEADERS["fr"][name]: str(getattr(person, name)) for name in ("surname", "first", "dob", "email", "note")}


SHAPES = {
    "array": lambda rows: rows,
    "deep": lambda rows: {"meta": {"n": 1}, "a": {"b": [{"x": rows}]}},
    "ids": lambda rows: {str(number): row for number, row in enumerate(rows)},
    "nested": lambda rows: [{"id": 1, "patient": row, "adr": [{"v": "Lyon [{"}]} for row in rows],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_every_record_is_a_row_even_if_the_document_exceeds_the_memory_limit(shape: str, indent: int | None) -> None:
    rows = [record(person) for person in persons()]
    data = json.dumps(SHAPES[shape](rows), indent=indent, ensure_ascii=False).encode()
    whole = read(data)
    for limits, cut in ((Limits(max_line=2000), 2**20), (Limits(max_line=900), 997)):
        found = read(data * 2, limits, cut=cut)
        assert not found.all_problems
        shown = [row for row in found.rows if any("@" in cell for cell in row)]
        expected = [row for row in whole.rows if any("@" in cell for cell in row)]
        assert len(shown) == 2 * len(rows)
        assert sorted(shown) == sorted(expected * 2)


def test_a_broken_record_does_not_affect_the_others() -> None:
    parts = [json.dumps(record(person)) for person in persons()]
    for number in range(20, 400, 40):
        parts[number] = parts[number].replace('":', "", 2) if number % 80 else parts[number][: -len(parts[number]) // 2]
    found = read(("[" + ",".join(parts) + "]").encode(), Limits(max_line=3000))
    assert "json" in found.all_problems
    mails = {cell for row in found.rows for cell in row if "@" in cell and len(cell) < 80}
    assert len(mails) >= 380
    assert all(found.shows(person.email) for person in persons() if person.email in "".join(parts))


def test_a_string_that_is_not_utf8_is_read_as_windows_1252() -> None:
    data = '[{"nom":"Léa"},{"nom":"Zoé"}]'.encode().replace("Zoé".encode(), "Zoé".encode("cp1252"))
    assert read(data).rows == [["Léa"], ["Zoé"]]


def test_a_value_that_exceeds_the_memory_limit_is_output_as_text() -> None:
    long = "word " * 200_000
    data = json.dumps({"a": "x", "doc": long + 'canary@b.example \\ "', "b": [{"nom": "A"}]}).encode()
    found = read(data, Limits(max_line=5000))
    assert found.problems == ["line"]
    assert found.text.decode().count("word") == 200_000
    assert found.shows("canary@b.example")
    assert ["A"] in found.rows


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_do_not_stop_the_reader(data: st.DataObject) -> None:
    random_ = random.Random(data.draw(st.integers(0, 9)))
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    whole = bytearray(json.dumps(SHAPES[shape]([record(person) for person in persons()[:40]])).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[random_.randrange(len(whole))] = data.draw(st.sampled_from(list(b'{}[]",:\\\x00\xff 1e')))
    del whole[data.draw(st.integers(1, len(whole))) :]
    found = read(bytes(whole), Limits(max_line=2000))
    assert "reader" not in found.all_problems
    assert found.bytes == len(whole)


def test_what_phpmyadmin_says_about_its_export_is_text():
    found = read(CASES["phpMyAdmin"][0].encode())
    assert bytes(found.text).decode().split() == ["header", "table", "patients"]


@pytest.mark.parametrize(
    "record",
    [
        {"Item": {"nom": {"S": "Roux"}, "ddn": {"S": "1975-03-12"}, "n": {"N": "7"}, "m": {"M": {"tel": {"S": "06"}}}}},
        {
            "name": "projects/p/patients/1",
            "fields": {
                "nom": {"stringValue": "Roux"},
                "ddn": {"timestampValue": "1975-03-12"},
                "n": {"integerValue": "7"},
                "m": {"mapValue": {"fields": {"tel": {"stringValue": "06"}}}},
            },
        },
    ],
)
def test_values_under_their_types_are_one_row(record: dict[str, object]) -> None:
    found = read("\n".join([json.dumps(record)] * 3).encode())
    [table] = found.tables
    assert table.columns is not None
    assert [dict(zip(table.columns, row, strict=True)) for row in table.rows] == [
        {
            "nom": "Roux",
            "ddn": "1975-03-12",
            "n": "7",
            "m.tel": "06",
            **({"name": record["name"]} if "name" in record else {}),
        }
    ] * 3
