"""Ids, sealed due posts, and masked addresses that reveal nothing about a person."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pages.post_identity import MAX_RULES, AddressMask, open_due, open_rules, post_id, seal_due, seal_rules
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


MASK = AddressMask(KEY, frozenset({"site.example", "h", "::1"}), {"board-7"})
WORDS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzéè"), min_size=3, max_size=12).filter(
    lambda word: AddressMask().mask(f"http://h/{word}") == "http://h/[…]"
)


@given(
    st.lists(WORDS, min_size=1, max_size=3),
    st.sampled_from(
        ["/{}", "/threads/{}.12/", "/?q={}", "/a?{}=1", "/files/{}.zip", "/#{}", "/%41{}", "/p/{}-750311", "/{}7503"]
    ),
)
def test_no_word_that_could_be_a_name_is_kept_in_an_address(words, place):
    text = "-".join(words)
    masked = MASK.mask("https://user:secret@site.example" + place.format(text))
    assert not any(word in masked.replace("site.example", "") for word in words)
    assert "secret" not in masked
    assert masked.startswith("https://site.example")
    assert len(masked) <= 300
    assert MASK.is_masked(masked)


@pytest.mark.parametrize(
    ("url", "native", "shown"),
    [
        ("http://h/forumdisplay.php?fid=2", "", "http://h/forumdisplay.php?fid=2"),
        ("http://[::1]:81/raw/12", "", "http://[::1]:81/raw/12"),
        ("http://h/board-7/feed.xml", "", "http://h/board-7/feed.xml"),
        # the number that the site itself calls the post's id, and small numbers beside it
        ("http://h/showthread.php?tid=750311&page=3", "750311", "http://h/showthread.php?tid=750311&page=3"),
        ("http://h/viewtopic.php?f=3&t=1234&start=20", "1234", "http://h/viewtopic.php?f=3&t=1234&start=20"),
        # ids that software composes of words and numbers
        ("http://h/index.php?topic=5.0", "5", "http://h/index.php?topic=5.0"),
        ("http://h/index.php?topic=41.msg123#msg123", "p123", "http://h/index.php?topic=41.msg123"),
        ("http://h/thread-12-page-2.html", "12", "http://h/thread-12-page-2.html"),
        ("ftp://h/x", "", "[…]"),
        ("http://h:99999/", "", "[…]"),
        ("http://[1/", "", "[…]"),
    ],
)
def test_parts_of_an_address_that_site_software_writes_are_kept(url, native, shown):
    assert MASK.mask(url, native) == shown
    assert MASK.is_masked(shown)


@pytest.mark.parametrize(
    ("url", "native", "hidden"),
    [
        ("http://h/19750312.txt", "", "1975"),
        ("http://h/view/19750312", "19750312", "1975"),
        ("http://h/p/aB3x9", "", "aB3x9"),
        ("http://h/p/li-wu-750311", "", "750311"),
        ("http://h/750311", "", "750311"),
        ("http://h/06/12/34/56/78", "", "12"),
        ("http://h/x/06.12.34.56.78", "", "12"),
        ("http://h/x/12-03-1975", "", "1975"),
        ("http://h/threads/jean-12", "12", "jean"),
        ("http://h/1/75/03/69/123", "", "69"),
        ("http://h/75/03/11", "", "75"),
        ("http://h/?a=1975&b=03&c=11", "", "1975"),
        ("http://h/thread/06123456?page=78", "06123456", "78"),
        ("http://h/?li=1&wu=1", "", "li"),
        ("http://jean-dupont-19750311.example/", "", "jean"),
        ("http://h@dupont.example/", "", "dupont"),
        ("http://h/a/mailto:jean@example.fr?to=jean%40example.fr#jean@example.fr", "", "jean"),
    ],
)
def test_names_dates_and_divided_numbers_become_keyed_ids(url, native, hidden):
    masked = MASK.mask(url, native)
    assert hidden not in masked
    assert MASK.mask(url, native) == masked
    assert MASK.is_masked(masked)


@pytest.mark.parametrize(
    "lie",
    [
        "http://h/dupont", "http://dupont.example/", "Jean Dupont", "http://h/?dupont=1", "http://h/x#dupont",
        "http://h/06/12/34/56/78", "http://h/a b", "http://h/p/[jeandup]", "http://[dupont]/", "http://h/[0123456789ab]",
        "http://h/p/li…", "http://h\n/p",
    ],
)  # fmt: skip
def test_an_address_that_is_not_masked_is_recognised(lie):
    assert not MASK.is_masked(lie)


def test_a_long_address_is_cut_between_two_values():
    masked = MASK.mask("http://h/t/" + "/".join(["dupont"] * 100))
    assert len(masked) <= 300
    assert masked.endswith("/…")
    assert MASK.is_masked(masked)


def test_kept_robots_files_are_bounded_whatever_a_site_sends():
    key = os.urandom(32)
    small = {f"https://a{number}.example": (number, "User-agent: *\nDisallow: /x\n") for number in range(40)}
    # each of these characters takes six bytes of JSON
    large = {"https://large.example": (1, "\x01" * 500 * 1024)}
    many = {f"https://b{number}.example": (1, "# " + "x" * 64 * 1024) for number in range(40)}
    sealed = seal_rules(key, {**large, **many, **small})
    assert len(sealed) <= MAX_RULES + 100
    kept = open_rules(key, sealed)
    assert kept.items() >= small.items()
    assert "https://large.example" not in kept
    assert open_rules(key, seal_rules(key, large)) == {}
