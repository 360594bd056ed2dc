"""Ways in which programs write one list of people, through the real examiner: 60 people who are known, and nobody else.

Each shape is written here, from the baseline of the samples, as the named program writes it.
"""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.case import enrol_table, examine, examining

pytestmark = pytest.mark.slow

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"
Person = dict[str, str]
NAMES = ("nom", "prenom", "ddn")
ROWS = list(csv.DictReader((SHAPES / "baseline.csv").read_text().splitlines()))
EPOCH = date(1970, 1, 1)


def born(person: Person) -> date:
    day, month, year = map(int, person["ddn"].split("/"))
    return date(year, month, day)


def table(cell: Callable[[Person], object], header: str = "date_naissance", between: str = ";") -> str:
    lines = [between.join(["nom", "prenom", header])]
    return "\n".join([*lines, *(between.join([row["nom"], row["prenom"], str(cell(row))]) for row in ROWS)]) + "\n"


def days(person: Person, since: date = EPOCH) -> int:
    return (born(person) - since).days


def box() -> str:
    rule = f"+{'-' * 20}+{'-' * 20}+{'-' * 12}+\n"
    lines = [f"| {row['nom']:<18} | {row['prenom']:<18} | {row['ddn']:<10} |\n" for row in ROWS]
    header = f"| {'nom':<18} | {'prenom':<18} | {'ddn':<10} |\n"
    return rule + header + rule.replace("-", "=") + rule.join(lines) + rule


def var_export() -> str:
    people = [
        f"  {number} => \n  array (\n" + "".join(f"    '{name}' => '{row[name]}',\n" for name in NAMES) + "  ),\n"
        for number, row in enumerate(ROWS)
    ]
    return f"array (\n{''.join(people)})"


def escaped(text: str, form: str) -> str:
    return "".join(char if char.isascii() else form.format(ord(char)) for char in text)


def utf8_escaped(text: str) -> str:
    return "".join(char if char.isascii() else "".join(f"\\x{byte:02x}" for byte in char.encode()) for char in text)


def php(person: Person) -> str:
    cells = [f's:{len(name)}:"{name}";s:{len(person[name].encode())}:"{person[name]}";' for name in NAMES]
    return f"a:3:{{{''.join(cells)}}}"


def msgpack(text: str) -> bytes:
    return bytes([0xA0 + len(text.encode())]) + text.encode()


def cbor(text: str) -> bytes:
    size = len(text.encode())
    return (bytes([0x60 + size]) if size < 24 else bytes([0x78, size])) + text.encode()


