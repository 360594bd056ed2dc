"""The addresses of the pages of a post: of its first page, of a later one, and the number that an address tells. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from crawler.pages.extract import filled
from crawler.pages.field_ranges import MAX_PAGE_OF_ITEM
from crawler.pages.row_values import Page
from data.model import Post
from data.sources.addresses import HOST_PATTERN
from data.sources.definition import Definition

# Characters of an address of a page; browsers and servers agree on no less.
MAX_ADDRESS = 2048


def item_url(definition: Definition, post: Post, start: int = 0) -> str:
    """The address of a page of a post for `read_item`; '' if the definition has no `item`.

    Args:
        definition: of the source.
        post: as listed.
        start: 0 for its first page, else the value of {page} or {offset}.
    """
    if definition.item is None:
        return ""
    page = Page(post.url, None, post.url)
    return filled(definition, _numbered(definition) if start else definition.item.url, post, page.absolute, start)


def _numbered(definition: Definition) -> str:
    """The template of the address of a later page of a post; '' if the definition has no `item`."""
    return "" if definition.item is None else definition.item.later or definition.item.url


def page_of_item(definition: Definition, url: str) -> int:
    """The value of {page} or {offset} in the address of a page of a post; 0 if it has none, or too large a one.

    In a query only the parameter counts that has the number: sites write the others in any order. An address that is longer
    than any that leads to a page has no number: to match it may take time with a power of its length.
    """
    if len(url) > MAX_ADDRESS:
        return 0
    place, _, query = _numbered(definition).partition("?")
    wanted = next((part for part in re.split("[&;]", query) if "{page}" in part or "{offset}" in part), "")
    url = url.partition("#")[0]
    given = [url] if not wanted else [unquote(part) for part in re.split("[&;]", url.partition("?")[2])]
    pattern = "".join(
        r"(\d{1,9})"
        if part in ("{page}", "{offset}")
        else (HOST_PATTERN if part == "{host}" else ".*")
        if part.startswith("{")
        else re.escape(part)
        for part in re.split(r"(\{\w+\})", wanted or place)
    )
    matches = (re.fullmatch(pattern, part) for part in given) if "(" in pattern else iter(())
    page = next((int(match[1]) for match in matches if match), 0)
    return page if page <= MAX_PAGE_OF_ITEM else 0


def page_after(definition: Definition, number: int, parts: int) -> int:
    """The value of {page} or {offset} for the page after one with this value and so many parts."""
    template = _numbered(definition)
    number = max(number, 1) + 1 if "{page}" in template else number + parts if "{offset}" in template else 0
    return number if number <= MAX_PAGE_OF_ITEM else 0
