"""Tells the channels that the daemon cannot start: nobody else would hear of it but who looks at the service.

What stops a start (a damaged watch-list, a lost key, a database that cannot be opened) is a lasting state like any other
blindness: one alert, reminders, and an alert when the daemon watches again. If the database cannot keep the state, the
channels are told directly, and a small file remembers that they were, because whoever supervises the daemon starts it
again every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
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
from scheduler.daemon.told_file import Told, digest_of, read_told, write_told
from scheduler.delivery.delivery import DisplayNames, deliver_due, send_at_once
from scheduler.delivery.lasting_states import recovery_event, remind_of_lasting_states, update_fault_state
from scheduler.delivery.routing import route_by

log = structlog.get_logger("daemon")

SUBJECT = "start of the daemon"
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
    now, digest, known = datetime.now(UTC), digest_of(reason), read_told(home)
    told = known.get(SUBJECT)
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
        began = now if told is None else told.began
        write_told(home, {**known, SUBJECT: Told(digest, "", now, began, event.id)})


def note_start(home: Home, settings: Settings, store: Store, now: datetime) -> None:
    """The daemon watches: end the state of a start that failed.

    Raises:
        StoreError: the database cannot be written.
    """
    route = route_by(settings)
    known = read_told(home)
    told = known.pop(SUBJECT, None)
    ended = store.states.end("", EventKind.SELFTEST_FAILED, SUBJECT, recovery_event, route, now)
    if told is not None and not ended:
        state = LastingState("", EventKind.SELFTEST_FAILED, SUBJECT, told.began, told.at, told.event)
        store.events.add([recovery_event(state)], route, now)
    write_told(home, known)
