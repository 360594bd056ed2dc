"""From the bytes of a page to posts, texts and links, by the rules of a definition: pure functions, no network, no clock.

Values (selectors and transforms) are `crawler.values`, markup to text is `crawler.markup`; which page is fetched next and
when to stop is the spider's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from data.definition import Definition
from data.model import Post

State = Literal["ok", "absent", "blocked", "empty"]


@dataclass(frozen=True, slots=True)
class Listing:
    """What one page of a listing said.

    Attributes:
        posts: in the order of the page. next_url: absolute address of the next page, '' at the last.
        state: `empty` where a page that is neither absent nor blocked has no rows.
        rows: rows found; dropped: rows that `drop` named as no posts; a row that gave no post is a problem.
        problems: sentences "code: what happened", no content in them.
        more: further listing pages to read as well (sub-folders), already limited by `depth`.
    """

    posts: tuple[Post, ...] = ()
    next_url: str = ""
    state: State = "ok"
    rows: int = 0
    dropped: int = 0
    problems: tuple[str, ...] = ()
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemPage:
    """What one page of a post said; `attachments` are absolute addresses, `state` as for `Listing`."""

    text: str = ""
    attachments: tuple[str, ...] = ()
    next_url: str = ""
    state: State = "ok"

    def __repr__(self) -> str:
        """Only lengths."""
        return f"<ItemPage {self.state}, {len(self.text)} characters, {len(self.attachments)} attachments>"
