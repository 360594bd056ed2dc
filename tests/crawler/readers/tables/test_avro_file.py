"""Avro files written by fastavro: damaged ones, and those with which an attacker chooses what the library does."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import read

PATIENT = {
    "type": "record",
    "name": "Patient",
    "fields": [{"name": "nom", "type": "string"}, {"name": "n", "type": "int"}],
}
MARK = bytes(range(16))


def written(schema: Any, records: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    fastavro.writer(target, schema, records, sync_marker=MARK, **options)
    return target.getvalue()


def by_hand(schema: Any, block: bytes, count: int = 1, codec: bytes = b"null") -> bytes:
    text = json.dumps(schema).encode()
    entries = ((b"avro.codec", codec), (b"avro.schema", text))
    body = b"".join(number(len(key)) + key + number(len(value)) + value for key, value in entries)
    return b"Obj\x01" + number(2) + body + b"\0" + MARK + number(count) + number(len(block)) + block + MARK


def number(value: int) -> bytes:
    value, found = value << 1 ^ value >> 63, b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def test_a_damaged_block_costs_only_its_own_records():
    data = written(PATIENT, [{"nom": f"Martin{at}", "n": at} for at in range(400)], codec="deflate", sync_interval=1000)
    blocks = data.count(MARK)
    assert blocks > 4
    middle = data.index(MARK, len(data) // 2) + 16
    broken = bytearray(data)
    broken[middle + 8 : middle + 40] = bytes(32)
    found = read(bytes(broken))
    assert found.problems == ["damaged"]
    assert not found.all_complete
    assert 250 < len(found.rows) < 400
    assert found.rows[-1] == ["Martin399", "399"]


def test_a_wrong_length_of_a_block_costs_little():
    data = written(PATIENT, [{"nom": f"Martin{at}", "n": at} for at in range(400)], sync_interval=1000)
    middle = data.index(MARK, len(data) // 2) + 16
    found = read(data[:middle] + b"\x7f\xff\x7f" + data[middle + 3 :])
    assert not found.all_complete
    assert 250 < len(found.rows) < 400


def test_a_file_in_a_value_is_a_member():
    schema = {"type": "record", "name": "D", "fields": [{"name": "piece", "type": "bytes"}]}
    found = read(written(schema, [{"piece": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"}], codec="deflate"))
    assert [member.format for member in found.members] == ["pdf"]


LINKED = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}
DEEP: Any = "int"
for _ in range(500):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("schema", "block", "problem"),
    [
        (LINKED, b"\2" * 100_000 + b"\0", "unread"),
        ({"type": "array", "items": "null"}, number(2**40) + b"\0", "unread"),
        ({"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}, number(2**40) + b"\0", "unread"),
        ({"type": "record", "name": "r", "fields": []}, b"", "unread"),
        (DEEP, b"\2" * 1000, "unread"),
        ("bytes", number(2**40), "damaged"),
        ({"type": "fixed", "name": "f", "size": 2**40}, b"abc", "damaged"),
        ({"type": "enum", "name": "e", "symbols": ["a"]}, number(99), "damaged"),
        ({"type": "int", "logicalType": "date"}, number(2**31 - 1), "damaged"),
        ("no such type", b"", "damaged"),
    ],
    ids=["linked", "nulls", "fixed", "empty", "deep", "bytes", "size", "enum", "date", "type"],
)
def test_what_an_attacker_would_choose_is_a_problem(schema: Any, block: bytes, problem: str) -> None:
    found = read(by_hand(schema, block, 2**40 if block == b"" else 1))
    assert found.problems == [problem]
    assert not found.all_complete


def test_a_block_that_is_a_bomb_is_not_decompressed():
    data = written("bytes", [bytes(2**24)], codec="deflate")
    found = read(data, Limits(max_ratio=100))
    assert found.problems == ["ratio"]


def test_an_unknown_method_is_unread():
    assert read(by_hand("string", b"\2a", codec=b"brotli")).problems == ["unread"]
