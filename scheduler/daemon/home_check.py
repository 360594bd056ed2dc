"""Checks the files of a home while the daemon runs: what it has read once may be damaged before it is needed again.

The examiner's self-test checks the keys, the watch-list and the releases, `scheduler.daemon.record_watch` the evidence.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from data.case import evidence
from data.case.incidents import read_incidents, read_rule_files
from data.durable_files import read_file
from data.errors import StoreError, TocsinError
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.source_files import load_sources
from data.store.store import Store
from scheduler.delivery.lasting_states import update_fault_state
from scheduler.delivery.routing import route_by

SUBJECT = "home"
# Seconds for the check of the database. One of 100,000 events takes some seconds.
DATABASE_SECONDS = 300.0


def home_faults(home: Home, stopping: Callable[[], bool] = lambda: False) -> list[str]:
    """What is wrong with settings, sources, incidents, rules, the folder of evidence and the database, as sentences.

    Args:
        home: to check.
        stopping: is asked now and then whether nobody waits for the result any more.
    """
    found: list[str] = []
    checks: dict[str, Callable[[Home], Iterator[str]]] = {
        **_CHECKS,
        "tocsin.db": functools.partial(_database_faults, stopping=stopping),
    }
    for name, check in checks.items():
        try:
            found += check(home)
        except TocsinError as error:
            found.append(str(error))
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}")
    return found


async def check_home(home: Home, settings: Settings, store: Store, now: datetime) -> list[str]:
    """What is wrong with the files of the home, one sentence each; begins or ends the state that says so.

    Raises:
        StoreError: the database cannot be read or written.
    """
    stopped = threading.Event()
    try:
        # SQLite checks the database without the interpreter's lock, so that the loop goes on
        found = await asyncio.to_thread(home_faults, home, stopped.is_set)
    finally:
        # the daemon's stop does not wait for the check
        stopped.set()
    update_fault_state(store, SUBJECT, found, route_by(settings), now)
    return found


def _settings_faults(home: Home) -> Iterator[str]:
    home.settings()
    yield from ()


def _source_faults(home: Home) -> Iterator[str]:
    yield from (str(error) for error in load_sources(home.sources_dir)[1])


def _rule_faults(home: Home) -> Iterator[str]:
    for incident in read_incidents(home.path):
        yield from read_rule_files(home.path, incident)[1].values()


def _evidence_faults(home: Home) -> Iterator[str]:
    if home.evidence_key_path.is_file():
        evidence.seal(read_file(home.evidence_key_path).decode(errors="replace").strip(), b"trial")
    evidence.try_folder(home.evidence_dir)
    yield from ()


def _database_faults(home: Home, stopping: Callable[[], bool]) -> Iterator[str]:
    end = time.monotonic() + DATABASE_SECONDS
    with contextlib.closing(Store.open(home.db_path)) as store:
        try:
            damage = store.database.integrity_problems(lambda: stopping() or time.monotonic() > end)
        except StoreError:
            if time.monotonic() <= end:
                raise
            yield f"the check of tocsin.db did not end within {DATABASE_SECONDS:g} s: run tocsin doctor"
            return
    if damage:
        yield f"tocsin.db is damaged in {len(damage)} places or more; restore it from a backup"


_CHECKS: dict[str, Callable[[Home], Iterator[str]]] = {
    "tocsin.toml": _settings_faults,
    "sources": _source_faults,
    "incidents.toml": _rule_faults,
    "evidence": _evidence_faults,
}
