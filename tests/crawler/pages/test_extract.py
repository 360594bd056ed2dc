"""The extraction engine: selectors, transforms, blocked pages, addresses, text of pages."""

import json
import time
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy.http import HtmlResponse

from crawler.fetching.platform_loader import PlatformLoader
from crawler.fetching.responses import listing_trouble, session_trouble
from crawler.pages.extract import (
    Listing,
    classify,
    harvest,
    read_item,
    read_listing,
)
from crawler.pages.html_text import decode, text_of
from crawler.pages.item_addresses import item_url
from crawler.pages.originals import read_raw, with_raw_address
from data.errors import SourceError
from data.model import Post
from data.sources.definition import Definition
from data.sources.source_files import build_definition, parse_source

ROOT = Path(__file__).parents[3]
URL = "https://site.example/list/?page=1"
HTML = "text/html; charset=utf-8"


def define(fields: dict[str, Any] | None = None, **keys: Any) -> Definition:
    listing = {"each": "css:li", "fields": {"id": "xpath:./@id", "link": "css:a::attr(href)", **(fields or {})}}
    listing.update(keys.pop("list", {}))
    whole = {"name": "s", "platform": "declared", "url": URL, "list": listing, **keys}
    return build_definition(parse_source(yaml.safe_dump(whole), "s.yaml"), {})


def read(definition: Definition, body: str | bytes, content_type: str = HTML, **keys: Any) -> Listing:
    return read_listing(definition, body.encode() if isinstance(body, str) else body, URL, content_type, **keys)


def first(rule: Any, row: str) -> str:
    """The value that a rule finds in one row."""
    (post,) = read(define({"title": rule}), f"<ul><li id=1>{row}</li></ul>").posts
    return post.title


