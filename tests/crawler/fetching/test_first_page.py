"""Pages of posts are counted for their shape, of which little is kept while the crawl lasts."""

from __future__ import annotations

import pickle

import pytest
from scrapy.http import HtmlResponse

from crawler.fetching.first_page import PostPages
from crawler.pages.extract import ItemPage, ItemPart
from crawler.pages.listing_shape import shape_of_pages
from crawler.pages.quotes import Quote
from data.sources.source_files import build_definition, parse_source

SOURCE = """\
name: site
platform: declared
url: https://b.example/
list: {each: "css:li", fields: {id: "css:a", link: "css:a::attr(href)"}}
item: {each: "css:p", fields: {id: "xpath:./@id", body: "css:b", attachments: "css:a::attr(href)"}}
"""
LONG = "words and words " * 5000
FILES = tuple(f"https://b.example/file/{number}.csv" for number in range(500))
NAMES = tuple((file, "a name of a file") for file in FILES)
PAGES = {
    "long": (ItemPart("p1", LONG, FILES, NAMES, links=FILES, quotes=(Quote(LONG),), unquoted=LONG),),
    "only a later part": (
        ItemPart("", " \n"),
        ItemPart("p2", "\n" * 200 + "word", (), NAMES),
        ItemPart("p3", LONG, FILES),
    ),
    "empty": (ItemPart("", ""),),
    "none": (),
}


@pytest.mark.parametrize("names", [["long"], ["only a later part"], ["empty"], ["none"], list(PAGES)])
def test_what_is_kept_of_pages_of_posts_is_little_and_gives_the_shape_of_all_of_them(names):
    definition = build_definition(parse_source(SOURCE, "site.yaml"), {})
    pages = PostPages("")
    given = [PAGES[name] for name in names] * 20
    for parts in given:
        pages.take_page(ItemPage(parts), HtmlResponse("https://b.example/t", body=b"<html>"))
    assert len(pickle.dumps(pages._pages)) < 500 * len(given)
    whole, shape = shape_of_pages(definition, given), pages.shape(definition)
    assert shape is not None
    assert (shape.rows, {name: (each.filled, each.numbers, each.words) for name, each in shape.fields.items()}) == (
        whole.rows,
        {name: (each.filled, each.numbers, each.words) for name, each in whole.fields.items()},
    )
