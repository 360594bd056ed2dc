"""The shapes in which one list of people is posted, through the whole examiner: 60 enrolled people, who were released.

The samples were written by the real programs (`mysql`, `psql`, `sqlite3`, `dcmdump`) or by hand after public reports.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.examiner.examination import Examiner
from crawler.records.column_roles import plan_columns_of_rows
from data.case.bundle import read_bundle, write_bundle
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundle
from data.releases.known_releases import KnownReleases
from scheduler.canaries.enrolment import enrol_rows
from tests.synth.case import KEYS, examine, examining

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"
# what the shape lets nobody decide: names without anything that the release has of the others
SAME = {
    "06-excel-sci.same.csv": "delimited",
    "18c-cp850.same.csv": "delimited",
    "18e-ebcdic.same.dat": "fixed_width",
    "19-sqlmap.same.txt": "text",
    "24-bcp-fixed.same.txt": "fixed_width",
    "26-b2.same.txt": "fixed_width",
    "45-eav.same.sql": "sql_dump",
    "71b-dicom-dump.same.txt": "dicom_text",
    "73-fixed-namedob.same.txt": "fixed_width",
    "76b-serial-head.same.csv": "delimited",
    "76d-apos.same.csv": "delimited",
    "76e-epoch.same.json": "json_lines",
    "76h-split-date.same.csv": "delimited",
    "81-cp850-names.same.csv": "delimited",
    "81-mac-names.same.csv": "delimited",
    "87-http-log.same.txt": "text",
    "90-mysqlt-names.same.txt": "text",
    "91b-oneline-sql.same.txt": "sql_dump",
    "a1-us-dates.same.csv": "delimited",
    "a5-cat-csv.same.csv": "text",
    "a6-b64-lines.same.txt": "base64",
    "chat.same.txt": "chat",
    "dotnet-dates.same.csv": "delimited",
    "drawn-mysql-E.same.txt": "text",
    "drawn-mysql-t.same.txt": "text",
    "drawn-psql-unicode.same.txt": "text",
    "drawn-psql-x.same.txt": "text",
    "drawn-psql.same.txt": "text",
    "drawn-sqlite-box.same.txt": "text",
    "drawn-sqlite-column.same.txt": "text",
    "drawn-sqlite-markdown.same.txt": "text",
    "lost-letters.same.csv": "delimited",
    "redcap-by-field.same.csv": "delimited",
}
PLUS = ("18e-ebcdic.plus.dat", "24-bcp-fixed.plus.txt", "45-eav.plus.sql", "60-ibd.plus.ibd.gz", "81-cp850-names.plus.csv",
        "90-mysqlt-names.plus.txt", "a1-us-dates.plus.csv")  # fmt: skip


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    tables = [list(csv.reader((SHAPES / f"cab-{name}.csv").read_text().splitlines())) for name in ("nord", "sud")]
    header, people = tables[0][0], [row for table in tables for row in table[1:]]
    made = enrol_rows(iter(people), plan_columns_of_rows(header, people), KEYS.enrol)
    bundle = folder / "c1.bundle"
    write_bundle(bundle, KEYS.enrol, made.records, client="c1", name="c1", canaries=made.canaries)
    assert import_bundle(folder / "watchlist", KEYS.case, *read_bundle(bundle, KEYS.case, KEYS.bundle))
    with examining(folder) as examiner:
        examine(examiner, (SHAPES / "baseline.csv").read_bytes(), release="part-1")
        examiner.builders["part-1"].write(folder / "releases", {"case": KEYS.case})
        examiner.releases = KnownReleases.open(folder / "releases")
        examiner.watchlist = Watchlist.open(folder / "watchlist", case=KEYS.case)
        yield examiner


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_the_released_people_are_found_and_nobody_is_new(examiner: Examiner, name: str) -> None:
    found = examine(examiner, (SHAPES / name).read_bytes())
    assert found.format == SAME[name]
    assert sum(hit.canaries for hit in found.hits) == 60
    assert found.complete
    assert found.lineage is not None
    assert found.lineage.verdict in ("re-post", "re-packaged", "subset")
    assert (found.lineage.known, found.lineage.new) == (60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLUS)
def test_twenty_further_people_are_new(examiner: Examiner, name: str) -> None:
    found = examine(examiner, (SHAPES / name).read_bytes())
    assert sum(hit.canaries for hit in found.hits) == 60
    assert found.lineage is not None
    assert found.lineage.verdict in ("superset", "overlap")
    assert (found.lineage.known, found.lineage.new) == (60, 20)
