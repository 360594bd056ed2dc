"""What is proposed for a page that nobody described: the site software by its marks, or the rows that repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawler.fetching.platform_loader import PlatformLoader
from crawler.pages import extract
from crawler.pages.proposal import propose
from data.sources.platform_files import marked_platforms
from data.sources.source_files import build_definition, parse_source

SAMPLES = Path(__file__).parents[2] / "samples"
MARKED = marked_platforms()
KINDS = {".html": "text/html", ".json": "application/json", ".xml": "application/xml"}


def listings() -> list[tuple[str, str, str]]:
    """Platform, page and address of each saved listing of a platform with marks."""
    found = []
    for platform in MARKED:
        case = json.loads((SAMPLES / "platforms" / platform.name / "case.json").read_text())
        found += [
            (platform.name, page, case["url"])
            for page, given in case["pages"].items()
            if given["as"] == "listing" and given["expected"]["state"] == "ok" and given.get("marked", True)
        ]
    return found


@pytest.mark.parametrize(("name", "page", "url"), listings())
def test_a_saved_listing_is_recognised_by_the_marks_of_its_software_alone(name, page, url):
    body = (SAMPLES / "platforms" / name / page).read_bytes()
    proposals, _ = propose(body, url, KINDS[Path(page).suffix], MARKED)
    assert [each.platform for each in proposals if each.platform != "declared"] == [name]
    assert not proposals[0].boards


def rows(count: int) -> str:
    return "".join(
        f'<div class="card"><h3 class="t"><a class="more" href="/v/{n}">Victim {n}</a></h3><p>{"words " * 20}</p>'
        f'<a class="tag" href="/tag/1">tag</a><span class="gb">{n}.5 GB</span><i data-until="2026-12-0{n}T10:00:00Z"></i></div>'
        for n in range(1, count + 1)
    )


NAV = "<nav><ul>" + "".join(f'<li><a href="/{n}">menu entry {n}</a></li>' for n in range(30)) + "</ul></nav>"
TABLE = "".join(
    f'<tr><td><a href="/user/{n}">u</a></td><td><a href="/show?id={n}">A longer title of paste {n}</a></td><td>{n} KB</td></tr>'
    for n in range(1, 9)
)
PAGES = {
    "cards between menus": (f"<html><body>{NAV}<main>{rows(6)}</main><a rel=next href='/p/2'>Next</a></body></html>", "text/html", 6, "Victim 1"),
    "a table with a head": (f"<html><body><table id=list><tr><th>who</th><th>what</th></tr>{TABLE}</table></body></html>", "text/html", 8, "A longer title of paste 1"),
    "bare items of a list": ("<ul id=news>" + "".join(f"<li><a href='/n/{n}'>News item {n}</a> said so</li>" for n in range(5)) + "</ul>", "text/html", 5, "News item 0"),
    "a forum whose rows lead to their last reply": ("<div id=topics>" + "".join(
        f'<div class="topic"><a class="by" href="/u/1">bob</a> <a class="name" href="/t/topic-{n}/">A topic about {n}</a> 3 replies'
        f'<p><a href="/u/2">eve</a> <a href="/t/topic-{n}/?post={n}7#{n}7">&raquo;</a></p></div>' for n in range(1, 6)
    ) + "</div><ul class=pagination><li><a href='?page=2'>2</a><li><a href='?page=2'>&raquo;</a></ul>", "text/html", 5, "A topic about 1"),
    "a newest entry apart from the others": ("<h1><a href='/'>Blog</a></h1><aside id=featured><article><h1><a href='/victim-9.html'>Victim 9</a></h1>"
        + "<p>text</p>" * 9 + "</article></aside><ol id=posts>" + "".join(
        f"<li><article><h2><a href='/victim-{n}.html'>Victim {n}</a></h2><p>{'words ' * 20}</p><a href='/victim-{n}.html'>more</a></article></li>"
        for n in range(8, 3, -1)
    ) + "</ol><nav><a href='/index2.html'>Older posts \u00bb</a></nav>", "text/html", 6, "Victim 9"),
    "JSON": (json.dumps({"meta": {"n": 2}, "data": {"victims": [{"post_title": "One", "post_url": "/1"}, {"post_title": "Two", "post_url": "/2"}]}}), "application/json", 2, "One"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_rows_that_repeat_are_found_and_the_proposed_rules_read_them(name):
    text, kind, count, first = PAGES[name]
    proposals, _ = propose(text.encode(), "https://leaks.example/", kind, MARKED)
    [proposal] = proposals
    keys = {"name": "x", "platform": "declared", "url": "https://leaks.example/", **proposal.keys}
    definition = build_definition(
        parse_source(json.dumps(keys), "x.yaml"),
        PlatformLoader().defaults_for(parse_source(json.dumps(keys), "x.yaml")),
    )
    listing = extract.read_listing(definition, text.encode(), "https://leaks.example/", kind)
    assert (listing.rows, listing.posts[0].title, listing.problems) == (count, first, ())
    assert len({post.native for post in listing.posts}) == count
    if name == "cards between menus":
        assert listing.next_url == "https://leaks.example/p/2"
        assert listing.posts[0].fields["size"] == "1.5 GB"
        assert listing.posts[0].fields["timer"].startswith("2026-12-01")
    if name.startswith("a forum"):
        assert [post.fields["last"] for post in listing.posts[:2]] == [
            "/t/topic-1/?post=17#17",
            "/t/topic-2/?post=27#27",
        ]
        assert listing.next_url == "https://leaks.example/?page=2"
    if name.startswith("a newest"):
        assert listing.next_url == "https://leaks.example/index2.html"
    if "last" in proposal.keys["list"]["fields"]:
        assert name.startswith("a forum"), "other rows have no replies"


@pytest.mark.parametrize(
    "text", ["", "<p>We moved</p>", "<html><body><a href=/a>one</a></body></html>", "{", "[1, 2]", "\x00\xff"]
)
def test_a_page_without_a_listing_gives_no_proposal(text):
    assert propose(text.encode("latin-1"), "https://leaks.example/", "text/html", MARKED)[0] == ()


def test_a_front_page_names_its_boards_and_a_feed_is_named():
    body = (
        b'<html><head><link rel=alternate type=application/rss+xml href=/feed.xml></head><body id="phpbb">'
        b"<a href='./viewforum.php?f=2'>Board</a><a href='https://other.example/viewforum.php?f=3'>x</a></body></html>"
    )
    proposals, notes = propose(body, "https://board.example/index.php", "text/html", MARKED)
    assert (proposals[0].platform, proposals[0].boards) == ("phpbb", ("https://board.example/viewforum.php?f=2",))
    assert "https://board.example/feed.xml" in notes[0]
