"""A look at a source without traces: what a crawl would read; nothing is examined, nothing is stored."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.settings import crawl_settings
from data.config import Home
from data.definition import Definition
from data.sources import load_source
from scheduler.definitions import complete_definition
from scheduler.fork import CrawlProcess


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `source check` read: posts as a person reads them, and how the listing answered."""

    posts: Sequence[Mapping[str, Any]]
    state: str
    problems: Sequence[str]
    requests: int
    refused: int


def check_source(home: Home, name: str) -> CheckResult:
    """Read the first page of a source's listing and say what would be read; nothing is examined, nothing is stored.

    Raises:
        SourceError: the source's file cannot be used.
        ConfigError: its road is not there.
    """
    definition = complete_definition(load_source(home.sources_dir / f"{name}.yaml"))
    return asyncio.run(_check(home, definition))


async def _check(home: Home, definition: Definition) -> CheckResult:
    settings = home.settings()
    job = {
        "crawl": "check",
        "source": definition.model_dump(mode="json"),
        "settings": crawl_settings(definition, settings.crawl),
        # nothing is kept, so that no key of the case is needed
        "post_key": secrets.token_hex(32),
        "due": [],
        "mode": "check",
        "limits": {"memory": settings.crawl.memory},
        "closed": str(home.path.absolute()),
        "settled": 0,
        "follow": {},
    }
    process = await CrawlProcess.start([])
    shown: Mapping[str, Any] = {"posts": [], "problems": [], "state": ""}
    end: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(settings.crawl.wall.total_seconds()):
            await process.tell(job)
            while not end:
                [question] = await process.questions()
                if question["frame"] == "rows":
                    shown = question
                elif question["frame"] == "end":
                    end = question
                await process.tell({"ok": True})
    except (EOFError, TimeoutError):
        end = {"state": "failed", "code": "crash", "error": "", "counts": {}}
    finally:
        said = await process.close()
    problems = list(shown["problems"])
    if end["state"] != "done":
        problems.append(f"{end['code']}: {end['error'] or said or 'the crawl process gave no answer'}")
    counts = end["counts"]
    return CheckResult(
        posts=shown["posts"],
        state=("ok" if shown["posts"] else "empty") if end["state"] == "done" else str(end["code"]),
        problems=problems,
        requests=int(counts.get("requests", 0)),
        refused=int(counts.get("refused", 0)),
    )
