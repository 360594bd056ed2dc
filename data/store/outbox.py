"""Alerts to deliver: one row for each event and channel, written in the same transaction as the event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.model import Alert, Event
from data.store.database import Database, parse_stamp, stamp
from data.store.event_rows import event_of_row

NO_CHANNEL = ""
"""The channel of alerts that arose while none was declared: they wait for the first one."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that is due, and how many times it was tried before."""

    alert: Alert
    attempts: int


@dataclass(frozen=True, slots=True)
class Depth:
    """The state of the outbox.

    Attributes:
        waiting: alerts that are not sent yet and will be tried. refused: alerts that their channel refused for good.
        oldest: time of the oldest event among both; None if there is no such alert.
    """

    waiting: int
    refused: int
    oldest: datetime | None


def alert_id(event: str, channel: str) -> str:
    """The idempotency key of an event's alert to a channel."""
    return hashlib.sha256(f"alert\0{event}\0{channel}".encode()).hexdigest()[:32]


class Outbox:
    """The alerts in table `alert`. An alert is `due`, `deferred` (tried again later), `sent` or `refused`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, event: str, channels: Sequence[str], now: datetime) -> None:
        """Add an alert for each channel that an event goes to; call it in the transaction that inserts the event."""
        for channel in channels:
            self._database.execute(
                "insert into alert (id, event, channel, state, next_try) values (?, ?, ?, 'due', ?)"
                " on conflict do nothing",
                (alert_id(event, channel), event, channel, stamp(now)),
            )

    def due(self, now: datetime, limit: int = 100) -> list[Delivery]:
        """Alerts to try now, oldest first, at most `limit` of each channel: none of them may take the turn of another."""
        rows = self._database.rows(
            "select * from (select alert.id as alert_id, channel, attempts, event.*,"
            " row_number() over (partition by channel order by event.at, alert.rowid) as place"
            " from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and next_try <= ? and channel <> ?)"
            " where place <= ? order by at, place",
            stamp(now),
            NO_CHANNEL,
            limit,
        )
        return [Delivery(Alert(row["alert_id"], event_of_row(row), row["channel"]), row["attempts"]) for row in rows]

    def mark_sent(self, alert: str, status: int, now: datetime) -> None:
        """Note that the channel accepted an alert."""
        self._mark(alert, "sent", status, "", None, now)

    def mark_deferred(self, alert: str, status: int, reason: str, next_try: datetime, now: datetime) -> None:
        """Note that the channel did not accept an alert now; it is tried again at `next_try`."""
        self._mark(alert, "deferred", status, reason, next_try, now)

    def postpone(self, channel: str, until: datetime) -> None:
        """Try no other alert of a channel earlier than this: the channel deferred one of them."""
        with self._database.transaction():
            self._database.execute(
                "update alert set next_try = ? where channel = ? and state in ('due', 'deferred') and next_try < ?",
                (stamp(until), channel, stamp(until)),
            )

    def undeliverable(self, channels: Collection[str]) -> list[Event]:
        """The events with an alert that waits for none of these channels, oldest first."""
        rows = self._database.rows(
            "select distinct event.* from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and channel not in (select value from json_each(?))"
            " order by event.at",
            json.dumps(list(channels)),
        )
        return [event_of_row(row) for row in rows]

    def count_without_channel(self) -> int:
        """How many alerts wait for the first channel."""
        [row] = self._database.rows("select count(*) as n from alert where channel = ?", NO_CHANNEL)
        return int(row["n"])

    def send_elsewhere(self, event: str, channels: Sequence[str], known: Collection[str], now: datetime) -> None:
        """Replace the waiting alerts of an event that are for no known channel by one for each of `channels`."""
        with self._database.transaction():
            self._database.execute(
                "delete from alert where event = ? and state in ('due', 'deferred')"
                " and channel not in (select value from json_each(?))",
                (event, json.dumps(list(known))),
            )
            self.add(event, channels, now)

    def mark_refused(self, alert: str, status: int, reason: str, now: datetime) -> None:
        """Note that the channel will not accept an alert; the alert stays here until a person retries it."""
        self._mark(alert, "refused", status, reason, None, now)

    def _mark(self, alert: str, state: str, status: int, reason: str, next_try: datetime | None, now: datetime) -> None:
        with self._database.transaction():
            self._database.execute(
                "update alert set state = ?, attempts = attempts + 1, last_status = ?, reason = ?,"
                " next_try = coalesce(?, next_try), sent = ? where id = ?",
                (
                    state,
                    status,
                    reason,
                    stamp(next_try) if next_try else None,
                    stamp(now) if state == "sent" else None,
                    alert,
                ),
            )

    def retry(self, prefixes: Sequence[str] | None, now: datetime) -> int:
        """Make deferred and refused alerts due at once; returns how many.

        Args:
            prefixes: beginnings of ids of alerts or of their events; None for all.
            now: aware UTC.
        """
        with self._database.transaction():
            count = 0
            for prefix in [""] if prefixes is None else prefixes:
                count += self._database.execute(
                    "update alert set state = 'due', next_try = ? where state in ('deferred', 'refused')"
                    " and (substr(id, 1, ?) = ? or substr(event, 1, ?) = ?)",
                    (stamp(now), len(prefix), prefix, len(prefix), prefix),
                ).rowcount
            if prefixes is None:
                # those that wait because their channel deferred another one
                self._database.execute(
                    "update alert set next_try = ? where state = 'due' and next_try > ?", (stamp(now),) * 2
                )
            return count

    def next_tries(self) -> list[datetime]:
        """When each alert that is due or deferred, and has a channel, is tried next."""
        rows = self._database.rows(
            "select next_try from alert where state in ('due', 'deferred') and channel <> ?", NO_CHANNEL
        )
        return [datetime.fromisoformat(row["next_try"]) for row in rows]

    def waiting_since(self) -> datetime | None:
        """Since when the oldest alert waits that is not sent and will be tried; None if none waits."""
        [row] = self._database.rows(
            "select min(event.at) as since from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred')"
        )
        return parse_stamp(row["since"])

    def depth(self) -> Depth:
        """How many alerts wait or were refused, and since when."""
        [row] = self._database.rows(
            "select count(*) filter (where alert.state in ('due', 'deferred')) as waiting,"
            " count(*) filter (where alert.state = 'refused') as refused, min(event.at) as oldest"
            " from alert join event on event.id = alert.event where alert.state <> 'sent'"
        )
        return Depth(row["waiting"], row["refused"], parse_stamp(row["oldest"]))

    def alerts(self, *, state: str = "", event: str = "", limit: int = 1000) -> list[dict[str, Any]]:
        """Alerts with the kind, severity, source and time of their events, newest first.

        Args:
            state: only alerts in this state; '' for all.
            event: only alerts of this event id; '' for all.
            limit: at most so many; -1 for all.
        """
        return self._database.rows(
            "select alert.id, alert.event, event.kind, event.severity, event.source, event.at, alert.channel,"
            " alert.state, alert.attempts, alert.last_status, alert.reason, alert.next_try, alert.sent, event.acked"
            " from alert join event on event.id = alert.event where ? in ('', alert.state)"
            " and ? in ('', alert.event) order by event.at desc, alert.rowid desc limit ?",
            state,
            event,
            limit,
        )
