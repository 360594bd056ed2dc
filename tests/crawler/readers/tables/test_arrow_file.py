from __future__ import annotations

import io

import pyarrow as pa
import pytest

from tests.crawler.readers.frames import read


def arrow_file(table: pa.Table, compression: str | None = None) -> bytes:
    target = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    with pa.ipc.new_file(target, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=10)
    return target.getvalue()


TABLE = pa.table({"nom": [f"Dupont{number}" for number in range(30)], "a": [{"b": [number]} for number in range(30)]})


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_an_arrow_file_gives_its_rows(compression: str | None) -> None:
    found = read(arrow_file(TABLE, compression))
    assert found.format == "arrow"
    assert found.tables[0].columns == ["nom", "a.b.0"]
    assert found.rows == [[f"Dupont{number}", str(number)] for number in range(30)]
    assert found.all_complete


def test_a_batch_with_wrong_offsets_loses_only_its_rows() -> None:
    data = bytearray(arrow_file(TABLE))
    at = data.rindex(b"Dupont10Dupont11")
    # overwrite the offsets of its strings
    data[at - 64 : at] = b"\x7f" * 64
    found = read(bytes(data))
    assert found.problems == ["damaged"]
    assert not found.complete
    assert [row[0] for row in found.rows] == [f"Dupont{number}" for number in (*range(10), *range(20, 30))]


def test_a_truncated_file_is_reported() -> None:
    found = read(arrow_file(TABLE)[:-30])
    assert found.problems == ["damaged"]
    assert not found.complete


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_stream_gives_its_rows_and_its_damage_is_told(compression: str | None) -> None:
    table = pa.table({"nom": [f"Roux{at}" for at in range(50)], "n": list(range(50))})
    target = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(target, table.schema, options=options) as stream:
        stream.write_table(table, max_chunksize=20)
    found = read(target.getvalue())
    assert (found.format, found.all_complete, len(found.rows)) == ("arrow", True, 50)
    cut = read(target.getvalue()[: len(target.getvalue()) // 2])
    assert not cut.all_complete
