"""`tocsin status`: which sources are watched, when each last worked, and which alerts wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.common import console, emit_json, json_option, pass_home

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from data.settings.home import Home
    from data.settings.settings import Settings
    from data.sources.definition import Definition


@click.command()
@json_option
@pass_home
def status(home: Home, as_json: bool) -> int:
    """Show when each source was last crawled successfully, the outbox, and what is wrong.

    Exit status 2 if anything is wrong.
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
    problems += [
        f"{each.kind.value} {each.source} {each.subject}".strip() + f", since {each.began:%F %R}" for each in states
    ]
    if depth.refused:
        problems.append(f"{depth.refused} alerts were refused by their channel; see: tocsin alert list --state refused")
    running = _daemon_runs(home)
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
        "selftest": _selftest(tests, now),
        "selftest_age_seconds": min(((now - at).total_seconds() for at, _ in tests.values()), default=None),
        "tor": tor,
        "daemon": "running" if running else "stopped",
        "head": head,
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
    from scheduler.delivery.lasting_states import SELFTEST_EVERY

    if any(not passed for _, passed in tests.values()):
        return "failed"
    return "ok" if any(now - at < 2 * SELFTEST_EVERY for at, _ in tests.values()) else "unknown"


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
