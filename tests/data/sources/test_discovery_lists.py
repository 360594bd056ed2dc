"""Lists of sites in the forms in which others keep them, and what changes in them; the content is invented."""

import json

import pytest

from data.errors import InputError
from data.sources.discovery_lists import ListedSite, read_list
from data.sources.list_changes import KnownSite, compare

ONION = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx.onion"
LOCATION = {"fqdn": ONION, "title": "Blog", "version": 3, "available": True, "lastscrape": "2026-08-07 21:45:42.693126"}
GROUP = {
    "name": "alpha", "captcha": False, "meta": None, "profile": [],
    "locations": [{**LOCATION, "slug": f"http://{ONION}/"}, {"slug": "http://alpha.example", "title": None, "available": False}],
}  # fmt: skip
EXPECTED = [("alpha", f"http://{ONION}", True), ("alpha", "http://alpha.example", False)]
FORUMS = f"""\
|Name|Status|Description|
| ------ | ------ | ------ |
|[BOARD X (Dark)](http://{ONION}) | ONLINE | |
|[BOARD X (Deep)](https://board.example/)|OFFLINE||
|[BOARD Y](https://y.example/index.php)| ONLINE | https://t.me/boardy |
|[NO ADDRESS]()|ONLINE||

https://elsewhere.example/
"""
GANGS = f"""\
| Name | URL | Status | Password | Telegram |
|---|---|---|---|---|
|GAMMA (mirror 1) |http://{ONION} ||3085B89A|
|GAMMA (SURFACE WEB)|http://gamma.example |(CURRENTLY DOWN)|||
"""
CHANNELS = """\
|Telegram|Status|Threat Actor Name|Type of attacks|
|------|------|------|------|
|https://t.me/+8UWtFO9H_9dhODVk|EXPIRED|Delta|Data Leaks|
|https://t.me/delta_leaks|ONLINE|Delta|Data Leaks|
|https://t.me/epsilon|VALID|||
"""


@pytest.mark.parametrize(
    ("text", "form", "expected", "without"),
    [
        (json.dumps([GROUP, {"name": "hidden", "private": True}]), "groups in JSON", EXPECTED, 1),
        (json.dumps({"alpha": {**GROUP, "name": None}}), "groups in JSON", EXPECTED, 0),
        (json.dumps([{**GROUP}, [{"post_title": "victim"}]]), "groups in JSON", EXPECTED, 0),
        (
            FORUMS,
            "tables in Markdown",
            [
                ("BOARD X", f"http://{ONION}", True),
                ("BOARD X", "https://board.example", False),
                ("BOARD Y", "https://y.example/index.php", True),
            ],
            1,
        ),
        (
            GANGS,
            "tables in Markdown",
            [("GAMMA", f"http://{ONION}", None), ("GAMMA", "http://gamma.example", False)],
            0,
        ),
        (
            CHANNELS,
            "tables in Markdown",
            [
                ("Delta", "https://t.me/+8UWtFO9H_9dhODVk", False),
                ("delta_leaks", "https://t.me/delta_leaks", True),
                ("epsilon", "https://t.me/epsilon", True),
            ],
            0,
        ),
        (
            f"name;url;status;title\nzeta;{ONION};online;Blog\neta;eta.example/b?x=1;;\n",
            "CSV",
            [("zeta", f"http://{ONION}", True), ("eta", "https://eta.example/b?x=1", None)],
            0,
        ),
    ],
    ids=["ransomware.live", "ransomlook export", "ransomlook group", "forums", "gangs", "channels", "csv"],
)
def test_lists_are_read_in_the_forms_in_which_they_are_kept(text, form, expected, without):
    found = read_list(text)
    assert found.format == form
    assert [(site.name, site.address, site.online) for site in found.sites] == expected
    assert found.without_address == without


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "{broken", "name,url\n", "just words\nand more"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(InputError):
        read_list(text)


def test_invitations_are_private_and_titles_are_kept_as_digests():
    sites = read_list(CHANNELS).sites
    assert [site.is_private for site in sites] == [True, False, False]
    site = read_list(json.dumps([GROUP])).sites[0]
    assert site.title
    assert "Blog" not in site.title


def site(name, address, online=True, title="", favicon=""):
    return ListedSite(name, f"https://{address}.example", online, title, favicon)


A = site("alpha", "a1", title="t1", favicon="i1")
MOVES = [
    ([site("alpha", "a2", title="t1", favicon="i1")], [("moved", "a1", "a2", "same favicon and title")]),
    ([site("other", "a2", title="tx", favicon="i1")], [("moved", "a1", "a2", "same favicon")]),
    ([site("alpha", "a2", title="t1")], [("moved", "a1", "a2", "same name and title")]),
    ([site("alpha", "a2", title="t2")], [("moved", "a1", "a2", "same name")]),
    # the old address is still listed, and offline: what it showed before counts
    (
        [site("alpha", "a1", online=False), site("beta", "b1", title="t1", favicon="i1")],
        [("moved", "a1", "b1", "same favicon and title")],
    ),
    ([site("beta", "b1", title="t2", favicon="i2")], [("new", "b1", "", ""), ("gone", "a1", "", "")]),
    # a title that any site may have, without a name or an icon, proves nothing
    ([site("beta", "b1", title="t1")], [("new", "b1", "", ""), ("gone", "a1", "", "")]),
    ([A, site("alpha", "a2", title="t1", favicon="i1")], [("new", "a2", "", "")]),
    ([site("alpha", "a2", online=False)], [("new", "a2", "", ""), ("gone", "a1", "", "")]),
    ([A], []),
]


@pytest.mark.parametrize(("listed", "expected"), MOVES, ids=range(len(MOVES)))
def test_a_move_is_told_by_what_the_list_says_of_both_addresses(listed, expected):
    changes, known = compare([KnownSite(A, "2026-11-01", "2026-11-01", gone=False)], listed, "2026-11-30")

    def place(address: str) -> str:
        return address.removeprefix("https://").removesuffix(".example")

    found = [(each.kind, place(each.site.address), place(each.to), each.why) for each in changes]
    assert found == expected
    assert KnownSite.from_json(json.loads(json.dumps(known[0].to_json()))) == known[0]


def test_an_address_that_comes_back_is_told_and_a_second_reading_tells_nothing():
    _, known = compare([], [A, site("beta", "b1")], "2026-11-01")
    changes, known = compare(known, [site("beta", "b1")], "2026-11-02")
    assert [change.sentence() for change in changes] == ["alpha is gone: https://a1.example (no longer listed)"]
    assert compare(known, [site("beta", "b1")], "2026-11-03")[0] == []
    changes, known = compare(known, [A, site("beta", "b1")], "2026-11-04")
    assert [change.sentence() for change in changes] == ["alpha came back: https://a1.example"]
    assert {each.first for each in known} == {"2026-11-01"}
