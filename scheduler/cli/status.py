"""`tocsin status`: which sources are watched, when each last worked, and which alerts wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from data.store.future_times import TOLERANCE
from data.store.selftests import EXAMINER_SELFTEST, HEARTBEAT, HEARTBEAT_EVERY, SELFTEST_EVERY
from scheduler.cli.common import console, emit_json, json_option, pass_home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from data.settings.home import Home
    from data.settings.settings import Settings
    from data.sources.definition import Definition
    from data.store.sources import SourceState

# An alert that waits for longer has met a channel or a daemon that does not work.
MAX_WAIT = timedelta(minutes=2)
# A source is overdue once it is late by its interval, but not for less than this.
MIN_LATE = timedelta(minutes=2)
# The daemon is stuck once it has not stored its progress so many times.
MISSED_BEATS = 4


@click.command()
@json_option
@pass_home
def status(home: Home, as_json: bool) -> int:
    """Show when each source was last crawled successfully, the outbox, and what is wrong.

    Exit status: 0 all is well, 2 something is wrong: a lasting state, a daemon that ended or is stuck, an overdue
    source, a self-test that failed or is old, alerts that wait or were refused.
    """
    value = collect(home)
    if as_json:
        emit_json(value)
    else:
        _show(value)
    return 2 if value["problems"] else 0


def collect(home: Home) -> dict[str, Any]:
    """The object that `status --json` prints."""
    import contextlib
    from datetime import UTC, datetime

    from data.sources.source_files import load_sources
    from data.store.store import Store
    from scheduler.crawls.definitions import complete_definition
    from scheduler.daemon.cadence import next_crawl_at

    settings = home.settings()
    now = datetime.now(UTC)
    good, bad = load_sources(home.sources_dir)
    problems = [str(error) for error in bad]
    with contextlib.closing(Store.open(home.db_path)) as store:
        known = {state.name: state for state in store.sources.states()}
        states = store.states.lasting()
        depth = store.outbox.depth()
        events = store.events.latest(limit=1)
        tests = store.selftests.latest()
        head = str(store.head())
        waiting_since = store.outbox.waiting_since()
        near = {name: store.deadlines.nearest(name, now) for name in known}
    sources = []
    definitions = [complete_definition(source) for source in good]
    for definition in definitions:
        state = known.get(definition.name)
        last = state.last_success if state else None
        due = next_crawl_at(
            definition.name, definition.every, last_start=state.last_start if state else None, last_success=last,
            failures=state.failures if state else 0, now=now,
            handed=state.handed if state else None, deadline=near.get(definition.name),
        )  # fmt: skip
        sources.append(
            {
                "name": definition.name,
                "platform": definition.platform,
                "via": definition.via,
                "last_success": last,
                "age_seconds": None if last is None else round((now - last).total_seconds(), 1),
                "state": "disabled" if not definition.enabled else state.state if state else "new",
                "failures": state.failures if state else 0,
                "next_due": due if definition.enabled else None,
                "posts": state.posts if state else 0,
                "due_posts": state.due if state else 0,
                "error": state.error if state else "",
            }
        )
        if definition.enabled:
            problems += _source_problems(definition, state, due, now)
    problems += [
        f"{each.kind.value} {each.source} {each.subject}".strip() + f", since {each.began:%F %R}" for each in states
    ]
    if depth.refused:
        problems.append(
            f"{counted(depth.refused, 'alert')} refused by the channel; see: tocsin alert list --state refused"
        )
    if waiting_since is not None and now - waiting_since > MAX_WAIT:
        problems.append(
            f"{counted(depth.waiting, 'alert')} not delivered yet, the oldest for {_span_text((now - waiting_since).total_seconds())};"
            " see: tocsin alert list --state deferred"
        )
    running = _daemon_runs(home)
    beat = tests.pop(HEARTBEAT, None)
    watched = any(each.enabled for each in definitions)
    problems += _daemon_problems(beat, now, running=running, watched=watched)
    selftest = _selftest(tests, now)
    if selftest == "failed" and not any(each.subject == EXAMINER_SELFTEST for each in states):
        problems.append("the last self-test failed; run: tocsin doctor")
    if selftest == "unknown" and running and watched:
        problems.append("no self-test passed in the last two hours; run: tocsin doctor")
    tor = _tor(home, settings, definitions)
    if tor["state"] == "down" and not any(each.kind.value == "tor_down" for each in states):
        problems.append(f"Tor is down: {tor['reason']}")
    return {
        "sources": sources,
        "outbox": {
            "depth": depth.waiting,
            "refused": depth.refused,
            "oldest_age_seconds": None if depth.oldest is None else round((now - depth.oldest).total_seconds(), 1),
        },
        "selftest": selftest,
        "selftest_age_seconds": min(((now - at).total_seconds() for at, _ in tests.values()), default=None),
        "tor": tor,
        "daemon": "running" if running else "stopped",
        "head": head,
        "heartbeat_age_seconds": None if beat is None else round((now - beat[0]).total_seconds(), 1),
        "last_event": None
        if not events
        else {"id": events[0].id, "kind": events[0].kind.value, "at": events[0].at, "source": events[0].source},
        "problems": problems,
    }


def _tor(home: Home, settings: Settings, definitions: Sequence[Definition]) -> dict[str, Any]:
    """The state of Tor; its libraries are loaded only if an enabled source needs it."""
    if not any(each.via == "tor" and each.enabled for each in definitions):
        return {"state": "unused"}
    from scheduler.reports.tor_report import report

    return report(home, settings, definitions)


def _selftest(tests: dict[str, tuple[datetime, bool]], now: datetime) -> str:
    """`ok`, `failed`, or `unknown` if the last self-test is more than two intervals old."""
    if any(not passed for _, passed in tests.values()):
        return "failed"
    # A test that passed in the future shows nothing: a clock was ahead.
    ok = any(-TOLERANCE < now - at < 2 * SELFTEST_EVERY for at, _ in tests.values())
    return "ok" if ok else "unknown"


def _source_problems(definition: Definition, state: SourceState | None, due: datetime, now: datetime) -> Sequence[str]:
    """What is wrong with the times at which an enabled source is crawled."""
    name = definition.name
    if state is None:
        return [f"{name} is not watched: the daemon has not read its file; restart the daemon, or send it SIGHUP"]
    if state.last_start is not None and state.last_start > now + TOLERANCE:
        return [
            f"{name} was crawled in the future, at {state.last_start:%F %R} UTC, because the clock of this machine was ahead; the daemon repairs that when it starts"
        ]
    if state.last_start is None or state.running:
        return []
    # Crawls wait for each other, and one that is a little late is no fault.
    late = now - due
    if late <= max(definition.every, MIN_LATE):
        return []
    return [f"{name} is overdue: it should have been crawled {_span_text(late.total_seconds())} ago"]


def _daemon_problems(
    beat: tuple[datetime, bool] | None, now: datetime, *, running: bool, watched: bool
) -> Sequence[str]:
    """What is wrong with the daemon.

    Args:
        beat: when it last stored that it makes progress, and whether all of its work succeeded; None if no daemon of
            this home ever did.
        now: aware UTC.
        running: whether a daemon process runs.
        watched: whether any source is enabled.
    """
    if beat is None:
        # No daemon was ever used here, or it starts right now: sources that are due are reported as overdue.
        return []
    at, passed = beat
    age = (now - at).total_seconds()
    if not running:
        if not watched:
            return []
        return [f"no daemon runs, so that no source is watched; it last made progress {_span_text(age)} ago"]
    if abs(age) > MISSED_BEATS * HEARTBEAT_EVERY.total_seconds():
        return [f"the daemon runs, but has made no progress for {_span_text(abs(age))}; look at its log, restart it"]
    return [] if passed else ["a part of the daemon's work fails or takes too long; look at its log"]


def _daemon_runs(home: Home) -> bool:
    """Whether a daemon holds this home's lock."""
    import fcntl

    path = home.path / "daemon.lock"
    if not path.exists():
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _span_text(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _age_text(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _time_text(at: datetime | None) -> str:
    return "" if at is None else f"{at:%F %R} UTC"


def _tor_line(tor: dict[str, Any]) -> str:
    version = f" {tor['version']}" if tor["version"] else ""
    progress = f", {tor['progress']} % connected to its network" if tor["state"] == "connecting" else ""
    circuits = "".join(f", {name} {number}" for name, number in tor["circuits"].items())
    reason = f": {tor['reason']}" if tor["reason"] else ""
    warnings = "".join(f"; {warning}" for warning in tor["warnings"])
    return (
        f"Tor{version} ({tor['mode']}, {tor['socks']}): {tor['state']}{reason}{progress}"
        + (f"; circuits{circuits.replace(',', ':', 1)}" if circuits else "")
        + warnings
    )


def _show(value: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console()
    table = Table("source", "platform", "state", "last success", "next crawl", "posts", "posts due", "last error")
    for source in value["sources"]:
        state = source["state"]
        colour = {"ok": "green", "failing": "bold red", "running": "cyan"}.get(state, "dim")
        table.add_row(
            source["name"], source["platform"], f"[{colour}]{state}[/]", _age_text(source["age_seconds"]),
            _time_text(source["next_due"]), str(source["posts"]), str(source["due_posts"]), escape(source["error"]),
        )  # fmt: skip
    out.print(table)
    outbox = value["outbox"]
    oldest = f", oldest {_age_text(outbox['oldest_age_seconds'])}" if outbox["depth"] or outbox["refused"] else ""
    out.print(f"outbox: {outbox['depth']} waiting, {outbox['refused']} refused{oldest}")
    last = value["last_event"]
    out.print(f"last event: {last['kind']} {last['source']} at {_time_text(last['at'])}" if last else "no event yet")
    tested = value["selftest_age_seconds"]
    if value["tor"]["state"] != "unused":
        out.print(escape(_tor_line(value["tor"])))
    out.print(f"daemon: {value['daemon']}; self-test: {value['selftest']}, {_age_text(tested)}")
    out.print(f"record: {value['head']}; tocsin evidence verify --head checks it later")
    for problem in value["problems"]:
        out.print(f"[bold yellow]![/] {escape(problem)}")
