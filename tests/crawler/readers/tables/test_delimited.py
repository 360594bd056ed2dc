"""How the quotes of a table are recognised."""

from __future__ import annotations

import pytest

from crawler.readers.tables.csv_dialect import find_dialect, is_list_of_values
from tests.crawler.readers.frames import read


@pytest.mark.parametrize(
    ("table", "quote"),
    [
        (b"'Dupont','12, rue du Bac'\n'Martin','Paris'\n", b"'"),
        (b"Dupont|'Paris'\nMartin|'Lyon'\n", b"'"),
        (b"Dupont;'Paris';1\nMartin;x;2\n", b"'"),
        (b"Dupont;12 rue de l'Or\nd'Arc;3 place d'Armes\n", b""),
        (b"L'Her;rock 'n' roll\nMartin;rock 'n' roll\n", b""),
        (b'"L\'Her","Paris"\n"d\'Arc",\'x\'\n', b'"'),
    ],
)
def test_apostrophes_are_quotes_only_around_whole_cells(table, quote):
    dialect = find_dialect(table, whole=True)
    assert dialect is not None
    assert (dialect.quote, dialect.width >= 2) == (quote, True)


@pytest.mark.slow
def test_large_blocks_are_divided_and_no_row_is_lost():
    # cells of one byte: a block of a megabyte has more of them than fit into one frame
    lines = [
        b"nom;texte;n",
        *[b'Martin;"a";%d' % number for number in range(100)],
        b'Dupont;"two\nlines";3',
        b'Durand;say "x;3',
    ]
    rows = read(b"\n".join(lines) + b"\n" + 180_000 * b"1;2;3\n").rows
    assert len(rows) == 103 + 180_000
    assert [row[0] for row in rows[99:104]] == ["Martin", "Martin", "Dupont", "Durand", "1"]
    assert rows[-1] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("jean{at}.martin@orange.fr", "email"),
        ("jean{at}.martin@orange.fr", ""),
        ("06 12 34 5{at} 78", "tel"),
        ('"+33 6 12 34 5{at} 78"', "tel"),
        ("2 87 07 21 030 72{at} 54", "nir"),
        ("2 87 07 2A 030 72{at} 54", "nir"),
        ("FR76 3000 6000 0112 3456 789{at} 189", "iban"),
    ],
)
def test_a_list_of_values_is_a_table_of_one_column(line, header):
    lines = [*([header] if header else []), *(line.format(at=at) for at in range(9))]
    found = read("\n".join(lines).encode() + b"\n")
    assert found.rows == [[each.strip('"')] for each in lines]


@pytest.mark.parametrize(
    "line", ["12/03/197{at}", "le 06 12 34 5{at} 78 est occupé", "{at}2345", "a@b", "6{at}c8 41f2 0a03"]
)
def test_lines_that_are_no_values_are_no_list_of_values(line):
    text = "\n".join(line.format(at=at) for at in range(9)).encode()
    assert not is_list_of_values(text, whole=True)
