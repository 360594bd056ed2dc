"""Office documents with changed bytes; `test_hostile` reads the documents that were made to break a reader."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import read
from tests.synth import office, pdf
from tests.synth.hostile import make_zip, streamed_zip

LIMITS = Limits(max_output=2**22, max_entries=50, max_depth=4, max_line=4096, max_columns=64)


def _parquet() -> bytes:
    target = io.BytesIO()
    table = pa.table({"a": ["x", "y"], "b": [{"c": [1, 2]}, {"c": []}], "d": pa.array(["k", "k"]).dictionary_encode()})
    parquet.write_table(table, target)
    return target.getvalue()


TABLE = [["nom", "prenom", "mail"], ["Dupont", "Jean", "j@b.example"], ["Martin", "Paul", "p@b.example"]]
VALID: dict[str, Callable[[], bytes]] = {
    "xlsx": lambda: office.workbook([[*row] for row in TABLE]),
    "streamed xlsx": lambda: streamed_zip(
        office.workbook_parts([office.sheet('<row r="1"><c r="A1" s="1"><v>27465</v></c></row>')])
    ),
    "docx": lambda: make_zip(office.document_parts(office.word_table(TABLE) + office.paragraph("text"))),
    "ods": lambda: office.open_document(office.ods_table(TABLE)),
    "pdf": lambda: pdf.document(TABLE),
    "parquet": _parquet,
}


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", VALID)
@pytest.mark.slow
def test_changed_bytes_do_not_crash_a_reader(kind: str, data: st.DataObject) -> None:
    changed = bytearray(VALID[kind]())
    for at in data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=1, max_size=6)):
        changed[at] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(1, len(changed)))
    found = read(bytes(changed[:size]), LIMITS, cut=data.draw(st.integers(1, 9000)))
    assert found.bytes == size or "limit" in found.all_problems
    assert "reader" not in found.all_problems
