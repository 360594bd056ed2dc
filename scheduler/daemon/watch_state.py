"""What is watched and how well: the object that `status --json` prints, the console shows and the metrics count."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from data.case.incidents import read_incidents, tied_sources
from data.errors import ConfigError, SourceError
from data.model import EventKind
from data.plural import counted
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition import Definition
from data.sources.source_files import load_sources
from data.store.future_times import TOLERANCE
from data.store.selftests import EXAMINER_SELFTEST, HEARTBEAT, HEARTBEAT_EVERY, SELFTEST_EVERY
from data.store.sources import SourceState
from data.store.store import Store
from scheduler.crawls.definitions import complete_definition, why_alone
from scheduler.daemon.cadence import next_crawl_at
from scheduler.daemon.intervals import interval_of, request_price
from scheduler.reports.linked_lines import linked_summary

# An alert that waits for longer has met a channel or a daemon that does not work.
MAX_WAIT = timedelta(minutes=2)
# A source is overdue once it is late by its interval, but not for less than this.
MIN_LATE = timedelta(minutes=2)
# The daemon is stuck once it has not stored its progress so many times.
MISSED_BEATS = 4
# A source with such a lasting state is crawled, or tried, but what it publishes is not seen.
BLINDING = frozenset({EventKind.SOURCE_SILENT, EventKind.SOURCE_CHANGED})


def collect(home: Home) -> dict[str, Any]:
    """The object that `status --json` prints."""
    settings = home.settings()
    good, bad = load_sources(home.sources_dir)
    definitions = [complete_definition(source) for source in good]
    with contextlib.closing(Store.open(home.db_path)) as store:
        return status_of(
            store,
            definitions,
            bad,
            running=daemon_runs(home),
            tor=lambda: _tor(home, settings, definitions),
            now=datetime.now(UTC),
            tied=tied_if_learned(home, settings),
        )


def status_of(
    store: Store,
    definitions: Sequence[Definition],
    unusable: Sequence[SourceError],
    *,
    running: bool,
    tor: Callable[[], dict[str, Any]],
    now: datetime,
    tied: Collection[str] | None = None,
) -> dict[str, Any]:
    """What is watched and what is wrong, as the object that `status --json` prints.

    Args:
        store: of the home; it is only read.
        definitions: of all sources.
        unusable: why the other source files cannot be used.
        running: whether a daemon runs.
        tor: gives the state of Tor.
        now: aware UTC.
        tied: the sources that incidents name, if the cadence is learned; else None.
    """
    sources, problems = watched_sources(store, definitions, now, tied=tied)
    states = store.states.lasting()
    outbox, delivery = _outbox(store, now)
    events = store.events.latest(limit=1)
    tests = store.selftests.latest()
    problems = [*(str(error) for error in unusable), *problems]
    # no crawl of a disabled or removed source can end its states; the daemon has not read a file that cannot be used
    current = {"", *(each.name for each in definitions if each.enabled), *(Path(error.file).stem for error in unusable)}
    problems += [
        f"{each.kind.value} {each.source} {each.subject}".strip() + f", since {each.began:%F %R}"
        for each in states
        if each.source in current
    ]
    problems += delivery
    beat = tests.pop(HEARTBEAT, None)
    watched = any(each.enabled for each in definitions)
    problems += _daemon_problems(beat, now, running=running, watched=watched)
    selftest = selftest_state(tests, now)
    if selftest == "failed" and not any(each.subject == EXAMINER_SELFTEST for each in states):
        problems.append("the last self-test failed; run: tocsin doctor")
    if selftest == "unknown" and running and watched:
        problems.append("no self-test passed in the last two hours; run: tocsin doctor")
    over_tor = tor()
    if over_tor["state"] == "down" and not any(each.kind.value == "tor_down" for each in states):
        problems.append(f"Tor is down: {over_tor['reason']}")
    return {
        "sources": sources,
        "conditions": count_conditions(sources),
        "outbox": outbox,
        "selftest": selftest,
        "selftest_age_seconds": min(((now - at).total_seconds() for at, _ in tests.values()), default=None),
        "tor": over_tor,
        "daemon": "running" if running else "stopped",
        "head": str(store.head()),
        "heartbeat_age_seconds": None if beat is None else round((now - beat[0]).total_seconds(), 1),
        "last_event": None
        if not events
        else {"id": events[0].id, "kind": events[0].kind.value, "at": events[0].at, "source": events[0].source},
        "linked": linked_summary(store.sources.linked_hosts(), definitions),
        "problems": problems,
    }


Condition = Literal["fine", "late", "blind", "disabled"]


def count_conditions(sources: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many sources are `fine`, `late`, `blind` and `disabled`."""
    return {name: sum(each["condition"] == name for each in sources) for name in ("fine", "late", "blind", "disabled")}


