"""Pages of one crawl that are compared with earlier ones: the first of the listing, and those of posts.

Their shapes are counts; a page itself is kept sealed, if something is wrong with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import orjson
from scrapy.http import Response

from crawler.fetching.responses import content_type
from crawler.pages.extract import ItemPage, ItemPart, Listing
from crawler.pages.html_text import decode
from crawler.pages.listing_shape import ListingShape, shape_of, shape_of_pages
from crawler.process.control_frames import FieldCounts, PageShape
from data.case import evidence
from data.errors import KeyFileError
from data.sources.definition import Definition

# Of a longer page the beginning is kept: what a person has to compare with the rules stands there.
MAX_KEPT = 2**20
# Pages of posts of one crawl that are counted.
MAX_COUNTED = 1000
# Characters of an id or a text that show what it looks like.
MAX_WORDS = 100


class KeptPage:
    """A page that may have to be shown to a person."""

    def __init__(self, recipient: str) -> None:
        """For one crawl; `recipient` is the public key that pages are sealed for, '' for none."""
        self._recipient = recipient
        self._url, self._body, self._type = "", b"", ""

    def take(self, response: Response) -> None:
        """Keep a page."""
        self._url, self._body, self._type = response.url, response.body[:MAX_KEPT], content_type(response)

    def sealed(self, source: str) -> bytes:
        """The page for the holder of the private key; b"" if there is none, or no key to seal it with."""
        if not self._url or not self._recipient:
            return b""
        text = decode(self._body, content_type=self._type)
        proof = {"source": source, "url": self._url, "page": text}
        # a key that cannot be used is a problem of the installation, which `doctor` tells
        with contextlib.suppress(KeyFileError):
            return evidence.seal(self._recipient, orjson.dumps(proof))
        return b""


class FirstPage(KeptPage):
    """The first page of a listing.

    Attributes:
        shape: of its rows; None until it was read.
    """

    shape: PageShape | None = None

    def take_listing(self, definition: Definition, listing: Listing, response: Response) -> None:
        """Keep the first page, and count its rows; of several boards the first one."""
        if self.shape is not None:
            return
        self.take(response)
        shape = shape_of(definition, listing, response.url, response.body[:4096], self._type)
        self.shape = _counts(shape)


class PostPages(KeptPage):
    """The pages of the posts of one crawl, of which the last one is kept."""

    def __init__(self, recipient: str) -> None:
        """For one crawl; `recipient` as of `KeptPage`."""
        super().__init__(recipient)
        self._pages: list[ItemPart] = []

    def take_page(self, page: ItemPage, response: Response) -> None:
        """Count a page on which parts were found; of more than `MAX_COUNTED` the first ones."""
        if page.state == "ok" and len(self._pages) < MAX_COUNTED:
            self._pages.append(_outline(page.parts))
            self.take(response)

    def shape(self, definition: Definition) -> PageShape | None:
        """The shape of the pages; None if there were none."""
        return _counts(shape_of_pages(definition, ([page] for page in self._pages))) if self._pages else None


def _outline(parts: Sequence[ItemPart]) -> ItemPart:
    """What the shape needs of a page, which is kept until the end of the crawl: its first id, two files and a few words."""
    return ItemPart(
        next((part.native[:MAX_WORDS] for part in parts if part.native.strip()), ""),
        next((part.text.strip()[:MAX_WORDS] for part in parts if part.text.strip()), ""),
        next((part.attachments[:2] for part in parts if " ".join(part.attachments).strip()), ()),
    )


def _counts(shape: ListingShape) -> PageShape:
    counts = {
        name: FieldCounts(filled=each.filled, numbers=each.numbers, words=each.words)
        for name, each in shape.fields.items()
    }
    return PageShape(rows=shape.rows, fields=counts, charset=shape.charset)
