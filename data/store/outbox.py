"""Alerts to deliver: one row for each event and channel, written in the same transaction as the event.

An alert is `due`, `deferred` (tried again later), `grouped` (told by a digest that is not sent yet), `sent` or `refused`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from data.model import Alert, Event, EventKind, Severity
from data.store.database import Database, parse_stamp, stamp
from data.store.triage import STATE_COLUMN

NO_CHANNEL = ""
"""The channel of alerts that arose while none was declared: they wait for the first one."""

QUIET_HOURS = "waits for the end of the quiet hours"
STORM = "waits for the next digest of its channel"
"""The reasons of alerts that are held."""
_HELD = json.dumps([QUIET_HOURS, STORM])


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert that is due, and how many times it was tried before."""

    alert: Alert
    attempts: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that is due, without the facts of its event."""

    alert: str
    event: str
    kind: EventKind
    severity: Severity
    incident: str


@dataclass(frozen=True, slots=True)
class Depth:
    """The state of the outbox.

    Attributes:
        waiting: alerts that are not sent yet and will be tried. held: those of them that wait for quiet hours to end. refused: alerts that their channel refused for good.
        oldest: time of the oldest event among both; None if there is no such alert.
    """

    waiting: int
    held: int
    refused: int
    oldest: datetime | None


def alert_id(event: str, channel: str) -> str:
    """The idempotency key of an event's alert to a channel."""
    return hashlib.sha256(f"alert\0{event}\0{channel}".encode()).hexdigest()[:32]