LISTS = [NAMES, *([row[name] for name in NAMES] for row in ROWS)]
CSV = table(lambda row: row["ddn"])
WRITTEN: dict[str, str | bytes] = {
    "Oracle's time stamps": table(lambda row: born(row).strftime("%d-%b-%y 12.00.00.000000000 AM").upper()),
    "AS/400 dates": table(lambda row: (born(row).year - 1900) * 10_000 + born(row).month * 100 + born(row).day),
    "the day in the second place": table(lambda row: born(row).strftime("%Y-%d-%m")),
    "days since 1970": table(days),
    "julianday of SQLite": table(lambda row: days(row) + 2_440_587.5),
    "Windows file times": table(lambda row: (days(row) * 86_400 + 11_644_473_600) * 10**7),
    "Core Data": table(lambda row: f"{days(row, date(2001, 1, 1)) * 86_400}.0", "ZBIRTHDATE"),
    "Java's LocalDate in JSON": json.dumps(
        [
            {
                "lastName": row["nom"],
                "firstName": row["prenom"],
                "birthDate": [born(row).year, born(row).month, born(row).day],
            }
            for row in ROWS
        ]
    ),
    "PHP's DateTime in JSON": json.dumps(
        [
            {
                "nom": row["nom"],
                "prenom": row["prenom"],
                "dateNaissance": {
                    "date": f"{born(row)} 00:00:00.000000",
                    "timezone_type": 3,
                    "timezone": "Europe/Paris",
                },
            }
            for row in ROWS
        ]
    ),
    "Firestore": json.dumps(
        {
            f"-N{number:018}": {
                "nom": row["nom"],
                "prenom": row["prenom"],
                "ddn": {"_seconds": days(row) * 86_400, "_nanoseconds": 0},
            }
            for number, row in enumerate(ROWS)
        }
    ),
    "short names of columns": table(lambda row: row["ddn"], "pat_dtn"),
    "a box with a line under each row": box(),
    "the separator of records": CSV.replace(";", "\x1f").replace("\n", "\x1e"),
    "EBCDIC, names alone": CSV.encode("cp1140"),
    "escapes of Python": escaped(CSV, "\\u{:04x}"),
    "escapes of bytes": utf8_escaped(CSV),
    "ini": "".join(
        f"[patient{number}]\n" + "".join(f"{name}={row[name]}\n" for name in NAMES) + "\n"
        for number, row in enumerate(ROWS)
    ),
    "print_r": "Array\n(\n"
    + "".join(
        f"    [{number}] => Array\n        (\n"
        + "".join(f"            [{name}] => {row[name]}\n" for name in NAMES)
        + "        )\n\n"
        for number, row in enumerate(ROWS)
    )
    + ")\n",
    "var_export": var_export(),
    "UPDATE": "".join(
        f"UPDATE patient SET nom='{row['nom']}', prenom='{row['prenom']}', ddn='{born(row)}' WHERE id={row['id']};\n"
        for row in ROWS
    ),
    "Jira": "||nom||prenom||ddn||\n" + "".join(f"|{'|'.join(row[name] for name in NAMES)}|\n" for row in ROWS),
    "letters": "".join(
        f"Cher confrère,\n\nJe vous adresse Mme {row['prenom']} {row['nom']}, né(e) le {row['ddn']}, pour avis.\n\n"
        for row in ROWS
    ),
    "mails": "".join(
        f"From a@example.org Mon Jan  1 00:00:00 2024\nSubject: rdv\nContent-Type: text/plain; charset=utf-8\n\n"
        f"Bonjour,\nPatient : {row['nom']} {row['prenom']}, né(e) le {row['ddn']}.\n\n"
        for row in ROWS
    ),
    "a session of PHP": "patients|a:60:{" + "".join(f"i:{number};{php(row)}" for number, row in enumerate(ROWS)) + "}",
    "a session of PHP with plain variables": 'flash|a:0:{}csrf|s:8:"0f3a77c1";page|i:4;first|a:30:{'
    + "".join(f"i:{number};{php(row)}" for number, row in enumerate(ROWS[:30]))
    + "}seen|d:1700000000.5;away|N;more|a:30:{"
    + "".join(f"i:{number};{php(row)}" for number, row in enumerate(ROWS[30:]))
    + "}",
    "MessagePack, lists": b"\xdc\0\x3d" + b"".join(b"\x93" + b"".join(map(msgpack, cells)) for cells in LISTS),
    "CBOR, lists": b"\x98\x3d" + b"".join(b"\x83" + b"".join(map(cbor, cells)) for cells in LISTS),
    "CBOR, in a map": b"\xa1"
    + cbor("patients")
    + b"\x98\x3c"
    + b"".join(b"\xa3" + b"".join(cbor(name) + cbor(row[name]) for name in NAMES) for row in ROWS),
    "MessagePack, in a map": b"\x81"
    + msgpack("patients")
    + b"\xdc\0\x3c"
    + b"".join(b"\x83" + b"".join(msgpack(name) + msgpack(row[name]) for name in NAMES) for row in ROWS),
    # longer than what a format is recognised by
    "CBOR, a large map": b"\xa2"
    + cbor("count")
    + b"\x18\x3c"
    + cbor("patients")
    + b"\x98\x3c"
    + b"".join(
        b"\xa4" + b"".join(cbor(name) + cbor(row[name]) for name in NAMES) + cbor("x") + b"\x59\5\0" + bytes(1280)
        for row in ROWS
    ),
    "MessagePack, a large map": b"\x82"
    + msgpack("count")
    + b"\x3c"
    + msgpack("patients")
    + b"\xdc\0\x3c"
    + b"".join(
        b"\x84"
        + b"".join(msgpack(name) + msgpack(row[name]) for name in NAMES)
        + msgpack("x")
        + b"\xc5\5\0"
        + bytes(1280)
        for row in ROWS
    ),
    "CBOR": b"\x98\x3c" + b"".join(b"\xa3" + b"".join(cbor(name) + cbor(row[name]) for name in NAMES) for row in ROWS),
    **{
        f"pickle {protocol} with dates": pickle.dumps(
            [{"nom": row["nom"], "prenom": row["prenom"], "ddn": born(row)} for row in ROWS], protocol
        )
        for protocol in range(6)
    },
    "dcm2xml": '<?xml version="1.0"?>\n<list>'
    + "".join(
        "<file-format><data-set>"
        f'<element tag="0010,0010" vr="PN" vm="1" len="9" name="PatientName">{row["nom"]}^{row["prenom"]}</element>'
        f'<element tag="0010,0030" vr="DA" vm="1" len="8" name="PatientBirthDate">{born(row):%Y%m%d}</element>'
        "</data-set></file-format>\n"
        for row in ROWS
    )
    + "</list>",
    "records in a file of an unknown format": bytes(range(32)) * 40
    + b"\0\3\0\7\x0e".join(json.dumps({name: row[name] for name in NAMES}, ensure_ascii=False).encode() for row in ROWS)
    + bytes(40),
    "a form of two columns": "\n\n".join(
        f"Nom : {row['nom']:<30}Prénom : {row['prenom']}\nNé(e) le : {row['ddn']:<25}Tél : {row['tel']}" for row in ROWS
    ),
    "a fence of Markdown": f"# leak\n\n```csv\n{CSV.replace(';', ',')}```\n",
    "joined files": "\n".join([CSV.splitlines()[0] + "\n" + line for line in CSV.splitlines()[1:]]) + "\n",
    "the general log of MySQL": "".join(
        f"2024-05-01T10:00:{number:02}.123456Z\t   12 Query\tINSERT INTO patient (nom, prenom, ddn)"
        f" VALUES ('{row['nom']}', '{row['prenom']}', '{born(row)}')\n"
        for number, row in enumerate(ROWS)
    ),
    "MERGE": "MERGE INTO patient USING (VALUES\n"
    + ",\n".join(f"('{row['nom']}','{row['prenom']}','{born(row)}')" for row in ROWS)
    + "\n) AS s(nom,prenom,ddn) ON 1=0 WHEN NOT MATCHED THEN INSERT VALUES (s.nom,s.prenom,s.ddn);\n",
    "Cypher": "".join(
        f"CREATE (:Patient {{nom: '{row['nom']}', prenom: '{row['prenom']}', ddn: date('{born(row)}')}});\n"
        for row in ROWS
    ),
    "the shell of MongoDB": "> db.patients.find()\n"
    + "".join(
        f'{{ "_id" : ObjectId("5f{number:022x}"), "nom" : "{row["nom"]}", "prenom" : "{row["prenom"]}",'
        f' "ddn" : ISODate("{born(row)}T00:00:00Z") }}\n'
        for number, row in enumerate(ROWS)
    )
    + 'Type "it" for more\n',
    "N-Triples": "".join(
        f'<http://x/{number}> <http://xmlns.com/foaf/0.1/{name}> "{value}" .\n'
        for number, row in enumerate(ROWS)
        for name, value in (("familyName", row["nom"]), ("givenName", row["prenom"]), ("birthday", born(row)))
    ),
    "JSON in a log": "".join(
        f"2024-05-01T10:00:{number:02}Z INFO body={json.dumps({name: row[name] for name in NAMES}, ensure_ascii=False)}\n"
        for number, row in enumerate(ROWS)
    ),
    "Textile": "|_. nom |_. prenom |_. ddn |\n"
    + "".join(f"|{'|'.join(f'<. {row[name]} ' for name in NAMES)}|\n" for row in ROWS),
}


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    for name in ("cab-nord", "cab-sud"):
        header, *rows = csv.reader((SHAPES / f"{name}.csv").read_text().splitlines())
        enrol_table(folder, header, rows, name)
    with examining(folder, (SHAPES / "baseline.csv").read_bytes()) as examiner:
        yield examiner


@pytest.mark.parametrize("name", WRITTEN)
def test_the_people_of_the_baseline_are_found_however_a_program_writes_them(examiner: Examiner, name: str) -> None:
    written = WRITTEN[name]
    found = examine(examiner, written if isinstance(written, bytes) else written.encode())
    assert found.complete, found.problems
    assert sum(hit.canaries for hit in found.hits) == 60
    assert sum(hit.records for hit in found.hits) == 60
    assert found.lineage is not None
    assert (found.lineage.known, found.lineage.new) == (60, 0)
    assert found.lineage.verdict in ("re-post", "re-packaged", "subset")
