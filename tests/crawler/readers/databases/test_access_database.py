"""Access files, built by hand from the description in HACKING of mdbtools, give the rows of their tables."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.examination import Examiner
from crawler.examiner.sample_request import SampleRequest
from crawler.sandbox.sandbox import Limits, Sandbox
from data.case.watchlist import Watchlist
from data.hashing.case_keys import MatchKey
from data.releases.known_releases import KnownReleases
from tests.crawler.readers.frames import read

TYPES = {"bool": 1, "int": 4, "money": 5, "date": 8, "text": 10, "memo": 12}
COLUMNS = (("id", "int"), ("nom", "text"), ("ne_le", "date"), ("actif", "bool"), ("note", "memo"), ("du", "money"))
FIXED = {"int": 4, "date": 8, "money": 8}


def _text(text: str, jet3: bool, compressed: bool) -> bytes:
    if jet3:
        return text.encode("cp1252")
    return b"\xff\xfe" + text.encode("latin-1") if compressed else text.encode("utf-16-le")


def _definition(jet3: bool) -> bytes:
    variable = sum(kind in ("text", "memo") for _, kind in COLUMNS)
    head = struct.pack("<HHII", 0x0102, 0, 0, 0)[:8]
    if jet3:
        head = head + bytes(12) + b"N" + struct.pack("<HHHII", 6, variable, len(COLUMNS), 0, 0) + bytes(8)
        assert len(head) == 43
    else:
        head = head + bytes(32) + b"N" + struct.pack("<HHHII", 6, variable, len(COLUMNS), 0, 0) + bytes(8)
        assert len(head) == 63
    fixed_at = var_at = 0
    columns, names = b"", b""
    for number, (name, kind) in enumerate(COLUMNS):
        is_fixed = kind not in ("text", "memo")
        flags = 3 if is_fixed else 2
        place = struct.pack("<HH", fixed_at if kind in FIXED else 0, FIXED.get(kind, 0))
        if jet3:
            columns += struct.pack("<BHHH", TYPES[kind], number, var_at, number) + bytes(6) + bytes([flags]) + place
            names += bytes([len(name)]) + name.encode()
        else:
            columns += (
                struct.pack("<BIHHH", TYPES[kind], 0, number, var_at, number)
                + bytes(4)
                + bytes([flags, 1])
                + bytes(4)
                + place
            )
            names += struct.pack("<H", 2 * len(name)) + name.encode("utf-16-le")
        fixed_at += FIXED.get(kind, 0)
        var_at += not is_fixed
    return head + columns + names


def _row(values: tuple[int, str, float, bool, bytes, int], jet3: bool, compressed: bool) -> bytes:
    number, name, born, active, memo, owed = values
    body = bytes([len(COLUMNS)]) if jet3 else struct.pack("<H", len(COLUMNS))
    body += struct.pack("<idq", number, born, owed)
    offsets = [len(body)]
    for part in (_text(name, jet3, compressed), memo):
        body += part
        offsets.append(len(body))
    mask = bytes([0b110111 | (active << 3)])
    if jet3:
        jumps = []
        for at, offset in enumerate(offsets):
            while offset >= 256 * (len(jumps) + 1):
                jumps.append(at)
        size = len(body) + 3 + len(jumps) + 1 + 1
        jumps += [0xFF] * ((size - 1) // 256 - len(jumps))
        return body + bytes(offset & 255 for offset in offsets[::-1]) + bytes(jumps[::-1]) + bytes([2]) + mask
    return body + struct.pack("<3H", *offsets[::-1]) + struct.pack("<H", 2) + mask


def _page(owner: bytes, rows: Sequence[tuple[bytes, int]], jet3: bool) -> bytes:
    size = 2048 if jet3 else 4096
    page = bytearray(size)
    head = b"\1\1" + bytes(2) + owner + (b"" if jet3 else bytes(4)) + struct.pack("<H", len(rows))
    page[: len(head)] = head
    end = size
    for at, (row, flags) in enumerate(rows):
        start = end - len(row)
        page[start:end] = row
        struct.pack_into("<H", page, len(head) + 2 * at, start | flags)
        end = start
    assert end > len(head) + 2 * len(rows)
    return bytes(page)


def made(jet3: bool, compressed: bool = False) -> tuple[bytes, list[list[str]]]:
    """A database of one table, and its rows."""
    size = 2048 if jet3 else 4096
    mark = b"\0\1\0\0Standard Jet DB\0" + (b"\0" if jet3 else b"\1")
    inline = _text("vue le 3 mai", jet3, compressed)
    one, two, three = (_text(text, jet3, compressed) for text in ("une page", "deux ", "pages"))
    if compressed:
        three = three[2:]

    def memo(kind: int, length: int, pointer: int, data: bytes = b"") -> bytes:
        return struct.pack("<III", kind << 24 | length, pointer, 0) + data

    rows = [
        ((1, "Léa Dupont", 27465.0, True, memo(0x80, len(inline), 0, inline), 12_345), 0),
        ((2, "Zoé", 27465.5, False, memo(0x40, len(one), 4 << 8 | 0), -5_000), 0),
        ((3, "Noël", -365.0, True, memo(0, len(two + three), 4 << 8 | 1), 0), 0x8000),
        ((4, "M" * 240, 0.0, True, memo(0x80, len(inline), 0, inline), 0), 0),
    ]
    long = [(one, 0), (struct.pack("<I", 4 << 8 | 2) + two, 0), (bytes(4) + three, 0)]
    pages = [
        mark.ljust(size, b"\0"), bytes(size), _definition(jet3).ljust(size, b"\0"),
        _page(
            struct.pack("<I", 2),
            [*((_row(each, jet3, compressed), flags) for each, flags in rows), (bytes(4), 0x4000)],
            jet3,
        ),
        _page(b"LVAL", long, jet3),
    ]  # fmt: skip
    wanted = [
        ["1", "Léa Dupont", "1975-03-12", "true", "vue le 3 mai", "1.2345"],
        ["2", "Zoé", "1975-03-12 12:00:00", "false", "une page", "-0.5000"],
        ["3", "Noël", "1898-12-30", "true", "deux pages", "0.0000"],
        ["4", "M" * 240, "1899-12-30", "true", "vue le 3 mai", "0.0000"],
    ]
    return b"".join(pages), wanted


KINDS = [
    pytest.param(True, False, id="Jet 3"),
    pytest.param(False, False, id="Jet 4"),
    pytest.param(False, True, id="compressed"),
]


@pytest.mark.parametrize(("jet3", "compressed"), KINDS)
def test_rows_of_a_table(jet3: bool, compressed: bool) -> None:
    data, wanted = made(jet3, compressed)
    found = read(data)
    assert found.format == "access"
    [table] = found.tables
    assert table.columns == [name for name, _ in COLUMNS]
    assert table.rows == wanted
    assert found.all_complete
    assert not found.all_problems


@pytest.mark.parametrize(("jet3", "compressed"), KINDS)
def test_damage_is_reported_and_loses_only_the_damaged_parts(jet3: bool, compressed: bool) -> None:
    data, wanted = made(jet3, compressed)
    size = 2048 if jet3 else 4096
    lost = read(data[: 4 * size])
    assert [each[0] for each in lost.rows] == ["1", "2", "3", "4"]
    assert lost.rows[0] == wanted[0]
    assert set(lost.problems) == {"damaged"}
    assert set(read(data[: 4 * size + 100]).problems) >= {"cut"}
    garbage = bytes(at * 7 & 255 | 4 for at in range(4 * size))
    assert read(data[:size] + garbage).problems == ["locked"]
    assert not read(data[:size] + garbage).complete


@pytest.mark.slow
def test_rows_are_read_in_the_sandbox(tmp_path: Path) -> None:
    keys = MatchKey(bytes(32)).derive()
    with Sandbox(Limits(wall=30)) as sandbox:
        examiner = Examiner(
            keys,
            Watchlist.open(tmp_path / "watchlist", case=keys.case),
            KnownReleases.open(tmp_path / "releases"),
            sandbox,
        )
        found = examiner.examine(SampleRequest("patients.mdb"), [made(False)[0]], {"complete": True})
    assert (found.format, found.rows, found.complete) == ("access", 4, True)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_bytes_never_crash_the_reader(data: st.DataObject) -> None:
    sound, _ = made(data.draw(st.booleans()), False)
    changed = bytearray(sound)
    for at in data.draw(st.lists(st.integers(0, len(sound) - 1), min_size=1, max_size=8)):
        changed[at] = data.draw(st.integers(0, 255))
    found = read(bytes(changed[: data.draw(st.integers(1, len(sound)))]))
    assert "reader" not in found.all_problems
