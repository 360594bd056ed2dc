"""When a source is due next: a pure rule over what the store knows of it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

# A share of the interval by which sources are spread, so that a hundred of them do not knock at the same second.
SPREAD = 0.1
# A source that fails is tried again sooner than its interval says, and later and later up to it: a leak site that
# comes back should be seen soon, a dead one should not be hammered.
FIRST_RETRY = timedelta(minutes=1)
# Near an announced time a source is looked at ten times in what is left until it, or in what has passed since, and
# not more often than this; nor more than 200 times in the span for which the time is exact.
NEAR, SOONEST, IN_SPAN = 10, timedelta(minutes=1), 200
AFTER = timedelta(days=2)


def due_at(
    name: str,
    every: timedelta,
    *,
    last_start: datetime | None,
    last_success: datetime | None,
    failures: int,
    now: datetime,
    handed: datetime | None = None,
    deadline: tuple[datetime, int] | None = None,
) -> datetime:
    """When the next crawl of a source should start.

    Args:
        name: the source; its digest picks a fixed place inside the spread.
        every: the interval that its file asks for.
        last_start: start of its latest crawl, None if there was none.
        last_success: start of its latest good one.
        failures: failed crawls in a row since then.
        now: aware UTC.
        deadline: an announced time near now and how exact it is, in minutes: the source is looked at more often then.
        handed: when another source handed it a link that no crawl has tried: it is looked at soon after.

    Returns:
        A time, in the past for a source that is overdue: then it runs once, at once, however often it was missed.
    """
    if last_start is None:
        return now
    if deadline is not None:
        every = min(every, _near(*deadline, now))
    if failures:
        pause: timedelta = FIRST_RETRY * 2 ** min(failures - 1, 16)
        return last_start + min(every, pause)
    if handed is not None and handed >= last_start:
        return min(last_start + FIRST_RETRY, last_start + every)
    part = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    return (last_success or last_start) + every * (1 + SPREAD * (part - 0.5))


def _near(at: datetime, exact: int, now: datetime) -> timedelta:
    """The interval that an announced time asks for."""
    span = timedelta(minutes=exact)
    if now > at + span + AFTER:
        return timedelta.max
    away = at - now if now < at else max(now - at - span, timedelta())
    return max(away / NEAR, span / IN_SPAN, SOONEST)
