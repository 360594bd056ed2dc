"""A site that is redesigned is noticed within one crawl, and one that is as it was is not taken for redesigned.

The pages are those of `tests/synth/page_noise.py`, with the noise of ordinary pages, and the saved pages of real software.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest
from lxml import html as markup
from parsel import Selector

from crawler.fetching.platform_loader import PlatformLoader
from crawler.pages.extract import Listing, read_listing
from crawler.pages.listing_shape import ListingShape, shape_of
from crawler.pages.post_fields import listing_fields, version_of
from crawler.process.control_frames import FieldCounts, PageShape
from data.model import Post
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import build_definition, parse_source
from data.store.posts import PostRow
from data.store.store import Store
from scheduler.crawls.crawl_health import CrawlOutcome, assess_crawl
from scheduler.crawls.crawl_shape import ShapeOfCrawl
from scheduler.crawls.crawl_tally import CrawlTally
from scheduler.crawls.leased_crawl import LeasedCrawl
from tests.leased_crawl import LeasedCrawl as StoredCrawl
from tests.synth.page_noise import KEY, START, Site, definition_of, make_site
from tests.synth.redesigns import REDESIGNS

SAMPLES = Path(__file__).parents[2] / "samples" / "platforms"
NOISY = ("mybb", "phpbb", "spirit", "leak_cards")
SAVED = sorted(path.parent.name for path in SAMPLES.glob("*/listing.html"))
EARLIER, ROWS = 2, 12
# What happens to sites without a redesign: a notice above the rows, other decoration, a footer.
ORDINARY = {
    4: lambda page: page.replace(b"<body>", b"<body class=xmas><div class=notice><h2>Happy new year</h2><p>New rules.</p></div>"),
    7: lambda page: page.replace(b"</head>", b"<link rel=stylesheet href=/css/v2.css><script src=/snow.js></script></head>"),
    10: lambda page: page.replace(b"</body>", b"<footer><a href=/onion>Mirror</a><p>Up for 900 days</p></footer></body>"),
}  # fmt: skip
UTF_8 = "text/html; charset=utf-8"


class Watched:
    """A listing that is crawled again and again: the part of a crawl that judges how the listing looks."""

    def __init__(self, name: str, definition: Definition, store: Store) -> None:
        self.name, self.definition, self.store, self.now = name, definition, store, START
        self.crawls = 0

    def crawl(self, page: bytes, kind: str = UTF_8) -> set[str]:
        """The subjects of what this crawl tells about the source."""
        self.now += timedelta(minutes=20)
        definition, now = self.definition, self.now
        url = definition.url.replace("{page}", "1").replace("{offset}", "0")
        listing = read_listing(definition, page, url, kind)
        if listing.state not in ("ok", "empty"):
            return {listing.state}
        stored = StoredCrawl(self.store, self.name, now=now)
        tally = CrawlTally(self.name, stored.id)
        home = Home(Path("/nowhere"), {})
        crawl = LeasedCrawl(home, self.store, Settings(), definition, stored.id, stored.fence, lambda _: [], None)
        shape = ShapeOfCrawl(crawl, tally)
        rows = []
        for post in listing.posts:
            fields = listing_fields(KEY, post, now)
            rows.append(
                PostRow(f"{self.name}/{post.native}", version_of(KEY, fields), "http://x/", b"due", fields=fields)
            )
        listed = stored.list(*rows, now=now)
        shape.note_titles(listed.retitled)
        counted = shape_of(definition, listing, url, page, kind)
        counts = {
            name: FieldCounts(filled=each.filled, numbers=each.numbers, words=each.words)
            for name, each in counted.fields.items()
        }
        shape.compare(PageShape(rows=counted.rows, fields=counts, charset=counted.charset))
        for row in rows:
            if row.id in listed.examine:
                stored.commit(row, now=now)
        problems = {problem.partition(":")[0]: problem for problem in listing.problems}
        gap = self.crawls > 0 and not listed.settled
        stored.end_walk()
        stored.finish(now=now)
        self.crawls += 1
        outcome = CrawlOutcome("done", rows=listing.rows, gap=gap, problems=problems, shape=tally.shape)
        states = assess_crawl(definition.health, outcome, silent_after=3, now=now)
        return {state.subject for state in states if state.holds}


@cache
def saved(software: str) -> tuple[Definition, bytes]:
    """The saved listing of real software with more rows, as a full page of it has, and its definition."""
    case = json.loads((SAMPLES / software / "case.json").read_text())
    source = parse_source(f"name: board\nplatform: {software}\nurl: {case['url']}\n", "board.yaml")
    definition = build_definition(source, PlatformLoader().defaults_for(source))
    root = markup.document_fromstring((SAMPLES / software / "listing.html").read_bytes())
    rows = next(found for each in definition.list.each if (found := _rows(root, each)))
    for number in range(ROWS - len(rows)):
        row = deepcopy(rows[number % len(rows)])
        for each in row.iter():
            for name in ("id", "href", "class", "data-rowid"):
                if value := each.get(name):
                    each.set(name, re.sub(r"\d{1,7}", partial(_moved, 1000 * (number + 1)), value))
            if each.text and each.tag == "a":
                each.text = f"{each.text} {number}"
        rows[-1].addnext(row)
    return definition, markup.tostring(root, encoding="utf-8")


def _moved(by: int, digits: re.Match[str]) -> str:
    return str(int(digits[0]) + by)


def _rows(root: markup.HtmlElement, selector: str) -> list[markup.HtmlElement]:
    kind, _, expression = selector.partition(":")
    found = Selector(root=root, type="html")
    return [each.root for each in (found.css(expression) if kind == "css" else found.xpath(expression))]


def cases(seed: int, wanted: int) -> Iterator[tuple[str, str, int]]:
    """(software, redesign, seed) in turn."""
    every = [(software, name) for software in (*NOISY, *SAVED) for name in REDESIGNS]
    draw = random.Random(seed)
    draw.shuffle(every)
    for at in range(wanted):
        yield (*every[at % len(every)], at)


def page_of(software: str, site: Site | None, now) -> bytes:
    return site.render(now) if site is not None else saved(software)[1]


@pytest.mark.slow
def test_redesigns_are_noticed_within_one_crawl(tmp_path):
    noticed: Counter[str] = Counter()
    missed = []
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store, store.together():
        for software, name, seed in cases(7, 200):
            site = make_site(software, seed, ROWS) if software in NOISY else None
            definition = definition_of(software) if site is not None else saved(software)[0]
            watched = Watched(f"{software}-{seed}", definition, store)
            for _ in range(EARLIER):
                watched.crawl(page_of(software, site, watched.now))
            page = REDESIGNS[name](page_of(software, site, watched.now), random.Random(seed))
            found = watched.crawl(page, UTF_8 if name != "other_charset" else "text/html; charset=windows-1251")
            noticed[name] += bool(found)
            if not found:
                missed.append((software, name, seed))
    assert noticed.total() >= 190, missed


@pytest.mark.slow
def test_ordinary_crawls_are_not_taken_for_redesigns(tmp_path):
    told = []
    crawls = 0
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store, store.together():
        for seed in range(5):
            for software in NOISY:
                site = make_site(software, 1000 + seed, ROWS)
                watched = Watched(f"{software}-{seed}", definition_of(software), store)
                for number in range(26):
                    if number == 20:
                        # moderators removed a quarter of the posts
                        del site.entries[4:7]
                    if number % 3 == 2:
                        # a new post above the others, and the oldest one leaves the page
                        [new] = make_site(software, 9000 + 100 * seed + number, 1).entries
                        site.entries = [replace(new, number=500 + number), *site.entries[:-1]]
                    page = site.render(watched.now)
                    if number % 13 in ORDINARY:
                        page = ORDINARY[number % 13](page)
                    found = watched.crawl(page)
                    crawls += 1
                    told += [(software, seed, number, found)] if found else []
    assert crawls >= 500
    assert len(told) <= 1, told


def test_addresses_that_gain_a_digit_are_no_redesign():
    source = parse_source(
        "name: s\nplatform: declared\nurl: http://192.0.2.1:4321/\nlist: {each: ['css:li'], fields: {link: 'css:a::attr(href)'}}",
        "s.yaml",
    )
    definition = build_definition(source, PlatformLoader().defaults_for(source))

    def shape(numbers: range) -> ListingShape:
        posts = tuple(Post("s", str(number), f"http://192.0.2.1:4321/post/dump-{number}") for number in numbers)
        return shape_of(definition, Listing(posts=posts, rows=len(posts)), "http://192.0.2.1:4321/")

    assert shape(range(1, 10)).fields == shape(range(9990, 9999)).fields == shape(range(10000, 10009)).fields
