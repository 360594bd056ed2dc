"""Ids, sealed due posts, and masked addresses that reveal nothing about a person."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pages.post_identity import mask_address, open_due, post_id, seal_due
from data.errors import WireError
from data.model import Post

KEY = bytes(range(32))
POST = Post("s", "17", "https://site.example/threads/17", title="Part one", fields={"size": "3 GB"}, body="text")


def test_ids_differ_between_sources_posts_and_cases():
    ids = {post_id(key, source, native) for key in (KEY, bytes(32)) for source in "st" for native in ("1", "2")}
    assert len(ids) == 8
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in ids)
    assert post_id(KEY, "s", "1") == post_id(KEY, "s", "1")


def test_a_sealed_post_can_be_opened_with_its_key_alone_and_reveals_nothing():
    sealed = seal_due(KEY, POST)
    assert open_due(KEY, sealed) == POST
    assert seal_due(KEY, POST) != sealed
    assert b"Part" not in sealed
    assert b"site.example" not in sealed
    for key, blob in (
        (os.urandom(32), sealed),
        (KEY, sealed[:-1]),
        (KEY, b""),
        (KEY, bytes([sealed[0] ^ 1]) + sealed[1:]),
    ):
        with pytest.raises(WireError):
            open_due(key, blob)


WORDS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzéè"), min_size=5, max_size=12).filter(
    lambda word: mask_address(f"http://h/{word}") == "http://h/[…]"
)


@given(
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from(["/{}", "/threads/{}.12/", "/?q={}", "/a?{}=1", "/files/{}.zip", "/#{}", "/%41{}"]),
)
def test_no_word_that_could_be_a_name_is_kept_in_an_address(words, place):
    text = "-".join(words)
    masked = mask_address("https://user:secret@site.example" + place.format(text), KEY)
    assert not any(word in masked for word in words)
    assert "secret" not in masked
    assert masked.startswith("https://site.example")
    assert len(masked) <= 300


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/forumdisplay.php?fid=2", "http://h/forumdisplay.php?fid=2"),
        ("http://h/19750312.txt", "http://h/[…].txt"),
        ("http://h/p/aB3x9", "http://h/p/aB3x9"),
        ("http://[::1]:81/raw/12", "http://[::1]:81/raw/12"),
        ("ftp://h/x", "[…]"),
        ("http://h:99999/", "[…]"),
    ],
)
def test_parts_of_an_address_that_site_software_writes_are_kept(url, shown):
    assert mask_address(url) == shown
