"""Tables that stand in a text are rows, wherever they begin and end; the words around them stay text."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.tables.text_tables import TextTables, may_hold_table
from tests.crawler.readers.frames import Consumer, Member, read

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
DRAWN = sorted(path.name for path in SHAPES.glob("drawn-*"))

BOX = "+-------+------+\n| nom   | prenom |\n+-------+------+\n| Dupont | Jean |\n| Petit | Zoé |\n+-------+------+\n"
MARKDOWN = "| Nom | Prénom | Né le |\n|:---|:---:|---:|\n| Martin | Léa | 12/03/1975 |\n| Roux | a\\|b | 1/2/1980 |\n"
PSQL = " nom | notes \n-----+-------\n A   | eins +\n     | zwei\n B   | drei\n(2 rows)\n"


def read_in_blocks(text: str, lines: int) -> Member:
    """The text as the reader of texts sends it, if it arrives in blocks of so many lines."""
    consumer = Consumer()
    out = Output(consumer.take, Limits())
    out.begin("", "text")
    tables = TextTables(out, Limits())
    rows = text.split("\n")
    for at in range(0, len(rows), lines):
        tables.add("\n".join(rows[at : at + lines]).encode())
    tables.finish()
    out.end(0)
    out.finish()
    assert consumer.sample is not None
    return consumer.sample


@pytest.mark.parametrize("name", DRAWN)
def test_every_program_draws_tables_that_are_read(name: str) -> None:
    found = read((SHAPES / name).read_bytes())
    assert found.format == "text"
    [table] = found.tables
    assert table.columns == ["nom", "prenom", "ddn", "nir", "email"]
    assert len(table.rows) == 60
    assert table.rows[0] == ["Virecourt", "Océane", "2001-01-28", "201015917668470", "oceane.virecourt0@example.org"]
    assert b"Voici la table" in found.text
    assert b"Le reste suit" in found.text


@pytest.mark.parametrize("name", DRAWN)
def test_the_borders_of_blocks_change_no_row(name: str) -> None:
    text = (SHAPES / name).read_text()
    whole = read_in_blocks(text, 10**6).rows
    assert len(whole) == 60
    for lines in (2, 3, 5, 7, 11, 40):
        assert read_in_blocks(text, lines).rows == whole


def test_several_tables_of_one_text_are_read():
    found = read(f"Bonjour,\nla liste :\n{BOX}et encore :\n\n{MARKDOWN}\nfin\n{PSQL}\nau revoir\n".encode())
    assert [table.columns for table in found.tables] == [
        ["nom", "prenom"],
        ["Nom", "Prénom", "Né le"],
        ["nom", "notes"],
    ]
    assert [table.rows for table in found.tables] == [
        [["Dupont", "Jean"], ["Petit", "Zoé"]],
        [["Martin", "Léa", "12/03/1975"], ["Roux", "a|b", "1/2/1980"]],
        [["A", "eins zwei"], ["B", "drei"]],
    ]
    for words in ("Bonjour", "et encore", "fin", "(2 rows)", "au revoir"):
        assert words.encode() in found.text


def test_empty_cells_of_sqlmap_and_null_are_empty():
    [table] = read(b"+---+---+\n| nom | tel |\n+---+---+\n| Dupont | <blank> |\n| NULL | 06 |\n+---+---+\n").tables
    assert table.rows == [["Dupont", ""], ["", "06"]]


def test_delimited_lines_under_a_sentence_are_rows():
    prose = "\n".join(f"Voici la phrase {at}, qui parle de la suite et du reste." for at in range(90))
    table = "nom;prenom;ddn\nDupont;Jean;12/03/1975\nMartin;Zoé;28/01/2001\nPetit;Léa;11/12/1969\n"
    found = read(f"{prose}\n{table}{prose}\nemail,nom,prenom\na@b.fr,Roux,Luc\nc@d.fr,Blanc,Eva\n{prose}".encode())
    assert found.format == "text"
    assert [table.columns for table in found.tables] == [["nom", "prenom", "ddn"], ["email", "nom", "prenom"]]
    assert [len(table.rows) for table in found.tables] == [3, 2]
    assert found.text.count(b"Voici la phrase") == 270


def test_a_table_with_other_columns_behind_a_delimited_one_is_a_table_of_its_own():
    first = "nom;prenom;ddn;tel\n" + "Dupont;Jean;12/03/1975;0611223344\n" * 300
    second = "email,nir,prenom,nom,ddn\n" + "a@b.fr,201015917668470,Zoé,Martin,28/01/2001\n" * 30
    found = read((first + second + "Petit;Léa;11/12/1969;0699887766\n").encode())
    assert found.format == "delimited"
    assert [(table.columns, len(table.rows)) for table in found.tables] == [
        (None, 301),
        (["email", "nir", "prenom", "nom", "ddn"], 30),
        # the first line is said again: it names the columns
        (None, 2),
    ]
    assert found.tables[2].rows == [["nom", "prenom", "ddn", "tel"], ["Petit", "Léa", "11/12/1969", "0699887766"]]


def test_forms_of_browsers_are_rows():
    forms = "".join(
        f"POST /p?x=1&y=2 HTTP/1.1\nHost: a\n\nnom={nom}&prenom=Zo%C3%A9&ddn=12%2F03%2F1975&email=z{at}%40b.fr\n\n"
        for at, nom in enumerate(("Dupont", "Le+Roux"))
    )
    found = read((forms + "GET /a?patient%5Bnom%5D=Petit&patient%5Bprenom%5D=L%E9a HTTP/1.1\n").encode())
    assert [(table.columns, table.rows) for table in found.tables] == [
        (
            ["nom", "prenom", "ddn", "email"],
            [["Dupont", "Zoé", "12/03/1975", "z0@b.fr"], ["Le Roux", "Zoé", "12/03/1975", "z1@b.fr"]],
        ),
        (["nom", "prenom"], [["Petit", "Léa"]]),
    ]
    assert b"POST /p?x=1&y=2" in found.text


@pytest.mark.parametrize(
    "text",
    [
        "Un titre\n---\nLe texte continue ici, puis s'arrête.\n",
        "Titre\n=====\n\nTexte - avec des tirets -- et --- d'autres.\n---------\nfin\n",
        "int f(int a, int b, int c);\nint g(int a, int b, int c);\nint h(int a, int b, int c);\n",
        "10:02 GET /a?b=1&c=2 200\n10:03 GET /a?b=2&c=3 200\n10:04 GET /a?b=3&c=4 200\n",
        "-- \nPaul\n+---\n|\n+\n-[ RECORD\n*** 1\n",
    ],
)
def test_other_texts_stay_text(text: str) -> None:
    found = read_in_blocks(text, 10**6)
    assert not found.rows
    assert bytes(found.text).split() == text.encode().split()


def test_prose_passes_the_quick_test():
    assert not may_hold_table(
        "Le patient, vu hier ; il va mieux. Voilà, c'est « tout » — et rien d’autre.\n".encode() * 500
    )


def test_objects_that_a_program_logs_are_rows():
    people = [("Roux", "Zoé", "1975-03-12"), ("Petit", "Jean", "1980-02-01"), ("Blanc", "Anne", "1990-05-06")]
    lines = [
        f"2024-01-02 10:00:0{at},123 INFO  f.c.PatientService - saved Patient(id={at}, nom={nom}, prenom={prenom}, "
        f"dateNaissance={ddn})"
        for at, (nom, prenom, ddn) in enumerate(people)
    ]
    found = read("\n".join([*lines, ""]).encode())
    assert found.format == "text"
    # the time of a line is no birth date of a person
    assert [row[1:] for row in found.rows] == [list(person) for person in people]
    assert [table.columns for table in found.tables][:1] == [["id", "nom", "prenom", "dateNaissance"]]


def test_lines_that_name_their_fields_are_no_table_of_columns():
    people = [("Roux", "Zoé", "1975-03-12"), ("Petit", "Jean", "1980-02-01"), ("Blanc", "Anne", "1990-05-06")]
    lines = [
        f"2024/01/02 10:00:0{at} patient: &{{ID:{at} Nom:{nom} Prenom:{prenom} Naissance:{ddn} Tel:061122334{at}}}"
        for at, (nom, prenom, ddn) in enumerate(people)
    ]
    found = read("\n".join([*lines, ""]).encode())
    assert (found.format, found.rows) == ("text", [])


def test_what_follows_the_quoted_fields_of_a_line_is_text():
    for born in ("2003-05-06 00:00:00", "2003-05-05T22:00:00Z", "06/05/2003"):
        found = read(f'un texte\n2024-05-01 10:04:07 saved nom="Roux", prenom="Anna" born {born}\nfin\n'.encode())
        assert found.rows == [["Roux", "Anna"]]
        assert f"born {born}".encode() in found.text
        # the time of the event is no birth date
        assert b"2024-05-01" not in found.text


def test_dates_of_calls_are_read_and_other_calls_are_not():
    for written, wanted in (
        ("lu dt.date(2001, 2, 28) ici", "lu 2001-02-28 ici"),
        ("lu datetime.datetime(2001, 3, 1, 0, 0) ici", "lu 2001-03-01 ici"),
        ("lu rows.update(2024, 1, 3) ici", "lu rows.update(2024, 1, 3) ici"),
    ):
        found = read(f"Une note sans tableau.\nElle est courte\n{written}\nEt finit\n".encode())
        assert found.shows(wanted), found
