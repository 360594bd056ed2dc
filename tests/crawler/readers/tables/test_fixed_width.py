"""Columns of fixed width are found from many lines, also where nothing stands between them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from crawler.readers.tables.column_layout import find_layout
from tests.crawler.readers.frames import read

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
PEOPLE = [
    row for name in ("cab-nord.csv", "cab-sud.csv") for row in csv.DictReader((SHAPES / name).read_text().splitlines())
]


def day(person: dict[str, str], form: str = "ymd") -> str:
    d, m, y = person["ddn"].split("/")
    return {"ymd": y + m + d, "dmy": d + m + y, "short": d + m + y[2:], "sep": f"{d}/{m}/{y}"}[form]


def corsican(nir: str) -> str:
    """The number with 2A for the department 20, and the key that it then has."""
    return nir[:5] + "2A" + nir[7:13] + f"{97 - int(nir[:5] + '19' + nir[7:13]) % 97:02}"


@pytest.mark.parametrize("form", ["ymd", "dmy", "short", "sep"])
@pytest.mark.parametrize("gap", ["", " "])
def test_numbers_within_runs_of_digits_are_columns(form: str, gap: str) -> None:
    lines = []
    for at, person in enumerate(PEOPLE):
        nir = corsican(person["nir"]) if at % 7 == 0 else person["nir"]
        cells = [f"{at:06}", f"{person['nom']:<20}", f"{person['prenom']:<14}", day(person, form), nir, person["tel"]]
        lines.append(gap.join([*cells, f"{person['email']:<40}"]))
    [table] = read("\n".join(lines).encode()).tables
    assert len(table.rows) == 60
    for at, (person, row) in enumerate(zip(PEOPLE, table.rows, strict=True)):
        nir = corsican(person["nir"]) if at % 7 == 0 else person["nir"]
        for value in (person["nom"], person["prenom"], day(person, form), nir, person["tel"], person["email"]):
            assert value in row


def test_records_without_line_ends_and_in_ebcdic():
    found = read((SHAPES / "18e-ebcdic.same.dat").read_bytes())
    assert found.format == "fixed_width"
    assert len(found.rows) == 60
    for person, row in zip(PEOPLE, found.rows, strict=True):
        assert {person["nom"], person["prenom"], person["email"]} <= set(row)


def test_kinds_of_records_have_columns_of_their_own():
    found = read((SHAPES / "26-b2.same.txt").read_bytes())
    assert [len(table.rows) for table in found.tables] == [60, 60]
    assert b"000000CPAM" in found.text
    for person, row in zip(PEOPLE, found.tables[0].rows, strict=True):
        assert {person["nom"], person["prenom"], day(person, "short"), person["nir"]} <= set(row)


def test_lines_that_do_not_fit_stay_text():
    lines = [f"{person['nom']:<20}{person['prenom']:<14}{day(person)}" for person in PEOPLE]
    lines.insert(30, "une remarque entre les lignes, sans rapport  ")
    found = read("\n".join(lines).encode())
    assert found.format == "fixed_width"
    assert len(found.rows) == 60
    assert b"une remarque entre les lignes" in found.text


@pytest.mark.parametrize(
    "lines",
    [
        [f"{at:08x}: {at * 7919:08x} {at * 104729:08x} {at * 1299709:08x}" for at in range(50)],
        ["Le patient est venu hier avec sa femme.", "Il va mieux.", "On le revoit dans un mois.", "Signé : Paul"] * 9,
        ["x" * 40] * 50,
        ["1" * 40] * 50,
        [" " * 40] * 50,
    ],
)
def test_other_lines_have_no_layout(lines: list[str]) -> None:
    layout = find_layout(lines)
    assert layout is None or not layout.is_of_people
    assert read("\n".join(lines).encode()).format != "fixed_width"


SPANISH = (
    "Ortiz,Isabel,30/12/1962; Ortiz,Teresa,27/07/2005; Fernández,Miguel,10/05/2001; "
    "Rodríguez,Rafael,19/03/1954; Marín,Ana,07/12/1935; García López,Teresa,26/04/1979; "
    "Sánchez,Ana,14/04/1988; Sánchez,Antonio,22/01/1985; Flores,Ana,25/09/1996; Medina,Lucía,09/11/1936; "
    "Sánchez,Manuel,04/09/2007; Rodríguez,José,22/01/1955; Fernández,Antonio,06/12/1938; "
    "Rodríguez,Manuel,23/12/1963; Ortiz,Antonio,16/04/1997; Iglesias,Francisco,03/03/1951; "
    "Gómez,Rafael,30/03/2002; Ortiz,Manuel,20/06/1943; González,José,20/08/1977; Sánchez,Lucía,19/06/1939 "
)


def test_surnames_that_begin_alike_are_no_kinds_of_records():
    people = [person.strip().split(",") for person in SPANISH.split(";")]
    lines = [f"{surname:<20}{first:<18}{born}" for surname, first, born in people]
    post = [
        "[VENTA] Base de datos clínica 2026 - 169k pacientes\n\nHola a todos,\n",
        "hoy les traigo una muestra de la base de datos de pacientes de una clínica, 20 registros como prueba:\n",
        f"{'Apellidos':<20}{'Nombre':<18}Fecha de nacimiento",
        *lines,
        "\nPrecio: 500 $ en XMR. Contáctame por Telegram @vendedor. Acepto intermediario.\n",
    ]
    assert read("\n".join(post).encode()).format != "fixed_width"


@pytest.mark.parametrize("end", ["", "\n"])
def test_four_lines_are_enough_with_and_without_a_line_end_behind_the_last(end: str) -> None:
    lines = [
        f"000{at:05}{person['nir'][:13]}{person['nom'].upper():<25}{person['prenom'].upper():<15}{day(person, 'dmy')}1{1234 * at:07}"
        for at, person in enumerate(PEOPLE[:4])
    ]
    found = read(("\n".join(lines) + end).encode())
    assert found.format == "fixed_width"
    assert len(found.rows) == 4
