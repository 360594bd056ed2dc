"""What people decided about events: acknowledged, snoozed or closed, by whom, why, and which events belong together."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from data.model import LEAKS, ClosingReason, Event, EventKind, TriageState
from data.store.audit import AuditChain
from data.store.database import Database, stamp

RECOVERED = "recovered"
"""The closing reason of an event whose lasting state ended by itself."""
TOCSIN = "tocsin"
"""Who changes the triage of an event if no person does."""
# The event that begins a state may be a little older than the state.
_BEGIN_TOLERANCE = timedelta(seconds=10)

STATE_COLUMN = (
    "case when triage.state is null or (triage.state = 'snoozed' and triage.until <= ?) then 'new'"
    " else triage.state end"
)
"""SQL of the state of an event, of a left join with `triage`; its one parameter is the present time."""


@dataclass(frozen=True, slots=True)
class EventTriage:
    """What was decided about one event.

    Attributes:
        owner: who deals with it, '' for nobody. by, at: who changed this last, and when; None if nobody did.
        reason: of closing, a `ClosingReason` or `RECOVERED`; '' if it is not closed.
        note: what the person wrote. until: end of the snooze.
        head: id of the event into which this one was merged, '' for none.
    """

    state: TriageState = TriageState.NEW
    owner: str = ""
    by: str = ""
    at: datetime | None = None
    reason: str = ""
    note: str = ""
    until: datetime | None = None
    head: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], now: datetime) -> EventTriage:
        """What a row of table `triage` says at a time: a snooze that is over leaves the event as new."""
        until = datetime.fromisoformat(row["until"]) if row["until"] else None
        over = row["state"] == TriageState.SNOOZED and until is not None and until <= now
        return cls(
            TriageState.NEW if over else TriageState(row["state"]),
            row["owner"],
            row["who"],
            datetime.fromisoformat(row["at"]),
            row["reason"],
            row["note"],
            None if over else until,
            row["head"],
        )

    def to_json(self) -> dict[str, Any]:
        """Plain containers with the names of the attributes, times as ISO 8601; None for no time."""
        return {
            "state": self.state.value,
            "owner": self.owner,
            "by": self.by,
            "at": self.at and self.at.isoformat(timespec="seconds"),
            "reason": self.reason,
            "note": self.note,
            "until": self.until and self.until.isoformat(timespec="seconds"),
            "merged_into": self.head,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of the triage of events.

    Attributes:
        state: the new state; None to change the owner alone.
        owner: who deals with it from now on; None to leave that as it is.
        reason: of closing. note: what the person wrote. until: end of a snooze.
    """

    state: TriageState | None
    owner: str | None = None
    reason: str = ""
    note: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Precision:
    """How people closed the events of one kind and source, or those that one rule of an incident made.

    Attributes:
        kind, source: of the events; of a rule the kind alone, over all sources.
        counts: closing reason -> number of events.
        rule: its name, '' for all events of the kind and source.
    """

    kind: EventKind
    source: str
    counts: Mapping[ClosingReason, int]
    rule: str = ""

    @property
    def share(self) -> float | None:
        """Share of true alarms among the closed events without tests; None if there is none."""
        judged = sum(number for reason, number in self.counts.items() if reason is not ClosingReason.TEST)
        return self.counts.get(ClosingReason.TRUE, 0) / judged if judged else None


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """Critical events that nobody has acknowledged: how many, and id and time of the oldest."""

    events: int
    oldest: str
    since: datetime