class Outbox:
    """The alerts in table `alert`."""

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
        return [Delivery(Alert(row["alert_id"], Event.from_row(row), row["channel"]), row["attempts"]) for row in rows]

    def told_by(self, digests: Sequence[str]) -> list[str]:
        """The events whose alerts the digests with these event ids tell, oldest first."""
        rows = self._database.rows(
            "select distinct event.id from alert join event on event.id = alert.event"
            " where digest <> '' and digest in (select value from json_each(?)) order by event.at, event.rowid",
            json.dumps(list(digests)),
        )
        return [row["id"] for row in rows]

    def channels_of(self, event: str) -> list[str]:
        """The channels that an event goes to."""
        rows = self._database.rows("select channel from alert where event = ? order by rowid", event)
        return [row["channel"] for row in rows]

    def mark_sent(self, alert: str, status: int, now: datetime, *, remote: str = "") -> None:
        """Note that the channel accepted an alert, and with it all that the alert is a digest of.

        `remote` is what the chat calls the message, '' if it does not say.
        """
        with self._database.transaction():
            self._mark(alert, "sent", status, "", None, now)
            if remote:
                self._database.execute("update alert set remote = ? where id = ?", (remote, alert))
            self._database.execute(
                "update alert set state = 'sent', sent = ? where state = 'grouped'"
                " and (digest, channel) in (select event, channel from alert where id = ?)",
                (stamp(now), alert),
            )

    def remote(self, alert: str) -> tuple[bool, str]:
        """Whether an alert was sent as a message of its own, and what the chat calls that message."""
        row = self._database.first_row(
            "select remote from alert where id = ? and state = 'sent' and digest = ''", alert
        )
        return (False, "") if row is None else (True, row["remote"])

    def sent_since(self, channel: str, since: datetime) -> list[tuple[str, datetime]]:
        """Kind of the event and time of each message that a channel accepted since a time, oldest first."""
        rows = self._database.rows(
            "select event.kind, sent from alert join event on event.id = alert.event"
            " where channel = ? and sent >= ? and digest = '' order by sent",
            channel,
            stamp(since),
        )
        return [(row["kind"], datetime.fromisoformat(row["sent"])) for row in rows]

    def told_since(self, channel: str, since: datetime) -> set[tuple[EventKind, str]]:
        """Kind and incident of all critical events that a channel was told since a time, also by digests."""
        rows = self._database.rows(
            "select distinct kind, incident from alert join event on event.id = alert.event"
            " where channel = ? and sent >= ? and severity = ?",
            channel,
            stamp(since),
            Severity.CRITICAL,
        )
        return {(EventKind(row["kind"]), row["incident"]) for row in rows}

    def waiting(self, channel: str, now: datetime, *, digests: bool = False) -> list[Waiting]:
        """All alerts to try now at a channel, oldest first; `digests` among them if asked for."""
        rows = self._database.rows(
            "select alert.id, event, kind, severity, incident from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and next_try <= ? and channel = ?"
            " and (kind <> 'digest' or ?) order by event.at, alert.rowid",
            stamp(now),
            channel,
            digests,
        )
        return [
            Waiting(row["id"], row["event"], EventKind(row["kind"]), Severity(row["severity"]), row["incident"])
            for row in rows
        ]

    def group(self, alerts: Sequence[str], digest: str, channel: str, now: datetime) -> None:
        """Let a digest tell alerts of a channel; call it in the transaction that stores the event of the digest."""
        self._database.execute(
            "update alert set state = 'grouped', digest = ?, reason = '', next_try = ?"
            " where channel = ? and state in ('due', 'deferred') and id in (select value from json_each(?))",
            (digest, stamp(now), channel, json.dumps(list(alerts))),
        )

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

    def hold(self, alerts: Sequence[str], until: datetime, reason: str) -> None:
        """Try alerts no earlier than a time, for `QUIET_HOURS` or a `STORM`; they do not count as late."""
        with self._database.transaction():
            self._database.execute(
                "update alert set next_try = ?, reason = ? where id in (select value from json_each(?))",
                (stamp(until), reason, json.dumps(list(alerts))),
            )

    def hold_quiet(self, channel: str, until: datetime, now: datetime) -> None:
        """Let the alerts of a channel that are due and not critical wait for the end of its quiet hours."""
        waiting = self.waiting(channel, now, digests=True)
        if held := [each.alert for each in waiting if each.severity is not Severity.CRITICAL]:
            self.hold(held, until, QUIET_HOURS)

    def release_held(self, channels: Collection[str], now: datetime) -> None:
        """Make the alerts due that `hold` put off, for channels that have no quiet hours now."""
        if not self._database.rows("select 1 from alert where state <> 'sent' and reason = ? limit 1", QUIET_HOURS):
            return
        with self._database.transaction():
            self._database.execute(
                "update alert set next_try = ?, reason = '' where state <> 'sent' and reason = ?"
                " and channel in (select value from json_each(?))",
                (stamp(now), QUIET_HOURS, json.dumps(list(channels))),
            )

    def take_apart(self, channels: Collection[str], now: datetime) -> None:
        """Make the alerts due that wait for a digest to none of these channels; that digest is not sent any more."""
        known = json.dumps(list(channels))
        # the first condition is that of an index
        grouped = "state <> 'sent' and state = 'grouped' and channel not in (select value from json_each(?))"
        if self._database.first_row(f"select 1 from alert where {grouped} limit 1", known) is None:  # noqa: S608 - fixed text
            return
        with self._database.transaction():
            self._database.execute(
                "delete from alert where state <> 'sent' and (event, channel) in"  # noqa: S608 - fixed text
                f" (select distinct digest, channel from alert where {grouped})",
                (known,),
            )
            self._database.execute(
                f"update alert set state = 'due', digest = '', next_try = ? where {grouped}",  # noqa: S608 - the same
                (stamp(now), known),
            )

    def open_channels(self) -> set[str]:
        """The channels with alerts that were not sent."""
        return {
            row["channel"] for row in self._database.rows("select distinct channel from alert where state <> 'sent'")
        }

    def undeliverable(self, channels: Collection[str]) -> list[Event]:
        """The events with an alert that waits for none of these channels, oldest first."""
        rows = self._database.rows(
            "select distinct event.* from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and channel not in (select value from json_each(?))"
            " order by event.at",
            json.dumps(list(channels)),
        )
        return [Event.from_row(row) for row in rows]

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
        """Make deferred, refused and, for all, waiting alerts due at once; returns how many.

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
                count += self._database.execute(
                    "update alert set next_try = ?1, reason = '' where state = 'due' and next_try > ?1", (stamp(now),)
                ).rowcount
            return count

    def has_open(self) -> bool:
        """Whether an alert waits, for a time or for a digest."""
        found = "select 1 from alert where state <> 'sent' and state in ('due', 'deferred', 'grouped') limit 1"
        return self._database.first_row(found) is not None

    def next_tries(self) -> list[datetime]:
        """When each alert that is due or deferred, has a channel and is not held is tried next."""
        rows = self._database.rows(
            "select next_try from alert where state in ('due', 'deferred') and channel <> ?"
            " and reason not in (select value from json_each(?))",
            NO_CHANNEL,
            _HELD,
        )
        return [datetime.fromisoformat(row["next_try"]) for row in rows]

    def waiting_since(self) -> datetime | None:
        """Since when the oldest alert waits that is not sent and will be tried; None if none does but those held."""
        [row] = self._database.rows(
            "select min(event.at) as since from alert join event on event.id = alert.event"
            " where alert.state in ('due', 'deferred') and reason not in (select value from json_each(?))",
            _HELD,
        )
        return parse_stamp(row["since"])

    def depth(self) -> Depth:
        """How many alerts wait or were refused, and since when."""
        [row] = self._database.rows(
            "select count(*) filter (where alert.state in ('due', 'deferred')) as waiting,"
            " count(*) filter (where alert.state in ('due', 'deferred') and reason = ?) as held,"
            " count(*) filter (where alert.state = 'refused') as refused, min(event.at) as oldest"
            " from alert join event on event.id = alert.event where alert.state <> 'sent'",
            QUIET_HOURS,
        )
        return Depth(row["waiting"], row["held"], row["refused"], parse_stamp(row["oldest"]))

    def alerts(
        self,
        *,
        state: str = "",
        event: str = "",
        triage: str = "",
        digest: str = "",
        now: datetime | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Alerts with the kind, severity, source and time of their events, newest first.

        Args:
            state: only alerts in this state; '' for all.
            event: only alerts of this event id; '' for all.
            triage: only alerts of events in this state of `data.store.triage.TriageState`; '' for all.
            digest: only alerts that the digest with this event id tells; '' for all.
            now: aware UTC, decides whether a snooze is over; None for the present.
            limit: at most so many; -1 for all.
        """
        # only what is asked for stands in the text, so that an index is used
        wanted = {
            f"alert.{name} = ?": value for name, value in (("state", state), ("event", event), ("digest", digest))
        }
        conditions = [condition for condition, value in wanted.items() if value] or ["true"]
        return self._database.rows(
            "select * from (select alert.id, alert.event, event.kind, event.severity, event.source, event.at,"  # noqa: S608 - constant
            " alert.channel, alert.state, alert.attempts, alert.last_status, alert.reason, alert.next_try, alert.sent,"
            " alert.digest, event.thread,"
            f" event.acked, {STATE_COLUMN} as triage, coalesce(triage.owner, '') as owner"
            " from alert join event on event.id = alert.event left join triage on triage.event = event.id"
            f" where {' and '.join(conditions)}"
            " order by event.at desc, alert.rowid desc)"
            " where ? in ('', triage) limit ?",
            stamp(now or datetime.now(UTC)),
            *filter(None, wanted.values()),
            triage,
            limit,
        )
