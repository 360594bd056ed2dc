from __future__ import annotations

import pytest

from data.settings.endpoint import MAX_PATH, Endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9050", Endpoint("127.0.0.1", 9050)),
        ("localhost:9050", Endpoint("127.0.0.1", 9050)),
        ("[::1]:9050", Endpoint("::1", 9050)),
        ("unix:/run/tor/socks", Endpoint(path="/run/tor/socks")),
    ],
)
def test_an_address_is_read_and_written(text, expected):
    found = Endpoint.parse(text)
    assert found == expected
    assert Endpoint.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tor.example:9050", "numeric IP address"),
        ("9050", "HOST:PORT"),
        ("127.0.0.1:0", "HOST:PORT"),
        ("127.0.0.1:70000", "HOST:PORT"),
        ("unix:run/socks", "absolute path"),
        ("unix:/" + "x" * MAX_PATH, "at most"),
        ("", "HOST:PORT"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text, words):
    with pytest.raises(ValueError, match=words):
        Endpoint.parse(text)
