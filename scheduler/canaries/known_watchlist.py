"""Compares the watch-list with what the store knows of it: a lost or older list is an error, not an empty list."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data.errors import ConfigError, StoreError, StoreFull
from data.plural import counted
from data.settings.home import Home
from data.store.expected_sets import WatchlistCounts, latest_watchlist_counts
from data.watchlist.manifest import imported_bundles
from scheduler.crawls.known_releases import check_releases

if TYPE_CHECKING:
    from crawler.process.examiner_client import ExaminerProcess
    from data.settings.settings import Settings
    from data.store.store import Store


FOUND = "found"
"""The actor of an entry about a change that was not recorded when it was made."""

OTHER_DATABASE = "history of this home"
OTHER_DATABASE_REASON = (
    "the database is a new one, although this home was in use: what was seen, alerted and decided before is not known to it;"
    " restore tocsin.db from a backup, or go on with this one (if nothing was seen before, nothing is lost)"
)


def check_watchlist(home: Home, *, changing: bool = False) -> WatchlistCounts:
    """What the watch-list of a home holds, after checking that it has lost nothing.

    If the store has no record of bundles on the list, they are recorded now. Unless an earlier version made it, the channels
    are told that it is not the database of this home: without a word, what was seen and decided would be forgotten.

    Args:
        home: to check.
        changing: the list or the store is about to be changed, after which nobody could see that any more; a store is made for it.

    Raises:
        StoreError: the watch-list is damaged, or lacks bundles or retirements that the store knows.
    """
    counts = WatchlistCounts.of(imported_bundles(home.watchlist_dir))
    known = latest_watchlist_counts(home.db_path)
    if known is None:
        if counts.bundles and (changing or home.db_path.exists()):
            from data.store.store import Store

            with contextlib.closing(Store.open(home.db_path)) as store:
                # an earlier version imported bundles without recording them
                if not store.was_upgraded:
                    report_other_database(store, home.settings(), datetime.now(UTC))
            record_watchlist(home, FOUND)
        return counts
    if counts.bundles < known.bundles or counts.retired < known.retired:
        held = counted(counts.bundles, "bundle") if counts.bundles else "none"
        raise StoreError(
            f"the watch-list is lost or older than it was: {counted(known.bundles, 'bundle')} with "
            f"{counted(known.canaries, 'active canary', 'active canaries')} were imported,"
            f" and {home.watchlist_dir} holds {held} of them, {counts.retired:,} retired",
            hint="restore watchlist/ from a backup, or import all bundles again:  tocsin canary import --anew BUNDLE…",
        )
    if counts != known:
        # an import or retirement was killed after it had changed the list
        record_watchlist(home, FOUND)
    return counts


def report_other_database(store: Store, settings: Settings, now: datetime) -> None:
    """Store the alert that a home has a database without the home's history; the same day, only once."""
    from crawler.alerts.events import build_event
    from data.model import EventKind, Severity
    from scheduler.delivery.routing import route_by

    facts = {"subject": OTHER_DATABASE, "reason": OTHER_DATABASE_REASON, "once": True}
    event = build_event(
        EventKind.SELFTEST_FAILED,
        now,
        OTHER_DATABASE,
        now.date().isoformat(),
        severity=Severity.CRITICAL,
        facts=facts,
    )
    store.events.add([event], route_by(settings), now)


def watchlist_faults(home: Home) -> list[str]:
    """The sentence of the error that `check_watchlist` raises, if it raises one."""
    try:
        check_watchlist(home)
    except (StoreError, ConfigError) as error:
        return [str(error)]
    return []


def record_watchlist(home: Home, actor: str = "operator") -> None:
    """Record in the store what the watch-list of a home holds now, unless that is recorded already.

    Raises:
        StoreError: the store cannot be written; the next command that examines samples records it.
    """
    from data.store.store import Store
    from scheduler.crawls.keyed_store import open_operator_store

    counts = WatchlistCounts.of(imported_bundles(home.watchlist_dir))
    if counts == latest_watchlist_counts(home.db_path):
        return
    # a process that only found the change may be the daemon, which must not load the match key
    store_of_actor = Store.open(home.db_path) if actor == FOUND else open_operator_store(home)
    with contextlib.closing(store_of_actor) as store:
        store.watchlist_history.record(actor, counts, datetime.now(UTC))


@contextlib.contextmanager
def after_change(then: str) -> Iterator[None]:
    """Say in an error of the store that the watch-list was changed before it; `then` is what a person does once it is mended."""
    try:
        yield
    except StoreError as error:
        first = "free some space" if isinstance(error, StoreFull) else error.hint
        raise type(error)(
            f"the watch-list was changed, but the database was not: {error}", hint=f"{first}; then {then}"
        ) from error


def start_examiner(
    home: Home, *, report: Callable[[str], None] | None = None, storing: bool = False
) -> ExaminerProcess:
    """Start the examiner of a home, after `check_watchlist` and `check_releases`; errors are those of all three.

    Args:
        home: to check.
        report: gets a sentence about what takes a while.
        storing: what is examined will be stored, which makes a store if there is none.
    """
    from crawler.process.examiner_client import ExaminerProcess

    check_watchlist(home, changing=storing)
    check_releases(home)
    return ExaminerProcess.start(home, report=report)
