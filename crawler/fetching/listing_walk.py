"""Decides when the walk of a listing may end, from the posts on its pages. Pure; the spider fetches the pages.

A source may have several listings, the boards of one site: they are walked one after another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from data.sources.definition import Definition

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
        repeated: it ended at a page that the site had shown before, and that ends with a post which no walk had read.
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
    repeated: bool = False
    ended: bool = False

    def take_page(
        self,
        ids: Sequence[str],
        settled: Collection[str],
        examine: Collection[str],
        *,
        more: bool,
        repeated: bool = False,
    ) -> bool:
        """Count one page of the listing, and decide whether the next page is wanted.

        Settled posts at the top of a page do not end the walk, because they may be pinned on every page. The walk ends
        at a page whose last post is settled and not to be examined.

        Args:
            ids: posts of the page, in order.
            settled: those of them that were settled before.
            examine: those of them that are new, changed or still due.
            more: whether the listing has a next page.
            repeated: this walk has seen all of its posts on earlier pages, so that it ends.
        """
        self.pages += 1
        self.rows += len(ids)
        self.met += len(settled)
        unchanged = {post for post in settled if post not in examine}
        if ids and ids[-1] in unchanged:
            self.overlap = True
        # the site shows no other page, perhaps not to guests: pinned posts alone do not show that nothing was missed
        self.repeated = repeated and bool(ids) and ids[-1] not in settled
        if not more or repeated or not ids or (self.overlap and self.stop == "seen"):
            self.ended = True
        elif self.pages >= self.max_pages:
            self.ended = self.cut = True
        return not self.ended

    @property
    def gap(self) -> bool:
        """Whether posts may have been missed: there were settled posts, and the walk ended without reaching them."""
        if not self.known or self.overlap:
            return False
        return self.cut or self.repeated or not self.met


class Boards:
    """The walks of all listings of a source.

    Attributes:
        definition: of the listing that is walked now. walk: its walk.
        pages, rows: read in the walks that ended. gap, cut: whether one of them had a gap, and whether it was cut.
    """

    def __init__(self, definitions: Sequence[Definition], known: int) -> None:
        """For one crawl; `known` is the number of posts of the source that were settled before."""
        self._waiting, self._known = list(definitions[1:]), known
        self.definition = definitions[0]
        self.walk = self._walk()
        self.pages = self.rows = 0
        self.gap = self.cut = False

    def _walk(self) -> Walk:
        rules = self.definition.list
        return Walk(self._known, rules.pages.stop if rules.pages else "seen", rules.max_pages)

    def end(self) -> bool:
        """Count the walk that has ended; whether another listing is to be walked, which is then the present one."""
        self.pages += self.walk.pages
        self.rows += self.walk.rows
        self.gap = self.gap or self.walk.gap
        self.cut = self.cut or (self.walk.gap and self.walk.cut)
        if not self._waiting:
            return False
        self.definition = self._waiting.pop(0)
        self.walk = self._walk()
        return True
