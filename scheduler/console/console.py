"""What all requests of the console share: the home without its keys, the store, the source files and the settings."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import structlog

from data.case.incidents import read_incidents
from data.errors import ConfigError, SourceError, TocsinError
from data.model import Incident
from data.settings.home import Home
from data.sources.definition import Definition
from data.sources.source_files import load_source, load_sources
from data.store.store import Store
from scheduler.console.access import Person
from scheduler.console.broker_client import BrokerClient
from scheduler.crawls.definitions import complete_definition
from scheduler.daemon.watch_state import daemon_runs, status_of, tied_if_learned
from scheduler.delivery.delivery import DisplayNames
from scheduler.reports.open_events import EventFigures
from scheduler.reports.source_coverage import Looks

T = TypeVar("T")
# What several people look at is worked out once in so many seconds.
KEPT_SECONDS = 2.0
# Files are looked at again after so many seconds.
FILES_SECONDS = 5.0
# What is older than this is not shown any more.
STALE_SECONDS = 60.0
# Seconds after which a value is worked out anew beside the page for which it was asked.
RENEW_AFTER = 0.15
CHANGED_BY_DECISIONS = ("incidents open", "aware", "channels", "definitions", "status")
_log = structlog.get_logger("console")


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A channel as the console knows it: `address` is masked."""

    name: str
    kind: str
    address: str


@dataclass(frozen=True, slots=True)
class Given:
    """What the starting process tells the console of the settings, which hold secrets and stay with it.

    Attributes:
        case: name of the case. channels: where alerts go. walls: how this process is confined. version: of Tocsin.
        term: name of the first thing that the law asks for, and its seconds after having become aware; `""` for none.
    """

    case: str
    channels: tuple[KnownChannel, ...]
    version: str
    walls: str = ""
    term: tuple[str, float] = ("", 0.0)


@dataclass(slots=True)
class Kept:
    """A value that was worked out at a time of `time.monotonic`."""

    at: float
    value: Any


