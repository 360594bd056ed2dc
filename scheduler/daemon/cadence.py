"""When the next crawl of a source is due: a pure rule over what the store knows of the source."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

# Crawls are spread over this share of the interval, so that a hundred sources do not start in the same second.
SPREAD = 0.1
# After a failed crawl the next one comes sooner than the interval says; the delay doubles with each failure, up to the
# interval: a leak site that comes back should be noticed soon, a dead one should not be hammered.
FIRST_RETRY = timedelta(minutes=1)
# Around an announced time a source is crawled this often in the time until it, or since it,
CRAWLS_TOWARDS_DEADLINE = 10
# but not more often than this, nor more than this number of times in the span for which the announcement is exact.
MIN_INTERVAL, CRAWLS_IN_EXACT_SPAN = timedelta(minutes=1), 200
# So long after an announced time the usual interval applies again.
DEADLINE_OVER_AFTER = timedelta(days=2)


def next_crawl_at(
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
        name: the source; its digest gives it a fixed place inside the spread.
        every: the interval that its definition asks for.
        last_start: start of its latest crawl, None if there was none.
        last_success: start of its latest crawl that ended well.
        failures: failed crawls in a row since then.
        now: aware UTC.
        handed: when another source handed over a link to it that no crawl has tried; it is crawled soon after that.
        deadline: the announced time that is nearest to now and how exact it is, in minutes; the source is crawled more
            often around it.

    Returns:
        A time. A time in the past means that the source is overdue: it is crawled once, at once, however many crawls
        were missed.
    """
    if last_start is None:
        return now
    if deadline is not None:
        every = min(every, _interval_around(*deadline, now))
    if failures:
        delay: timedelta = FIRST_RETRY * 2 ** min(failures - 1, 16)
        return last_start + min(every, delay)
    if handed is not None and handed >= last_start:
        return min(last_start + FIRST_RETRY, last_start + every)
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32
    return (last_success or last_start) + every * (1 + SPREAD * (place - 0.5))


def _interval_around(deadline: datetime, exact: int, now: datetime) -> timedelta:
    """The interval between crawls that an announced time asks for, exact to a number of minutes."""
    span = timedelta(minutes=exact)
    if now > deadline + span + DEADLINE_OVER_AFTER:
        return timedelta.max
    distance = deadline - now if now < deadline else max(now - deadline - span, timedelta())
    return max(distance / CRAWLS_TOWARDS_DEADLINE, span / CRAWLS_IN_EXACT_SPAN, MIN_INTERVAL)
