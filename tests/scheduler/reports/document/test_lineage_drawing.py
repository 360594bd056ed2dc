"""The lineage graph: every row and arc of a few posts, and of many those with new data, low enough for a sheet of paper."""

from __future__ import annotations

import lxml.etree
import pytest

from scheduler.reports.document.lineage_drawing import MAX_ROWS, WIDTH, GraphRow, draw_lineage
from scheduler.reports.document.words import Words

SVG = "{http://www.w3.org/2000/svg}"


def row(number: int, state: str) -> GraphRow:
    parents = ((f"post {number - 1}", 0.5),) if number else ()
    return GraphRow(f"post {number}", f"Post {number} <&>", "2026-11-24", ("verdict", "counts", "from"), state, parents)


@pytest.mark.parametrize(
    ("count", "news", "drawn", "arcs"),
    [(1, 1, 1, 0), (3, 1, 3, 2), (30, 3, 30, 29), (200, 20, MAX_ROWS, 29), (200, 60, MAX_ROWS, 29)],
)
def test_rows_and_arcs(count, news, drawn, arcs):
    rows = [row(number, "known" if number < count - news else "new") for number in range(count)]
    tree = lxml.etree.fromstring(str(draw_lineage(rows, Words("en"))))
    marks = [each.get("class") for each in tree.iter(f"{SVG}circle")]
    # three marks of the legend are circles
    assert len(marks) - 3 == drawn
    assert marks.count("mark new") - 1 == min(news, MAX_ROWS)
    # where rows were left out, an arc to one of them is left out too
    assert len([each for each in tree.iter(f"{SVG}path") if each.get("class").startswith("arc")]) in {arcs, arcs - 1}
    assert float(tree.get("height")) <= 2.2 * WIDTH
    assert all("<&>" in each.text for each in tree.iter(f"{SVG}text") if each.get("class") == "label")
