"""Reading versions and ranges of files from response headers."""

from __future__ import annotations

import pytest
from scrapy.http import Headers

from crawler.transport.content_ranges import ContentRange, FileVersion, content_range, total_size

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
def test_if_range_holds_only_validators_that_identify_one_version(headers, validator):
    assert FileVersion.from_headers(Headers(headers)).validator() == validator


RANGES = [
    ("bytes 5-9/10", ContentRange(5, 9, 10)),
    ("BYTES 0-0/1", ContentRange(0, 0, 1)),
    ("bytes 5-9/*", ContentRange(5, 9, None)),
    ("bytes 9-5/10", None),
    ("bytes 5-10/10", None),
    ("bytes */10", None),
    ("bytes 5-9/ten", None),
    ("lines 5-9/10", None),
    ("bytes 5-99999999999999999999999/*", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), RANGES)
def test_a_content_range_is_read_or_rejected(text, expected):
    assert content_range(Headers({"Content-Range": text})) == expected


@pytest.mark.parametrize(("text", "size"), [("bytes */10", 10), ("bytes 0-1/10", None), ("", None)])
def test_the_size_that_a_416_names(text, size):
    assert total_size(Headers({"Content-Range": text})) == size


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (FileVersion('"a"', ""), FileVersion('"b"', ""), True),
        (FileVersion('"a"', "x"), FileVersion('"a"', "y"), False),
        (FileVersion("", "x"), FileVersion("", "y"), True),
        (FileVersion('"a"', "x"), FileVersion("", "x"), False),
        (FileVersion("", ""), FileVersion('"b"', "y"), False),
    ],
)
def test_two_versions_differ_only_if_both_are_named(one, other, differ):
    assert one.differs(other) is differ
