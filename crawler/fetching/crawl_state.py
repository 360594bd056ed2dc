"""What the spider, the reading of posts and the pipelines of one crawl share: whether it goes on, and its counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from crawler.transport.errors import Trouble


@dataclass(slots=True)
class CrawlState:
    """The state of one crawl.

    Attributes:
        trouble: why the crawl failed; None as long as it has not.
        stopped: the crawl is ending: nothing further is fetched or examined.
        lost: the runner is gone, or another process has taken the crawl over: nothing further is reported to it.
        counts: of posts: `listed`, `new`, `changed`, `examined`, `unexamined`; and of downloads that were `resumed`.
    """

    trouble: Trouble | None = None
    stopped: bool = False
    lost: bool = False
    counts: Counter[str] = field(default_factory=Counter)
