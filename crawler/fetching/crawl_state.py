"""What the spider, the reading of posts and the pipelines of one crawl share: whether it goes on, and its counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crawler.transport.errors import Trouble

# The counts of posts that a crawl reports at its end, and of downloads that were resumed.
POST_COUNTS = ("listed", "new", "changed", "examined", "unexamined", "replies", "resumed")


@dataclass(slots=True)
class CrawlState:
    """The state of one crawl.

    Attributes:
        trouble: why the crawl failed; None as long as it has not.
        stopped: the crawl is ending: nothing further is fetched or examined.
        lost: the runner is gone, or another process has taken the crawl over: nothing further is reported to it.
        counts: by `POST_COUNTS`; `listed`, `new` and `changed` are rows of the listing, `replies` those of the feed.
        awaited: number of posts that this crawl has to examine, as far as it knows.
        broken_off: number of posts that were not examined completely and ended after the crawl was stopped.
    """

    trouble: Trouble | None = None
    stopped: bool = False
    lost: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    awaited: int = 0
    broken_off: int = 0

    def note_post(self, *, complete: bool) -> None:
        """Count a post whose examination has ended."""
        self.counts["examined" if complete else "unexamined"] += 1
        self.broken_off += self.stopped and not complete

    @property
    def has_all_posts(self) -> bool:
        """Whether the examination of all posts has ended, and none was broken off because the crawl was stopped."""
        return not self.broken_off and self.awaited == self.counts["examined"] + self.counts["unexamined"]


def too_long(wall: float) -> Trouble:
    """The trouble of a crawl that takes more than `wall` seconds."""
    detail = f"the crawl took longer than {wall:g} s and was ended; posts that it did not examine stay due"
    return Trouble("wall", detail, retry=True)