@dataclass(slots=True)
class Console:
    """Shared by all requests; views run in threads, each with a handle of the database of its own.

    Attributes:
        figures, looks, crawled: what was read of events, of an incident's crawls, and of a source's last crawls, and need
            not be read again.
    """

    home: Home
    given: Given
    origins: tuple[str, ...]
    broker: BrokerClient
    figures: dict[str, EventFigures] = field(default_factory=dict)
    crawled: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, dict[str, Looks]] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)
    _kept: dict[str, Kept] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _renewing: set[str] = field(default_factory=set)
    _decisions: int = 0
    _files: dict[str, tuple[tuple[int, int, int], Definition | SourceError]] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def reading(self) -> Store:
        """The database, for reading alone; one handle for each thread."""
        if not hasattr(self._local, "store"):
            self._local.store = Store.open_read_only(self.home.db_path)
        store: Store = self._local.store
        return store

    def writing(self) -> Store:
        """The database for one decision; the caller closes it."""
        return Store.open(self.home.db_path)

    def record(self, person: Person, action: str, detail: str) -> None:
        """Record in the audit chain what a person asked for that changes nothing in the database by itself."""
        with contextlib.closing(self.writing()) as store:
            store.audit.record(person.name, action, detail, datetime.now(UTC))

    def kept(self, name: str, seconds: float, work: Callable[[], T]) -> T:
        """A value that is worked out at most once in so many seconds.

        One that is older, but not by more than `STALE_SECONDS`, is given once more and worked out anew beside that. Without
        any, the caller works it out, and others who ask meanwhile wait for it.
        """
        found = self._kept.get(name)
        age = time.monotonic() - found.at if found is not None else STALE_SECONDS
        if found is not None and age <= seconds:
            return cast("T", found.value)
        if found is not None and age < STALE_SECONDS:
            self._renew_beside(name, work)
            return cast("T", found.value)
        with self._lock_of(name):
            found = self._kept.get(name)
            if found is None or time.monotonic() - found.at > seconds:
                found = self._work_out(name, work)
            return cast("T", found.value)

    def prepare(self, name: str, work: Callable[[], object]) -> None:
        """Work a value out beside everything else, unless there is one that may still be shown: somebody will ask soon."""
        found = self._kept.get(name)
        if found is not None and time.monotonic() - found.at < STALE_SECONDS / 2:
            return
        self._renew_beside(name, work)

    def _work_out(self, name: str, work: Callable[[], object]) -> Kept:
        decisions, found = self._decisions, Kept(time.monotonic(), work())
        with self._guard:
            # what was read before a decision must not be shown after it
            if self._decisions == decisions or name not in CHANGED_BY_DECISIONS:
                self._kept[name] = found
        return found

    def _lock_of(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())

    def _renew_beside(self, name: str, work: Callable[[], object]) -> None:
        with self._guard:
            if name in self._renewing:
                return
            self._renewing.add(name)
        threading.Thread(target=self._renew, args=(name, work), daemon=True).start()

    def _renew(self, name: str, work: Callable[[], object]) -> None:
        """Work a value out anew; if that fails, the next one who asks meets the error."""
        # the page that is asked for now goes first: threads of one process share a processor
        time.sleep(RENEW_AFTER)
        with self._guard:
            self._renewing.discard(name)
        lock = self._lock_of(name)
        if not lock.acquire(blocking=False):
            return
        try:
            self._work_out(name, work)
        except TocsinError as error:
            _log.warning("a view could not be worked out anew", view=name, error=str(error))
            self._kept.pop(name, None)
        finally:
            self.close_reading()
            lock.release()

    def close_reading(self) -> None:
        """Close the handle of the database of this thread."""
        if hasattr(self._local, "store"):
            self._local.store.close()
            del self._local.store

    def forget(self) -> None:
        """Work out anew what a decision changes."""
        with self._guard:
            self._decisions += 1
            for name in CHANGED_BY_DECISIONS:
                self._kept.pop(name, None)

    def definitions(self) -> tuple[list[Definition], list[SourceError]]:
        """The sources of the home, and what is wrong with files that cannot be used; a changed file is read again."""
        return self.kept("definitions", FILES_SECONDS, self._read_sources)

    def _read_sources(self) -> tuple[list[Definition], list[SourceError]]:
        folder, files = self.home.sources_dir, {}
        try:
            paths = (path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
            # names are compared ten times as fast as paths
            for path in sorted(paths, key=lambda path: path.name):
                about = path.stat()
                files[path.name] = (about.st_mtime_ns, about.st_size, about.st_ino)
        except OSError as error:
            said = SourceError(f"cannot be read: {error.strerror}", file=folder.name, hint="run  tocsin doctor")
            return [], [said]
        if not self._files:
            # all at once, with the checks of the folder
            self._files = self._read_all(files)
        known = self._files
        self._files = {
            name: known[name] if name in known and known[name][0] == mark else (mark, self._read_one(name))
            for name, mark in files.items()
        }
        found = [each for _, each in self._files.values()]
        return (
            sorted((each for each in found if isinstance(each, Definition)), key=lambda each: each.name),
            [each for each in found if isinstance(each, SourceError)],
        )

    def _read_all(
        self, files: Mapping[str, tuple[int, int, int]]
    ) -> dict[str, tuple[tuple[int, int, int], Definition | SourceError]]:
        good, bad = load_sources(self.home.sources_dir)
        found: dict[str, tuple[tuple[int, int, int], Definition | SourceError]] = {}
        for source in good:
            if source.file in files:
                try:
                    found[source.file] = (files[source.file], complete_definition(source))
                except SourceError as error:
                    found[source.file] = (files[source.file], error)
        return found | {error.file: (files[error.file], error) for error in bad if error.file in files}

    def _read_one(self, name: str) -> Definition | SourceError:
        try:
            return complete_definition(load_source(self.home.sources_dir / name))
        except SourceError as error:
            return error

    def incidents(self) -> list[Incident]:
        """The incidents of the home; none if their file cannot be used, which the page about this monitor says."""
        try:
            return self.kept("incidents", FILES_SECONDS, lambda: read_incidents(self.home.path))
        except ConfigError:
            return []

    def names(self) -> DisplayNames:
        """Display names of clients and incidents."""
        return self.kept("names", FILES_SECONDS, lambda: DisplayNames.of_home(self.home))

    def status(self) -> dict[str, Any]:
        """What is watched and what is wrong, as `tocsin status --json` gives it, but for the state of Tor."""
        return self.kept("status", KEPT_SECONDS, self._status)

    def _status(self) -> dict[str, Any]:
        definitions, unusable = self.definitions()
        return status_of(
            self.reading(),
            definitions,
            unusable,
            running=daemon_runs(self.home),
            # lasting states say whether it is down; its ports are for the starting process to ask
            tor=lambda: {"state": "unused"},
            now=datetime.now(UTC),
            tied=tied_if_learned(self.home),
        )
