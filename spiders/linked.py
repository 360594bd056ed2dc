"""Platform `linked`: a place without a list of its own, whose posts are known only by links that other sources hand over.

Most pastebins that people run themselves have no public list. The front page is read all the same, at every crawl: a
site that is gone or lets us in no more must not look like one to which nobody links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from crawler.fetching.spider import SourceSpider
from crawler.pages import extract
from crawler.pages.extract import Listing
from data.sources.definition import Definition


class LinkedSpider(SourceSpider):
    """Only what `follow` of other sources leads to; `item` or `raw` of the file say how a post is read."""

    name = "linked"
    defaults: ClassVar[Mapping[str, Any]] = {"health": {"min_rows": 0, "overlap": False}}

    @classmethod
    def read_listing(
        cls,
        definition: Definition,
        body: bytes,
        url: str,  # noqa: ARG003 - as its base has it
        content_type: str = "",
        page_no: int = 1,  # noqa: ARG003 - as its base has it
        status: int = 200,
    ) -> Listing:
        """No posts; only whether the site is there and lets us in."""
        verdict = extract.classify(definition, status, body, content_type)
        return Listing(state="empty" if verdict == "ok" else verdict)
