"""An operator's cookies in the forms in which browsers give them; they reach the hosts of their source alone."""

import json
from datetime import UTC, datetime

import pytest

from data.errors import ConfigError
from data.sources.cookie_files import read_cookies, usable_cookies

NOW = datetime(2026, 11, 30, tzinfo=UTC)
LATER, EARLIER = 1_900_000_000, 1_600_000_000
NETSCAPE = f"""# Netscape HTTP Cookie File
#HttpOnly_.board.example\tTRUE\t/\tTRUE\t{LATER}\tsid\tSECRET1
board.example\tFALSE\t/forum\tFALSE\t0\tseen\tSECRET2
board.example\tFALSE\t/\tFALSE\t{EARLIER}\told\tSECRET3
ads.example\tFALSE\t/\tFALSE\t0\tad\tSECRET4
"""
JSON = json.dumps(
    [
        {"name": "sid", "value": "SECRET1", "domain": ".board.example", "path": "/", "secure": True, "expirationDate": LATER + 0.5},
        {"name": "seen", "value": "SECRET2", "domain": "board.example", "hostOnly": True, "path": "/forum"},
        {"name": "ad", "value": "SECRET4", "domain": "ads.example"},
    ]
)  # fmt: skip
BOTH = [
    ("board.example", "seen", "/forum", False),
    ("board.example", "sid", "/", True),
    ("www.board.example", "sid", "/", True),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NETSCAPE, BOTH),
        (JSON, BOTH),
        (
            "Cookie: sid=SECRET1; seen=SECRET2",
            [(host, name, "/", False) for host in ("board.example", "www.board.example") for name in ("seen", "sid")],
        ),
    ],
    ids=["cookies.txt", "json", "header"],
)
def test_cookies_are_read_and_reach_the_hosts_of_their_source_alone(text, expected):
    read = read_cookies(text)
    found = usable_cookies(read, ["board.example", "www.board.example"], NOW)
    assert sorted((each.domain, each.name, each.path, each.secure) for each in found) == expected
    assert {each.value for each in found} == {"SECRET1", "SECRET2"}
    assert "SECRET" not in repr(read)


@pytest.mark.parametrize("text", ["", "plain words", "{}", "[1]", "{broken", "a b=c", "x=\x07", "# only\ta comment"])
def test_what_holds_no_cookies_is_refused_without_its_content(text):
    with pytest.raises(ConfigError) as refused:
        read_cookies(text)
    assert not text.strip() or text not in str(refused.value)
