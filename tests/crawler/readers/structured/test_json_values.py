from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.readers.structured.json_values import Validity, parse_json

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(anything, st.sampled_from([None, 1]))
@pytest.mark.slow
def test_valid_json_is_parsed_exactly(value: object, indent: int | None) -> None:
    assert parse_json(json.dumps(value, indent=indent).encode()) == (value, Validity.VALID)
    assert parse_json(json.dumps(value, indent=indent, ensure_ascii=False).encode()) == (value, Validity.VALID)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12) | st.lists(st.text(max_size=5), max_size=3)))
@pytest.mark.slow
def test_a_trailing_comma_is_accepted(value: dict[str, object]) -> None:
    found, trust = parse_json(json.dumps(value).removesuffix("}").encode() + b",}" if value else b"{,}")
    assert (found, trust) == (value, Validity.NONSTANDARD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a':'l\\'x', b: 0612}", {"a": "l'x", "b": "0612"}),
        ('{"_id":ObjectId("5f"),"d":new Date("2020-01-01")}', {"_id": "5f", "d": "2020-01-01"}),
        ('{"n":NumberLong(5)}', {"n": "5"}),
        ('{"a":True,"b":None,"c":undefined}', {"a": True, "b": None, "c": None}),
        ('// x\n{"a":/* y */1 # z\n}', {"a": "1"}),
        ('{"a":"x\ny"}', {"a": "x\ny"}),
        ('{"a":"\\ud83d\\ude00",}', {"a": "😀"}),
    ],
)  # fmt: skip
def test_nonstandard_spellings_are_parsed_by_their_meaning(text: str, value: object) -> None:
    assert parse_json(text.encode()) == (value, Validity.NONSTANDARD)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":"Dup"ont","b":"c"}', {"a": 'Dup"ont', "b": "c"}),
        ('{"a":"x', {"a": "x"}),
        ('{"a":[{"b":1}', {"a": [{"b": "1"}]}),
        ('{"a":1]', {"a": "1"}),
        ("[Section]", ["Section"]),
    ],
)
def test_the_readable_parts_of_damaged_text_are_parsed(text: str, value: object) -> None:
    assert parse_json(text.encode()) == (value, Validity.DAMAGED)


@given(st.text("{}[]\",:\\/*ab1 \n'", max_size=60))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    parse_json(text.encode())
