"""Repairs stored times that lie in the future, which a clock that was ahead leaves behind.

Such a time hides what should be done: a source whose last crawl was "in 2028" would not be crawled before that, an alert
that is tried again "in 2028" not sent, and a state of which people were told "in 2028" not be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data.store.database import Database, parse_stamp, stamp

# Clocks that are kept by NTP differ by less.
TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column that holds times, and what becomes of one that lies in the future.

    Attributes:
        ahead: how far a correct time may lie in the future.
        repair: the time becomes the present, or unknown (null), or its row is deleted.
        seldom: the table is large, and no index helps; it is searched only after a start and a step of the clock.
    """

    table: str
    column: str
    ahead: timedelta = TOLERANCE
    repair: Literal["now", "unknown", "delete"] = "now"
    seldom: bool = False


COLUMNS = (
    TimeColumn("source", "added"),
    TimeColumn("crawl", "queued"),
    # A source whose last crawl began at an unknown time is due now.
    TimeColumn("crawl", "started", repair="unknown"),
    TimeColumn("crawl", "ended"),
    # Whoever runs the crawl renews its lease; a lease of nobody ends now.
    TimeColumn("crawl", "lease_until", ahead=timedelta(minutes=5)),
    # A channel may ask for a delay of an hour.
    TimeColumn("pace", "at"),
    TimeColumn("trouble", "at"),
    TimeColumn("alert", "next_try", ahead=timedelta(hours=2)),
    TimeColumn("alert", "sent"),
    TimeColumn("state", "began"),
    TimeColumn("state", "told"),
    # A self-test that passed at an unknown time shows nothing.
    TimeColumn("selftest", "at", repair="delete"),
    TimeColumn("event", "at"),
    TimeColumn("event", "last_seen", seldom=True),
    TimeColumn("event", "acked", seldom=True),
    TimeColumn("triage", "at", seldom=True),
    TimeColumn("post", "first_seen", seldom=True),
    TimeColumn("post", "last_seen", seldom=True),
    TimeColumn("post", "examined", seldom=True),
    TimeColumn("finding", "at", seldom=True),
    TimeColumn("deadline", "first_seen", seldom=True),
    TimeColumn("sighting", "first_seen", seldom=True),
    TimeColumn("sighting", "last_seen", seldom=True),
    TimeColumn("body", "at", seldom=True),
    TimeColumn("host_link", "at", seldom=True),
    TimeColumn("seen", "at", seldom=True),
)
"""Not here: `audit.at`, which is part of a chain that must not change, and `deadline.at` and `triage.until`, which people chose."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was repaired.

    Attributes:
        number: of times. latest: the latest of them. sources: whose crawls they were, by name.
    """

    number: int
    latest: datetime
    sources: Sequence[str]


def repair_future_times(database: Database, now: datetime, *, all_tables: bool = True) -> Repair | None:
    """Repair all times that lie in the future; None if there are none.

    Args:
        database: to repair.
        now: aware UTC.
        all_tables: also search large tables.
    """
    columns = [each for each in COLUMNS if all_tables or not each.seldom]
    found = [(each, text) for each in columns if (text := _latest(database, each)) > stamp(now + each.ahead)]
    if not found:
        return None
    number = 0
    with database.transaction():
        late = stamp(now + TOLERANCE)
        sources = database.rows(
            "select distinct source from crawl where started > ? or queued > ? order by source", late, late
        )
        for each, _ in found:
            number += _repair(database, each, now)
    latest = parse_stamp(max(text for _, text in found))
    assert latest is not None  # noqa: S101 - there is at least one
    return Repair(number, latest, [row["source"] for row in sources])


def _latest(database: Database, each: TimeColumn) -> str:
    [row] = database.rows(f"select max({each.column}) as latest from {each.table}")  # noqa: S608 - fixed names
    return str(row["latest"] or "")


def _repair(database: Database, each: TimeColumn, now: datetime) -> int:
    where = f"where {each.column} > ?"
    limit = stamp(now + each.ahead)
    if each.repair == "delete":
        return database.execute(f"delete from {each.table} {where}", (limit,)).rowcount  # noqa: S608 - fixed names
    value = None if each.repair == "unknown" else stamp(now)
    return database.execute(
        f"update {each.table} set {each.column} = ? {where}",  # noqa: S608 - fixed names
        (value, limit),
    ).rowcount
