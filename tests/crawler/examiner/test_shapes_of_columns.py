"""Shapes whose columns are easily misunderstood, through the real examiner: 60 people who are known, and 20 new ones.

Object identifiers beside numbers, empty whole names, the practice's telephone, several people on one line, lists of
files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.case import enrol_table, examine, examining

pytestmark = pytest.mark.slow

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    for name in ("cab-nord", "cab-sud"):
        header, *rows = csv.reader((SHAPES / f"{name}.csv").read_text().splitlines())
        enrol_table(folder, header, rows, name)
    with examining(folder, (SHAPES / "baseline.csv").read_bytes()) as examiner:
        yield examiner


@pytest.mark.parametrize(
    ("name", "narrow"),
    [
        ("53-cda.plus.zip", True),
        ("54-hl7-pam.plus.hl7", True),
        ("91b-oneline-sql.plus.txt", True),
        # without numbers, typing errors may hide some of the new people
        ("92b-tree.plus.txt", False),
        ("94-const-phone.plus.csv", False),
    ],
)
def test_known_and_new_people_of_a_shape_are_told_apart(examiner: Examiner, name: str, narrow: bool) -> None:
    found = examine(examiner, (SHAPES / name).read_bytes(), name)
    assert found.complete, found.problems
    assert sum(hit.canaries for hit in found.hits) == 60
    assert found.lineage is not None
    assert (found.lineage.records, found.lineage.known, found.lineage.new) == (80, 60, 20)
    low, high = found.lineage.interval
    assert low <= 20 <= high
    if narrow:
        assert found.lineage.verdict == "superset"
        assert high - low <= 2