RULES = {
    "css text": ("css:h3::text", "<h3>a  b</h3>", "a b"),
    "css element is its text": ("css:h3", "<h3>a <b>b</b>\n c</h3>", "a b c"),
    "css attribute": ("css:h3::attr(title)", "<h3 title=' x '>a</h3>", "x"),
    "xpath axis": ("xpath:./h3/following-sibling::p[1]", "<h3>a</h3><p>b</p><p>c</p>", "b"),
    "xpath string": ("xpath:string(./h3)", "<h3>a<i>b</i></h3>", "ab"),
    "xpath number": ("xpath:count(./p)", "<p>1</p><p>2</p>", "2.0"),
    "first non-empty of a list": (["css:h9", "css:h8::text", "css:h3"], "<h3>a</h3>", "a"),
    "empty values are skipped": (["css:h2", "css:h3"], "<h2> </h2><h3>a</h3>", "a"),
    "const as the last resort": (["css:h9", {"const": "none"}], "<h3>a</h3>", "none"),
    "re takes its first group": ({"x": "css:h3", "re": r"no (\d+)"}, "<h3>no 12, no 13</h3>", "12"),
    "re without group takes the match": ({"x": "css:h3", "re": r"\d+"}, "<h3>no 12</h3>", "12"),
    "re that does not match gives nothing": ([{"x": "css:h3", "re": "x"}, {"const": "z"}], "<h3>a</h3>", "z"),
    "re on the markup of the row": ({"re": r"data-k='?\"?(\w+)"}, "<h3 data-k='v'>a</h3>", "v"),
    "re on the text after html": ({"x": "css:p", "text": "html", "re": r"b: (\w+)"}, "<p>a<br>b: 1</p>", "1"),
    "unquote": ({"x": "css:a::attr(href)", "unquote": True}, "<a href='Donn%C3%A9es%20x'>y</a>", "Données x"),
    "template": ({"x": "css:h3", "template": "/p/{}/raw"}, "<h3>7</h3>", "/p/7/raw"),
    "template of nothing is nothing": ({"x": "css:h9", "template": "/p/{}/raw"}, "<h3>7</h3>", ""),
    "join": ({"x": "css:b", "text": "join"}, "<b>a</b> x <b>c</b>", "a c"),
    "date iso": ({"x": "css:i", "date": "iso"}, "<i>2026-03-01T12:00:00+02:00</i>", "2026-03-01T10:00:00Z"),
    "date epoch": ({"x": "css:i", "date": "epoch_s"}, "<i>1772359200</i>", "2026-03-01T10:00:00Z"),
    "date epoch in ms": ({"x": "css:i", "date": "epoch_ms"}, "<i>1772359200123</i>", "2026-03-01T10:00:00Z"),
    "date rfc 2822": ({"x": "css:i", "date": "rfc2822"}, "<i>Sun, 01 Mar 2026 11:00:00 +0100</i>", "2026-03-01T10:00:00Z"),
    "date in a zone": (
        {"x": "css:i", "date": "%m-%d-%Y, %I:%M %p", "tz": "Europe/Paris"}, "<i>03-01-2026, 11:00 AM</i>", "2026-03-01T10:00:00Z",
    ),
    "date that does not fit is unchanged": ({"x": "css:i", "date": "iso"}, "<i>3 hours ago</i>", "3 hours ago"),
    "date out of range is unchanged": ({"x": "css:i", "date": "epoch_s"}, "<i>9e99</i>", "9e99"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_its_value(name):
    rule, row, expected = RULES[name]
    assert first(rule, row) == expected


JSON_RULES = {
    "path": ("json:a.b", {"a": {"b": "x"}}, "x"),
    "fallback in the expression": ("json:website || domain", {"domain": "x"}, "x"),
    "number": ("json:n", {"n": 12}, "12"),
    "boolean": ("json:n", {"n": True}, "true"),
    "null is nothing": (["json:n", {"const": "-"}], {"n": None}, "-"),
    "object": ("json:n", {"n": {"b": 1, "a": 2}}, '{"a":2,"b":1}'),
    "first of a list": ("json:n", {"n": ["x", "y"]}, "x"),
    "html inside": ({"x": "json:n", "text": "html"}, {"n": "<p>a</p><p>b</p>"}, "a b"),
    "css on JSON finds nothing": (["css:h3", {"const": "-"}], {"n": 1}, "-"),
}


@pytest.mark.parametrize("name", JSON_RULES)
def test_a_json_rule_finds_its_value(name):
    rule, row, expected = JSON_RULES[name]
    definition = define({"id": "json:id", "title": rule}, list={"as": "json", "each": "json:rows"})
    fields = {"id": "json:id", "title": rule}
    definition = define(list={"as": "json", "each": "json:rows", "fields": fields})
    (post,) = read(definition, json.dumps({"rows": [{"id": 1, **row}]}), "application/json").posts
    assert (post.native, post.title) == ("1", expected)


def test_a_selector_of_the_wrong_kind_is_reported_as_a_problem():
    definition = define(list={"as": "json", "each": "json:rows", "fields": {"id": "json:id", "title": "css:h3"}})
    listing = read(definition, '{"rows": [{"id": 1}, {"id": 2}]}', "application/json")
    assert listing.problems == ("selector: 'css:' was used on a value that is not markup (2 times)",)


LINKS = {
    "/p/1": "https://site.example/p/1",
    "p/1": "https://site.example/list/p/1",
    "?id=1": "https://site.example/list/?id=1",
    "//other.example/x": "https://other.example/x",
    "https://paste.example/?abc#KEY=": "https://paste.example/?abc#KEY=",
    "/t.php?t=1&sid=0123456789abcdef0123456789abcdef&p=2#p2": "https://site.example/t.php?t=1&p=2#p2",
    "/t.php?PHPSESSID=0123456789abcdef0123456789abcdef": "https://site.example/t.php",
    "/t;jsessionid=0123456789ABCDEF0123456789ABCDEF?t=1": "https://site.example/t;jsessionid=0123456789ABCDEF0123456789ABCDEF?t=1",
    "/?s=summary": "https://site.example/?s=summary",
    "file:///etc/hostname": "file:///etc/hostname",
    " /p/ 1\n": "https://site.example/p/ 1",
}


@pytest.mark.parametrize("link", LINKS)
def test_a_link_becomes_an_absolute_address_and_keeps_its_fragment(link):
    (post,) = read(define(), f'<ul><li id=1><a href="{link}">x</a></li></ul>').posts
    assert post.url == LINKS[link]


def test_base_is_used_only_to_join_links():
    body = '<base href="http://elsewhere.example/x/"><ul><li id=1><a href="p">x</a></li></ul>'
    (post,) = read(define(), body).posts
    assert post.url == "http://elsewhere.example/x/p"


def test_a_malformed_address_is_reported_as_a_problem():
    listing = read(define(), '<ul><li id=1><a href="http://[::1">x</a></li></ul>')
    assert listing.problems == ("address: a link is not an address",)
    assert listing.posts[0].url == URL


def test_javascript_links_are_skipped_and_the_next_rule_is_tried():
    rules = {"link": ["css:a::attr(href)", {"x": "css:a::attr(onclick)", "re": "'([^']+)'"}]}
    (post,) = read(
        define(rules), "<ul><li id=1><a href='javascript:void(0)' onclick=\"go('/p/7')\">x</a></li></ul>"
    ).posts
    assert post.url == "https://site.example/p/7"


def test_without_an_id_the_canonical_address_is_the_identity():
    definition = define({"id": []}, hosts=["http://mirror.example"], url="{host}/list/")
    body = "".join(
        f'<ul><li><a href="{link}">x</a></li></ul>' for link in ("HTTP://MIRROR.example:80/p/1", "http://x.example")
    )
    natives = [post.native for post in read(definition, body).posts]
    assert natives == ["http://mirror.example/p/1", "http://x.example/"]
    first_of_two = define({"id": []}, hosts=["https://site.example", "http://mirror.example"], url="{host}/list/")
    (post, _) = read(first_of_two, body).posts
    assert post.native == "https://site.example/p/1"
    assert post.url == "HTTP://MIRROR.example:80/p/1"


def test_each_row_gives_a_post_or_is_dropped_or_reported():
    definition = define({"title": "css:h3"}, list={"drop": {"title": "^How to"}})
    body = "<ul><li id=1><h3>a</h3></li><li id=2><h3>How to buy</h3></li><li><h3>c</h3></li></ul>"
    listing = read(definition, body)
    assert [post.native for post in listing.posts] == ["1"]
    assert (listing.rows, listing.dropped) == (3, 1)
    assert listing.problems == ("row: neither id nor link was found in a row",)


def test_two_rows_with_one_id_that_differ_are_reported():
    definition = define({"title": "css:h3"})
    same = "<li id=1><h3>a</h3></li>"
    assert read(definition, f"<ul>{same}{same}</ul>").problems == ()
    (problem,) = read(definition, f"<ul>{same}<li id=1><h3>b</h3></li></ul>").problems
    assert problem.startswith("row: two rows of one page have the same id")


def test_two_rows_with_one_id_and_two_addresses_are_two_posts():
    rows = '<li id=7><a href="/t/7">harmless</a></li><li id=7><a href="/t/7-dump">dump</a></li>'
    listing = read(define(), f"<ul>{rows}</ul>")
    assert [post.url.rpartition("/")[2] for post in listing.posts] == ["7", "7-dump"]
    assert len({post.native for post in listing.posts}) == 2
    assert listing.problems


def test_selectors_for_rows_are_tried_in_turn():
    definition = define(list={"each": ["css:div.old", "css:li", "css:p"]})
    assert len(read(definition, "<p id=9>x</p><ul><li id=1>a<li id=2>b</ul>").posts) == 2


def test_a_post_has_only_the_fields_that_the_definition_declares():
    body = "<ul><li id=1><h3>a</h3><i class=views>12</i><u>3 GB</u></li></ul>"
    (post,) = read(define({"title": "css:h3", "size": "css:u"}), body).posts
    assert post.fields == {"size": "3 GB"}
    (post,) = read(define({"extra": {"views": "css:i.views"}}), body).posts
    assert post.fields == {"views": "12"}


def test_all_attachments_of_a_row_are_found_once():
    body = "<ul><li id=1><a class=f href=/a.zip>x</a><a class=f href=/b.zip>x</a><a class=f href=/a.zip>x</a></li></ul>"
    (post,) = read(define({"attachments": "css:a.f::attr(href)"}), body).posts
    assert post.attachments == ("https://site.example/a.zip", "https://site.example/b.zip")


def test_map_reads_an_object_whose_keys_are_ids():
    fields = {"id": "json:key", "size": "json:value.size"}
    definition = define(list={"as": "json", "each": "map:items", "fields": fields})
    listing = read(definition, '{"items": {"a": {"size": 1}, "b": {"size": 2}}}', "application/json")
    assert [(post.native, dict(post.fields)) for post in listing.posts] == [("a", {"size": "1"}), ("b", {"size": "2"})]


def test_js_reads_a_literal_with_comments_and_with_quotes_and_brackets_in_strings():
    fields = {"id": "json:id", "title": "json:t"}
    body = "<script>let a = 1; var leaks = [{id: 1, t: 'a]\\'}'}, /* c */ {id: 2, t: \"b\",},]; run(leaks[0])</script>"
    for rules in ({"js": r"leaks\s*=", "each": "json:@"}, {"each": r"js:leaks\s*="}):
        listing = read(define(list={**rules, "fields": fields}), body)
        assert [(post.native, post.title) for post in listing.posts] == [("1", "a]'}"), ("2", "b")], rules


@pytest.mark.parametrize("body", ["<script>no</script>", "<script>leaks = run()</script>", "<script>leaks = [1, {", ""])
def test_js_that_finds_no_literal_is_an_empty_listing_with_a_problem(body):
    listing = read(define(list={"js": r"leaks\s*=", "fields": {"id": "json:id"}}), body)
    assert listing.state == "empty"
    assert listing.problems[0].startswith("js:")


def test_xml_is_read_without_namespaces_and_entities_are_never_fetched():
    definition = define(list={"as": "xml", "each": "css:item", "fields": {"id": "css:id", "title": "css:t"}})
    body = (
        '<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
        '<r xmlns="urn:x"><item><id>1</id><t>a&f;b</t></item><item><id>2</id></r>'
    )
    listing = read(definition, body, "text/xml")
    assert [post.native for post in listing.posts] == ["1", "2"]
    assert listing.posts[0].title == "ab"
    assert listing.problems == ("xml: the page is not well-formed and was repaired",)


# --- pages -----------------------------------------------------------------------------------------------------------

ROW = "<ul><li id=1>a</li></ul>"


def test_numbered_pages_end_at_their_limit_and_at_a_page_without_rows():
    definition = define(url="https://site.example/list/?page={page}", list={"pages": {"from": 1, "max": 3}})
    assert read(definition, ROW, page_no=1).next_url == "https://site.example/list/?page=2"
    assert read(definition, ROW, page_no=2).next_url == "https://site.example/list/?page=3"
    assert read(definition, ROW, page_no=3).next_url == ""
    assert read(definition, "<ul></ul>", page_no=1).next_url == ""


def test_offsets_count_posts():
    definition = define(
        url="https://site.example/list/?start={offset}", list={"pages": {"from": 0, "max": 9, "step": 25}}
    )
    assert read(definition, ROW, page_no=2).next_url == "https://site.example/list/?start=50"


def test_a_next_link_is_followed_but_not_to_itself():
    definition = define(list={"next": "css:a.next::attr(href)"})
    assert read(definition, ROW + "<a class=next href='?page=2'>x</a>").next_url == "https://site.example/list/?page=2"
    assert read(definition, ROW + "<a class=next href='?page=1'>x</a>").next_url == ""


def test_a_cursor_and_the_start_of_the_walk_are_carried_on():
    url = "{host}/list?since={since}&after={cursor}"
    rules = {"as": "json", "each": "json:rows", "fields": {"id": "json:id"}, "cursor": "json:next", "pages": {"max": 5}}
    definition = define(url=url, hosts=["https://a.example", "https://b.example"], list=rules)
    body = b'{"rows": [{"id": 1}], "next": "x/y="}'
    here = "https://b.example/list?since=2026-03-01T00%3A00%3A00Z&after="
    assert read_listing(definition, body, here, "application/json").next_url == (
        "https://b.example/list?since=2026-03-01T00%3A00%3A00Z&after=x%2Fy%3D"
    )
    assert read_listing(definition, b'{"rows": [{"id": 1}]}', here, "application/json").next_url == ""


def test_the_address_of_raw_bytes_is_made_from_the_post():
    definition = define(raw={"url": "{host}/raw/{id}"})
    (post,) = read(definition, "<ul><li id='a b/c?d'>x</li></ul>").posts
    assert post.raw == "https://site.example/raw/a%20b/c%3Fd"
    assert read(define(raw={"url": "{raw}"}), ROW).posts[0].raw == ""


# --- blocked pages and soft 404s -------------------------------------------------------------------------------------------

BLOCKED = {
    "challenge": "<html><head><title>Just a moment...</title></head><body>Checking</body></html>",
    "ddos-guard": "<html><head><title>DDOS-GUARD</title></head><body>Checking your browser before accessing</body></html>",
    "captcha": "<html><body><form><div class='g-recaptcha' data-sitekey=x></div></form></body></html>",
    "words": "<html><body><p>You must be logged in to see this forum.</p></body></html>",
    "french words": "<html><body><p>Connectez-vous pour voir ce contenu</p></body></html>",
    "log-in form": "<html><body><form><input name=u><input type=password name=p></form></body></html>",
    "typographic apostrophe": "<html><head><title>Making sure you’re not a bot!</title></head><body></body></html>",
}


@pytest.mark.parametrize("name", BLOCKED)
def test_a_blocked_page_with_status_200_is_recognised(name):
    assert read(define(), BLOCKED[name]).state == "blocked"


STAND_INS = {
    "a shop for domains": ("parked", "<title>board.example</title><h1>board.example</h1><p>This domain is for sale. Make an offer.</p>"),
    "advertisements": ("parked", "<title>board.example</title><div id=ads></div><script src='https://www.google.com/adsense/domains/caf.js'></script>"),
    "a script alone": ("parked", "<head><script>window.onload=function(){window.location.href='/lander'}</script></head><body></body>"),
    "expired, in French": ("parked", "<title>x</title><p>Ce nom de domaine a expiré.</p>"),
    "Apache": ("placeholder", "<title>Apache2 Debian Default Page: It works</title><p>It works!</p>"),
    "nginx": ("placeholder", "<title>Welcome to nginx!</title><h1>Welcome to nginx!</h1>"),
    "a hotel": ("portal", "<title>Guest WiFi</title><p>Accept the terms to access the Internet.</p><form><button>OK</button></form>"),
    "an office": ("portal", "<title>Network Authentication Required</title><a href=/x>continue</a>"),
    "the police": ("seized", "<title>x</title><h1>This website has been seized</h1>"),
    "a quiet board": ("empty", "<title>Board</title><p>No topics yet. Network engineers welcome; nothing for sale here.</p>"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "body"), STAND_INS.values(), ids=list(STAND_INS))
def test_what_answers_in_place_of_a_site_is_named(state, body):
    assert read(define(), f"<html>{body}</html>").state == state
    # a row of the listing says that the site is there, whatever its posts talk of
    assert read(define(), f"<html>{body}{ROW}</html>").state == "ok"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("challenge", 200, "challenge"), ("challenge", 503, "challenge"), ("ddos-guard", 403, "challenge"),
        ("captcha", 200, "challenge"), ("typographic apostrophe", 200, "challenge"), ("words", 200, "walled"),
        ("log-in form", 200, "walled"), ("french words", 403, "walled"),
    ],
)  # fmt: skip
def test_an_access_check_and_a_log_in_are_told_apart(name, status, code):
    response = HtmlResponse(URL, status=status, body=BLOCKED[name].encode(), headers={"Content-Type": HTML})
    listing = read(define(), BLOCKED[name], status=status)
    trouble = session_trouble(define(), response, listing_trouble(response, listing), cookies=False)
    assert trouble is not None
    assert trouble.code == code


