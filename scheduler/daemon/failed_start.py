"""Tells the channels that the daemon cannot start: nobody else would hear of it but who looks at the service.

What stops a start (a damaged watch-list, a lost key, a database that cannot be opened) is a lasting state like any other
blindness: one alert, reminders, and an alert when the daemon watches again. If the database cannot keep the state, the
channels are told directly, and a small file remembers that they were, because whoever supervises the daemon starts it
again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from crawler.alerts.events import build_event
from data.errors import AlreadyRunning, ConfigError
from data.model import EventKind, Severity
from data.settings.home import Home
from data.settings.permissions import writable_by_others
from data.settings.settings import Settings, channel_settings
from data.store.states import LastingState
from data.store.store import Store
from scheduler.daemon.supervisor import describe
from scheduler.delivery.delivery import DisplayNames, deliver_due, send_at_once
from scheduler.delivery.lasting_states import recovery_event, remind_of_lasting_states, update_fault_state
from scheduler.delivery.routing import route_by

log = structlog.get_logger("daemon")

SUBJECT = "start of the daemon"
FILE = "daemon.told"
# Seconds in which the channels are told before the daemon ends, and that another process may keep the database busy.
TELL_SECONDS, BUSY_SECONDS = 60.0, 5.0


@contextlib.contextmanager
def told_if_it_fails(home: Home) -> Iterator[None]:
    """Around the whole life of a daemon: whatever ends it but a signal or another daemon is told, and raised as ours.

    Raises:
        TocsinError: the daemon cannot go on.
    """
    try:
        yield
    except AlreadyRunning:
        raise
    except Exception as error:
        # a stop that comes meanwhile ends the process at once
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        told = ConfigError(_sentence_of(error), hint="run: tocsin doctor") if isinstance(error, OSError) else error
        try:
            asyncio.run(asyncio.wait_for(_tell(home, told), TELL_SECONDS))
        except Exception as failure:  # noqa: BLE001 - the error itself must reach the command line
            log.error("nobody could be told that the daemon does not start", error=type(failure).__name__)
        if told is error:
            raise
        raise told from error


def _sentence_of(error: OSError) -> str:
    name = Path(error.filename).name if isinstance(error.filename, str | os.PathLike) else "a file of the home"
    return f"{name} cannot be used: {error.strerror or type(error).__name__}"


async def _tell(home: Home, error: Exception) -> None:
    code, reason = describe(error)
    reason = f"the daemon does not run, so that nothing is watched: {reason}"
    settings = _settings_of(home)
    if not settings.channels:
        log.error("no channel can be told that the daemon does not run", code=code)
    try:
        await _tell_by_database(home, settings, reason)
    except Exception as failure:  # noqa: BLE001 - whatever is wrong with the database
        log.error("the database cannot keep that the daemon does not start", error=type(failure).__name__)
        if settings.channels:
            await _tell_directly(home, settings, reason)


def _settings_of(home: Home) -> Settings:
    """The settings as far as they can be read and trusted; without channels if there are none of that kind."""
    with contextlib.suppress(OSError):
        if not writable_by_others(home.path):
            try:
                return home.settings()
            except ConfigError:
                # the channels may be readable although another part of the file is not
                return channel_settings(home.config_path, home.environ)
    return Settings()


async def _tell_by_database(home: Home, settings: Settings, reason: str) -> None:
    if not home.db_path.exists():
        # it would be made, and look like that of a home that is new
        raise FileNotFoundError(home.db_path.name)
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(home.db_path, busy_seconds=BUSY_SECONDS)) as store:
        update_fault_state(store, SUBJECT, [reason], route_by(settings), now, severity=Severity.CRITICAL)
        remind_of_lasting_states(settings, store, now)
        await deliver_due(settings, store, DisplayNames.of_home(home), foreground=True)


async def _tell_directly(home: Home, settings: Settings, reason: str) -> None:
    now, digest = datetime.now(UTC), hashlib.sha256(reason.encode()).hexdigest()
    told = _Told.read(home)
    if told is not None and told.digest == digest and abs(now - told.at) < settings.daemon.remind_every:
        return
    event = build_event(
        EventKind.SELFTEST_FAILED,
        now,
        SUBJECT,
        now.isoformat(),
        severity=Severity.CRITICAL,
        facts={"subject": SUBJECT, "reason": reason},
    )
    accepted = await send_at_once(settings, event, DisplayNames.of_home(home))
    log.error("the channels were told without the database", subject=SUBJECT, channels=list(accepted))
    if accepted:
        _Told(digest, now, event.id, now if told is None else told.began).write(home)


def note_start(home: Home, settings: Settings, store: Store, now: datetime) -> None:
    """The daemon watches: end the state of a start that failed.

    Raises:
        StoreError: the database cannot be written.
    """
    route = route_by(settings)
    told = _Told.read(home)
    ended = store.states.end("", EventKind.SELFTEST_FAILED, SUBJECT, recovery_event, route, now)
    if told is not None and not ended:
        state = LastingState("", EventKind.SELFTEST_FAILED, SUBJECT, told.began, told.at, told.event)
        store.events.add([recovery_event(state)], route, now)
    _Told.forget(home)


class _Told:
    """What the channels were told without the database, in a small file of the home, or where else one can be written."""

    def __init__(self, digest: str, at: datetime, event: str, began: datetime) -> None:
        self.digest, self.at, self.event, self.began = digest, at, event, began

    @classmethod
    def read(cls, home: Home) -> _Told | None:
        for path in _places(home):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                value = json.loads(_own_text(path))
                at, began = (datetime.fromisoformat(value[name]) for name in ("at", "began"))
                if at.tzinfo is not None and began.tzinfo is not None and at <= datetime.now(UTC) + timedelta(hours=1):
                    return cls(str(value["digest"]), at, str(value["event"]), began)
        return None

    def write(self, home: Home) -> None:
        value = {"digest": self.digest, "at": self.at.isoformat(), "event": self.event, "began": self.began.isoformat()}
        for path in _places(home):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                    json.dump(value, out)
                return
        log.error("the channels will be told again at the next start: no place to note that they were told")

    @staticmethod
    def forget(home: Home) -> None:
        for path in _places(home):
            with contextlib.suppress(OSError):
                path.unlink()


def _places(home: Home) -> list[Path]:
    """Where the file may be: a home that cannot be written is a reason not to start."""
    name = f"tocsin-{os.geteuid()}-{hashlib.sha256(str(home.path.absolute()).encode()).hexdigest()[:16]}.told"
    # systemd keeps the folder for caches from one start to the next, but not that for temporary files
    cache = home.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    return [home.path / FILE, *([Path(cache) / name] if cache else []), Path(tempfile.gettempdir()) / name]


def _own_text(path: Path) -> str:
    """The content of a file that belongs to this user.

    Raises:
        OSError: there is none, or somebody else made it, as anybody can in the folder of temporary files.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
            raise PermissionError(path.name)
        return stream.read(4096)
