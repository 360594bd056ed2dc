"""Ways in which programs write one list of people, through the real examiner: 60 people who are known, and nobody else.

Each shape is written here, from the baseline of the samples, as the named program writes it.
"""

from __future__ import annotations

import base64
import csv
import json
import pickle
import xmlrpc.client
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

MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "tr": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
}


def in_words(person: Person, language: str, form: str = "{0} {1} {2}") -> str:
    day = born(person)
    return form.format(day.day, MONTHS[language].split()[day.month - 1], day.year)


def each(form: str, **further: Callable[[Person], object]) -> str:
    """The form once for each person, with the cells of the baseline, `born`, and further ones."""
    return "".join(
        form.format(**row, born=born(row), n=number, **{name: make(row) for name, make in further.items()})
        for number, row in enumerate(ROWS)
    )


def base64_of(value: object) -> str:
    return base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()


INTO = "INSERT INTO patient (nom, prenom, ddn) VALUES "
WRITTEN |= {
    "a German table": table(lambda row: in_words(row, "de", "{0}. {1} {2}"), "Geburtsdatum").replace(
        "nom;prenom", "Nachname;Vorname", 1
    ),
    "a German form": each("Name: {nom}\nVorname: {prenom}\nGeb.-Datum: {born:%d.%m.%Y}\n\n"),
    "a Spanish form": each("Apellidos: {nom}\nNombre: {prenom}\nFecha de nacimiento: {born:%d/%m/%Y}\n\n"),
    "an Italian form": each("Cognome: {nom}\nNome: {prenom}\nData di nascita: {born:%d/%m/%Y}\n\n"),
    "a Polish form": each("Nazwisko: {nom}\nImię: {prenom}\nData urodzenia: {born}\n\n"),
    "a Turkish form": each("Soyadı: {nom}\nAdı: {prenom}\nDoğum Tarihi: {born:%d.%m.%Y}\n\n"),
    "a Portuguese table": table(lambda row: row["ddn"], "dt_nascimento").replace(
        "nom;prenom", "apelido;nome_proprio", 1
    ),
    "a German letter": each(
        "Sehr geehrte Kollegin,\nwir berichten über Frau {prenom} {nom}, geboren am {date}, und danken.\n\n",
        date=lambda row: in_words(row, "de", "{0}. {1} {2}"),
    ),
    "a Spanish letter": each(
        "Estimado colega:\nremito a la paciente {prenom} {nom}, nacido el {date}, para valoración.\n\n",
        date=lambda row: in_words(row, "es", "{0} de {1} de {2}"),
    ),
    "an Italian letter": each(
        "Egregio collega,\nle invio {prenom} {nom}, nato il {date}, per un parere.\n\n",
        date=lambda row: in_words(row, "it"),
    ),
    "a Polish letter": each(
        "Szanowny Kolego,\nkieruję {prenom} {nom}, ur. {date}, na konsultację.\n\n",
        date=lambda row: in_words(row, "pl"),
    ),
    "a Turkish letter": each(
        "Sayın meslektaşım,\n{prenom} {nom}, doğum tarihi {date}, gönderilmiştir.\n\n",
        date=lambda row: in_words(row, "tr"),
    ),
    "the time of Unix": table(lambda row: born(row).strftime("%a %b %d 00:00:00 CET %Y")),
    "the day of the year": table(lambda row: born(row).strftime("%Y-%j")),
    "a whole number with a fraction": table(lambda row: born(row).strftime("%Y%m%d.0")),
    "the time of SAS": table(lambda row: born(row).strftime("%d%b%Y:00:00:00").upper()),
    "new Date of a program": "var p = [\n"
    + ",\n".join(
        f'{{nom: "{row["nom"]}", prenom: "{row["prenom"]}", ddn: new Date({born(row).year}, {born(row).month - 1}, {born(row).day})}}'
        for row in ROWS
    )
    + "\n];\n",
    "repr of Python": repr([{"nom": row["nom"], "prenom": row["prenom"], "ddn": born(row)} for row in ROWS]),
    "inspect of Ruby": each('#<Patient id: {id}, nom: "{nom}", prenom: "{prenom}", ddn: "{born}">\n'),
    "sp_executesql": each(
        "exec sp_executesql N'SET NOCOUNT ON;\nINSERT INTO [Patients] ([BirthDate], [FirstName], [LastName])\n"
        "VALUES (@p0, @p1, @p2);\nSELECT [Id] FROM [Patients] WHERE @@ROWCOUNT = 1;\n',"
        "N'@p0 datetime2(7),@p1 nvarchar(4000)',@p0='{born} 00:00:00',@p1=N'{prenom}',@p2=N'{nom}'\n"
    ),
    "the log of PostgreSQL": each(
        "2024-05-01 10:00:07.123 UTC [12] LOG:  execute <unnamed>: INSERT INTO patient (nom, prenom, ddn) VALUES ($1, $2, $3)\n"
        "2024-05-01 10:00:07.123 UTC [12] DETAIL:  parameters: $1 = '{nom}', $2 = '{prenom}', $3 = '{born}'\n"
    ),
    "an UPDATE in the log of PostgreSQL": each(
        "2024-05-01 10:00:07.123 UTC [12] LOG:  execute S_1: UPDATE patient SET nom = $1, prenom = $2, ddn = $3 WHERE id = $4\n"
        "2024-05-01 10:00:07.123 UTC [12] DETAIL:  parameters: $1 = '{nom}', $2 = '{prenom}', $3 = '{born}', $4 = '{id}'\n"
    ),
    "Hibernate": each(
        f"DEBUG org.hibernate.SQL : {INTO}(?, ?, ?)\n"
        "TRACE o.h.t.BasicBinder : binding parameter [1] as [VARCHAR] - [{nom}]\n"
        "TRACE o.h.t.BasicBinder : binding parameter [2] as [VARCHAR] - [{prenom}]\n"
        "TRACE o.h.t.BasicBinder : binding parameter [3] as [DATE] - [{born}]\n"
    ),
    "MyBatis": each(
        f"DEBUG insert - ==>  Preparing: {INTO}(?, ?, ?)\n"
        "DEBUG insert - ==> Parameters: {nom}(String), {prenom}(String), {born}(Date)\nDEBUG insert - <==    Updates: 1\n"
    ),
    "Doctrine": each(
        f"doctrine.DEBUG: Executing statement: {INTO}(?, ?, ?) "
        '(parameters: array{{"1":"{nom}","2":"{prenom}","3":"{born}"}}, types: array{{"1":2,"2":2,"3":2}})\n'
    ),
    "Rails": each(
        '  Patient Create (0.4ms)  INSERT INTO "patients" ("nom", "prenom", "ddn") VALUES ($1, $2, $3) RETURNING "id"'
        '  [["nom", "{nom}"], ["prenom", "{prenom}"], ["ddn", "{born}"]]\n'
    ),
    "Django": each(
        f"(0.001) {INTO}(%s, %s, %s); "
        "args=('{nom}', '{prenom}', datetime.date({born.year}, {born.month}, {born.day})); alias=default\n"
    ),
    "SQLAlchemy": each(
        f"INFO sqlalchemy.engine.Engine {INTO}(?, ?, ?)\n"
        "INFO sqlalchemy.engine.Engine [cached since 1.2s ago] ('{nom}', '{prenom}', '{born}')\n"
    ),
    "Entity Framework": each(
        "      Executed DbCommand (12ms) [Parameters=[@p0='{born}T00:00:00' (DbType = Date), @p1='{prenom}' (Size = 4000), "
        "@p2='{nom}' (Size = 4000)], CommandType='Text']\n      INSERT INTO [Patients] ([Ddn], [Prenom], [Nom])\n"
        "      VALUES (@p0, @p1, @p2);\n"
    ),
    "TypeORM": each(f'query: {INTO}($1, $2, $3) -- PARAMETERS: ["{{nom}}","{{prenom}}","{{born}}T00:00:00.000Z"]\n'),
    "a procedure": each("EXEC dbo.Ajouter @Nom = N'{nom}', @Prenom = N'{prenom}', @DateNaissance = '{born}';\n"),
    "conditions": each("SELECT * FROM patient WHERE nom = '{nom}' AND prenom = '{prenom}' AND ddn = '{born}';\n"),
    "UNION ALL": "INSERT [dbo].[Patient] ([Nom], [Prenom], [Ddn])\n"
    + " UNION ALL\n".join(
        f"SELECT N'{row['nom']}', UPPER(N'{row['prenom']}'), CAST(N'{born(row)}' AS Date)" for row in ROWS
    ),
    "days of the Mac": table(lambda row: days(row, date(1904, 1, 1))),
    "days of SAS": table(lambda row: days(row, date(1960, 1, 1)), "DT_NAISS"),
    "seconds of SPSS": table(lambda row: (born(row) - date(1582, 10, 14)).days * 86_400),
    "a person in each column": "\n".join(
        ";".join([name, *(row[name] for row in ROWS)]) for name in ("nom", "prenom", "ddn", "ville")
    ),
    "grep -n": each("{n}:{nom};{prenom};{ddn};{ville}\n"),
    "grep -H": each("export/patients.csv:{nom};{prenom};{ddn};{ville}\n"),
    "grep -Hn": each("./patients.csv:{n}:{nom},{prenom},{born}\n"),
    "cat -n": "     1\tnom;prenom;ddn\n" + each("{n:6}\t{nom};{prenom};{ddn}\n"),
    "a table in a chat": each("[10:04] <leaker> {nom}|{prenom}|{ddn}|{ville}\n"),
    "a table in the system log": each("May  1 10:00:00 srv app[12]: {nom};{prenom};{ddn};OK\n"),
    "calls in SQL": each(
        "INSERT INTO patient (nom, prenom, ddn) VALUES (UPPER('{nom}'), LTRIM(RTRIM(N'{prenom}')), CONVERT(date, '{ddn}', 103));\n"
    ),
    "lists of YAML": "columns: [nom, prenom, ddn]\nrows:\n" + each("  - [{nom}, {prenom}, {born}]\n"),
    "two people in a row": "nom1;prenom1;ddn1;nom2;prenom2;ddn2\n"
    + "".join(
        ";".join(person[name] for person in pair for name in NAMES) + "\n"
        for pair in zip(ROWS[::2], ROWS[1::2], strict=True)
    ),
    "mother and child in a row": "nom;prenom;ddn;nom_mere;prenom_mere;ddn_mere;ville\n"
    + "".join(
        ";".join(person[name] for person in pair for name in NAMES) + ";Nice\n"
        for pair in zip(ROWS[::2], ROWS[1::2], strict=True)
    ),
    "bold labels of a forum": each("[b]Nom:[/b] {nom}\n[b]Prénom:[/b] {prenom}\n[b]Né le:[/b] {ddn}\n\n"),
    "bold labels of Markdown": each(
        "**Nom** : {nom}  \n**Prénom** : {prenom}  \n**Date de naissance** : {ddn}\n\n---\n"
    ),
    "a table in the code of a post": 'Sample:\n[SPOILER="x"][CODE]'
    + each("{nom}:{prenom}:{ddn}\n")
    + "[/CODE][/SPOILER]",
    "labels that a page lays out": "<html>"
    + each(
        '<div><p><span class="l">Nom</span><span class="v">{nom}</span></p><p><span>Prénom</span><span>{prenom}</span></p>'
        "<p><b>Né(e) le</b><span>{ddn}</span></p></div>"
    )
    + "</html>",
    "birthdays of a calendar": "BEGIN:VCALENDAR\nVERSION:2.0\n"
    + each(
        "BEGIN:VEVENT\nDTSTART;VALUE=DATE:{born:%Y%m%d}\nRRULE:FREQ=YEARLY\n"
        "SUMMARY:Anniversaire de {prenom} {nom}\nUID:{id}\nEND:VEVENT\n"
    )
    + "END:VCALENDAR\n",
    "data classes of Python": each(
        "Patient(nom='{nom}', ddn=datetime.date({born.year}, {born.month}, {born.day}), prenom='{prenom}')\n"
    ),
    "paths of openEHR": "\n".join(
        json.dumps(
            {"p/nom|value": row["nom"], "p/prenom|value": row["prenom"], "p/date_naissance|value": str(born(row))}
        )
        for row in ROWS
    ),
    "jCard, one a line": "\n".join(
        json.dumps(
            [
                "vcard",
                [
                    ["version", {}, "text", "4.0"],
                    ["n", {}, "text", [row["nom"], row["prenom"], "", "", ""]],
                    ["bday", {}, "date", str(born(row))],
                ],
            ]
        )
        for row in ROWS
    ),
    "GEDCOM": "0 HEAD\n1 SOUR GRAMPS\n1 CHAR UTF-8\n"
    + each(
        "0 @I{n}@ INDI\n1 NAME {prenom} /{nom}/\n2 GIVN {prenom}\n2 SURN {nom}\n1 BIRT\n2 DATE {date}\n2 PLAC {ville}\n",
        date=lambda row: born(row).strftime("%d %b %Y").upper(),
    )
    + "0 TRLR\n",
    "EDIFACT": "UNA:+.? '\nUNB+UNOC:3+S+R+240501:1000+1'\n"
    + each("S01+01'\nPNA+PAT+{id}+++SU:{nom}+FO:{prenom}'\nDTM+329:{born:%Y%m%d}:102'\nADR+++1:{adresse}+{ville}'\n")
    + "UNZ+1+1'\n",
    "X12": "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240501*1000*^*00501*000000001*0*P*:~\n"
    "GS*HC*S*R*20240501*1000*1*X*005010X222A1~\nNM1*85*1*MARTIN*PAUL****XX*1234567893~\n"
    + each("HL*{n}*1*22*0~\nNM1*IL*1*{nom}*{prenom}****MI*{id}~\nDMG*D8*{born:%Y%m%d}*F~\nCLM*{n}*100***11:B:1*Y~\n"),
    "InfluxDB": each(
        'patient,nom={tag},id={id} prenom="{prenom}",ddn="{born}",age=42i 1700000000000000000\n',
        tag=lambda row: row["nom"].replace(" ", "\\ "),
    ),
    "jCard": json.dumps(
        [
            [
                "vcard",
                [
                    ["version", {}, "text", "4.0"],
                    ["n", {}, "text", [row["nom"], row["prenom"], "", "", ""]],
                    ["bday", {}, "date", str(born(row))],
                ],
            ]
            for row in ROWS
        ]
    ),
    "HAR": json.dumps(
        {
            "log": {
                "entries": [
                    {
                        "request": {"method": "GET", "url": "https://a.example.org/p"},
                        "response": {
                            "status": 200,
                            "content": {
                                "mimeType": "application/json",
                                "encoding": "base64",
                                "text": base64_of({"nom": row["nom"], "prenom": row["prenom"], "ddn": str(born(row))}),
                            },
                        },
                    }
                    for row in ROWS
                ]
            }
        }
    ),
    "HGETALL": "".join(
        f"127.0.0.1:6379> HGETALL patient:{row['id']}\n"
        f'1) "nom"\n2) "{utf8_escaped(row["nom"])}"\n3) "prenom"\n4) "{utf8_escaped(row["prenom"])}"\n5) "ddn"\n6) "{born(row)}"\n'
        for row in ROWS
    ),
    "HGETALL in a pipe": each("nom\n{nom}\nprenom\n{prenom}\nddn\n{born}\n"),
    "names first, then values": "Nom\nPrénom\nDate de naissance\n" + each("{nom}\n{prenom}\n{ddn}\n"),
    "multipart/form-data": each(
        '------WebKitFormBoundary{n}\r\nContent-Disposition: form-data; name="nom"\r\n\r\n{nom}\r\n------WebKitFormBoundary{n}\r\n'
        'Content-Disposition: form-data; name="prenom"\r\n\r\n{prenom}\r\n------WebKitFormBoundary{n}\r\n'
        'Content-Disposition: form-data; name="ddn"\r\n\r\n{ddn}\r\n------WebKitFormBoundary{n}--\r\n'
    ),
    "MediaWiki": '{| class="wikitable"\n|-\n! Nom\n! Prénom\n! scope="col" | Né(e) le\n'
    + each('|-\n| {nom}\n| {prenom}\n| style="text-align:right" | {ddn}\n')
    + "|}\n",
    "AsciiDoc": "|===\n|Nom |Prénom |Né(e) le\n\n" + each("|{nom}\n|{prenom}\n|{ddn}\n\n") + "|===\n",
}


