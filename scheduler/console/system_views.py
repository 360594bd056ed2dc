"""Releases, delivery, and this monitor itself: walls, keys, versions, self-tests, and who may use the console."""

from __future__ import annotations

import contextlib
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool

from crawler.alerts.plain_text import defang
from data.errors import InputError
from data.releases.folder import read_manifests
from data.store.outbox import NO_CHANNEL
from data.store.store import Store
from scheduler.console import access
from scheduler.console.access import Credential, Person, Role
from scheduler.console.console import Console
from scheduler.console.pages import Asked, WebPage

PAGE, MAX_PAGE = 100, 10_000
RELEASE_COLUMNS = (
    "id", "name", "incident", "kind", "created", "retired", "people", "rows", "files", "bytes", "complete",
)  # fmt: skip
DELIVERY_STATES = ("due", "deferred", "sent", "refused")
CHANNEL_COLUMNS = ("channel", "kind", "address", "sent", "due", "deferred", "refused", "last_sent", "last_status")
SELFTEST_COLUMNS = ("test", "at", "passed")


def releases(asked: Asked) -> WebPage:
    """All releases: what is known to be out."""
    kind, text = asked.choice("kind", ("baseline", "sighted")), asked.query.get("q", "").strip().lower()
    page = asked.number("page", 1, MAX_PAGE)
    rows = []
    for each in asked.console.kept("releases", 5.0, lambda: read_manifests(asked.console.home.releases_dir)):
        origin = each.get("origin") or {}
        rows.append(
            {
                "id": str(each["id"]),
                "name": str(each.get("name", "")),
                "incident": str(each.get("incident", "")),
                "kind": str(each.get("kind", "")),
                "created": str(each.get("created", "")),
                "retired": each.get("retired"),
                "people": int(each.get("people", 0)),
                "rows": int(each.get("rows", 0)),
                "files": int(each.get("files", 0)),
                "bytes": int(each.get("bytes", 0)),
                "complete": bool(each.get("complete")),
                "source": str(origin.get("source", "")),
                "breach": str(origin.get("breach", "") or ""),
            }
        )
    rows = [
        each
        for each in rows
        if kind in {"", each["kind"]} and text in f"{each['id']} {each['name']} {each['incident']}".lower()
    ]
    rows.sort(key=lambda each: str(each["created"]), reverse=True)
    shown = rows[(page - 1) * PAGE : page * PAGE]
    data = {"releases": shown, "found": len(rows), "page_number": page, "more_pages": len(rows) > page * PAGE}
    table = [[each[name] for name in RELEASE_COLUMNS] for each in rows]
    return WebPage("releases.html", "Releases", data, RELEASE_COLUMNS, table, {"kind": kind})


def delivery(asked: Asked) -> WebPage:
    """What each channel accepted, and what waits."""
    state, channel = asked.choice("state", DELIVERY_STATES), asked.query.get("channel", "")
    summary = asked.console.kept("channels", 2.0, lambda: _channels(asked.console))
    alerts = _latest(asked.store, state, channel)
    data = {"channels": summary, "alerts": alerts}
    more = {"state": state, "states": DELIVERY_STATES, "channel": channel, "said": _retried(asked)}
    table = [[each[name] for name in CHANNEL_COLUMNS] for each in summary]
    return WebPage("delivery.html", "Delivery", data, CHANNEL_COLUMNS, table, more)


def _latest(store: Store, state: str, channel: str) -> list[dict[str, Any]]:
    """The latest deliveries in a state and to a channel, or all for ''."""
    # the state stands in the text, so that the index of what is not sent is used
    conditions = [f"state = '{state}'"] if state in DELIVERY_STATES else []
    conditions += ["channel = ?"] if channel else []
    where = f"where {' and '.join(conditions)}" if conditions else ""
    return store.database.rows(
        "select latest.id, event, kind, severity, source, event.at, channel, state, attempts, last_status, reason,"  # noqa: S608 - constants
        f" next_try, sent from (select *, rowid as place from alert {where} order by rowid desc limit ?) as latest"
        " join event on event.id = latest.event order by place desc",
        *([channel] if channel else []),
        PAGE,
    )


def _retried(asked: Asked) -> str:
    number = asked.query.get("retried", "")
    return f"{int(number[:9]):,} alerts are tried again at once" if number.isdecimal() else ""


