"""What headers say of versions and parts."""

from __future__ import annotations

import pytest
from scrapy.http import Headers

from crawler.transport.content_ranges import Part, Version, part_of, whole_size

DATE = "Wed, 25 Nov 2026 12:00:00 GMT"
VALIDATORS = [
    ({"ETag": '"a"'}, '"a"'),
    ({"ETag": 'W/"a"'}, ""),
    ({"ETag": 'W/"a"', "Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT", "Date": DATE}, ""),
    ({"Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT", "Date": DATE}, "Tue, 24 Nov 2026 12:00:00 GMT"),
    ({"Last-Modified": "Wed, 25 Nov 2026 11:59:59 GMT", "Date": DATE}, "Wed, 25 Nov 2026 11:59:59 GMT"),
    ({"Last-Modified": DATE, "Date": DATE}, ""),
    ({"Last-Modified": "Thu, 26 Nov 2026 12:00:00 GMT", "Date": DATE}, ""),
    ({"Last-Modified": DATE}, ""),
    ({"Last-Modified": "soon", "Date": DATE}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("headers", "validator"), VALIDATORS)
def test_only_what_cannot_be_of_two_versions_stands_in_if_range(headers, validator):
    assert Version.of(Headers(headers)).validator() == validator


PARTS = [
    ("bytes 5-9/10", Part(5, 9, 10)),
    ("BYTES 0-0/1", Part(0, 0, 1)),
    ("bytes 5-9/*", Part(5, 9, None)),
    ("bytes 9-5/10", None),
    ("bytes 5-10/10", None),
    ("bytes */10", None),
    ("bytes 5-9/ten", None),
    ("lines 5-9/10", None),
    ("bytes 5-99999999999999999999999/*", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "part"), PARTS)
def test_a_content_range_is_understood_or_refused(text, part):
    assert part_of(Headers({"Content-Range": text})) == part


@pytest.mark.parametrize(("text", "size"), [("bytes */10", 10), ("bytes 0-1/10", None), ("", None)])
def test_the_size_that_a_416_names(text, size):
    assert whole_size(Headers({"Content-Range": text})) == size


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (Version('"a"', ""), Version('"b"', ""), True),
        (Version('"a"', "x"), Version('"a"', "y"), False),
        (Version("", "x"), Version("", "y"), True),
        (Version('"a"', "x"), Version("", "x"), False),
        (Version("", ""), Version('"b"', "y"), False),
    ],
)
def test_two_versions_differ_only_where_both_say_so(one, other, differ):
    assert one.differs(other) is differ
