"""What happened in an incident, in order of time: its events, and when baselines were registered. Over the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from data.model import Event
from data.store.store import Store
from scheduler.reports.incident_scope import IncidentScope, of_sources

LEAK_KINDS = (
    "further_release", "shared_people", "repost", "canary_hit", "early_look", "listing_changed", "announcement",
)  # fmt: skip
"""Kinds of event about what was published."""
WATCH_KINDS = (
    "unexamined", "gap", "source_silent", "source_changed", "tor_down", "delivery_failed", "selftest_failed", "recovered",
)  # fmt: skip
"""Kinds of event about the watching itself."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in order of time.

    Attributes:
        events: at most as many as were asked for: if there are more, those about published data come first, then the newest.
        total: how many there are.
    """

    events: tuple[Event, ...]
    total: int


def timeline(
    store: Store, scope: IncidentScope, *, kinds: tuple[str, ...] = LEAK_KINDS + WATCH_KINDS, limit: int = 1000
) -> Timeline:
    """The events of an incident's sources, and those that name it; reminders of lasting states are left out.

    Args:
        store: of the home.
        scope: of the incident.
        kinds: of the events.
        limit: at most so many.
    """
    # the indexes of migration 0040 hold what is asked for here; the rows, with their facts, are read of those that are shown
    scoped = (
        f"(incident = :incident or ({of_sources('source', ':sources')} and (source <> '' or :sources = 'null')))"  # noqa: S608 - fixed text
        " and kind in (select value from json_each(:kinds))"
    )
    reminders = "select rowid from event where instr(facts, '\"reminder\": ') > 0"
    leaks, others = (tuple(each for each in kinds if (each in LEAK_KINDS) == is_leak) for is_leak in (True, False))
    values = {"incident": scope.incident.id, "sources": scope.sources_json, "kinds": json.dumps(kinds)}
    total = store.database.named_rows(
        f"select (select count(*) from event where {scoped})"  # noqa: S608 - fixed text
        f" - (select count(*) from event where {scoped} and rowid in ({reminders})) as n",
        values,
    )[0]["n"]
    rows: list[dict[str, Any]] = []
    for part in (leaks, others):
        if len(rows) < limit:
            rows += store.database.named_rows(
                "select * from event where rowid in (select rowid from event"  # noqa: S608 - fixed text
                f" where {scoped} and rowid not in ({reminders}) order by at desc, rowid desc limit :limit)",
                values | {"kinds": json.dumps(part), "limit": limit - len(rows)},
            )
    events = sorted((Event.from_row(row) for row in rows), key=lambda event: (event.at, event.id))
    return Timeline(tuple(events), int(total))
