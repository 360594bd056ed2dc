"""Databases of Redis whose lengths lie, that are cut, or that hold what no reader opens. Those of real servers are shapes."""

from __future__ import annotations

import random

import pytest

from tests.crawler.readers.frames import read

START, END = b"REDIS0011\xfe\0", b"\xff" + bytes(8)
MAIL = b"\x1fhonorine.virecourt7@example.org"
STRING, HASH, QUICKLIST, LISTPACK_HASH = b"\0", b"\4", b"\x12", b"\x10"


def compressed(data: bytes, size: int) -> bytes:
    return b"\xc3" + b"\x80" + len(data).to_bytes(4, "big") + b"\x80" + size.to_bytes(4, "big") + data


def test_a_value_alone_is_text_with_its_key():
    found = read(START + STRING + b"\6mail:7" + MAIL + END)
    assert found.format == "redis"
    assert found.all_complete
    assert bytes(found.text) == b"mail:7 honorine.virecourt7@example.org\n\n"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (HASH + b"\1k" + b"\x81" + (2**60).to_bytes(8, "big") + b"\1a\1b", "damaged"),
        (STRING + b"\1k" + b"\x81" + (2**60).to_bytes(8, "big") + b"abc", "cut"),
        (STRING + b"\1k" + compressed(b"\0a\xe0\xff\0", 2**26), "damaged"),
        (STRING + b"\1k" + compressed(b"\xe0\xff\xff", 300), "damaged"),
        (STRING + b"\1k" + compressed(b"\0a", 2**31), "size"),
        (LISTPACK_HASH + b"\1k" + b"\x0a" + b"\xff\0\0\0\2\0\xf0\xff\xff\xff", "cut"),
        (QUICKLIST + b"\1k" + b"\x80\xff\xff\xff\xff" + b"\2\1a", "cut"),
        (b"\x42\1k", "damaged"),
    ],
    ids=["fields", "string", "overlong", "before the start", "too long", "list", "nodes", "type"],
)
def test_a_length_that_lies_is_a_problem_and_earlier_values_stay(value: bytes, problem: str) -> None:
    found = read(START + STRING + b"\1m" + MAIL + value + END)
    assert problem in found.problems
    assert not found.all_complete
    assert b"honorine.virecourt7@example.org" in found.text


def test_values_that_nobody_can_open_are_unread():
    secret = random.Random(5).randbytes(4000)
    found = read(START + STRING + b"\1k" + b"\x80" + len(secret).to_bytes(4, "big") + secret + END)
    assert found.problems == ["unread"]
    assert not found.all_complete


def test_strings_of_an_object_of_another_serialiser_are_text():
    igbinary = b"\0\0\0\2\x14\2\x11\3nom\x11\6Martin\x11\4mail\x11\x1fhonorine.virecourt7@example.org"
    found = read(START + STRING + b"\1k" + b"\x40" + bytes([len(igbinary)]) + igbinary + END)
    assert b"honorine.virecourt7@example.org" in found.text
    assert b"Martin" in found.text
