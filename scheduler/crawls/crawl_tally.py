"""What is known of one crawl while it runs, and how it went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """How one crawl went, with the keys of `crawl --json`.

    Attributes:
        hits: something matched. resumed: requests that went on with a body whose connection broke. handed: other source -> links that posts led to. changed_page: the listing has fewer rows than it should. clients: client -> most canaries of it in one post. hosts: refused host -> requests.
        error, hint: why it failed, and what to do; '' where it did not.
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
class Tally:
    """What the crawl process said so far and what came of it.

    Attributes:
        source: its name. crawl: the id.
        counts: as the process told them at its end. hosts: refused host -> requests. rows: of the listing.
        sighted: samples that become releases once what they hit is committed. clients: client -> most canaries of it in one post.
        failed: code -> posts that stay due. left: code -> parts that are not asked for again. handed: other source -> links.
        problems: what the crawl's preparation and its listing's reader complained of, by subject.
        state, code, error, hint: until the process says how it went, it has not gone well.
        lost: another process took the crawl over.
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
    sighted: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
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

    def result(self) -> CrawlResult:
        """How the crawl went."""
        known = ("listed", "new", "changed", "examined", "unexamined", "refused", "requests", "resumed")
        return CrawlResult(
            source=self.source,
            crawl=self.crawl,
            state=self.state,
            gap=self.gap,
            findings=self.findings,
            events=self.events,
            seconds=round(time.monotonic() - self.began, 3),
            error=self.error,
            hint=self.hint,
            hits=bool(self.clients),
            changed_page=self.changed_page,
            clients=self.clients,
            hosts=self.hosts,
            handed=dict(self.handed),
            **{name: self.counts.get(name, 0) for name in known},
        )
