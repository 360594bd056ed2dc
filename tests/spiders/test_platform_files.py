"""Each platform file reads saved pages of its software: listing, thread, files, feed of replies, absent and blocked.

`tests/samples/platforms/NAME/case.json` says where the pages come from and what is expected of each of them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.fetching.platform_loader import PlatformLoader
from crawler.pages import extract
from data.errors import SourceError
from data.model import Post
from data.sources.definition import Definition, feed_url, start_url
from data.sources.platform_files import platform_file, platform_file_names
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
    source = parse_source(f"name: board\nplatform: {name}\nurl: {url}\nevery: 15m\n", "board.yaml")
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
        post = extract.with_raw_address(definition, Post("board", given["id"], case["url"]))
        state = extract.classify(definition, status, body, kind)
        return {"state": state, "url": post.raw, "bytes": len(extract.read_raw(definition, body, kind))}
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
        assert kinds == {"raw"}
        return
    assert kinds >= {"listing", *(["item"] if definition.item else []), *(["feed"] if definition.feed else [])}


@pytest.mark.parametrize(("name", "url"), [(name, url) for name, case in CASES.items() for url in case["addresses"]])
def test_an_address_is_read_from_where_the_software_has_its_listing(name, url):
    expected = CASES[name]["addresses"][url]
    if not expected:
        with pytest.raises(SourceError, match=r"write it like http"):
            define(name, url)
        return
    definition = define(name, url)
    post = Post("board", "41", f"{start_url(definition, NOW).partition('?')[0]}")
    found = [start_url(definition, NOW), extract.item_url(definition, post, 3), feed_url(definition)]
    assert found == expected