@pytest.mark.parametrize("name", BLOCKED)
def test_a_page_with_rows_is_not_blocked_whatever_else_it_shows(name):
    body = BLOCKED[name].replace("</body>", "<ul><li id=1>captcha, please log in</li></ul></body>")
    listing = read(define(blocked={"text": "captcha"}, absent={"text": "log in"}), body)
    assert (listing.state, len(listing.posts)) == ("ok", 1)


def test_a_page_without_rows_that_is_not_blocked_is_empty():
    long = "<p>" + "Nothing is here, really nothing. " * 100
    form = "<form><input type=password></form>"
    assert read(define(), f"<html><body>{form}{long}</body></html>").state == "empty"
    assert read(define(), b"").state == "empty"
    assert read(define(), b"\xff\xfe\x00garbage").state == "empty"


@pytest.mark.parametrize(("status", "state"), [(404, "absent"), (410, "absent"), (403, "blocked"), (429, "blocked")])
def test_a_status_decides_even_if_there_are_rows(status, state):
    assert read(define(), ROW, status=status).state == state


def test_the_rules_of_the_definition_for_absent_and_blocked_are_applied():
    definition = define(
        absent={"css": ".gone", "text": "no such board"}, blocked={"text": "members only", "status": [451]}
    )
    assert read(definition, "<html><p class=gone>x</p></html>").state == "absent"
    assert read(definition, "<html><p>There is no such board</p></html>").state == "absent"
    assert read(definition, "<html><p>For members only</p></html>").state == "blocked"
    assert read(definition, ROW, status=451).state == "blocked"


