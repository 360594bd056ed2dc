"""When the walk of a listing ends, and whether it may have missed posts."""

from __future__ import annotations

from crawler.fetching.listing_walk import Walk


def walked(walk: Walk, *pages: tuple[str, str, str]) -> int:
    """How many of the pages (ids, settled, to examine) the walk requests."""
    for number, (ids, settled, examine) in enumerate(pages, 1):
        if not walk.take_page(list(ids), set(settled), set(examine), more=number < len(pages)):
            return number
    return len(pages)


def test_a_walk_ends_at_a_page_whose_last_post_is_settled():
    walk = Walk(known=3, max_pages=9)
    assert walked(walk, ("dc", "", "dc"), ("cba", "cba", ""), ("zyx", "zyx", "")) == 2
    assert not walk.gap


def test_pinned_posts_at_the_top_of_a_page_do_not_end_a_walk():
    walk = Walk(known=1, max_pages=9)
    assert walked(walk, ("pd", "p", "d"), ("pc", "p", "c"), ("pa", "pa", "")) == 3
    assert not walk.gap


def test_a_settled_post_that_changed_does_not_end_a_walk():
    walk = Walk(known=2, max_pages=9)
    assert walked(walk, ("ba", "ba", "a"), ("z", "z", "")) == 2


def test_a_walk_that_reaches_the_page_limit_before_any_settled_post_is_a_gap():
    walk = Walk(known=3, max_pages=2)
    assert walked(walk, ("f", "", "f"), ("e", "", "e"), ("d", "", "d")) == 2
    assert walk.cut
    assert walk.gap


def test_a_first_walk_is_never_a_gap_and_a_site_without_its_known_posts_is_one():
    first = Walk(known=0, max_pages=1)
    walked(first, ("f", "", "f"), ("e", "", "e"))
    assert not first.gap
    emptied = Walk(known=3, max_pages=9)
    walked(emptied, ("n", "", "n"))
    assert emptied.gap


def test_a_walk_that_reads_to_an_empty_page_continues_past_settled_posts():
    walk = Walk(known=3, stop="empty", max_pages=9)
    assert walked(walk, ("cba", "cba", ""), ("z", "z", ""), ("", "", "")) == 3


def test_a_page_that_is_shown_again_is_a_gap_if_only_pinned_posts_were_known():
    for ids, settled, missed in (("pdc", "p", True), ("pba", "pba", False)):
        walk = Walk(known=3, max_pages=9)
        assert walk.take_page(list(ids), set(settled), {"d", "c", "a"}, more=True)
        assert not walk.take_page(list(ids), set(settled), {"d", "c", "a"}, more=True, repeated=True)
        assert walk.gap is missed
