"""When a walk of a listing may end: pure bookkeeping over the pages of one crawl; fetching them is the spider's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

# Listings that link to their next page say no number themselves; so long a chain is a trap, or months of absence.
MAX_LINKED_PAGES = 100


@dataclass(slots=True)
class Walk:
    """One walk, newest page first.

    Attributes:
        known: posts of this source that were settled before the walk.
        stop: `seen` ends at known posts, `empty` reads to a page without rows.
        max_pages: pages read at most.
        pages, rows: read so far. overlap: the walk met what an earlier one had seen. cut: it ended at `max_pages`.
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

    def page(self, ids: Sequence[str], settled: Collection[str], examine: Collection[str], *, more: bool) -> bool:
        """Take one page of the listing; whether the next one is wanted.

        Settled posts on top of a page do not end a walk: they may be pinned there, on every page. It ends where
        everything after the last post that is new, changed or not yet settled is known.

        Args:
            ids: its posts in their order.
            settled: those that an earlier, whole walk saw.
            examine: those that are new, changed or still due.
            more: whether there is a next page at all.
        """
        self.pages += 1
        self.rows += len(ids)
        self.met += len(settled)
        quiet = {post for post in settled if post not in examine}
        if ids and ids[-1] in quiet:
            self.overlap = True
        if not more or not ids or (self.overlap and self.stop == "seen"):
            self.ended = True
        elif self.pages >= self.max_pages:
            self.ended = self.cut = True
        return not self.ended

    @property
    def gap(self) -> bool:
        """Whether posts may have been missed: there were known posts, and the walk ended without coming upon them."""
        if not self.known or self.overlap:
            return False
        return self.cut or not self.met
