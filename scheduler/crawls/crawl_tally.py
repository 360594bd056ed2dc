"""Counts of one crawl: what is known while it runs (`CrawlTally`), and its result (`CrawlResult`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from data.case.canary_bitmaps import count_canaries
from data.store.sources import HostLink
from scheduler.crawl_processes.crawl_process import FROZEN_SECONDS
from scheduler.crawls.sighted_releases import SightedRelease

# What to do about failures that the crawl process reports, by their code.
HINTS = {
    "walled": "only members can read it: with an account of your own, write  cookies: file  into its file, and give it your"
    " session with  tocsin source cookies  (docs/sources.md: A session of your own)",
    "session_ended": "log in with your browser, export its cookies, and run:  tocsin source cookies NAME FILE",
    "seized": "look for where it moved; then disable the source",
    "parked": "look for where it moved; then correct `url`, or disable the source: whoever owns the domain now can show anything there",
    "challenge": "nobody gets past it but a person: log in or pass the check with your browser, and give the source your session"
    " (docs/sources.md: A session of your own); or look for a mirror",
    "placeholder": "look for where it moved; then correct `url`, or disable the source",
    "memory": "raise  [crawl] memory  or lower  [crawl] max_page",
    "certificate": "make sure that it is the right site; then pin its key in the source file:  tls: {pin: sha256/…}"
    " (docs/sources.md says how to read the key)",
    "no_preview": "its owner has switched the public preview off: it is not an empty channel, and nothing of it can be watched here; look for a mirror of it",
    "browser": "see whether the site works in Chromium; for a site that does without scripts, take  render  out of the source file",
    "robots": 'to read the source nevertheless, write the reason into its file:  robots: {ignore: "reason"}',
    "robots_unknown": "check the address and whether the site is up; the next crawl tries again; to read the source without knowing its rules, write the reason into "
    'its file:  robots: {ignore: "reason"}',
}

# Codes of failures for which the process itself may be to blame, rather than the site.
PROCESS_TROUBLE = frozenset({"crash", "hang", "memory"})


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """The result of one crawl, with the keys of `crawl --json`.

    Attributes:
        listed, new, changed, examined, unexamined: numbers of posts. replies: of the feed of replies, new or edited.
        gap: posts may have been missed: the walk of the listing met no known post. gap_lost: the listing has no further
            pages on which they could be read.
        refused: requests to hosts that the source does not declare.
        resumed: requests that continued a download whose connection broke.
        code, error, hint: why the crawl failed, for programs and for people, and what to do; '' if it did not fail.
        hits: whether something matched.
        changed_page: whether the listing has fewer rows than it should have, or looks different (`look`: field -> how). never_rows: it never had one.
        clients: client -> most canaries of it in one post. canaries: different canaries in all posts of the crawl.
        hosts: refused host -> requests.
        handed: other source -> links to it that posts contained.
        linked: public service that no source declares -> posts that link to it. linked_others: number of other such hosts.
        linked_posts, linked_files: posts that link to data files which no rule of the source reads, and these files.
    """

    source: str
    crawl: str
    state: str
    listed: int = 0
    new: int = 0
    changed: int = 0
    examined: int = 0
    unexamined: int = 0
    replies: int = 0
    gap: bool = False
    gap_lost: bool = False
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
    never_rows: bool = False
    clients: Mapping[str, int] = field(default_factory=dict)
    canaries: int = 0
    hosts: Mapping[str, int] = field(default_factory=dict)
    handed: Mapping[str, int] = field(default_factory=dict)
    linked: Mapping[str, int] = field(default_factory=dict)
    linked_others: int = 0
    linked_posts: int = 0
    linked_files: int = 0
    look: Mapping[str, str] = field(default_factory=dict)

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
        clients: client -> most canaries of it in one post. canaries: bundle -> bitmap of those that were found.
        failed: code -> posts that stay due.
        left: code -> parts of posts that are not requested again.
        unread: addresses and titles of the first posts that stay due or of which parts are left out, for sealed evidence.
        handed: other source -> links.
        linked: readable name of a host -> posts that link to it. linked_others: ids of the other such hosts.
        linked_posts, linked_files: as of `CrawlResult`.
        problems: subject -> problem with the source, its incident or the reading of its listing.
        page_shape: the same of pages of posts; None if too few were read.
        shape: field -> what no longer looks as it did, and the rule that is about it. page: the first page, sealed.
        largest: bytes of its largest sample.
        silence: longest time in which its process was not heard of, in seconds.
        state, code, error, hint: how the crawl ended; until the process reports its end, the crawl counts as failed.
        lost: another process has taken the crawl over.
        gap, gap_lost, changed_page, never_rows: as of `CrawlResult`.
    """

    source: str
    crawl: str
    began: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    gap: bool = False
    gap_lost: bool = False
    findings: int = 0
    events: int = 0
    sighted: list[SightedRelease] = field(default_factory=list)
    clients: dict[str, int] = field(default_factory=dict)
    canaries: dict[str, bytes] = field(default_factory=dict, repr=False)
    failed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    unread: list[dict[str, str]] = field(default_factory=list, repr=False)
    handed: Counter[str] = field(default_factory=Counter)
    linked: Counter[str] = field(default_factory=Counter)
    linked_others: set[str] = field(default_factory=set)
    linked_posts: int = 0
    linked_files: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    page_shape: dict[str, str] | None = None
    shape: dict[str, str] = field(default_factory=dict)
    page: bytes = field(default=b"", repr=False)
    largest: int = 0
    silence: float = 0.0
    state: str = "failed"
    code: str = "crash"
    error: str = ""
    hint: str = ""
    lost: bool = False
    changed_page: bool = False
    never_rows: bool = False

    def note_crash(self, error: str, code: str = "crash") -> None:
        """Make the crawl a failed one, whatever its process has reported."""
        self.state, self.code, self.error = "failed", code, error

    def why_alone(self, stream_above: int, *, hung: bool) -> str:
        """Why the source is crawled in a process of its own from now on; '' if it may share one.

        Args:
            stream_above: bytes above which a body is large.
            hung: a shared process hung in which this crawl was made before. One that computes for long hangs there alone:
                in a process of its own nobody waits for it meanwhile, and its processor time shows that it works.
        """
        if self.lost:
            return ""
        if self.state != "done" and self.code in PROCESS_TROUBLE | {"wall"}:
            return self.code
        if hung and self.silence > FROZEN_SECONDS / 2:
            return "hang"
        return "size" if self.largest > stream_above else ""

    def begin_again(self) -> None:
        """Forget how the process ended and what it said of the listing; what was committed remains."""
        self.state, self.code, self.error, self.hint = "failed", "crash", "", ""
        self.counts, self.hosts, self.page = {}, {}, b""
        # lost posts are not found missing by another walk
        self.rows, self.gap = 0, self.gap_lost
        self.failed.clear()
        self.shape.clear()

    def note_hosts(self, hosts: Sequence[HostLink], declared: Collection[str] = ()) -> None:
        """Count the hosts that one post links to; of those with the ids in `declared` only the files."""
        undeclared = [host for host in hosts if host.id not in declared]
        self.linked.update(host.name for host in undeclared if host.name)
        self.linked_others |= {host.id for host in undeclared if not host.name}
        files = sum(host.files for host in hosts)
        self.linked_posts += bool(files)
        self.linked_files += files

    def result(self) -> CrawlResult:
        """The result of the crawl."""
        known = ("listed", "new", "changed", "examined", "unexamined", "replies", "refused", "requests", "resumed")
        return CrawlResult(
            source=self.source,
            crawl=self.crawl,
            state=self.state,
            gap=self.gap,
            gap_lost=self.gap_lost,
            findings=self.findings,
            events=self.events,
            seconds=round(time.monotonic() - self.began, 3),
            code=self.code,
            error=self.error,
            hint=self.hint,
            hits=bool(self.clients),
            changed_page=self.changed_page,
            never_rows=self.never_rows,
            clients=self.clients,
            canaries=sum(map(count_canaries, self.canaries.values())),
            hosts=self.hosts,
            handed=dict(self.handed),
            linked=dict(self.linked),
            linked_others=len(self.linked_others),
            linked_posts=self.linked_posts,
            linked_files=self.linked_files,
            look={**self.shape, **{f"item {name}": text for name, text in (self.page_shape or {}).items()}},
            **{name: self.counts.get(name, 0) for name in known},
        )
