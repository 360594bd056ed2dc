from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import Member, read

DAY = pa.array([date(1975, 3, 12)])


def parquet_file(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    parquet.write_table(table, target, **options)
    return target.getvalue()


def single_column(values: pa.Array) -> list[list[str]]:
    found = read(parquet_file(pa.table({"a": values})))
    assert found.format == "parquet"
    assert found.all_complete
    assert not found.all_problems
    return [found.tables[0].columns or [], *found.rows]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array(["Dupont", "é", None]), ["Dupont", "é", ""]),
        (pa.array([185057800608491, -1, None]), ["185057800608491", "-1", ""]),
        # pandas turns integers with gaps into floats
        (pa.array([612345678.0, 1.85057800608491e14, 0.1, float("nan")]), ["612345678", "185057800608491", "0.1", ""]),
        (pa.array([date(1975, 3, 12), None]), ["1975-03-12", ""]),
        (pa.array([date(1975, 3, 12)], pa.date64()), ["1975-03-12"]),
        (DAY.cast(pa.timestamp("ns")), ["1975-03-12"]),
        (pa.array([163818123], pa.int64()).cast(pa.timestamp("s")), ["1975-03-12 01:02:03"]),
        (pa.array([datetime(1975, 3, 11, 23, tzinfo=UTC)], pa.timestamp("ms", "UTC")), ["1975-03-11T23:00:00Z"]),
        (pa.array([2**62], pa.int64()).cast(pa.timestamp("ms")), [str(2**62)]),
        (pa.array([time(1, 2, 3)]), ["01:02:03"]),
        (pa.array([Decimal("612345678.00"), Decimal("12.50")]), ["612345678", "12.5"]),
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", "", "x"]),
        (pa.array([b"ab", b"\xe9t\xe9", None]), ["ab", "été", ""]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array([None, None]), ["", ""]),
    ],
)
def test_a_column_becomes_text(values: pa.Array, texts: list[str]) -> None:
    assert single_column(values) == [["a"], *([value] for value in texts)]


def test_nested_columns_have_dotted_names() -> None:
    table = pa.table(
        {
            "patient": [{"nom": "Dupont", "tel": ["06", "07"]}, None, {"nom": None, "tel": []}],
            "visits": [[{"day": 1, "why": "a"}, {"day": 2, "why": "b"}], [], None],
            "codes": pa.array([[("k", 1)], [], [("a", 2)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    found = read(parquet_file(table))
    columns = [
        "patient.nom",
        "patient.tel.0",
        "patient.tel.1",
        "visits.0.day",
        "visits.0.why",
        "visits.1.day",
        "visits.1.why",
    ]
    assert found.tables[0].columns == [*columns, "codes.0.key", "codes.0.value"]
    assert found.rows == [
        ["Dupont", "06", "07", "1", "a", "2", "b", "k", "1"],
        ["", "", "", "", "", "", "", "", ""],
        ["", "", "", "", "", "", "", "a", "2"],
    ]


def test_fixed_size_lists_and_nested_lists_have_numbered_columns() -> None:
    values = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))
    found = read(parquet_file(pa.table({"a": values, "b": [[["x"], ["y", "z"]], [], [[]]]})))
    assert found.tables[0].columns == ["a.0", "a.1", "b.0.0", "b.0.1", "b.1.0", "b.1.1"]
    assert found.rows == [["1", "2", "x", "", "y", "z"], [""] * 6, ["3", "4", "", "", "", ""]]


def test_a_list_longer_than_others_keeps_all_its_elements() -> None:
    found = read(parquet_file(pa.table({"a": [[f"x{number}" for number in range(100)], ["y"]]})))
    assert len(found.tables[0].columns or []) == 32
    assert " ".join(found.rows[0]).split() == [f"x{number}" for number in range(100)]
    assert found.rows[1][0] == "y"


scalars = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=8))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(scalars, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=30), st.integers(1, 9))
@pytest.mark.slow
def test_written_rows_are_read_back(rows: list[tuple[str | None, int]], group: int) -> None:
    table = pa.table({"a": pa.array([a for a, _ in rows], pa.string()), "b": [b for _, b in rows]})
    found = read(parquet_file(table, row_group_size=group))
    assert found.rows == [[a or "", str(b)] for a, b in rows]


def groups(count: int = 4, **options: Any) -> tuple[pa.Table, bytes]:
    size = 500
    numbers = range(count * size)
    table = pa.table({"a": [f"Dupont{number}" for number in numbers], "b": [number * 7919 for number in numbers]})
    return table, parquet_file(table, row_group_size=size, use_dictionary=False, **options)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "brotli", "zstd", "lz4"])
def test_every_compression_is_read(compression: str) -> None:
    table, data = groups(1, compression=compression)
    assert read(data).rows == [[a, str(b)] for a, b in zip(*table.to_pydict().values(), strict=True)]


def test_a_damaged_row_group_or_column_loses_only_its_own_values() -> None:
    _, data = groups(compression="zstd")
    place = parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(1).column(0)
    changed = bytearray(data)
    start = place.data_page_offset
    changed[start : start + place.total_compressed_size] = bytes(place.total_compressed_size)
    found = read(bytes(changed))
    assert found.problems == ["damaged"]
    assert not found.complete
    values = {value for row in found.rows for value in row}
    assert {"Dupont0", "Dupont1000", "Dupont1999", str(700 * 7919)} <= values
    assert "Dupont700" not in values


def test_an_index_that_contradicts_its_columns_does_not_end_the_process() -> None:
    """The index declares a column with nulls as required; pyarrow aborts if it is asked for that column's place."""
    data = bytearray(parquet_file(pa.table({"a": pa.array([{"b": "x"}, {"b": None}])})))
    index = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    optional, required = b"\x25\x02", b"\x25\x00"
    at = data.index(optional, index)
    data[at : at + 2] = required
    found = read(bytes(data))
    assert found.problems == ["damaged"]


def test_a_truncated_file_is_reported() -> None:
    _, data = groups()
    found = read(data[:-20])
    assert found.problems == ["cut"]
    assert not found.complete


@pytest.mark.parametrize("data", [b"PAR1PAR1", b"PAR1" + bytes(100) + b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1"])
def test_an_invalid_index_is_reported(data: bytes) -> None:
    assert read(data).problems == ["damaged"]


def test_an_encrypted_file_is_locked() -> None:
    assert read(b"PARE" + bytes(100) + b"PARE").problems == ["locked"]


@pytest.mark.slow
def test_rows_far_larger_than_their_file_are_reported() -> None:
    data = parquet_file(pa.table({"a": pa.array(["x" * 1000]).take(pa.array([0] * 200_000))}), compression="zstd")
    found = read(data, Limits(max_ratio=100))
    assert found.problems == ["ratio"]
    assert not found.complete


def test_columns_beyond_the_limit_share_the_last_one() -> None:
    found: Member = read(parquet_file(pa.table({f"c{number}": ["x"] for number in range(20)})), Limits(max_columns=5))
    assert found.rows == [["x", "x", "x", "x", " ".join("x" * 16)]]
    assert found.problems == ["columns"]
    assert found.complete