def test_a_paste_about_captchas_and_log_ins_is_not_taken_for_a_blocked_page():
    definition = define(absent={"text": "not found"})
    paste = b"user;password\n" + b"captcha;please log in;not found\n" * 500
    assert classify(definition, 200, paste, "text/plain") == "ok"
    assert classify(definition, 200, b"<html><p>" + paste + b"</p></html>", "text/html") == "absent"
    assert classify(define(), 200, b"<html><body><form><input type=password></form>" + paste, "text/html") == "ok"
    assert classify(definition, 200, b"Document not found.", "text/plain") == "absent"


# --- pages of posts --------------------------------------------------------------------------------------------------


def spirit(name: str) -> str:
    source = parse_source("name: s\nplatform: spirit\nurl: http://forum.example/topic/active/\n", "s.yaml")
    definition = build_definition(source, PlatformLoader().defaults_for(source))
    body = (ROOT / "tests/samples/items" / name).read_bytes()
    page = read_item(
        definition, Post("s", "1", "http://forum.example/topic/1/x/"), body, "http://forum.example/topic/1/x/", HTML
    )
    assert page.state == "ok"
    assert page.next_url == ""
    return page.text


def test_records_pasted_into_a_forum_survive_its_markup():
    """The page was saved from a running Spirit forum, which shortens long addresses and ends lines with `br`."""
    assert spirit("spirit_topic.html").splitlines() == [
        "nom;prenom;ddn;mail",
        "DUPONT;Jean-Pierre;12/03/1950;jp.dupont@exemple.fr",
        "LEFÈVRE;Zoé;01/12/1987;zoe@exemple.fr",
        "https://paste.exemple.fr/abcdefghijklmnopqrstuvwxyz0123456789/abcdefghijklmnopqrstuvwxyz#-KEY",
    ]
    assert spirit("spirit_topic_code.html").splitlines() == ["du texte", "a,b", "1,2"]


