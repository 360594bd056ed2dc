"""`tocsin status`: which sources are watched, when each last worked, and which alerts wait."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from data.printable import without_controls
from scheduler.cli.common import console, emit_json, json_option, pass_home
from scheduler.reports.linked_lines import linked_files_line, linked_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType
    from rich.table import Table

    from data.settings.home import Home

# Seconds between two looks of `--watch`.
LOOK_EVERY = 2.0
# Lines of the screen that `--watch` leaves for what stands below the table.
BELOW = 10
_ORDER = ("blind", "late", "fine", "disabled")
_COLOURS = {"fine": "green", "blind": "bold red", "late": "yellow"}
# Public services that are named one by one.
_MAX_LINKED = 5
# What crawls did that their source has a process of its own since, and how many such sources are named.
_ALONE = {
    "crash": "its process crashed",
    "hang": "its crawl hung",
    "memory": "its crawl needed too much memory",
    "wall": "its crawl took too long",
    "size": "it had a large body",
}
_MAX_ALONE = 5


@click.command()
@json_option
@click.option("--watch", is_flag=True, help="Show it anew every two seconds, the worst sources first, until Ctrl-C.")
@click.option("--alive", is_flag=True, help="Only whether a daemon runs and makes progress; exit status 2 if not.")
@pass_home
def status(home: Home, as_json: bool, watch: bool, alive: bool) -> int:
    """Show when each source was last crawled successfully, the outbox, and what is wrong.

    A source is fine; or late: not read in time, or not at the last try; or blind: what it publishes is not seen.

    Exit status: 0 all is well, 2 something is wrong: a lasting state, a daemon that ended or is stuck, an overdue
    source, a self-test that failed or is old, alerts that wait or were refused.
    """
    from scheduler.daemon.watch_state import collect, daemon_trouble

    if alive:
        trouble = daemon_trouble(home)
        click.echo(trouble or "the daemon runs and makes progress")
        return 2 if trouble else 0
    if watch:
        return _watch(home, as_json=as_json)
    value = collect(home)
    if as_json:
        emit_json(value)
    else:
        out = console()
        out.print(_table(value["sources"]))
        for line in _lines(value):
            out.print(line)
    return 2 if value["problems"] else 0


def _watch(home: Home, *, as_json: bool) -> int:
    """Show the status anew until Ctrl-C; the exit status is that of the last look."""
    import contextlib
    import signal
    import threading

    from data.errors import InputError
    from scheduler.daemon.watch_state import collect

    if as_json or not sys.stdout.isatty():
        raise InputError(
            "--watch draws on a terminal; this is none" if not as_json else "--watch draws on a terminal, not JSON",
            hint="call tocsin status --json as often as you like",
        )
    from rich.console import Console, Group
    from rich.live import Live

    # standard output lets no sequence pass that moves the cursor; what is shown here has no control characters
    screen = Console(file=sys.__stdout__, highlight=False)
    if screen.is_dumb_terminal:
        raise InputError(
            "--watch draws on a terminal; this is none",
            hint="call tocsin status --json as often as you like",
        )
    value = collect(home)

    def look() -> RenderableType:
        sources = sorted(value["sources"], key=lambda each: (_ORDER.index(each["condition"]), each["name"]))
        room = max(3, screen.height - BELOW - min(len(value["problems"]), 8))
        more = [f"and {len(sources) - room:,} more sources"] if len(sources) > room else []
        return Group(_table(sources[:room]), *more, *_lines(value, most=8))

    ended = threading.Event()

    def end(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ended.set()

    # an exception of the first Ctrl-C could be lost, where Python ignores those of finalizers
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
    # pressed twice, it ends a look as well
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(look(), console=screen, screen=True, auto_refresh=False) as live,
    ):
        while not ended.wait(LOOK_EVERY):
            value = collect(home)
            live.update(look(), refresh=True)
    return 2 if value["problems"] else 0


def _table(sources: Sequence[dict[str, Any]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "source", "platform", "state", "last success", "next crawl", "posts/day", "posts", "due", "last trouble"
    )
    for source in sources:
        condition, state = source["condition"], source["state"]
        shown = condition if condition == state or state == "ok" else f"{condition}, {state}"
        rate, trouble = source["posts_per_day"], source["last_trouble"]
        table.add_row(
            source["name"], source["platform"], f"[{_COLOURS.get(condition, 'dim')}]{shown}[/]",
            _age_text(source["age_seconds"]), _time_text(source["next_due"]), "" if rate is None else rate_text(rate),
            str(source["posts"]), str(source["due_posts"]),
            escape(without_controls(f"{_time_text(trouble['at'])}: {trouble['reason']}")) if trouble else "",
        )  # fmt: skip
    return table


def rate_text(rate: float) -> str:
    """Posts per day as a person writes them: whole from 1,000 on, below with four significant digits."""
    return f"{rate:,.0f}" if rate >= 1000 else f"{rate:.4g}"


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


def _alone_lines(sources: Sequence[dict[str, Any]]) -> list[str]:
    """Which sources have a process of their own because of what their crawls did; what their files ask for is no news."""
    found: dict[str, list[str]] = {}
    for source in sources:
        if source["alone"] in _ALONE:
            found.setdefault(source["alone"], []).append(source["name"])
    return [
        f"in a process of {'its' if len(names) == 1 else 'their'} own until the source file changes, because {_ALONE[why]}:"
        f" {', '.join(names[:_MAX_ALONE])}"
        + (f" and {len(names) - _MAX_ALONE:,} more" if len(names) > _MAX_ALONE else "")
        for why, names in sorted(found.items())
    ]


def _lines(value: dict[str, Any], most: int | None = None) -> list[str]:
    """What stands below the table; at most so many problems."""
    from rich.markup import escape

    conditions = value["conditions"]
    outbox = value["outbox"]
    oldest = f", oldest {_age_text(outbox['oldest_age_seconds'])}" if outbox["depth"] or outbox["refused"] else ""
    held = f" ({outbox['held']} of them for the end of quiet hours)" if outbox["held"] else ""
    last = value["last_event"]
    lines = [
        f"sources: {conditions['fine']} fine, {conditions['late']} late, {conditions['blind']} blind",
        f"outbox: {outbox['depth']} waiting{held}, {outbox['refused']} refused{oldest}",
        f"last event: {last['kind']} {last['source']} at {_time_text(last['at'])}" if last else "no event yet",
    ]
    lines += _alone_lines(value["sources"])
    lines += [
        f"{source['name']}: {linked_files_line(source['linked_posts'], source['linked_files'])}"
        for source in value["sources"]
        if source["linked_files"]
    ]
    lines += linked_lines(value["linked"]["services"], value["linked"]["others"])[: _MAX_LINKED + 1]
    if value["tor"]["state"] != "unused":
        lines.append(_tor_line(value["tor"]))
    lines.append(
        f"daemon: {value['daemon']}; self-test: {value['selftest']}, {_age_text(value['selftest_age_seconds'])}"
    )
    lines.append(f"record: {value['head']}; tocsin evidence verify --head checks it later")
    problems = value["problems"]
    shown = problems if most is None or len(problems) <= most else problems[:most]
    lines = [escape(without_controls(line)) for line in lines]
    lines += [f"[bold yellow]![/] {escape(without_controls(problem))}" for problem in shown]
    return [*lines, *([f"and {len(problems) - len(shown)} more problems"] if len(shown) < len(problems) else [])]
