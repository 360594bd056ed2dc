"""Blocks of JSON that hold no value are shortened, and what stands before and behind them is read as it is."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.readers.structured.json_splitter import MAX_ENTERED, JsonSplitter
from crawler.readers.structured.json_values import Validity


class Counted:
    """Counts what a splitter hands over, and keeps the values."""

    def __init__(self) -> None:
        self.calls = self.bytes = self.damaged = 0
        self.values: list[Any] = []
        self.texts: list[bytes] = []

    def _take(self, value: Any, validity: Validity, text: bytes) -> None:
        self.calls += 1
        self.bytes += len(text)
        self.damaged += validity is Validity.DAMAGED
        self.values.append(value)
        self.texts.append(text[:8])

    handle_document = handle_children = _take

    def enter_container(self, key: str | None) -> None:
        self.calls += 1

    def leave_container(self) -> None:
        self.calls += 1

    def handle_text(self, text: bytes) -> None:
        self.bytes += len(text)


def split(*blocks: bytes) -> tuple[Counted, JsonSplitter]:
    counted = Counted()
    splitter = JsonSplitter(counted, 2**20)
    for block in blocks:
        splitter.feed(block)
    splitter.finish()
    return counted, splitter


def scalars(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [each for child in value for each in scalars(child)]
    return [value]


@given(st.recursive(st.lists(st.integers(0, 99), max_size=3), lambda inner: st.lists(inner, max_size=5), max_leaves=60))
@pytest.mark.slow
def test_values_around_blocks_of_brackets_are_kept(value: Any) -> None:
    text = orjson.dumps(value)
    # cut where numbers begin and end, so that the parts between them hold brackets and commas alone
    cuts = [
        0,
        *(at for at in range(1, len(text)) if text[at - 1 : at].isdigit() != text[at : at + 1].isdigit()),
        len(text),
    ]
    counted, splitter = split(*(text[low:high] for low, high in pairwise(cuts)))
    assert [each for found in counted.values for each in scalars(found)] == scalars(value)
    assert (counted.damaged, splitter.mismatched_brackets, splitter.ended_inside_value) == (0, 0, False)


@pytest.mark.parametrize(
    ("pattern", "is_balanced"),
    [(b"[[[[]],[],[[[]]]],[]],", True), (b"{},\n", True), (b"[", False), (b"]", False), (b"[{", False)],
)
@pytest.mark.slow
def test_the_work_on_brackets_alone_is_small_and_grows_with_their_number(pattern: bytes, is_balanced: bool) -> None:
    """500 MB of them are legal JSON; each bracket cost a turn of the splitter, 0.7 MB/s."""
    size = 2**18 // len(pattern) * len(pattern)
    block = (pattern * (2**18 // len(pattern)))[:size]
    few, _ = split(b"[1,", *[block] * 4)
    many, splitter = split(b"[1,", *[block] * 16)
    assert many.calls <= 4 * few.calls + 16
    assert many.bytes < 16 * size // 10
    assert len(splitter._open_positions) <= 17 * MAX_ENTERED
    assert (splitter.mismatched_brackets == 0) == is_balanced
    assert any(b"1" in text for text in many.texts)


def test_brackets_within_a_string_do_no_harm_to_what_follows():
    inside = b"[]" * 5000
    counted, _ = split(b'["a', inside, b'b",', b'"Durand"]')
    assert "Durand" in [each for found in counted.values for each in scalars(found)]


def test_the_order_of_blocks_and_values_is_random_and_still_right():
    choice = random.Random(5)
    for _ in range(200):
        parts, expected = [b"[0"], [0]
        for number in range(choice.randrange(1, 6)):
            parts += [b"," + b"[[],[[]]]," * choice.randrange(1, 9) + b"[]", b",%d" % number]
            expected.append(number)
        counted, splitter = split(*parts, b"]")
        assert [each for found in counted.values for each in scalars(found)] == expected
        assert splitter.mismatched_brackets == counted.damaged == 0
