"""DICOM files with pictures: what nobody read in them is told, unless the header says that there is nothing to read."""

from __future__ import annotations

import struct

import pytest

from tests.crawler.readers.frames import read


def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
    size = b"\0\0" + struct.pack("<I", len(value)) if kind == b"OW" else struct.pack("<H", len(value))
    return struct.pack("<HH2s", group, number, kind) + size + value


HEADER = (
    bytes(128)
    + b"DICM"
    + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
    + element(0x10, 0x10, b"PN", b"Martin^Paul ")
)
PIXELS = element(0x7FE0, 0x10, b"OW", bytes(64))


@pytest.mark.parametrize(
    ("between", "problems"),
    [
        (b"", ["unread"]),
        (element(0x28, 0x301, b"CS", b"YES "), ["unread"]),
        (element(0x28, 0x301, b"CS", b"NO"), []),
    ],
    ids=["not said", "burned in", "not burned in"],
)
def test_a_picture_that_may_show_words_is_unread(between: bytes, problems: list[str]) -> None:
    found = read(HEADER + between + PIXELS)
    assert found.problems == problems
    assert found.all_complete == (not problems)
    assert found.rows[0][1:3] == ["Martin", "Paul"]


def test_a_header_without_picture_is_complete():
    assert read(HEADER).all_complete
