"""Platform `discourse`: the pages of a topic are numbered, and its answer names all ids of posts, but no next page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from crawler.fetching.spider import SourceSpider
from crawler.pages import extract
from crawler.pages.extract import ItemPage
from crawler.pages.item_addresses import page_of_item
from data.model import Post
from data.sources.definition import Definition


class DiscourseSpider(SourceSpider):
    """A site of the software Discourse; `spiders/platforms/discourse.yaml` says how its answers are read."""

    name = "discourse"
    defaults: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def read_item(
        cls, definition: Definition, post: Post, body: bytes, url: str, content_type: str = "", status: int = 200
    ) -> ItemPage:
        """A page of a topic; there is a further one unless it holds the last post of the topic."""
        page = extract.read_item(definition, post, body, url, content_type, status)
        if page.state != "ok" or not _is_more(body):
            return page
        number = max(page_of_item(definition, url), 1) + 1
        without = re.sub(r"([?&])page=\d+&?", r"\1", url).rstrip("?&")
        return replace(page, next_url=f"{without}{'&' if '?' in without else '?'}page={number}")


def _is_more(body: bytes) -> bool:
    """Whether the last post of the topic is not on this page."""
    stream = orjson.loads(body).get("post_stream", {})
    ids, shown = stream.get("stream") or [], [each.get("id") for each in stream.get("posts") or []]
    return bool(ids and shown) and ids[-1] not in shown
