"""Compares the shape of a listing, and of pages of posts, with earlier crawls, and remembers what looks as it did."""

from __future__ import annotations

from crawler.pages.listing_shape import MIN_PAGES, FieldShape, ListingShape, changed_fields, changed_pages, retitled
from crawler.process.control_frames import PageShape
from data.store.field_observations import CHARSET_PREFIX, MISSED_PREFIX, POST_PREFIX, ROWS
from scheduler.crawls.crawl_tally import CrawlTally
from scheduler.crawls.leased_crawl import LeasedCrawl


class ShapeOfCrawl:
    """The shape of the listing of one crawl; what differs is noted in its tally."""

    def __init__(self, crawl: LeasedCrawl, tally: CrawlTally) -> None:
        self._crawl, self._tally = crawl, tally

    def note_titles(self, counts: tuple[int, int, int, int]) -> None:
        """Note that the titles of most known posts changed at once; `counts` as of `ListedPosts.retitled`."""
        if sentence := retitled(self._crawl.definition, *counts):
            self._tally.shape["title"] = sentence

    def compare(self, page: PageShape) -> None:
        """Note what differs from earlier crawls; a page on which nothing does is remembered."""
        crawl = self._crawl
        digest = crawl.definition.digest()
        before = shape_of_counts(crawl.store.listing_shapes.of_source(crawl.source, digest))
        fields = {name: FieldShape(each.filled, each.numbers, each.words) for name, each in page.fields.items()}
        now = ListingShape(1, page.rows, fields, page.charset)
        self._tally.shape |= changed_fields(crawl.definition, before, now)
        if not self._tally.shape and page.rows >= crawl.definition.health.min_rows and page.rows:
            crawl.store.listing_shapes.add(crawl.source, digest, counts_of_shape(now))

    def compare_pages(self, page: PageShape) -> bool:
        """Note what differs on the pages of posts; whether something does. Pages on which nothing does are remembered."""
        crawl, shapes = self._crawl, self._crawl.store.listing_shapes
        digest = crawl.definition.digest()
        stored = shapes.of_source(crawl.source, digest)
        fields = {name: FieldShape(each.filled, each.numbers, each.words) for name, each in page.fields.items()}
        now = ListingShape(page.rows, page.rows, fields, "")
        missed = {name: stored.get(MISSED_PREFIX + name, (0, 0, 0, 0))[0] for name in fields}
        before = {
            name.removeprefix(POST_PREFIX): (each[0], FieldShape(*each[1:]))
            for name, each in stored.items()
            if name.startswith(POST_PREFIX)
        }
        found = changed_pages(crawl.definition, before, now, missed)
        if found or page.rows >= MIN_PAGES:
            self._tally.page_shape = found
        if not found:
            # of a field that no page has, the pages are counted once a page has it again
            counts = {
                POST_PREFIX + name: (page.rows + missed[name], each.filled, each.numbers, each.words)
                for name, each in fields.items()
                if each.filled
            }
            shapes.add(crawl.source, digest, counts)
        for name, each in fields.items():
            since = 0 if each.filled else missed[name] + page.rows
            shapes.put(crawl.source, digest, MISSED_PREFIX + name, since)
        return bool(found)


def counts_of_shape(shape: ListingShape) -> dict[str, tuple[int, int, int, int]]:
    """A shape as the store keeps it."""
    counts = {name: (shape.pages, each.filled, each.numbers, each.words) for name, each in shape.fields.items()}
    charset = {f"{CHARSET_PREFIX}{shape.charset}": (shape.pages, 0, 0, 0)} if shape.charset else {}
    return {ROWS: (shape.pages, shape.rows, 0, 0), **charset, **counts}


def shape_of_counts(counts: dict[str, tuple[int, int, int, int]]) -> ListingShape:
    """The inverse of `counts_of_shape`, for counts of many pages."""
    pages, rows, _, _ = counts.get(ROWS, (0, 0, 0, 0))
    charsets = [name.removeprefix(CHARSET_PREFIX) for name in counts if name.startswith(CHARSET_PREFIX)]
    fields = {
        name: FieldShape(*each[1:])
        for name, each in counts.items()
        if name != ROWS and not name.startswith((CHARSET_PREFIX, POST_PREFIX, MISSED_PREFIX))
    }
    return ListingShape(pages, rows, fields, charsets[0] if len(charsets) == 1 else "")
