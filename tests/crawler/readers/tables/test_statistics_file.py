"""Files of statistics programs: encodings, several tables, and what the C library does with sizes that lie."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from crawler.readers.core.limits import Limits
from crawler.sandbox.sandbox import Sandbox
from tests.crawler.readers.frames import read, read_in_sandbox

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"
SAV, DTA, XPT = ((SHAPES / name).read_bytes() for name in ("55-spss.sav", "55d-stata-15.dta", "55f-sas.xpt"))


@pytest.mark.slow
def test_files_of_old_encodings_are_converted_where_no_file_can_be_opened():
    # the bytes of the names stay, and are read under the other encoding
    with Sandbox(Limits(wall=60)) as sandbox:
        found = read_in_sandbox(sandbox, SAV.replace(b"UTF-8", b"CP850"))
    assert found.all_complete
    assert found.rows[0][2] == "Océane".encode().decode("cp850")


def test_rows_before_a_damaged_place_are_read():
    found = read(SAV[:80] + struct.pack("<i", 100_000) + SAV[84:])
    assert not found.all_complete
    assert len(found.rows) == 60


def test_every_table_of_a_transport_file_is_read():
    at = XPT.index(b"HEADER RECORD*******MEMB")
    found = read(XPT + XPT[at:])
    assert found.all_complete
    assert len(found.rows) == 120


@pytest.mark.parametrize("number", [2**31 - 1, -(2**31), 100_000])
@pytest.mark.parametrize("place", [64, 68, 72, 76, 80])
def test_sizes_in_the_header_of_spss_that_lie_are_no_crash(place: int, number: int) -> None:
    found = read(SAV[:place] + struct.pack("<i", number) + SAV[place + 4 :])
    assert "reader" not in found.all_problems
    assert len(found.rows) >= 60 or not found.all_complete


def test_a_column_without_a_name_costs_no_row():
    found = read(DTA.replace(b"adresse\0", bytes(8)))
    assert not found.all_problems
    assert (found.tables[0].columns or [])[7] == ""
    assert found.rows == read(DTA).rows
