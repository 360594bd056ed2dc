"""Turtle around and behind which something else stands."""

from __future__ import annotations

import pytest

from tests.crawler.readers.frames import read

TURTLE = '@prefix p: <http://example.org/p#> .\np:1 p:nom "Noel" ; p:prenom "Max" ; p:ne "1980-02-01" .\n'


@pytest.mark.parametrize("between", ["\n", " .\n"])
def test_lines_that_are_no_turtle_are_text(between: str) -> None:
    people = [("Roux", "Anna", "28/01/2001", "a.roux@example.org"), ("Petit", "Zoe", "05/06/1977", "z@example.org")]
    for number in (1, 2):
        found = read((TURTLE + between.join(";".join(cells) for cells in people[:number])).encode())
        assert found.format == "turtle"
        assert "Noel" in found.rows[0]
        for cells in people[:number]:
            for cell in cells:
                assert found.shows(cell), cell


def test_statements_leave_no_text() -> None:
    nodes = TURTLE + 'p:2 a p:Person ; p:address [ p:street "rue x" ] ; p:list ( "a" "b" ) , "c" ;\n  p:age 33 .\n'
    found = read(nodes.encode())
    assert len(found.rows) == 2
    assert not found.text.strip()