def test_an_item_page_without_its_parts_is_empty_or_blocked():
    definition = define(item={"each": "css:.post", "fields": {"body": {"x": "css:.text", "text": "html"}}})
    post = Post("s", "1", "https://site.example/p/1")
    assert read_item(definition, post, b"<p>restyled</p>", post.url, HTML).state == "empty"
    assert read_item(definition, post, BLOCKED["words"].encode(), post.url, HTML).state == "blocked"
    assert read_item(definition, post, b"x", post.url, HTML, status=404).state == "absent"


def test_an_item_page_gives_text_attachments_and_the_next_page():
    fields = {"body": {"x": "css:.text", "text": "html"}, "attachments": "css:a.file::attr(href)"}
    definition = define(
        item={"url": "{host}/t/{id}", "each": "css:.post", "fields": fields, "next": "css:a.next::attr(href)"}
    )
    post = Post("s", "7", "https://site.example/p/7")
    body = b"""<div class=post><p class=text>a<br>b</p><a class=file href=/f/1.zip>x</a></div>
    <div class=post><p class=text>c</p></div><a class=next href="?page=2">n</a>"""
    page = read_item(definition, post, body, "https://site.example/t/7", HTML)
    assert page.text == "a\nb\nc"
    assert page.attachments == ("https://site.example/f/1.zip",)
    assert page.next_url == "https://site.example/t/7?page=2"
    assert item_url(definition, post) == "https://site.example/t/7"
    assert item_url(define(), post) == ""
    assert "a" not in repr(page).replace("attachments", "").replace("characters", "").replace("ItemPage", "")


