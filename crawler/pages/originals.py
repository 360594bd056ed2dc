"""The original bytes of a post, for sites that offer them apart from its page (`raw` of a definition). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from crawler.pages.encrypted_pastes import OpenedPaste, burns, open_privatebin, open_zerobin
from crawler.pages.extract import filled
from crawler.pages.html_text import decode
from crawler.pages.row_values import Page
from data.errors import SourceError
from data.model import Post
from data.sources.definition import Definition

T = TypeVar("T")


def read_raw(definition: Definition, body: bytes, content_type: str = "", url: str = "") -> OpenedPaste:
    """What the answer to `raw.url` holds: the body itself, the value that `raw.json` selects, or what is decrypted.

    Args:
        definition: of the source.
        body: of the answer.
        content_type: the header.
        url: of the post, whose fragment is the key of an encrypted one.

    Raises:
        SourceError: the answer is not JSON, or has no such value.
        LockedError: it cannot be decrypted with the key in the link.
    """
    kind = "bytes" if definition.raw is None else definition.raw.kind
    if kind == "privatebin":
        return open_privatebin(body, urlsplit(url).fragment)
    if kind == "zerobin":
        return open_zerobin(body, urlsplit(url).fragment)
    if definition.raw is None or kind != "json":
        return OpenedPaste((("", body),))
    try:
        answer = orjson.loads(decode(body, definition.charset, content_type))
        found = jmespath.search(definition.raw.expression, answer)
    except (orjson.JSONDecodeError, JMESPathError, TypeError, ValueError) as error:
        raise SourceError("the answer is not JSON as expected", field="raw.json") from error
    if found is None:
        raise SourceError("the answer has no such value", field="raw.json")
    return OpenedPaste((("", found.encode() if isinstance(found, str) else orjson.dumps(found)),))


def would_burn(definition: Definition, post: Post) -> bool:
    """Whether the site would delete a post because it is read, and the source does not allow that."""
    raw = definition.raw
    return raw is not None and raw.kind == "privatebin" and not raw.burn and burns(urlsplit(post.url).fragment)


def is_whole(definition: Definition, post: Post, pages: Collection[str] = ()) -> bool:
    """Whether the listing has all of a post, so that no page of it is requested: a link alone is a post to request.

    Args:
        definition: of the source.
        post: as listed.
        pages: addresses of pages that this crawl reads anyway, without fragments: a row with a text and without a link of
            its own has no other page than the listing, and replies that a feed has in full lead to places of one page.
    """
    if post.raw:
        return False
    told = bool(post.title or post.body or post.attachments or post.fields or post.time)
    return (definition.list.whole and told) or (bool(post.body) and post.url.partition("#")[0] in pages)


def with_raw_address(definition: Definition, post: Post) -> Post:
    """A post that was found by a link, completed with the address of its bytes if the definition has `raw`."""
    if post.raw or definition.raw is None:
        return post
    page = Page(post.url, None, post.url)
    return replace(post, raw=filled(definition, definition.raw.url, post, page.absolute))


class PlacesOnPages(Generic[T]):
    """Posts that a feed links to at their places (`#p78`) on pages whose addresses differ in the query or the place alone.

    The address does not tell which of them stand on one page. So one page at a time is requested, and the posts whose
    places it has need no request of their own.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, T]]] = {}

    def take(self, url: str, post: T) -> bool:
        """Whether the page of a post is to be requested now; else `post` waits for the one that is on its way."""
        page, _, place = url.partition("#")
        path = page.partition("?")[0]
        if place and path in self._waiting:
            self._waiting[path].append((url, post))
            return False
        if place:
            self._waiting[path] = []
        return True

    def arrived(self, url: str, body: bytes) -> tuple[list[T], T | None]:
        """Posts whose places are on the page that was requested for `url`, and the one that is to be requested next.

        Args:
            url: of the post, with its place.
            body: of the page; b"" if it did not arrive.
        """
        page, _, place = url.partition("#")
        path = page.partition("?")[0]
        if not place:
            # of a post without a place; those that wait, wait for another request
            return [], None
        waiting = self._waiting.pop(path, [])
        if not waiting:
            return [], None
        found = [post for other, post in waiting if _has_place(body, other.partition("#")[2])]
        rest = [(other, post) for other, post in waiting if not _has_place(body, other.partition("#")[2])]
        if not rest:
            return found, None
        self._waiting[path] = rest[1:]
        return found, rest[0][1]


def _has_place(body: bytes, place: str) -> bool:
    name = re.escape(place.encode())
    return re.search(rb"""\s(?:id|name)\s*=\s*(["']?)""" + name + rb"""(?:\1|(?=[\s>]))""", body) is not None