def _channels(console: Console) -> list[dict[str, Any]]:
    database = console.reading().database
    rows = database.rows("select channel, state, count(*) as n, max(sent) as sent from alert group by channel, state")
    declared = {each.name: each for each in console.given.channels}
    found = []
    for name in [*declared, *sorted({row["channel"] for row in rows} - set(declared))]:
        mine = {row["state"]: row for row in rows if row["channel"] == name}
        last = database.first_row(
            "select last_status, reason from alert where channel = ? and attempts > 0 order by rowid desc limit 1", name
        )
        known = declared.get(name)
        found.append(
            {
                "channel": name,
                "label": name if name != NO_CHANNEL else "no channel yet",
                "kind": known.kind if known else "not declared any more" if name else "waits for the first channel",
                "address": defang(known.address) if known else "",
                **{state: mine[state]["n"] if state in mine else 0 for state in DELIVERY_STATES},
                "last_sent": mine["sent"]["sent"] if "sent" in mine else None,
                "last_status": last["last_status"] if last else None,
                "last_reason": last["reason"] if last else "",
            }
        )
    return found


async def retry(console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]) -> str:
    """Make deferred and refused alerts due at once; the daemon sends them."""
    del path
    ids = [value for name, value in fields if name == "alert"]
    if any(len(each) < 8 for each in ids):
        raise InputError("that is no alert; nothing was changed", hint="choose alerts in the list")

    def work() -> int:
        with contextlib.closing(console.writing()) as store:
            now = datetime.now(UTC)
            with store.together():
                count = store.outbox.retry(ids or None, now)
                store.audit.record(person.name, "retried", f"{count} alerts", now)
            return count

    return f"/delivery?retried={await run_in_threadpool(work)}"


def about(asked: Asked) -> WebPage:
    """This monitor."""
    console, store = asked.console, asked.store
    tests = [
        {"test": name, "at": at.isoformat(timespec="seconds"), "passed": passed}
        for name, (at, passed) in sorted(store.selftests.latest().items())
    ]
    status = console.status()
    tor_sources = sum(each["via"] == "tor" and each["state"] != "disabled" for each in status["sources"])
    tor_down = next((each.began for each in store.states.lasting() if each.kind.value == "tor_down"), None)
    data = {
        "versions": {
            "tocsin": console.given.version,
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "system": f"{platform.system()} {platform.release()}",
        },
        "walls": {"console": console.given.walls, "key": _key_text(console)},
        "tor": {"sources": tor_sources, "down_since": tor_down},
        "daemon": {"state": status["daemon"], "heartbeat_age_seconds": status["heartbeat_age_seconds"]},
        "selftests": tests,
        "head": status["head"],
        "case": console.given.case,
        "origins": list(console.origins),
    }
    people = access.granted(store, asked.now) if asked.person.role.may(Role.ADMIN) else []
    more = {"people": people, "roles": [each.value for each in Role], "made": None, "checks": None, "said": ""}
    table: list[list[Any]] = [[each[name] for name in SELFTEST_COLUMNS] for each in tests]
    return WebPage("about.html", "About this monitor", data, SELFTEST_COLUMNS, table, more)


def _key_text(console: Console) -> str:
    """Whether this process could open the match key; it must not."""
    try:
        console.home.match_key_path.open("rb").close()
    except PermissionError:
        return "closed to this process"
    except FileNotFoundError:
        return "not kept in the home"
    return "this process could open it: the kernel does not confine it"


async def check(
    console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]
) -> WebPage:
    """Check this installation, as `tocsin doctor` does."""
    del fields, path
    await run_in_threadpool(console.record, person, "checked installation", "")
    answer = await console.broker.ask("doctor")
    return await run_in_threadpool(_about_with, console, person, checks=answer["result"]["checks"])


async def invite(
    console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]
) -> WebPage:
    """Make a sign-in link for a person, which is shown once."""
    del path
    given = dict(fields)
    if given.get("role") not in list(Role):
        raise InputError("that is no role", hint="choose view, triage or admin")

    def work() -> str:
        with contextlib.closing(console.writing()) as store:
            role = Role(given["role"])
            return access.grant(store, given.get("name", ""), role, Credential.LINK, person.name, datetime.now(UTC))

    secret = await run_in_threadpool(work)
    made = {"name": given.get("name", ""), "role": given["role"], "link": f"{console.origins[0]}/sign-in?link={secret}"}
    return await run_in_threadpool(_about_with, console, person, made=made)


async def revoke(
    console: Console, person: Person, fields: Sequence[tuple[str, str]], path: Mapping[str, str]
) -> WebPage | str:
    """Revoke all that a person has."""
    del path
    name = dict(fields).get("name", "")

    def work() -> int:
        with contextlib.closing(console.writing()) as store:
            now = datetime.now(UTC)
            access.require_granted(store, name, now)
            return access.revoke(store, name, person.name, now)

    await run_in_threadpool(work)
    return "/about" if name != person.name else "/sign-in"


def _about_with(console: Console, person: Person, **more: Any) -> WebPage:
    page = about(Asked(console, console.reading(), person, {}, {}, datetime.now(UTC)))
    return WebPage(page.template, page.title, page.data, page.columns, page.rows, {**page.more, **more})
