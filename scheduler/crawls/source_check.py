"""A look at a source without traces: what a crawl would read; nothing is examined, nothing is stored."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.fetching.scrapy_settings import crawl_settings
from crawler.process.control_frames import DONE, NO_RULES, EndFrame, Job, JobLimits, RowsFrame
from crawler.tor.dial_socket import DialServer, dial_socket_pair
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import load_source
from scheduler.crawls.crawl_processes import CrawlProcess
from scheduler.crawls.definitions import complete_definition
from scheduler.crawls.tor_road import TorRoad, road_of


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `source check` read: posts as a person reads them, and how the listing answered."""

    posts: Sequence[Mapping[str, Any]]
    state: str
    problems: Sequence[str]
    requests: int
    refused: int


def check_source(home: Home, name: str, tell: Callable[[str], None] | None = None) -> CheckResult:
    """Read the first page of a source's listing and say what would be read; nothing is examined, nothing is stored.

    Raises:
        SourceError: the source's file cannot be used.
        ConfigError: its road is not there.
        TorDown: it is a source over Tor, and Tor does not answer.
    """
    definition = complete_definition(load_source(home.sources_dir / f"{name}.yaml"))
    return asyncio.run(_check(home, definition, tell))


async def _check(home: Home, definition: Definition, tell: Callable[[str], None] | None) -> CheckResult:
    settings = home.settings()
    # nothing is kept, so that no key of the case is needed
    post_key = secrets.token_bytes(32)
    scrapy_settings = crawl_settings(definition, settings.crawl)
    road = road_of(home, settings) if definition.via == "tor" else None
    try:
        if road is not None:
            await road.ready(tell)
            await road.give_keys(definition)
            scrapy_settings |= road.crawl_settings(definition, crawl="check", post_key=post_key, failures=0)
        return await _look(home, definition, settings, scrapy_settings, post_key, road)
    finally:
        if road is not None:
            road.close()


async def _look(
    home: Home,
    definition: Definition,
    settings: Settings,
    scrapy_settings: Mapping[str, Any],
    post_key: bytes,
    road: TorRoad | None,
) -> CheckResult:
    job = Job(
        crawl="check",
        definition=definition,
        settings=scrapy_settings,
        network="open" if road is None else road.network(),
        post_key=post_key,
        due=(),
        mode="check",
        limits=JobLimits(memory=settings.crawl.memory, wall=settings.crawl.wall.total_seconds()),
        closed=home.path.absolute(),
        settled=0,
        follow={},
        rules=NO_RULES,
    )
    dial: socket.socket | None = None
    dials: DialServer | None = None
    if road is not None:
        ours, dial = dial_socket_pair()
        dials = DialServer(ours, road.socks)
    process = await CrawlProcess.start([], dial, alone=True)
    shown = RowsFrame(posts=(), problems=(), rows=0, dropped=0)
    end: EndFrame | None = None
    try:
        async with asyncio.timeout(settings.crawl.wall.total_seconds()):
            await process.tell(job)
            while end is None:
                [question] = await process.questions()
                if isinstance(question, RowsFrame):
                    shown = question
                elif isinstance(question, EndFrame):
                    end = question
                await process.tell(DONE)
    except (EOFError, TimeoutError):
        end = EndFrame(state="failed", counts={}, hosts={}, code="crash", error="")
    finally:
        said = await process.close()
        if dials is not None:
            dials.close()
    problems = list(shown.problems)
    if end.state != "done":
        problems.append(f"{end.code}: {end.error or said or 'the crawl process gave no answer'}")
    return CheckResult(
        posts=shown.posts,
        state=("ok" if shown.posts else "empty") if end.state == "done" else end.code,
        problems=problems,
        requests=end.counts.get("requests", 0),
        refused=end.counts.get("refused", 0),
    )
