"""Decides when the walk of a listing may end, from the posts on its pages. Pure; the spider fetches the pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

# Pages of a listing that links to its next page. A longer chain is a trap for crawlers, or months without a crawl.
MAX_LINKED_PAGES = 100


@dataclass(slots=True)
class Walk:
    """One walk of a listing, from its newest page on.

    A post is *settled* once the walk that first saw it has ended; only settled posts can end a later walk.

    Attributes:
        known: number of posts of this source that were settled before the walk.
        stop: `seen` ends the walk at settled posts, `empty` at a page without rows.
        max_pages: pages that are read at most.
        pages, rows: number read so far. met: number of settled posts on them.
        overlap: the walk has reached posts that an earlier one had read. cut: it ended at `max_pages`.
        ended: no further page is wanted.
    """

    known: int
    stop: Literal["seen", "empty"] = "seen"
    max_pages: int = MAX_LINKED_PAGES
    pages: int = 0
    rows: int = 0
    met: int = 0
    overlap: bool = False
    cut: bool = False
    ended: bool = False

    def take_page(self, ids: Sequence[str], settled: Collection[str], examine: Collection[str], *, more: bool) -> bool:
        """Count one page of the listing, and decide whether the next page is wanted.

        Settled posts at the top of a page do not end the walk, because they may be pinned on every page. The walk ends
        at a page whose last post is settled and not to be examined.

        Args:
            ids: posts of the page, in order.
            settled: those of them that were settled before.
            examine: those of them that are new, changed or still due.
            more: whether the listing has a next page.
        """
        self.pages += 1
        self.rows += len(ids)
        self.met += len(settled)
        unchanged = {post for post in settled if post not in examine}
        if ids and ids[-1] in unchanged:
            self.overlap = True
        if not more or not ids or (self.overlap and self.stop == "seen"):
            self.ended = True
        elif self.pages >= self.max_pages:
            self.ended = self.cut = True
        return not self.ended

    @property
    def gap(self) -> bool:
        """Whether posts may have been missed: there were settled posts, and the walk ended without reaching them."""
        if not self.known or self.overlap:
            return False
        return self.cut or not self.met