def misread(text: str, times: int) -> str:
    """UTF-8 that was taken for windows-1252 so many times; what that does not define is lost."""
    for _ in range(times):
        text = text.encode().decode("cp1252", "replace")
    return text


def web_token(claims: object) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts), "c2lnbmF0dXJl"]
    )


def vector(name: str, of: Callable[[Person], object]) -> str:
    return f"{name} = c({', '.join(str(of(row)) for row in ROWS)})"


def claims(row: Person) -> str:
    return web_token(
        {"sub": row["id"], "family_name": row["nom"], "given_name": row["prenom"], "birthdate": str(born(row))}
    )


R_NAMES = ", ".join(
    vector(name, lambda row, name=name: json.dumps(row[name], ensure_ascii=False)) for name in NAMES[:2]
)
WRITTEN |= {
    "tuples of Python": "\n".join(repr((row["nom"], row["prenom"], born(row))) for row in ROWS),
    "a list of tuples of Python": repr([(int(row["id"]), row["nom"], row["prenom"], born(row), None) for row in ROWS]),
    "rows of SQLAlchemy": each(
        "(Decimal('{id}'), '{nom}', '{prenom}', datetime.datetime({born.year}, {born.month}, {born.day}, 0, 0))\n"
    ),
    "rows of Spark": repr([1]).replace(
        "1", each("Row(nom='{nom}', prenom='{prenom}', ddn=datetime.date({born.year}, {born.month}, {born.day})), ")
    ),
    "phpMyAdmin's PHP": "<?php\n$patients = array(\n"
    + each("  array('id' => '{id}','nom' => '{nom}','prenom' => '{prenom}','ddn' => '{born}'),\n")
    + ");\n",
    "terms of Erlang": each(
        '{{{{patient,{id},<<"{nom}"/utf8>>,<<"{prenom}"/utf8>>,{{{{{born.year},{born.month},{born.day}}}}}}}}}.\n'.replace(
            "{{{{", "{{"
        ).replace("}}}}", "}}")
    ),
    "maps of Elixir": "[\n" + each('%{{nom: "{nom}", prenom: "{prenom}", ddn: ~D[{born}]}},\n') + "]\n",
    "dput of R": f'structure(list({R_NAMES}, ddn = structure({vector("x", days)[4:]}, class = "Date")), class = "{"data"}.frame", row.names = c(NA, -60L))\n',
    "data frames of R": f"p <- {'data'}.frame({R_NAMES},\n  {vector('ddn', lambda row: json.dumps(str(born(row))))})\n",
    "data frames of R above a table": "q <- list(x = c(1, 2, 3), y = c('a', 'b', 'c'))\n\n" + CSV,
    "web tokens": "\n".join(map(claims, ROWS)),
    "web tokens in a log": "".join(f"10:00:07 GET /api/me 200 Authorization: Bearer {claims(row)}\n" for row in ROWS),
    "web tokens in a table": "id,token\n" + "".join(f"{row['id']},{claims(row)}\n" for row in ROWS),
    "DIF": 'TABLE\n0,1\n"EXCEL"\nVECTORS\n0,61\n""\nTUPLES\n0,3\n""\nDATA\n0,0\n""\n'
    + "".join("-1,0\nBOT\n" + "".join(f'1,0\n"{cell}"\n' for cell in cells) for cells in LISTS)
    + "-1,0\nEOD\n",
    "misread once, letters lost": misread(CSV, 1),
    "misread twice, letters lost": misread(CSV, 2),
    "misread three times": CSV.encode().decode("latin-1").encode().decode("latin-1").encode().decode("latin-1"),
    "parameters of Rails": each(
        'I, [2024-05-01T10:00:00.123456 #12]  INFO -- : Started POST "/patients" for 10.0.0.1 at 2024-05-01 10:00:00 +0200\n'
        "I, [2024-05-01T10:00:00.123456 #12]  INFO -- : Processing by PatientsController#create as HTML\n"
        'I, [2024-05-01T10:00:00.123456 #12]  INFO -- :   Parameters: {{"patient"=>{{"nom"=>"{nom}", "prenom"=>"{prenom}", "ddn"=>"{born}"}}}}\n'
    ),
    "parts of a date of Rails": each(
        'Started POST "/p" for 10.0.0.1 at 2024-05-01 10:00:00 +0200\n  Parameters: {{"patient" => {{"nom" => "{nom}", "prenom" => "{prenom}", '
        '"ddn(3i)" => "{born.day}", "ddn(2i)" => "{born.month}", "ddn(1i)" => "{born.year}"}}}}\n'
    ),
    "Turtle": "@prefix foaf: <http://xmlns.com/foaf/0.1/> .\n"
    + each(
        '<http://a/{id}> a foaf:Person ;\n  foaf:birthday "{born}"^^xsd:date ;\n  foaf:familyName "{nom}" ;\n  foaf:givenName "{prenom}" .\n'
    ),
    "JSON-LD": json.dumps(
        [
            {
                "@id": row["id"],
                "http://xmlns.com/foaf/0.1/birthday": [{"@type": "xsd:date", "@value": str(born(row))}],
                "http://xmlns.com/foaf/0.1/familyName": [{"@value": row["nom"]}],
                "http://xmlns.com/foaf/0.1/givenName": [{"@value": row["prenom"]}],
            }
            for row in ROWS
        ]
    ),
    "lists of SQLite for Tcl": each('"{id}" "{nom}" "{prenom}" "{born}"\n')
    .encode()
    .decode("latin-1")
    .translate({byte: f"\\{byte:o}" for byte in range(0x80, 0x100)}),
    "a list of jq on each line": "\n".join(json.dumps([row["nom"], row["prenom"], str(born(row))]) for row in ROWS),
    "jq --stream": each('[[{n},"nom"],"{nom}"]\n[[{n},"prenom"],"{prenom}"]\n[[{n},"ddn"],"{born}"]\n[[{n},"ddn"]]\n'),
    "gron": "json = [];\n"
    + each('json[{n}] = {{}};\njson[{n}].ddn = "{born}";\njson[{n}].nom = "{nom}";\njson[{n}].prenom = "{prenom}";\n'),
    "AsciiDoc, a row a line": "|====\n| nom | prenom | ddn\n" + each("| {nom} | {prenom} | {born}\n") + "|====\n",
}

