"""Alerts on their way: one row per event and channel, from the transaction of its event until the channel took it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

from data.model import Alert, Event, EventKind, Severity


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that is due, and how often it was tried."""

    alert: Alert
    attempts: int


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits: alerts not yet sent, those a channel refused for good, and when the oldest of both was made."""

    waiting: int
    refused: int
    oldest: datetime | None


def alert_id(event: str, channel: str) -> str:
    """The idempotency key of an event's alert to a channel."""
    return hashlib.sha256(f"alert\0{event}\0{channel}".encode()).hexdigest()[:32]


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


class Outbox:
    """The alerts of a store; `add` runs inside the caller's transaction, everything else in its own."""

    def __init__(self, db: Database, writing: Callable[[], AbstractContextManager[None]]) -> None:
        self._db, self._writing = db, writing

    def add(self, event: str, channels: Sequence[str], now: datetime) -> None:
        """Make an event's alerts."""
        for channel in channels:
            self._db.execute(
                "insert into alert (id, event, channel, state, next_try) values (?, ?, ?, 'due', ?)"
                " on conflict do nothing",
                (alert_id(event, channel), event, channel, _stamp(now)),
            )

    def due(self, now: datetime, limit: int = 100) -> list[Delivery]:
        """Alerts to try now, oldest first."""
        rows = self._db.query(
            "select alert.id as alert_id, channel, attempts, event.* from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and next_try <= ? order by event.at, alert.rowid limit ?",
            (_stamp(now), limit),
        )
        return [
            Delivery(
                Alert(
                    row["alert_id"],
                    Event(
                        row["id"],
                        EventKind(row["kind"]),
                        Severity(row["severity"]),
                        datetime.fromisoformat(row["at"]),
                        row["source"],
                        row["incident"],
                        row["post"],
                        row["address"],
                        json.loads(row["facts"]),
                    ),
                    row["channel"],
                ),
                row["attempts"],
            )
            for row in rows
        ]

    def mark_sent(self, alert: str, status: int, now: datetime) -> None:
        """The channel took it."""
        self._mark(alert, "sent", status, "", None, now)

    def mark_deferred(self, alert: str, status: int, reason: str, next_try: datetime, now: datetime) -> None:
        """The channel did not take it now; it is tried again at `next_try`."""
        self._mark(alert, "deferred", status, reason, next_try, now)

    def mark_refused(self, alert: str, status: int, reason: str, now: datetime) -> None:
        """The channel will not take it; it stays here until a person retries it."""
        self._mark(alert, "refused", status, reason, None, now)

    def _mark(self, alert: str, state: str, status: int, reason: str, next_try: datetime | None, now: datetime) -> None:
        with self._writing():
            self._db.execute(
                "update alert set state = ?, attempts = attempts + 1, last_status = ?, reason = ?,"
                " next_try = coalesce(?, next_try), sent = ? where id = ?",
                (
                    state,
                    status,
                    reason,
                    _stamp(next_try) if next_try else None,
                    _stamp(now) if state == "sent" else None,
                    alert,
                ),
            )

    def retry(self, alerts: Sequence[str] | None, now: datetime) -> int:
        """Make refused and deferred alerts due at once: those whose id begins so, or all; returns how many."""
        with self._writing():
            count = 0
            for prefix in [""] if alerts is None else alerts:
                count += self._db.execute(
                    "update alert set state = 'due', next_try = ? where state in ('deferred', 'refused')"
                    " and (substr(id, 1, ?) = ? or substr(event, 1, ?) = ?)",
                    (_stamp(now), len(prefix), prefix, len(prefix), prefix),
                ).rowcount
            return count

    def waiting(self) -> list[datetime]:
        """When each alert that is not refused or sent is tried next."""
        return [
            datetime.fromisoformat(row["next_try"])
            for row in self._db.query("select next_try from alert where state in ('due', 'deferred')")
        ]

    def depth(self) -> Depth:
        """How much waits."""
        row = next(
            self._db.query(
                "select count(*) filter (where alert.state in ('due', 'deferred')) as waiting,"
                " count(*) filter (where alert.state = 'refused') as refused,"
                " min(event.at) filter (where alert.state <> 'sent') as oldest"
                " from alert join event on event.id = alert.event"
            )
        )
        oldest = row["oldest"]
        return Depth(row["waiting"], row["refused"], None if oldest is None else datetime.fromisoformat(oldest))

    def alerts(self, *, state: str = "", event: str = "", limit: int = 1000) -> list[dict[str, Any]]:
        """Alerts with their event's kind, newest first."""
        return list(
            self._db.query(
                "select alert.id, alert.event, event.kind, event.severity, event.source, event.at, alert.channel,"
                " alert.state, alert.attempts, alert.last_status, alert.reason, alert.next_try, alert.sent, event.acked"
                " from alert join event on event.id = alert.event where ? in ('', alert.state)"
                " and ? in ('', alert.event) order by event.at desc, alert.rowid desc limit ?",
                (state, event, limit),
            )
        )
