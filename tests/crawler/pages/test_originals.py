"""Posts that a feed links to at places of pages: each is asked for once or found on another's page, and none is left."""

from __future__ import annotations

from collections import deque

import pytest

from crawler.pages.originals import PlacesOnPages

PAGE = b'<div id="p1">one</div><div id=p2>two</div>'


@pytest.mark.parametrize(
    ("urls", "requests"),
    [
        (["/t?p=1#p1", "/t?p=2#p2"], 1),
        (["/t?p=1#p1", "/t?p=2#p2", "/t?p=9#p9"], 2),
        (["/t?p=1#p1", "/t?p=9#p9", "/t?p=2#p2", "/t"], 3),
        (["/t", "/t?p=1#p1", "/t?p=9#p9"], 3),
        (["/t?p=1", "/u?p=1#p1"], 2),
    ],
    ids=["same page", "another page", "the page itself, last", "the page itself, first", "other paths"],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_each_post_is_requested_or_found_on_the_page_of_another_one(urls, requests, newest_first):
    places = PlacesOnPages[str]()
    under_way = deque(url for url in urls if places.take(url, url))
    asked, found = [], []
    while under_way:
        asked.append(url := under_way.pop() if newest_first else under_way.popleft())
        here, following = places.arrived(url, PAGE)
        found += here
        if following is not None:
            under_way.append(following)
    assert sorted(asked + found) == sorted(urls)
    assert len(asked) == requests
