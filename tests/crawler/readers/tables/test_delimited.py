"""How the quotes of a table are recognised."""

from __future__ import annotations

import pytest

from crawler.readers.tables.delimited import find_dialect


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