def watched_sources(
    store: Store,
    definitions: Sequence[Definition],
    now: datetime,
    *,
    counts: bool = True,
    tied: Collection[str] | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The `sources` of `status --json`, and sentences about those that are not crawled in time.

    Args:
        store: of the home.
        definitions: of all sources.
        now: aware UTC.
        tied: the sources that incidents name, if the cadence is learned; else None.
        counts: without them, `posts` and `due_posts` are 0. Counting reads one entry of an index for each post.
    """
    known = {state.name: state for state in store.sources.states(counts=counts)}
    paces, troubles = store.sources.paces(), store.sources.last_troubles()
    unread, alone = store.sources.linked_files(), store.sources.all_alone()
    blind = {each.source for each in store.states.lasting() if each.kind in BLINDING}
    price = None if tied is None else request_price(definitions, paces, tied)
    deadlines = store.deadlines.nearest(now)
    sources: list[dict[str, Any]] = []
    problems: list[str] = []
    for definition in definitions:
        state, pace = known.get(definition.name), paces.get(definition.name)
        last = state.last_success if state else None
        due = next_crawl_at(
            definition.name,
            interval_of(definition, pace, price, tied=tied is not None and definition.name in tied),
            last_start=state.last_start if state else None, last_success=last,
            failures=state.failures if state else 0, now=now, handed=state.handed if state else None,
            deadline=deadlines.get(definition.name),
        )  # fmt: skip
        late = _source_problems(definition, state, due, now) if definition.enabled else []
        problems += late
        sources.append(
            {
                "name": definition.name,
                "platform": definition.platform,
                "via": definition.via,
                "condition": _condition(definition, state, blind=definition.name in blind, late=bool(late)),
                "last_success": last,
                "age_seconds": None if last is None else round((now - last).total_seconds(), 1),
                "state": "disabled" if not definition.enabled else state.state if state else "new",
                "failures": state.failures if state else 0,
                "alone": why_alone(definition, alone.get(definition.name, "")),
                "next_due": due if definition.enabled else None,
                "posts": state.posts if state else 0,
                "posts_per_day": None if pace is None else round(pace.usual, 2),
                "listing_rows": None if pace is None else pace.rows,
                "due_posts": state.due if state else 0,
                "error": state.error if state else "",
                "last_trouble": troubles.get(definition.name),
                "linked_posts": unread.get(definition.name, (0, 0))[0],
                "linked_files": unread.get(definition.name, (0, 0))[1],
            }
        )
    return sources, problems


def _condition(definition: Definition, state: SourceState | None, *, blind: bool, late: bool) -> Condition:
    """`blind`: what it publishes is not seen. `late`: not read as soon as it should be, or not at the last try."""
    if not definition.enabled:
        return "disabled"
    if blind:
        return "blind"
    return "late" if late or state is None or state.failures or state.last_success is None else "fine"


def _outbox(store: Store, now: datetime) -> tuple[dict[str, Any], list[str]]:
    """The `outbox` of `status --json`, and sentences about alerts that do not reach their channel."""
    depth, waiting_since, problems = store.outbox.depth(), store.outbox.waiting_since(), []
    if depth.refused:
        problems.append(
            f"{counted(depth.refused, 'alert')} refused by the channel; see: tocsin alert list --state refused"
        )
    if waiting_since is not None and now - waiting_since > MAX_WAIT:
        problems.append(
            f"{counted(depth.waiting, 'alert')} not delivered yet, the oldest for {span_text((now - waiting_since).total_seconds())};"
            " see: tocsin alert list --state deferred"
        )
    outbox = {
        "depth": depth.waiting,
        "held": depth.held,
        "refused": depth.refused,
        "oldest_age_seconds": None if depth.oldest is None else round((now - depth.oldest).total_seconds(), 1),
    }
    return outbox, problems


def _tor(home: Home, settings: Settings, definitions: Sequence[Definition]) -> dict[str, Any]:
    """The state of Tor; its libraries are loaded only if an enabled source needs it."""
    if not any(each.via == "tor" and each.enabled for each in definitions):
        return {"state": "unused"}
    from scheduler.reports.tor_report import report

    return report(home, settings, definitions)


def selftest_state(tests: dict[str, tuple[datetime, bool]], now: datetime) -> str:
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
    return [f"{name} is overdue: it should have been crawled {span_text(late.total_seconds())} ago"]


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
        return [f"no daemon runs, so that no source is watched; it last made progress {span_text(age)} ago"]
    if abs(age) > MISSED_BEATS * HEARTBEAT_EVERY.total_seconds():
        return [f"the daemon runs, but has made no progress for {span_text(abs(age))}; look at its log, restart it"]
    return [] if passed else ["a part of the daemon's work fails or takes too long; look at its log"]


def daemon_trouble(home: Home) -> str:
    """Why no daemon makes progress, one sentence; '' if one does. What else may be wrong does not matter."""
    if not daemon_runs(home):
        return "no daemon runs"
    with contextlib.closing(Store.open(home.db_path)) as store:
        beat = store.selftests.latest().get(HEARTBEAT)
    if beat is None:
        return "the daemon starts"
    return "".join(_daemon_problems((beat[0], True), datetime.now(UTC), running=True, watched=True))


def tied_if_learned(home: Home, settings: Settings | None = None) -> frozenset[str] | None:
    """The sources that incidents name, if the cadence is learned; else, or if the files cannot be read, None."""
    try:
        settings = settings or home.settings()
        return tied_sources(read_incidents(home.path)) if settings.daemon.cadence == "learned" else None
    except ConfigError:
        return None


def daemon_runs(home: Home) -> bool:
    """Whether a daemon holds this home's lock."""
    path = home.path / "daemon.lock"
    if not path.exists():
        return False
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def span_text(seconds: float) -> str:
    """A length of time for people: `3 days`."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
