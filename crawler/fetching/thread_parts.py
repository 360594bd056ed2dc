"""The parts of a thread (replies, and files of its pages): which of them are new, and which are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from crawler.fetching.items import FetchedPost, FileResult
from crawler.pages.extract import ItemPart
from crawler.pages.post_fields import page_fields, plain_link
from crawler.pages.post_identity import origin_of, part_version, post_id
from crawler.pages.quotes import Quote, is_hidden, letters_of, only_quoted
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
        in_hand: replies, as the feed has them, that this crawl is examining: they are not examined on their page as well.
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
        self.in_hand: set[PostPart] = set()
        self._readers: dict[str, FileResult] = {}  # address of a linked file -> what becomes of it in this crawl

    def part(self, native: str, text: str) -> PostPart:
        """A part of a post as the runner knows it: a reply by its id, a file by its address."""
        key = self._post_key
        identity = plain_link(native, origin_of(native)) if "/" in native else native
        return PostPart(id=post_id(key, self._source, identity), version=part_version(key, text))

    async def takes(self, part: PostPart, *, due: bool) -> bool:
        """Whether a reply of the feed is to be examined, because it is new, changed or still due; then it is in hand."""
        new = due or bool(await self._ask_parts([part]))
        if new and self.used:
            self.in_hand.add(part)
        return new

    async def linked_files(self, item: FetchedPost, room: int) -> list[str]:
        """The files on the source's own hosts to which a post links, and which no rule of the source names.

        A file that another post linked before was examined then; it is read again only if this post has changed. A file
        that another post of this crawl reads is noted in `item.links.shared`. Files beyond `room` are not read with this
        post, so that others which link to them read them.
        """
        links = item.links
        files = [file for file in links.files if item.changed or file not in self._readers]
        links.shared = [self._readers[file] for file in links.files if file not in files]
        # before anything is waited for: another post may link to the same file
        self._take(item, files[: max(0, room)])
        if files and not item.changed:
            parts = {file: self.part(file, "") for file in files}
            new = await self._ask_parts(list(parts.values()))
            files = [file for file in files if parts[file].id in new]
            for file in links.reads.keys() - files:
                links.reads.pop(file).set_result(None)
            self._take(item, files[: max(0, room)])
        return files

    def _take(self, item: FetchedPost, files: list[str]) -> None:
        for file in files:
            if file not in self._readers:
                self._readers[file] = item.links.reads[file] = asyncio.get_running_loop().create_future()

    async def new(self, item: FetchedPost, parts: list[ItemPart]) -> tuple[list[ItemPart], list[str], list[Trouble]]:
        """The parts that are new or changed, each without the files that are known; all of them if parts have no ids.

        Then the texts of them that are to be examined: not that of a part of which only a file is new, and without
        quotes of other parts. Last what is missing.

        At most `MAX_PARTS` parts of a post are remembered, of which files that are fetched need `MAX_ATTACHMENTS`. Parts
        beyond that are examined whenever the post is read, and the trouble tells how many they are.
        """
        if not self.used or not parts:
            return parts, _unquoted(parts, parts, frozenset()), _walled(parts)
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
        examine -= {each.id for each in own.values() if each in self.in_hand}
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
        told = [part for part in parts if own[id(part)].id in examine]
        texts = _unquoted(told, parts, await self._known_quotes(told))
        if len(every) <= most:
            return new, texts, _walled(told)
        detail = f"{len(every) - most} parts of the post are too many to remember, and are examined each time"
        return new, texts, [*_walled(told), Trouble("limit", detail, retry=False)]

    async def without_quotes(self, part: ItemPart, others: Sequence[str]) -> str:
        """The text of a reply of the feed, without its quotes if each of them is known or stands in one of `others`."""
        known = await self._known_quotes([part])
        left = [quote for quote in part.quotes if quote not in known]
        return part.unquoted if only_quoted(left, map(letters_of, others)) else part.text

    async def _known_quotes(self, parts: list[ItemPart]) -> frozenset[Quote]:
        """The quotes that are all of a part which was examined before, on a page that is not read now."""
        asked = {
            quote: [self.part(f"p{number}", quote.text) for number in quote.numbers]
            for part in parts
            for quote in part.quotes
        }
        candidates = [part for each in asked.values() for part in each][:MAX_PARTS]
        if not candidates:
            return frozenset()
        new = await self._ask_parts(candidates)
        known = {part for part in candidates if part.id not in new}
        return frozenset(quote for quote, each in asked.items() if known.intersection(each))


def _walled(parts: list[ItemPart]) -> list[Trouble]:
    """One trouble for each part of which guests do not see all."""
    detail = "guests do not see all of a part: the site wants a reply or a log-in first"
    return [Trouble("walled", detail, retry=False) for part in parts if is_hidden(part.text)]


def _unquoted(parts: list[ItemPart], every: list[ItemPart], known: Collection[Quote]) -> list[str]:
    """The texts of parts; one whose quotes are all known, or stand in other parts of the thread, is without them."""
    letters = [letters_of(part.unquoted) for part in every] if any(part.quotes for part in parts) else []
    texts = []
    for part in parts:
        others = (text for other, text in zip(every, letters, strict=False) if other is not part)
        left = [quote for quote in part.quotes if quote not in known]
        texts.append(part.unquoted if part.quotes and only_quoted(left, others) else part.text)
    return [text for text in texts if text.strip()]
