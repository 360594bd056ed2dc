"""Checks a source: reads the first page of its listing without examining or storing anything."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.fetching.scrapy_settings import crawl_settings
from crawler.process.control_frames import DONE, EndFrame, RowsFrame
from crawler.process.job_frame import NO_RULES, Job, JobLimits
from crawler.tor.tor_dial import dial_tor
from crawler.transport.dial_socket import DialServer, dial_socket_pair
from data.settings.home import Home
from data.sources.definition import Definition, source_hosts
from data.sources.source_files import load_source
from scheduler.crawls.crawl_processes import CrawlProcess
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.direct_dial import DirectDial
from scheduler.crawls.tor_connection import TorConnection


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of `source check`.

    Attributes:
        posts: of the first page, for a person to read.
        state: `ok`, `empty` (no posts), or the code of what failed.
        problems: messages.
        requests: number of requests that were made.
        refused: number of requests that were refused because the source does not declare their host.
        hosts: these hosts, with the number of requests; crawls store them as keyed ids only.
    """

    posts: Sequence[Mapping[str, Any]]
    state: str
    problems: Sequence[str]
    requests: int
    refused: int
    hosts: Mapping[str, int]


def check_source(home: Home, name: str, report: Callable[[str], None] | None = None) -> CheckResult:
    """The posts on the first page of a source's listing; nothing is examined, nothing is stored.

    Args:
        home: folder with the source file.
        name: of the source.
        report: is called with messages while the check waits for Tor.

    Raises:
        SourceError: the source file cannot be used.
        ConfigError: the source is crawled over Tor, and our own Tor cannot be started or its keys not be used.
        TorDown: the source is crawled over Tor, and Tor does not answer.
    """
    definition = complete_definition(load_source(home.sources_dir / f"{name}.yaml"))
    return asyncio.run(_check(home, definition, report))


async def _check(home: Home, definition: Definition, report: Callable[[str], None] | None) -> CheckResult:
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
            mode="check",
            limits=JobLimits(memory=settings.crawl.memory, wall=settings.crawl.wall.total_seconds()),
            closed=home.path.absolute(),
            settled=0,
            follow={},
            rules=NO_RULES,
        )
        return await _run_check(job, tor)
    finally:
        if tor is not None:
            tor.close()


async def _run_check(job: Job, tor: TorConnection | None) -> CheckResult:
    """Start a crawl process for the job and collect what it reports."""
    ours, dial = dial_socket_pair()
    direct = DirectDial(source_hosts(job.definition), float(job.settings["DOWNLOAD_TIMEOUT"]))
    dial_server = DialServer(ours, direct if tor is None else dial_tor(tor.socks))
    process = await CrawlProcess.start([], dial, standalone=True)
    rows = RowsFrame(posts=(), problems=(), rows=0, dropped=0)
    end: EndFrame | None = None
    try:
        async with asyncio.timeout(job.limits.wall):
            await process.send(job)
            while end is None:
                [question] = await process.receive_questions()
                if isinstance(question, RowsFrame):
                    rows = question
                elif isinstance(question, EndFrame):
                    end = question
                await process.send(DONE)
    except (EOFError, TimeoutError):
        end = EndFrame(state="failed", counts={}, hosts={}, code="crash", error="")
    finally:
        exit_problem = await process.close()
        dial_server.close()
    problems = list(rows.problems)
    if end.state != "done":
        problems.append(
            f"{end.code}: {end.error or exit_problem or 'the crawl process ended without reporting a result'}"
        )
    return CheckResult(
        posts=rows.posts,
        state=("ok" if rows.posts else "empty") if end.state == "done" else end.code,
        problems=problems,
        requests=end.counts.get("requests", 0),
        refused=end.counts.get("refused", 0),
        hosts=end.hosts,
    )