def test_raw_json_gives_the_value_that_is_the_sample():
    definition = define(raw={"as": "json", "json": "response.content"})
    assert read_raw(definition, b'{"response": {"content": "a;\\u00e9\\r\\n"}}').samples == (("", "a;é\r\n".encode()),)
    assert read_raw(define(), b"\x00\xff").samples == (("", b"\x00\xff"),)
    for body in (b"no", b"{}", b'{"response": 1}', b""):
        with pytest.raises(SourceError):
            read_raw(definition, body)


def test_links_for_other_sources_keep_their_fragment():
    follow = [{"match": "^https://paste\\.example/", "source": "pastes"}, {"match": "\\.onion/", "source": "mirror"}]
    found = harvest(
        define(follow=follow), ["https://paste.example/?a#K"], "see (https://paste.example/?b#-K2), https://x.example/"
    )
    assert [(post.source, post.native, post.url) for post in found] == [
        ("pastes", "https://paste.example/?a#K", "https://paste.example/?a#K"),
        ("pastes", "https://paste.example/?b#-K2", "https://paste.example/?b#-K2"),
    ]


def test_the_group_of_a_link_is_the_id_in_the_other_source_and_gives_the_address_of_its_bytes():
    follow = [{"match": "^https://paste\\.example/p/(\\w+)", "source": "pastes"}]
    [post] = harvest(define(follow=follow), ["https://paste.example/p/k7?x=1", "https://paste.example/p/k7#y"])
    assert (post.native, post.url) == ("k7", "https://paste.example/p/k7?x=1")
    pastes = define(url="https://paste.example/", raw={"url": "https://paste.example/raw/{id}"})
    assert with_raw_address(pastes, post).raw == "https://paste.example/raw/k7"


