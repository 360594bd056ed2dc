"""Each platform file reads saved pages of its software: listing, thread, files, feed of replies, absent and blocked.

`tests/samples/platforms/NAME/case.json` says where the pages come from and what is expected of each of them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from crawler.fetching.platform_loader import PlatformLoader
from crawler.pages import extract, originals
from crawler.pages.html_text import addresses_in
from crawler.pages.item_addresses import item_url
from crawler.pages.quotes import Quote, letters_of, only_quoted
from data.errors import SourceError
from data.model import Post
from data.sources.definition import Definition, feed_url, start_url
from data.sources.platform_files import PlatformFile, link_shapes, marked_platforms, platform_file, platform_file_names
from data.sources.source_files import build_definition, parse_source

SAMPLES = Path(__file__).parent.parent / "samples" / "platforms"
PLATFORMS = PlatformLoader()
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".xml": "application/xml",
    ".txt": "text/plain",
}
CASES = {path.parent.name: json.loads(path.read_text()) for path in sorted(SAMPLES.glob("*/case.json"))}
PAGES = [(name, page) for name, case in CASES.items() for page in case["pages"]]
NOW = __import__("datetime").datetime(2026, 11, 29, tzinfo=__import__("datetime").UTC)


def define(name: str, url: str) -> Definition:
    """The definition of a source of six lines."""
    via = "via: tor\n" if ".onion" in url else ""
    source = parse_source(f"name: board\nplatform: {name}\nurl: {url}\nevery: 15m\n{via}", "board.yaml")
    return build_definition(source, PLATFORMS.defaults_for(source))


def words(text: str) -> str:
    """A text so that a person can compare it: its first words, and its length if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:60]}… {len(line)}"


def shown(post: Post) -> dict[str, Any]:
    fields = {name: words(value) for name, value in post.fields.items() if not (name == "last" and len(value) > 40)}
    found = {**post.to_json(), "fields": fields, "body": words(post.body), "title": words(post.title)}
    return {key: value for key, value in found.items() if value and key != "source"}


def read(name: str, page: str, case: dict[str, Any]) -> dict[str, Any]:
    given = case["pages"][page]
    definition = define(name, given.get("source", case["url"]))
    body, kind = (SAMPLES / name / page).read_bytes(), TYPES[Path(page).suffix]
    status = given.get("status", 200)
    if given["as"] == "raw":
        post = originals.with_raw_address(definition, Post("board", given["id"], case["url"]))
        state = extract.classify(definition, status, body, kind)
        opened = originals.read_raw(definition, body, kind, given.get("link", "")) if state == "ok" else None
        samples = [[name, len(sample)] for name, sample in opened.samples] if opened else []
        return {"state": state, "url": post.raw, "samples": samples}
    if given["as"] == "item":
        post = Post("board", given["id"], given["link"])
        item = PLATFORMS.platform(name).read_item(definition, post, body, given["url"], kind, status)
        parts = [[part.native, words(part.text), *part.attachments] for part in item.parts]
        return {"state": item.state, "parts": parts, "next": item.next_url}
    if given["as"] == "feed":
        listing = extract.read_feed(definition, body, given["url"], kind, status)
    else:
        listing = PLATFORMS.platform(name).read_listing(definition, body, given["url"], kind, 1, status)
    found = {"state": listing.state, "posts": [shown(post) for post in listing.posts], "next": listing.next_url}
    return found | ({"problems": list(listing.problems)} if listing.problems else {})


@pytest.mark.parametrize(("name", "page"), PAGES)
def test_a_saved_page_gives_the_expected_posts_and_parts(name, page):
    case = CASES[name]
    assert json.loads(json.dumps(read(name, page, case))) == case["pages"][page]["expected"]


@pytest.mark.parametrize("shipped", marked_platforms(), ids=lambda each: each.name)
def test_a_page_of_the_software_has_its_marks_and_no_others(shipped):
    pages = [page for page in (SAMPLES / shipped.name).iterdir() if page.name != "case.json" and page.suffix != ".txt"]
    found = {page.name: [each for each in marked_platforms() if marked(each, page)] for page in pages}
    # the front page of a site without listings is in no folder
    assert shipped.base == "linked" or shipped in [each for names in found.values() for each in names]
    assert {each.name for names in found.values() for each in names} <= {shipped.name}, found


def marked(shipped: PlatformFile, page: Path) -> bool:
    return any(re.search(mark, page.read_text()) for mark in shipped.marks)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "quoting" in case])
def test_a_quote_of_another_post_of_the_thread_counts_once(name):
    case = CASES[name]
    page, native, left = case["quoting"]
    given = case["pages"][page]
    post = Post("board", given["id"], given["link"])
    item = PLATFORMS.platform(name).read_item(
        define(name, case["url"]), post, (SAMPLES / name / page).read_bytes(), given["url"], TYPES[Path(page).suffix]
    )
    [quoting] = [part for part in item.parts if part.native == native]
    others = [letters_of(part.unquoted) for part in item.parts if part is not quoting]
    assert quoting.quotes
    assert only_quoted(quoting.quotes, others)
    assert words(quoting.unquoted) == left
    # whoever writes more into a quote than was said posts something new
    longer = [Quote(f"{quote.text}\nBERNARD;Paul;03/04/1971") for quote in quoting.quotes]
    assert not only_quoted(longer, others)


@pytest.mark.parametrize("name", platform_file_names())
def test_a_platform_file_is_a_valid_definition_of_its_example_and_has_saved_pages(name):
    shipped = platform_file(name)
    assert shipped is not None
    definition = define(name, shipped.example)
    assert "{root}" not in start_url(definition, NOW) + feed_url(definition)
    case = CASES[name]
    assert case["pages_are"].startswith(("saved from ", "written from "))
    kinds = {given["as"] for given in case["pages"].values() if given["expected"]["state"] == "ok"}
    if shipped.base == "linked":
        # a link is all that is known of a post; where it leads to the file itself, there are no rules to test
        assert kinds == {*(["item"] if definition.item else []), *(["raw"] if definition.raw else [])}
        return
    assert kinds >= {
        "listing",
        *(["raw"] if definition.raw else ["item"] if definition.item else []),
        *(["feed"] if definition.feed else []),
    }


@pytest.mark.parametrize(
    ("name", "url", "native"),
    [
        # 0bin's ids are base64 with - in place of /, so they may hold + at any place
        ("zerobin", "https://bin.example/paste/+b-C+xy9#Key-1+of/a", "+b-C+xy9"),
        ("zerobin", "https://bin.example/paste/abcdefg+#k", "abcdefg+"),
    ],
)
def test_a_link_of_the_software_is_known_as_a_post(name, url, native):
    shapes = [re.compile(each) for each in link_shapes(define(name, "https://bin.example/"))]
    place = url.removeprefix("https://bin.example")
    assert [found["id"] for shape in shapes if (found := shape.fullmatch(place))] == [native]
    assert list(addresses_in(f"see {url} and others")) == [url]


@pytest.mark.parametrize(("name", "url"), [(name, url) for name, case in CASES.items() for url in case["addresses"]])
def test_an_address_is_read_from_where_the_software_has_its_listing(name, url):
    expected = CASES[name]["addresses"][url]
    if not expected:
        with pytest.raises(SourceError, match=r"write it like http"):
            define(name, url)
        return
    definition = define(name, url)
    post = Post("board", "41", f"{start_url(definition, NOW).partition('?')[0]}")
    found = [start_url(definition, NOW), item_url(definition, post, 3), feed_url(definition)]
    assert found == expected
