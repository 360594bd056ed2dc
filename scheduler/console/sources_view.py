"""The sources: how each is doing, why one is silent, and how a new one is added after a look at what it would read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from crawler.alerts.plain_text import defang
from data.errors import InputError
from data.sources.definition import Definition
from data.store.states import LastingState
from scheduler.console.access import Person
from scheduler.console.addresses import address
from scheduler.console.broker_client import BrokerError
from scheduler.console.console import Console
from scheduler.console.crawl_bar import draw_crawls
from scheduler.console.pages import Asked, NoSuchPage, WebPage
from scheduler.crawls.crawl_tally import HINTS
from scheduler.reports.open_events import Filter, list_events

PAGE, MAX_PAGE = 50, 10_000
# A rate of new posts is told once the crawls of the bar cover so long.
MIN_SPAN = timedelta(hours=1)
# Crawls of the bar of each source.
BAR = 50
STATES = ("ok", "failing", "silent", "running", "new", "disabled")
COLUMNS = (
    "name", "platform", "via", "address", "state", "said", "last_success", "next_due", "failures", "posts_a_day",
    "posts", "due_posts", "every_seconds",
)  # fmt: skip
CRAWL_COLUMNS = ("crawl", "state", "started", "seconds", "new", "changed", "examined", "unexamined", "gap", "error")
WORDS = {
    "ok": "read as it should",
    "running": "is being read now",
    "new": "no crawl has ended well yet",
    "disabled": "is not watched: disabled",
    "failing": "cannot be read",
}
_LASTING = {
    "gap": "posts may have been missed",
    "source_silent": "shows nothing new",
    "source_changed": "is no longer read correctly",
    "unexamined": "posts could not be examined",
}


def show(asked: Asked) -> WebPage:
    """The list."""
    state, text = asked.choice("state", STATES), asked.query.get("q", "").strip().lower()
    page = asked.number("page", 1, MAX_PAGE)
    definitions, unusable = asked.console.definitions()
    lasting = _lasting(asked)
    by_name, status = {each.name: each for each in definitions}, asked.console.status()["sources"]
    listed = [
        each
        for each in status
        # a file may be gone since the state was read
        if each["name"] in by_name
        and _fits(each, state, lasting)
        and text in f"{each['name']} {each['platform']}".lower()
    ]
    listed.sort(key=lambda each: (_order(each, lasting), each["name"]))
    shown = listed[(page - 1) * PAGE : page * PAGE]
    rows = [_row(asked, each, by_name[each["name"]], lasting) for each in shown]
    counts = {name: sum(_fits(each, name, lasting) for each in status) for name in STATES}
    data = {
        "sources": rows,
        "found": len(listed),
        "unusable": [{"file": each.file, "error": str(each), "hint": each.hint} for each in unusable],
        "page_number": page,
        "more_pages": len(listed) > page * PAGE,
    }
    more: dict[str, Any] = {"state": state, "states": STATES, "counts": counts, "bar": BAR, "said": _said(asked)}
    more["bars"] = {each["name"]: _crawled(asked, each["name"]).bar for each in rows}
    return WebPage("sources.html", "Sources", data, COLUMNS, [[each[name] for name in COLUMNS] for each in rows], more)


def _said(asked: Asked) -> str:
    name = asked.query.get("added", "")
    return f"{name} was added; a running daemon watches it once it gets SIGHUP or is restarted" if name else ""


def _lasting(asked: Asked) -> dict[str, list[LastingState]]:
    found: dict[str, list[LastingState]] = {}
    for each in asked.store.states.lasting():
        found.setdefault(each.source, []).append(each)
    return found


def _fits(source: Mapping[str, Any], state: str, lasting: Mapping[str, Sequence[LastingState]]) -> bool:
    if not state:
        return True
    if state == "silent":
        enabled = source["state"] != "disabled"
        never = source["last_success"] is None
        return bool(enabled and (source["state"] == "failing" or never or source["name"] in lasting))
    return bool(source["state"] == state)


def _order(source: Mapping[str, Any], lasting: Mapping[str, Sequence[LastingState]]) -> int:
    """Those that need a person come first, the disabled ones last."""
    if source["state"] == "disabled":
        return 3
    return 0 if source["state"] == "failing" or source["name"] in lasting else 1 if source["state"] == "new" else 2


@dataclass(frozen=True, slots=True)
class Crawled:
    """The last crawls of a source.

    Attributes:
        mark: id, state and end of the latest three; while they are the same, nothing has changed.
        crawls: as the page and its twins show them, newest first. bar: their drawing.
        posts_a_day: new posts a day. code: of the latest one, '' for none.
    """

    mark: Sequence[tuple[Any, ...]]
    crawls: Sequence[Mapping[str, Any]]
    bar: Markup
    posts_a_day: float | None
    code: str


def _crawled(asked: Asked, name: str) -> Crawled:
    """The last crawls of a source; they are read again once there is another one, or the latest has ended."""
    latest = asked.store.database.rows(
        "select id, state, ended from crawl where source = ? order by queued desc limit 3", name
    )
    mark = [tuple(row.values()) for row in latest]
    known: dict[str, Crawled] = asked.console.crawled
    if name not in known or known[name].mark != mark:
        rows = asked.store.crawls.latest(source=name, limit=BAR)
        shown = [_crawl_json(each) for each in rows]
        code = str(rows[0]["counts"].get("code", "")) if rows else ""
        known[name] = Crawled(mark, shown, draw_crawls(shown, BAR), _posts_a_day(rows), code)
    return known[name]


def _row(
    asked: Asked, source: Mapping[str, Any], definition: Definition, lasting: Mapping[str, Sequence[LastingState]]
) -> dict[str, Any]:
    crawled = _crawled(asked, source["name"])
    states = lasting.get(source["name"], [])
    return {
        "name": source["name"],
        "platform": source["platform"],
        "via": source["via"],
        "address": defang(definition.url or next(iter(definition.hosts), "")),
        "state": source["state"],
        "said": WORDS.get(source["state"], source["state"]),
        "why": _why(source, crawled.code, states),
        "last_success": source["last_success"],
        "age_seconds": source["age_seconds"],
        "next_due": source["next_due"],
        "failures": source["failures"],
        "every_seconds": definition.every.total_seconds(),
        "posts_a_day": crawled.posts_a_day,
        "posts": source["posts"],
        "due_posts": source["due_posts"],
        "lasting": [
            {"kind": each.kind.value, "subject": each.subject, "since": each.began, "event": each.event}
            for each in states
        ],
        "crawls": crawled.crawls,
    }


def _why(source: Mapping[str, Any], code: str, states: Sequence[LastingState]) -> list[str]:
    """Why a source is silent, as sentences, and what to do."""
    said = [
        f"{_LASTING.get(each.kind.value, each.kind.value.replace('_', ' '))} since {each.began:%Y-%m-%d %H:%M} UTC"
        for each in states
    ]
    if source["state"] == "failing" and source["error"]:
        failed = f"{source['failures']} crawls in a row" if source["failures"] > 1 else "the last crawl"
        said.append(f"{failed} failed: {source['error']}")
        hint = HINTS.get(code)
        said += [hint] if hint else []
    return said


def _posts_a_day(crawls: Sequence[Mapping[str, Any]]) -> float | None:
    """New posts a day over the crawls of the bar but the first one of all, which finds everything there is."""
    ended = [each for each in crawls if each["state"] == "done" and each["started"]]
    if len(ended) < 2:
        return None
    span = datetime.fromisoformat(ended[0]["started"]) - datetime.fromisoformat(ended[-1]["started"])
    if span < MIN_SPAN:
        return None
    new = sum(each["counts"].get("new", 0) for each in ended[:-1])
    return float(round(new * 86400 / span.total_seconds(), 1))


def _crawl_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """One crawl, as the page and its twins show it."""
    begin = row["started"] and datetime.fromisoformat(row["started"])
    end = row["ended"] and datetime.fromisoformat(row["ended"])
    counts = row["counts"]
    return {
        "crawl": row["id"],
        "state": row["state"],
        "started": row["started"],
        "seconds": round((end - begin).total_seconds(), 1) if begin and end else None,
        **{name: counts.get(name, 0) for name in ("listed", "new", "changed", "examined", "unexamined")},
        "gap": bool(counts.get("gap")),
        "code": str(counts.get("code", "")),
        "error": row["error"],
    }


def show_one(asked: Asked) -> WebPage:
    """One source with its crawls and its open alerts."""
    name = asked.path["name"]
    definition = next((each for each in asked.console.definitions()[0] if each.name == name), None)
    source = next((each for each in asked.console.status()["sources"] if each["name"] == name), None)
    if definition is None or source is None:
        raise NoSuchPage("there is no source with that name, or its file cannot be used")
    row = _row(asked, source, definition, _lasting(asked))
    events = list_events(asked.store, Filter(source=name), asked.now, limit=20)
    clients = asked.console.names().clients
    data = {"source": row, "events": [each.to_json(clients) for each in events]}
    more = {"bar": BAR, "drawn": _crawled(asked, name).bar}
    table = [[each[column] for column in CRAWL_COLUMNS] for each in row["crawls"]]
    return WebPage("source.html", name, data, CRAWL_COLUMNS, table, more)


def show_new(asked: Asked) -> WebPage:
    """The form for a new source."""
    del asked
    return WebPage("source_new.html", "Add a source", {"url": "", "draft": None}, more={"error": ""})


async def look(console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]) -> WebPage:
    """Look at an address and show what a crawl would read; nothing is stored."""
    del path
    given = dict(fields)
    url = given.get("url", "").strip()
    host = _host(url)
    if not host:
        raise InputError("that is no address", hint="write it whole: https://board.example/forum/2")
    # before it is contacted: who asked for it stands in the record, whatever becomes of it
    await run_in_threadpool(console.record, person, "looked at host", defang(host))
    try:
        answer = await console.broker.ask("look", address=url, **({"tor": "yes"} if given.get("tor") else {}))
    except BrokerError as error:
        said = f"{error}. {error.hint}".strip()
        return WebPage("source_new.html", "Add a source", {"url": url, "draft": None}, more={"error": said}, status=422)
    draft: dict[str, Any] = next(iter((answer.get("result") or {}).get("sources", ())), {})
    if "file" not in draft:
        said = f"{draft.get('error', 'no file could be proposed')}. {draft.get('hint', '')}".strip()
        return WebPage("source_new.html", "Add a source", {"url": url, "draft": None}, more={"error": said}, status=422)
    return WebPage("source_new.html", "Add a source", {"url": url, "draft": draft}, more={"error": ""})


def _host(url: str) -> str:
    """The host of an address that can be looked at; '' if it is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    return host if parts.scheme in {"http", "https"} and url.isprintable() else ""


async def add(console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]) -> str:
    """Write the file of a new source, as the person left it."""
    del path
    given = dict(fields)
    name, text = given.get("name", ""), given.get("text", "").replace("\r\n", "\n")
    if not text.strip():
        raise InputError("the source file is empty", hint="look at an address first")
    await console.broker.ask("add", name=name, text=text)
    await run_in_threadpool(console.record, person, "added source", name)
    return address("/sources", added=name)