# --- markup and bytes ------------------------------------------------------------------------------------------------

TEXTS = {
    "lines": ("a<br>b<br/>c<p>d</p>e<div>f</div>", "a\nb\nc\nd\ne\nf"),
    "lists": ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
    "white space": ("  a \n  b\t\n c&nbsp;d ", "a b c d"),
    "tab inside a line divides columns": ("a\tb  c", "a\tb c"),
    "table": ("<table><tr><th>n</th><th>p</th></tr><tr><td>a</td><td>b c</td></tr></table>", "n\tp\na\tb c"),
    "empty cells": ("<table><tr><td></td><td>b</td><td></td><td>d</td></tr></table>", "\tb\t\td"),
    "blocks in cells": ("<table><tr><td><p>a</p></td><td><div>b</div></td></tr></table>", "a\tb"),
    "pre": ("<pre>a,  b\n\n1,\t2\n</pre>", "a,  b\n\n1,\t2"),
    "code": ("<p>x</p><code>a  b\nc</code>", "x\na  b\nc"),
    "style that keeps space": ("<div style='white-space: pre-wrap'>a\nb  c</div>", "a\nb  c"),
    "hidden": ("a<span hidden>b</span><script>c</script><style>d</style><template>e</template>f<!-- g -->h", "abefh"),
    "spoiler": ("<div style='display: none'>a;b</div>", "a;b"),
    "picture": ("x <img src=s.png alt=':)'> y", "x :) y"),
    "address shown": ("<a href='http://x.example/'>http://x.example/</a>", "http://x.example/"),
    "shortened address": (
        "<a href='http://x.example/abcdefgh#k'>http://x.example/ab…</a>, z",
        "http://x.example/abcdefgh#k, z",
    ),
    "address of a link with other text": ("a <a href='/q#k'>here</a>;b", "a here;b\n/q#k"),
    "mail": ("<a href='mailto:a@b.example'>a@b.example</a>;c", "a@b.example;c"),
    "entities": ("D&#39;ARTAGNAN &amp; Fran&ccedil;ois &lt;3", "D'ARTAGNAN & François <3"),
    "no markup": ("a < b and c", "a < b and c"),
    "nothing": ("<!-- x -->", ""),
}


@pytest.mark.parametrize("name", TEXTS)
def test_markup_becomes_text_line_for_line(name):
    markup, expected = TEXTS[name]
    assert text_of(markup) == expected


# What forums make of a spoiler, until its button is pressed.
SPOILERS = {
    "mybb": "<div class=spoiler_header><a href='javascript:void(0);'>Spoiler</a></div>"
    "<div class=spoiler_content style='display: none;'>{}</div>",
    "xenforo": "<div class=bbCodeSpoiler><button type=button class='button bbCodeSpoiler-button'><span>Spoiler</span></button>"
    "<div class=bbCodeSpoiler-content><div class='bbCodeBlock bbCodeBlock--spoiler'><div class=bbCodeBlock-content>{}"
    "</div></div></div></div>",
    "invision": "<div class=ipsSpoiler data-ipsspoiler><div class=ipsSpoiler_header><span></span></div>"
    "<div class=ipsSpoiler_contents data-controller='core.front.core.spoiler'>{}</div></div>",
    "discourse, flarum, smf": "<details class=spoiler><summary>Spoiler</summary>{}</details>",
    "discourse, blurred": "<div class='spoiler spoiler-blurred' aria-hidden=true>{}</div>",
    "telegram": "<tg-spoiler>{}</tg-spoiler>",
    "accordion": "<div id=s1 hidden='until-found'>{}</div>",
    "content in a template": "<x-spoiler><template shadowrootmode=open>{}</template></x-spoiler>",
    "box of text": "<input type=button value=Show><textarea hidden>{}</textarea>",
    "no script": "<noscript>{}</noscript>",
}


@pytest.mark.parametrize("name", SPOILERS)
def test_every_row_of_a_table_in_a_spoiler_survives(name):
    rows = [f'NOM{n};Prénom {n};1{n}/02/1950;n{n}@ville.example;"a {sign}"' for n, sign in enumerate("&<>'*_:")]
    rows = [each for each in rows if name != "no script" or "<" not in each]
    lines = "<br>\n".join(escape(row, quote=False) for row in rows)
    page = f"<html><body><div class=post><p>Voici :</p>{SPOILERS[name].format(lines)}<p>fin</p></div></body></html>"
    if "textarea" in page:
        page = page.replace("<br>", "")
    definition = define(item={"each": "css:div.post", "fields": {"body": {"x": "css:div.post", "text": "html"}}})
    [part] = read_item(definition, Post("s", "1", URL), page.encode(), URL, HTML).parts
    assert [line for line in part.text.splitlines() if line.startswith("NOM")] == rows


