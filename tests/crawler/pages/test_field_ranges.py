"""Numbers of pages have a range for what they claim to be, and large ones do not rest exactly."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crawler.pages import post_fields
from crawler.pages.field_ranges import MARKS, require_fields
from crawler.pages.post_fields import OUT_OF_RANGE, listing_fields, page_fields
from data.errors import WireError
from data.exact_numbers import with_rounded_numbers
from data.model import Post
from data.store.post_changes import changes

KEY = bytes(32)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
POST = Post("s", "1", "https://site.example/t/1")


def fields_of(text: str = "", **fields: str) -> dict:
    return listing_fields(KEY, replace(POST, title=text, fields=fields), NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "0612345678"), ("size", "612345678"), ("size", "175031122334455"), ("size", "61234.567 KB"),
        ("files", "612345678"), ("files", "0612345678"), ("timer", "0612345678"), ("timer", "1975-03-11"),
        ("timer", "612345678"), ("percent", "612"), ("price", "612.345.678 eur"), ("price", "$612,345,678"),
        ("state", "0612345678"), ("magnet", "magnet:?dn=dupont-0612345678"), ("author", "Jean Dupont 0612345678"),
    ],
)  # fmt: skip
def test_a_telephone_number_in_a_field_does_not_rest(name, value):
    found = fields_of(**{name: value})
    digits = re.sub(r"\D", "", value).lstrip("0")
    texts = [str(each) for each in found.values()]
    assert not any(digits in re.sub(r"\D", "", text) for text in texts), found
    require_fields(found, ["author"], NOW)
    assert fields_of(**{name: value}) == found


@pytest.mark.parametrize("text", ["612345678 patients", "0612345678 records", "612.345.678 lignes", "part 2, 3 GB"])
def test_a_number_in_a_text_does_not_rest_exactly(text):
    for found in (fields_of(text), page_fields(KEY, text, (), "")):
        assert "612345678" not in str(found)
        require_fields(found, [], NOW)


def test_a_change_that_rounding_hides_is_still_noticed():
    old, new = fields_of(size="123456789"), fields_of(size="123456790")
    assert old["size"] == new["size"] == [123_000_000]
    assert list(changes(old, new)) == ["exact"]
    assert changes(old, fields_of(size="123456789")) == {}


def test_the_exact_numbers_of_an_older_home_are_no_change():
    new = fields_of("15,234,567 patients, 1,234,567 eur", size="123456789", files="31")
    old = {
        **{name: value for name, value in new.items() if name != "exact"},
        "size": [123_456_789], "records": [15_234_567], "price": ["eur 1234567"],
    }  # fmt: skip
    assert set(changes(old, new)) == {"size", "records", "price"}
    migrated = with_rounded_numbers(old)
    assert changes(migrated, new) == {}
    assert changes(migrated, fields_of("15,234,567 patients", size="223456789", files="31"))["size"]


def test_a_number_out_of_its_range_is_left_out_and_counted():
    problems: Counter[str] = Counter()
    found = listing_fields(KEY, replace(POST, fields={"size": "99999 TB", "timer": "1975-03-11"}), NOW, problems)
    assert "size" not in found
    assert "timer" not in found
    assert problems == {OUT_OF_RANGE: 2}


@pytest.mark.parametrize(
    "lie",
    [
        {"title": "Jean Dupont"}, {"dupont": "0" * 12}, {"extra dupont": "0" * 12}, {"size": [612_345_678]},
        {"size": ["dupont"]}, {"records": [75_031_100_000]}, {"part": ["dupont"]}, {"part": ["part 612345678"]},
        {"percent": [101]}, {"price": ["dupont 3"]}, {"price": ["eur 612345678"]}, {"files": [10**7]},
        {"timer": [612_345_678, 1]}, {"timer": [1]}, {"timer": "dupont"}, {"read": "dupont"}, {"links": [True]},
        {"size": "dupont"}, {"percent": [True]}, {"links": ["0" * 12] * 65},
    ],
)  # fmt: skip
def test_a_field_that_no_page_can_give_is_refused(lie):
    with pytest.raises(WireError):
        require_fields(lie, ["author"], NOW)


def test_the_marks_are_those_that_are_searched_for():
    assert set(post_fields._MARKS) == MARKS
