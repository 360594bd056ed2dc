"""The parts of a thread (replies, and files of its pages): which of them are new, and which are remembered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from crawler.fetching.items import FetchedPost
from crawler.pages.extract import ItemPart
from crawler.pages.post_fields import page_fields, plain_link
from crawler.pages.post_identity import origin_of, part_version, post_id
from crawler.preview.divided_posts import group_addresses
from crawler.process.control_frames import MAX_PARTS, PostPart
from crawler.transport.errors import Trouble
from data.sources.definition import Definition

# Files of a post that are read; the rest is reported.
MAX_ATTACHMENTS = 200
AskParts = Callable[[Sequence[PostPart]], Awaitable[Collection[str]]]
"""Asks the runner which parts of a post are new or changed, by their ids."""


class ThreadParts:
    """Tells the new parts of the posts of one crawl from those that were examined before.

    Attributes:
        used: whether the parts of a post have ids, so that only those that are new or changed count.
    """

    def __init__(self, definition: Definition, post_key: bytes, ask_parts: AskParts) -> None:
        """For one crawl.

        Args:
            definition: of the source.
            post_key: of the case; ids and versions of parts are keyed with it.
            ask_parts: asks which parts are new.
        """
        self._source, self._post_key, self._ask_parts = definition.name, post_key, ask_parts
        self.used = definition.item is not None and bool(definition.item.fields.id)

    def part(self, native: str, text: str) -> PostPart:
        """A part of a post as the runner knows it: a reply by its id, a file by its address."""
        key = self._post_key
        identity = plain_link(native, origin_of(native)) if "/" in native else native
        return PostPart(id=post_id(key, self._source, identity), version=part_version(key, text))

    async def is_new(self, part: PostPart) -> bool:
        """Whether a part is new or changed."""
        return bool(await self._ask_parts([part]))

    async def new(self, item: FetchedPost, parts: list[ItemPart]) -> tuple[list[ItemPart], Trouble | None]:
        """The parts that are new or changed, each without the files that are known; all of them if parts have no ids.

        At most `MAX_PARTS` parts of a post are remembered, of which files that are fetched need `MAX_ATTACHMENTS`. Parts
        beyond that are examined whenever the post is read, and the trouble tells how many they are.
        """
        if not self.used or not parts:
            return parts, None
        # a part without an id is known by what it says
        own = {id(part): self.part(part.native or part.text, part.text) for part in parts}
        files = {link: self.part(link, "") for part in parts for link in part.attachments}
        if not item.start:
            # of a thread, changes are those of its first post: replies have events of their own if they matter
            first = parts[0]
            item.page_fields = page_fields(self._post_key, first.text, first.attachments, origin_of(item.post.url))
        most = MAX_PARTS - MAX_ATTACHMENTS
        every = [*own.values(), *files.values()]
        examine = {*await self._ask_parts(every[:most]), *(each.id for each in every[most:])}
        names = {address: name for part in parts for address, name in part.names}
        for entry in group_addresses(list(files), names):
            if not isinstance(entry, str) and any(files[link].id in examine for link in entry.addresses):
                # of a divided file all parts are needed
                examine.update(files[link].id for link in entry.addresses)
        new = [
            replace(part, attachments=tuple(link for link in part.attachments if files[link].id in examine))
            for part in parts
            if own[id(part)].id in examine or any(files[link].id in examine for link in part.attachments)
        ]
        item.parts += list(own.values())[:most]
        item.unchanged = not new
        if len(every) <= most:
            return new, None
        detail = f"{len(every) - most} parts of the post are too many to remember, and are examined each time"
        return new, Trouble("limit", detail, retry=False)