def test_text_survives_markup_that_the_parser_refuses():
    assert text_of("<div>" * 5000 + "DUPONT;Jean" + "</div>" * 5000) == "DUPONT;Jean"


CHARSETS = {
    "header": ("é".encode("cp1252"), "text/html; charset=iso-8859-1"),
    "meta": (b"<meta charset=windows-1252>" + "é".encode("cp1252"), "text/html"),
    "utf-8 without declaration": ("é".encode(), ""),
    "cp1252 without declaration": ("é".encode("cp1252"), ""),
    "latin-1 declared, utf-8 sent": ("é".encode(), "text/html;charset=ISO-8859-1"),
    "byte order mark": ("é".encode("utf-16"), "text/plain; charset=utf-8"),
    "unknown encoding": ("é".encode(), "text/html; charset=x-none"),
    "codec that is not for text": ("é".encode(), "text/html; charset=base64"),
}


@pytest.mark.parametrize("name", CHARSETS)
def test_bytes_become_text(name):
    body, header = CHARSETS[name]
    assert decode(body, "auto", header).endswith("é")


def test_the_encoding_of_the_definition_takes_precedence():
    assert decode("é".encode("cp1251", "replace"), "cp1251", "text/html; charset=utf-8") == "?"
    assert decode(b"\xe9", "cp1252", "text/html; charset=utf-8") == "é"


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from(["html", "xml", "json", "text"]), st.sampled_from([HTML, "", "text/plain"])
)
def test_no_bytes_make_the_reader_raise(body, kind, header):
    fields = {
        "id": ["xpath:./@id", "json:id"],
        "link": ["css:a::attr(href)", {"re": "(.*)"}],
        "body": {"x": "css:p", "text": "html"},
    }
    each = {"html": ["css:p", "css:li"], "xml": ["xpath://*"], "json": ["json:@"], "text": []}[kind]
    definition = define(list={"as": kind, "each": each, "fields": fields})
    listing = read_listing(definition, body, URL, header)
    assert listing.state in ("ok", "empty", "blocked", "absent")
    assert len(listing.posts) <= listing.rows
    with_item = replace_item(definition)
    assert read_item(with_item, Post("s", "1", URL), body, URL, header).state in ("ok", "empty", "blocked", "absent")


def replace_item(definition: Definition) -> Definition:
    return Definition.model_validate(
        {**definition.model_dump(mode="json"), "item": {"each": ["css:p"], "next": "css:a::attr(href)"}}
    )


def test_an_operators_own_parser_is_called_and_its_failure_is_reported_without_its_message(tmp_path, monkeypatch):
    (tmp_path / "own_parser.py").write_text(
        "from crawler.pages.extract import Listing\n"
        "from data.model import Post\n"
        "def good(definition, body, url, content_type, page_no):\n"
        "    return Listing((Post(definition.name, body.decode(), url),), rows=1)\n"
        "def bad(definition, body, url, content_type, page_no):\n"
        "    raise KeyError(body.decode())\n"
        "def odd(definition, body, url, content_type, page_no):\n"
        "    return []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert read(define(parser="own_parser:good"), "x").posts[0].native == "x"
    for name, words in (("bad", "KeyError"), ("odd", "did not return a Listing"), ("none", "imported")):
        with pytest.raises(SourceError, match=words) as caught:
            read(define(parser=f"own_parser:{name}"), "SECRET")
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None or name == "none"


@pytest.mark.slow
def test_a_large_listing_takes_time_in_proportion_to_its_size():
    definition = define({"title": "css:h3"})
    took = []
    for size in (2_000, 8_000):
        body = "<ul>" + "".join(f"<li id={n}><h3>t</h3><a href=/p/{n}>x</a></li>" for n in range(size)) + "</ul>"
        began = time.process_time()
        assert len(read(definition, body).posts) == size
        took.append(time.process_time() - began)
    assert took[1] < 16 * took[0]


def test_the_repr_of_a_post_shows_only_lengths():
    (post,) = read(define({"title": "css:h3"}), "<ul><li id=1><h3>SECRET</h3></li></ul>").posts
    assert "SECRET" not in repr(post)
    assert replace(post, title="x").title == "x"
