"""Counts of one crawl: what is known while it runs (`CrawlTally`), and its result (`CrawlResult`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.crawls.sighted_releases import SightedRelease

# What to do about failures that the crawl process reports, by their code.
HINTS = {
    "memory": "raise  [crawl] memory  or lower  [crawl] max_page",
    "certificate": "make sure that it is the right site; then pin its key in the source file:  tls: {pin: sha256/…}"
    " (docs/sources.md says how to read the key)",
    "robots": 'to read the source nevertheless, write the reason into its file:  robots: {ignore: "reason"}',
    "robots_unknown": "the next crawl tries again; to read the source without knowing its rules, write the reason into "
    'its file:  robots: {ignore: "reason"}',
}


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """The result of one crawl, with the keys of `crawl --json`.

    Attributes:
        listed, new, changed, examined, unexamined: numbers of posts.
        gap: posts may have been missed: the walk of the listing met no known post.
        refused: requests to hosts that the source does not declare.
        resumed: requests that continued a download whose connection broke.
        code, error, hint: why the crawl failed, for programs and for people, and what to do; '' if it did not fail.
        hits: whether something matched.
        changed_page: whether the listing has fewer rows than it should have.
        clients: client -> most canaries of it in one post.
        hosts: refused host -> requests.
        handed: other source -> links to it that posts contained.
    """

    source: str
    crawl: str
    state: str
    listed: int = 0
    new: int = 0
    changed: int = 0
    examined: int = 0
    unexamined: int = 0
    gap: bool = False
    findings: int = 0
    events: int = 0
    seconds: float = 0.0
    refused: int = 0
    requests: int = 0
    resumed: int = 0
    code: str = ""
    error: str = ""
    hint: str = ""
    hits: bool = False
    changed_page: bool = False
    clients: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    handed: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether something failed or could not be examined."""
        return self.state != "done" or bool(self.unexamined) or self.gap or self.changed_page


@dataclass(slots=True)
class CrawlTally:
    """What the crawl process has reported so far, and what resulted from it.

    Attributes:
        source: its name.
        crawl: its id.
        counts: as the process reported them at its end.
        hosts: refused host -> requests.
        rows: of the listing.
        sighted: samples that become releases once their findings are committed.
        clients: client -> most canaries of it in one post.
        failed: code -> posts that stay due.
        left: code -> parts of posts that are not requested again.
        handed: other source -> links.
        problems: subject -> problem with the source, its incident or the reading of its listing.
        state, code, error, hint: how the crawl ended; until the process reports its end, the crawl counts as failed.
        lost: another process has taken the crawl over.
        changed_page: whether the listing has fewer rows than it should have.
    """

    source: str
    crawl: str
    began: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    gap: bool = False
    findings: int = 0
    events: int = 0
    sighted: list[SightedRelease] = field(default_factory=list)
    clients: dict[str, int] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    handed: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)
    state: str = "failed"
    code: str = "crash"
    error: str = ""
    hint: str = ""
    lost: bool = False
    changed_page: bool = False

    def note_crash(self, error: str, code: str = "crash") -> None:
        """Make the crawl a failed one, whatever its process has reported."""
        self.state, self.code, self.error = "failed", code, error

    def result(self) -> CrawlResult:
        """The result of the crawl."""
        known = ("listed", "new", "changed", "examined", "unexamined", "refused", "requests", "resumed")
        return CrawlResult(
            source=self.source,
            crawl=self.crawl,
            state=self.state,
            gap=self.gap,
            findings=self.findings,
            events=self.events,
            seconds=round(time.monotonic() - self.began, 3),
            code=self.code,
            error=self.error,
            hint=self.hint,
            hits=bool(self.clients),
            changed_page=self.changed_page,
            clients=self.clients,
            hosts=self.hosts,
            handed=dict(self.handed),
            **{name: self.counts.get(name, 0) for name in known},
        )