IDS = {
    name: [[row["id"], *(row[each] for each in columns)] for row in ROWS]
    for name, columns in (("names", ("nom", "prenom")), ("dates", ("ddn", "tel")))
}
WRITTEN |= {
    f"two tables of one width with the same ids, {between!r} between": "Voici deux tables\n\nid;nom;prenom\n"
    + "".join(";".join(cells) + "\n" for cells in IDS["names"])
    + between
    + "id;date_naissance;tel\n"
    + "".join(";".join(cells) + "\n" for cells in IDS["dates"])
    for between in ("", "\nEt la seconde :\n\n")
}
WRITTEN |= {
    "a chat with times": each("2024-05-01 10:04:07 <doc> {nom} {prenom} {ddn}\n"),
    "a chat with times in lines of their own": each("[01-May-24 10:04 AM] leaker#1234\n{nom} | {prenom} | {ddn}\n\n\n"),
    "a log of Django with dates": each(
        "INFO 2024-05-01 10:04:07,123 views saved "
        "{{'nom': '{nom}', 'prenom': '{prenom}', 'ddn': datetime.date({born.year}, {born.month}, {born.day})}}\n"
    ),
    "HPRIM with times of messages": "H|~^\\&|1||LABO~LABO|ORU||||CAB||P|H2.1~C|202405011000\r\n"
    + each("P|1|{id}|||{nom}~{prenom}||{born:%Y%m%d}|M\r\nOBR|1|{n}||NFS|||20240501\r\n"),
    "XML-RPC": xmlrpc.client.dumps(([{name: row[name] for name in NAMES} for row in ROWS],), methodresponse=True),
    "XML-RPC without types": "<list>"
    + each(
        "<struct><member><name>nom</name><value>{nom}</value></member><member><name>prenom</name><value>{prenom}</value>"
        "</member><member><name>ddn</name><value>{ddn}</value></member></struct>\n"
    )
    + "</list>",
    "names and values of XML": "<list>"
    + each(
        "<person>\n<field><key>nom</key><value>{nom}</value></field>\n<field><key>prenom</key><value>{prenom}</value></field>\n"
        "<field><key>ddn</key><value>{ddn}</value></field>\n</person>\n"
    )
    + "</list>",
    "times of births before the people": each("{ddn} 10:30 {nom} {prenom} rdv 12/05/2024\n"),
    "properties of Org": each("* {nom} {prenom}\n:PROPERTIES:\n:DDN: {ddn}\n:TEL: {tel}\n:END:\n"),
    "sections of people": each("[{nom} {prenom}]\nddn={ddn}\ntel={tel}\n\n"),
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


def test_numbers_of_days_that_make_nobody_known_are_told(examiner: Examiner) -> None:
    found = examine(
        examiner, "".join([CSV.split("\n")[0], *(f"\nNom{n};Prenom;{20_000 + 40 * n}" for n in range(60))]).encode()
    )
    assert [problem for problem in found.problems if problem.startswith("dates: ")]


FEW = {
    "polars": lambda people: (
        f"shape: ({len(people)}, 3)\n┌{'─' * 20}┬{'─' * 20}┬{'─' * 12}┐\n"
        + "".join(
            f"│ {one:<18} ┆ {two:<18} ┆ {three:<10} │\n"
            for one, two, three in (("nom", "prenom", "ddn"), ("---", "---", "---"), ("str", "str", "date"))
        )
        + f"╞{'═' * 20}╪{'═' * 20}╪{'═' * 12}╡\n"
        + "".join(f"│ {row['nom']:<18} ┆ {row['prenom']:<18} ┆ {born(row)} │\n" for row in people)
        + f"└{'─' * 20}┴{'─' * 20}┴{'─' * 12}┘\n"
    ),
}


@pytest.mark.parametrize("form", FEW)
def test_the_kinds_of_columns_that_a_program_prints_are_no_rows(examiner: Examiner, form: str) -> None:
    found = examine(examiner, FEW[form](ROWS[:3]).encode())
    assert (found.complete, found.problems) == (True, ())
    assert found.lineage is not None
    assert (found.lineage.known, found.lineage.interval) == (3, (0, 0))


def test_what_a_reader_decoded_itself_is_not_read_a_second_time(examiner: Examiner) -> None:
    new = [
        f"{first}|{2000 + n}-04-0{1 + n % 9}"
        for n, first in enumerate(("Odile", "Firmin", "Aubin", "Sixtine", "Barnabé") * 4)
    ]
    people = [{name: row[name] for name in NAMES} for row in ROWS]
    people += [
        {"nom": f"Zylberanti{chr(97 + n)}", "prenom": each.split("|")[0], "ddn": each.split("|")[1]}
        for n, each in enumerate(new)
    ]
    content = {"mimeType": "application/json", "encoding": "base64", "text": base64_of(people)}
    entry = {
        "request": {"method": "GET", "url": "https://a.example.org/p"},
        "response": {"status": 200, "content": content},
    }
    found = examine(examiner, json.dumps({"log": {"entries": [entry]}}).encode())
    assert (found.records, found.members) == (80, ())
    assert found.lineage is not None
    assert (found.lineage.verdict, found.lineage.known, found.lineage.new) == ("superset", 60, 20)


TITLES = (
    "Leak 3: data of the clinic", "New leak", "Database of a clinic, 10 rows", "clinic data (2026)\n\nSample below",
    "[DB] clinic; free sample!\nAll rights to the seller", "DB ; sample ; free",
)  # fmt: skip
TEN = ROWS[:10]
LISTED = {
    "a table": CSV.splitlines()[:11],
    "a table without header": CSV.splitlines()[1:11],
    "a table with commas": [line.replace(";", ",") for line in CSV.splitlines()[:11]],
    "sentences": [f"{row['prenom']} {row['nom']}, né(e) le {row['ddn']}, patient" for row in TEN],
    "sentences with a number": [f"{row['nom']} {row['prenom']} - née le {row['ddn']} - {row['tel']}" for row in TEN],
}


@pytest.mark.parametrize("form", LISTED)
@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_ten_people_under_the_title_of_a_post_are_ten_known_people(examiner: Examiner, form: str, between: str) -> None:
    for title in TITLES:
        found = examine(examiner, (title + between + "\n".join(LISTED[form])).encode())
        assert (found.complete, found.problems) == (True, ()), title
        assert sum(hit.records for hit in found.hits) == 10, title
        assert found.lineage is not None
        lineage = found.lineage
        assert (lineage.verdict, lineage.known, lineage.interval) == ("subset", 10, (0, 0)), (title, lineage)


GERMAN = (
    "[VERKAUF] Patientendaten Praxis 2026\n\nHallo zusammen,\n\nhier eine Probe der Praxis, {n} Zeilen als Beweis:\n\n"
)
AMBIGUOUS = [row for row in ROWS if int(row["ddn"][:2]) <= 12 and row["ddn"][:2] != row["ddn"][3:5]]
IN_POST: dict[str, Callable[[list[Person]], str]] = {
    "a numbered list": lambda people: "\n".join(
        f"{n}. {row['nom']} {row['prenom']} {row['ddn']}" for n, row in enumerate(people, 1)
    ),
    "forms between rules": lambda people: "\n----------\n".join(
        f"Nom : {row['nom']}\nPrénom : {row['prenom']}\nDate de naissance : {row['ddn']}" for row in people
    ),
    "addresses first": lambda people: "\n".join(
        f"{row['email']}:{row['prenom']} {row['nom']}:{row['ddn']}" for row in people
    ),
    "first name and surname in one column without header": lambda people: "\n".join(
        f"{row['prenom']} {row['nom']};{row['email']};{row['ddn']}" for row in people
    ),
    "a person in each column": lambda people: "\n".join(
        ";".join([name, *(row[name] for row in people)]) for name in NAMES
    ),
    "months of the United States in a list": lambda people: "\n".join(
        f"* {row['prenom']} {row['nom']}, born {born(row):%B} {born(row).day}, {born(row).year}" for row in people
    ),
    "a post and its quotation in a reply": lambda people: (
        "\n\nMerci beaucoup\nPaul\n\nLeaker a écrit :\n> Base du cabinet\n> Bonjour,\n> voici 20 lignes :\n> ".join(
            between.join(f"{row['nom']};{row['prenom']};{row['ddn']}" for row in people) for between in ("\n", "\n> ")
        )
    ),
    "dates of the United States in a list": lambda people: "\n".join(
        f"{row['nom']} {row['prenom']} {born(row):%m/%d/%Y}" for row in people
    ),
    "dates of the United States in a table": lambda people: "\n".join(
        ["Last name;First name;DOB", *(f"{row['nom']};{row['prenom']};{born(row):%m/%d/%Y}" for row in people)]
    ),
    "dates of the United States behind labels in mark-up": lambda people: "\n\n".join(
        f"[b]Last name:[/b] {row['nom']}\n[b]First name:[/b] {row['prenom']}\n[b]DOB:[/b] {born(row):%m/%d/%Y}"
        for row in people
    ),
}


@pytest.mark.parametrize("form", IN_POST)
@pytest.mark.parametrize("people", [ROWS[:3], ROWS[5:25], AMBIGUOUS[:2]], ids=["three", "twenty", "either order"])
def test_few_people_after_the_greeting_of_a_post_are_known(examiner: Examiner, form: str, people: list[Person]) -> None:
    text = f"{GERMAN.format(n=len(people))}{IN_POST[form](people)}\n\nPreis: 500 $ in XMR. Kontakt über Telegram.\n"
    found = examine(examiner, text.encode())
    assert (found.complete, found.problems) == (True, ())
    assert sum(hit.records for hit in found.hits) == len(people)
    assert found.lineage is not None
    assert (found.lineage.known, found.lineage.new) == (len(people), 0)


@pytest.mark.parametrize("separator", [";", ","])
def test_the_form_of_one_person_in_two_columns_is_that_person(examiner: Examiner, separator: str) -> None:
    labels = {"nom": "Nom", "prenom": "Prénom", "ddn": "Date de naissance", "ville": "Ville"}
    found = examine(
        examiner, "\n".join(f"{label}{separator}{ROWS[3][name]}" for name, label in labels.items()).encode()
    )
    assert [hit.records for hit in found.hits] == [1]
    assert found.lineage is not None
    assert (found.lineage.known, found.lineage.interval) == (1, (0, 0))


def test_labelled_birth_dates_of_nobody_who_is_named_are_told(examiner: Examiner) -> None:
    found = examine(
        examiner, "\n".join(f"X{n};née le {1 + n % 28:02}/03/19{50 + n};zone {n % 3}" for n in range(30)).encode()
    )
    assert (found.rows, found.lineage and found.lineage.known) in ((30, None), (30, 0))
    assert [problem for problem in found.problems if problem.startswith("columns: 30 rows")]
