"""Checks a source: reads the first page of its listing and two posts, without examining or storing anything."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from crawler.fetching.scrapy_settings import crawl_settings
from crawler.process.browser_process import browser_socket
from crawler.process.control_frames import (
    DONE,
    AnyQuestion,
    EndFrame,
    OpenedFrame,
    OpenedPost,
    ProposedFrame,
    RowsFrame,
)
from crawler.process.job_frame import NO_RULES, Job, JobLimits
from crawler.tor.tor_dial import dial_tor
from crawler.transport.dial_socket import DialServer, dial_socket_pair
from data.settings.home import Home
from data.sources.definition import Definition, source_hosts
from data.sources.source_files import load_source
from scheduler.crawl_processes.crawl_process import CrawlProcess
from scheduler.crawls.definitions import complete_definition, session_cookies
from scheduler.crawls.direct_dial import DirectDial
from scheduler.crawls.tor_connection import TorConnection

F = TypeVar("F", RowsFrame, OpenedFrame, ProposedFrame)
Report = Callable[[str], None]
# A check reports rows, opened posts and proposals once each.
MAX_FRAMES = 8


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of `source check`.

    Attributes:
        posts: of the first page, for a person to read.
        opened: two of them, a long one among them, as a crawl would read them.
        state: `ok`, `empty` (no posts), or the code of what failed.
        may_be_empty: the source may have no posts of its own, because they are found by links.
        problems: messages.
        requests: number of requests that were made.
        refused: number of requests that were refused because the source does not declare their host.
        hosts: these hosts, with the number of requests; crawls store them as keyed ids only.
    """

    posts: Sequence[Mapping[str, Any]]
    opened: Sequence[OpenedPost]
    state: str
    problems: Sequence[str]
    requests: int
    refused: int
    hosts: Mapping[str, int]
    may_be_empty: bool

    @property
    def is_good(self) -> bool:
        """Whether a crawl would read this source as it should."""
        if not self.posts:
            return self.state == "empty" and self.may_be_empty
        return self.state == "ok" and all(post.state in ("ok", "absent") for post in self.opened)


def check_source(home: Home, name: str, report: Report | None = None) -> CheckResult:
    """The posts on the first page of a source's listing, two of them opened; nothing is examined, nothing is stored.

    Args:
        home: folder with the source file.
        name: of the source.
        report: is called with messages while the check waits for Tor.

    Raises:
        SourceError: the source file cannot be used.
        ConfigError: the source is crawled over Tor, and our own Tor cannot be started or its keys not be used.
        TorDown: the source is crawled over Tor, and Tor does not answer.
    """
    return check_definition(home, complete_definition(load_source(home.sources_dir / f"{name}.yaml")), report)


def check_definition(home: Home, definition: Definition, report: Report | None = None) -> CheckResult:
    """As `check_source`, for a definition that need not be in the home."""
    said = asyncio.run(_look(home, definition, "check", report))
    rows = said.first(RowsFrame) or RowsFrame(posts=(), problems=(), rows=0, dropped=0)
    opened = found.posts if (found := said.first(OpenedFrame)) is not None else ()
    problems = [*rows.problems, *said.problems]
    problems += [f"post {post.native or post.url}: {post.state}: {post.problem}" for post in opened if post.problem]
    end = said.end
    return CheckResult(
        posts=rows.posts,
        opened=opened,
        state=("ok" if rows.posts else "empty") if end.state == "done" else end.code,
        problems=problems,
        requests=end.counts.get("requests", 0),
        refused=end.counts.get("refused", 0),
        hosts=end.hosts,
        may_be_empty=definition.health.min_rows == 0,
    )


def look_at(home: Home, definition: Definition, report: Report | None = None) -> tuple[ProposedFrame | None, EndFrame]:
    """The ways to read the page at the address of a definition, and how the look ended; errors as of `check_source`."""
    said = asyncio.run(_look(home, definition, "look", report))
    return said.first(ProposedFrame), said.end


@dataclass(slots=True)
class _Said:
    """What the process of a check or of a look reported.

    Attributes:
        frames: in order. end: the last one. problems: why it failed.
    """

    frames: list[AnyQuestion]
    end: EndFrame
    problems: list[str]

    def first(self, kind: type[F]) -> F | None:
        """The first frame of a kind."""
        return next((frame for frame in self.frames if isinstance(frame, kind)), None)


async def _look(home: Home, definition: Definition, mode: Literal["check", "look"], report: Report | None) -> _Said:
    settings = home.settings()
    # Nothing is stored, so no key of the case is needed.
    post_key = secrets.token_bytes(32)
    scrapy_settings = crawl_settings(definition, settings.crawl)
    tor = TorConnection(home, settings.tor) if definition.via == "tor" else None
    try:
        if tor is not None:
            await tor.wait_until_ready(report)
            await tor.add_onion_keys(definition)
            scrapy_settings |= tor.crawl_settings(definition, crawl="check", post_key=post_key, failures=0)
        job = Job(
            crawl="check",
            definition=definition,
            settings=scrapy_settings,
            network="refused" if tor is None else tor.network_mode(),
            post_key=post_key,
            due=(),
            revisit=(),
            robots=b"",
            mode=mode,
            limits=JobLimits(memory=settings.crawl.memory, wall=settings.crawl.wall.total_seconds()),
            closed=home.path.absolute(),
            settled=0,
            follow={},
            shapes={},
            rules=NO_RULES,
            recipient="",
            cookies=session_cookies(home, definition),
        )
        return await _run(job, tor)
    finally:
        if tor is not None:
            tor.close()


async def _run(job: Job, tor: TorConnection | None) -> _Said:
    """Start a crawl process for the job and collect what it reports."""
    stack = contextlib.ExitStack()
    browser = stack.enter_context(browser_socket(wanted=bool(job.definition.render)))
    ours, dial = dial_socket_pair()
    direct = DirectDial(source_hosts(job.definition), float(job.settings["DOWNLOAD_TIMEOUT"]))
    dial_server = DialServer(ours, direct if tor is None else dial_tor(tor.socks))
    process = await CrawlProcess.start(browser, dial, standalone=True)
    frames: list[AnyQuestion] = []
    end: EndFrame | None = None
    try:
        async with asyncio.timeout(job.limits.wall):
            await process.send(job)
            while end is None:
                [question] = await process.receive_questions()
                if isinstance(question, EndFrame):
                    end = question
                elif len(frames) < MAX_FRAMES:
                    frames.append(question)
                await process.send(DONE)
    except (EOFError, TimeoutError):
        end = EndFrame(state="failed", counts={}, hosts={}, code="crash", error="", robots=b"")
    finally:
        exit_problem = await process.close()
        dial_server.close()
        stack.close()
    problems = []
    if end.state != "done":
        problems.append(
            f"{end.code}: {end.error or exit_problem or 'the crawl process ended without reporting a result'}"
        )
    return _Said(frames, end, problems)
