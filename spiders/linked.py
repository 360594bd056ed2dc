"""Platform `linked`: a site without a public list, whose posts are known only from links that other sources hand over.

Most self-hosted pastebins have no public list. Every crawl reads the front page nevertheless: a site that is gone or
refuses access must not look like a site to which nobody links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from crawler.fetching.spider import SourceSpider
from crawler.pages import blocked_pages, extract
from crawler.pages.extract import Listing
from data.sources.definition import Definition


class LinkedSpider(SourceSpider):
    """Posts that `follow` of other sources leads to; `item` or `raw` of the source file says how a post is read."""

    name = "linked"
    defaults: ClassVar[Mapping[str, Any]] = {"health": {"min_rows": 0, "overlap": False}}

    @classmethod
    def read_listing(
        cls,
        definition: Definition,
        body: bytes,
        url: str,  # noqa: ARG003 - signature of the base class
        content_type: str = "",
        page_no: int = 1,  # noqa: ARG003 - signature of the base class
        status: int = 200,
    ) -> Listing:
        """No posts; only whether the site exists and grants access."""
        verdict = extract.classify(definition, status, body, content_type)
        if verdict != "ok":
            return Listing(state=verdict)
        return Listing(state=blocked_pages.stand_in(definition, body, content_type) or "empty")