class Triage:
    """The decisions in table `triage`. An event without a row is new."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database, self._audit = database, audit

    def of(self, events: Collection[str], now: datetime) -> dict[str, EventTriage]:
        """Event id -> what was decided about it, for each of the events about which something was."""
        rows = self._database.rows(
            "select * from triage where event in (select value from json_each(?))", json.dumps(list(events))
        )
        return {row["event"]: EventTriage.from_row(row, now) for row in rows}

    def select(
        self,
        now: datetime,
        *,
        states: Collection[TriageState],
        incident: str = "",
        source: str = "",
        kind: str = "",
        severity: str = "",
    ) -> list[str]:
        """Ids of the events in one of the states, of an incident, source, kind and severity, oldest first; '' for all."""
        rows = self._database.rows(
            f"select id from event left join triage on triage.event = event.id where {STATE_COLUMN}"  # noqa: S608 - constant
            " in (select value from json_each(?)) and ? in ('', incident) and ? in ('', source) and ? in ('', kind)"
            " and ? in ('', severity) order by event.at, event.rowid",
            stamp(now),
            json.dumps(list(states)),
            incident,
            source,
            kind,
            severity,
        )
        return [row["id"] for row in rows]

    def with_merged(self, events: Sequence[str]) -> list[str]:
        """The events, and all others that were merged with one of them."""
        found = dict.fromkeys(events)
        rows = self._database.rows(
            "with head (id) as (select value from json_each(?1)"
            " union select triage.head from triage join json_each(?1) on event = value where triage.head <> '')"
            " select id from head union select event from triage where triage.head in (select id from head)",
            json.dumps(list(found)),
        )
        return list(found | dict.fromkeys(row["id"] for row in rows))

    def decide(self, events: Sequence[str], decision: Decision, who: str, now: datetime) -> int:
        """Record a decision about events and everything merged with them; returns how many events it changed."""
        everything = self.with_merged(events)
        with self._database.transaction():
            for event in everything:
                self._change(event, decision, who, now)
        return len(everything)

    def merge(self, into: str, events: Sequence[str], who: str, now: datetime) -> int:
        """Let events, and what was merged with them, share the decisions about one event from now on.

        Returns:
            How many events were merged into it.
        """
        head = self._head(into)
        moved = [event for event in self.with_merged(events) if event != head and self._head(event) != head]
        with self._database.transaction():
            decided = self.of([head], now).get(head, EventTriage())
            for event in moved:
                copied = Decision(decided.state, decided.owner, decided.reason, decided.note, decided.until)
                self._change(event, copied, who, now, action="merged", head=head)
        return len(moved)

    def split(self, event: str, who: str, now: datetime) -> bool:
        """Take an event out of those that it was merged with; False if it was not merged."""
        with self._database.transaction():
            done = self._database.execute(
                "update triage set head = '', who = ?, at = ? where event = ? and head <> ''", (who, stamp(now), event)
            )
            if done.rowcount:
                self._audit.record(who, "split", event, now)
        return bool(done.rowcount)

    def reopen_for(self, event: Event, now: datetime) -> int:
        """End the acknowledgements and snoozes of earlier events of a post that a new event says holds new records.

        Events that were merged with one of these are reopened with it. Returns how many events that were.
        """
        if not event.post or event.kind not in LEAKS:
            return 0
        rows = self._database.rows(
            "select id from event join triage on triage.event = event.id where event.post = ? and event.post <> ''"
            " and event.id <> ? and triage.state in ('acknowledged', 'snoozed')",
            event.post,
            event.id,
        )
        if not rows:
            return 0
        note = f"event {event.id[:12]} holds new records"
        return self.decide([row["id"] for row in rows], Decision(TriageState.NEW, "", note=note), TOCSIN, now)

    def close_recovered(
        self, source: str, kind: EventKind, subject: str, began: datetime, event: str, now: datetime
    ) -> None:
        """Close the events of a lasting state that ended, and its reminders.

        Args:
            source: of the state, '' for the installation itself.
            kind: of the state.
            subject: of the state.
            began: when the state did.
            event: id of the event to which its reminders refer.
            now: aware UTC.
        """
        rows = self._database.rows(
            "select id from event left join triage on triage.event = event.id where coalesce(triage.state, '') <> 'closed'"
            " and (id = ? or (event.source = ? and event.kind = ? and event.at >= ?"
            " and ? in (json_extract(facts, '$.subject'), json_extract(facts, '$.channel'))))",
            event,
            source,
            kind.value,
            stamp(began - _BEGIN_TOLERANCE),
            subject,
        )
        self.decide([row["id"] for row in rows], Decision(TriageState.CLOSED, reason=RECOVERED), TOCSIN, now)

    def unacknowledged(self, before: datetime, now: datetime) -> Unacknowledged | None:
        """The critical events from before a time that are new; None if there is none. Reminders of states count not."""
        row = self._database.first_row(
            "select count(*) as n, min(event.at) as since, id from event left join triage on triage.event = event.id"  # noqa: S608 - constant
            f" where severity = 'critical' and kind not in ('unacknowledged', 'digest') and event.at <= ? and {STATE_COLUMN} = 'new'"
            " and json_extract(facts, '$.reminder') is null"
            # a merged event counts with the one that it was merged into, as long as that is there
            " and not exists (select 1 from event as head where head.id = triage.head)",
            stamp(before),
            stamp(now),
        )
        if row is None or not row["n"]:
            return None
        return Unacknowledged(row["n"], row["id"], datetime.fromisoformat(row["since"]))

    def precision(self) -> list[Precision]:
        """How people closed events, by kind and source, those with most closed events first."""
        return self._precision("'' as rule", "source", "")

    def precision_of_rules(self) -> list[Precision]:
        """How people closed the events that rules of incidents made, by rule; an event counts for each rule that matched."""
        return self._precision("each.value as rule", "'' as source", ", json_each(facts, '$.rules') as each")

    def _precision(self, rule: str, source: str, rules: str) -> list[Precision]:
        found: dict[tuple[str, str, str], dict[ClosingReason, int]] = {}
        for row in self._database.rows(
            f"select kind, {source}, {rule}, reason, count(*) as n"  # noqa: S608 - fixed texts
            f" from triage join event on event.id = triage.event{rules}"
            " where triage.state = 'closed' and reason in ('true', 'false-alarm', 're-post', 'test')"
            " group by 1, 2, 3, 4"
        ):
            found.setdefault((row["kind"], row["source"], row["rule"]), {})[ClosingReason(row["reason"])] = row["n"]
        listed = [Precision(EventKind(kind), name, counts, rule) for (kind, name, rule), counts in found.items()]
        return sorted(listed, key=lambda each: (-sum(each.counts.values()), each.kind, each.source, each.rule))

    def _head(self, event: str) -> str:
        row = self._database.first_row("select triage.head from triage where event = ? and triage.head <> ''", event)
        return row["head"] if row else event

    def _change(
        self, event: str, decision: Decision, who: str, now: datetime, *, action: str = "", head: str | None = None
    ) -> None:
        state = decision.state
        self._database.execute(
            "insert into triage (event, state, owner, who, at, reason, note, until, head)"
            " values (?1, coalesce(?2, 'acknowledged'), coalesce(?3, ''), ?4, ?5, ?6, ?7, ?8, coalesce(?9, ''))"
            " on conflict (event) do update set state = coalesce(?2, case when state = 'new' then 'acknowledged' else"
            " state end), owner = coalesce(?3, owner), who = ?4, at = ?5, reason = case when ?2 is null then reason else"
            " ?6 end, note = ?7, until = case when ?2 is null then until else ?8 end, head = coalesce(?9, head)",
            (
                event,
                state and state.value,
                decision.owner,
                who,
                stamp(now),
                decision.reason,
                decision.note,
                stamp(decision.until) if decision.until else None,
                head,
            ),
        )
        self._database.execute(
            "update event set acked = (select case when triage.state = 'new' then null else coalesce(acked, ?2) end"
            " from triage where triage.event = ?1) where id = ?1",
            (event, stamp(now)),
        )
        said = action or (f"{state.value}" if state is not None else "assigned")
        said = "reopened" if said == TriageState.NEW else said
        more = [
            f"to {decision.owner}" if decision.owner and decision.owner != who else "",
            decision.reason and f"as {decision.reason}",
        ]
        more.append(f"until {decision.until:%Y-%m-%dT%H:%MZ}" if decision.until else "")
        more.append(f"into {head}" if head else "")
        self._audit.record(who, said, " ".join([event, *filter(None, more)]), now)
