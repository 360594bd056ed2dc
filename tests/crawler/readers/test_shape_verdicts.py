"""The 60 people of the shapes, examined: each canary hits, each person is a record, and nobody counts as new.

The samples were written by the real programs and libraries; `tests/samples/shapes/README.md` tells by which.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.case import enrol_table, examine, examining

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"
SHAPES_READ = (
    "52c-dicom-json.json",
    "57-orc-zlib.orc",
    "57-orc-zstd.orc",
    "55-spss.sav",
    "55b-spss.zsav",
    "55c-spss.por",
    "55d-stata-15.dta",
    "55e-stata-10.dta",
    "55f-sas.xpt",
    "56-avro-deflate.avro",
    "56-avro-snappy.avro",
    "56-avro-zstandard.avro",
    "59-pg-custom-15.dump",
    "59-pg-custom-16.dump",
    "59-pg-custom-inserts-16.dump",
    "59-pg-directory-16.zip",
    "59-pg-tar-15.tar",
    "60-ibd.same.ibd.gz",
    "63-redis-6.2.rdb",
    "64b-outlook-rtf.msg",
    "63-redis-7.0.rdb",
)


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    for name in ("cab-nord", "cab-sud"):
        header, *rows = csv.reader((SHAPES / f"{name}.csv").read_text().splitlines())
        enrol_table(folder, header, rows, name)
    with examining(folder, (SHAPES / "baseline.csv").read_bytes()) as examiner:
        yield examiner


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES_READ)
def test_all_people_of_a_shape_are_hit_and_known(examiner: Examiner, name: str) -> None:
    found = examine(examiner, (SHAPES / name).read_bytes(), name)
    assert found.complete, found.problems
    assert sum(hit.canaries for hit in found.hits) == 60
    assert sum(hit.records for hit in found.hits) == 60
    assert found.lineage is not None
    assert found.lineage.verdict in {"re-post", "re-packaged", "subset"}
    assert (found.lineage.known, found.lineage.new) == (60, 0)
