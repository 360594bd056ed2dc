"""ORC files written by pyarrow: values of every kind inside the walls of a reader, and damage."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pyarrow as pa
import pytest
from pyarrow import orc

from crawler.readers.core.limits import Limits
from crawler.sandbox.sandbox import Sandbox
from tests.crawler.readers.frames import read, read_in_sandbox


def written(table: pa.Table, compression: str = "uncompressed") -> bytes:
    target = pa.BufferOutputStream()
    orc.write_table(table, target, compression=compression)
    return target.getvalue().to_pybytes()


@pytest.mark.slow
def test_times_and_nested_values_are_read_where_no_file_can_be_opened():
    moment = datetime(2020, 1, 2, 3, 4, tzinfo=UTC)
    table = pa.table(
        {
            "nom": ["Martin", "Petit"],
            "vu": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("us")),
            "paris": pa.array([moment, None], pa.timestamp("us", tz="Europe/Paris")),
            "tel": [["0612000000", "0612000001"], []],
        }
    )
    with Sandbox(Limits(wall=60)) as sandbox:
        found = read_in_sandbox(sandbox, written(table))
    assert found.format == "orc"
    assert found.all_complete, found.problems
    assert found.rows[0][0] == "Martin"
    assert found.rows[0][1].startswith("2020-01-02")
    assert found.rows[0][-1] == "0612000001"


def test_a_damaged_column_costs_only_its_own_values():
    names = [f"Martin{at}" for at in range(50)]
    # the second column takes most of the file
    table = pa.table({"nom": names, "empreinte": [sha256(name.encode()).hexdigest() for name in names]})
    data = written(table, "zlib")
    at = len(data) // 2
    found = read(data[:at] + b"\xff" * 400 + data[at + 400 :])
    assert found.problems == ["damaged"]
    assert not found.all_complete
    assert [row[0] for row in found.rows] == names


def test_a_segment_of_hl7_is_no_orc_file():
    assert read(b"ORC|NW|1234^LABO||||||20240101\rOBR|1|a\r").format != "orc"
