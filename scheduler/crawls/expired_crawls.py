"""Reports crawls that nobody ended: a runner was killed or lost its lease, or could not store how the crawl ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crawler.alerts.events import build_event
from data.case.incidents import incident_of, read_incidents
from data.errors import ConfigError
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.definition_sections import HealthSection
from data.store.crawls import EXPIRED, EXPIRED_ERROR, ExpiredCrawl
from data.store.store import Store
from scheduler.crawls.crawl_health import CrawlOutcome, assess_crawl
from scheduler.delivery.routing import route_by
from scheduler.delivery.shared_trouble import begin_state


def report_expired(
    home: Home, store: Store, settings: Settings, expired: Sequence[ExpiredCrawl], now: datetime
) -> None:
    """Begin the state of a source whose crawls expire again and again, as for other failures that may pass.

    The store has counted the failures already (`data.store.crawls`).
    """
    for crawl in expired:
        outcome = CrawlOutcome("failed", EXPIRED, EXPIRED_ERROR, failures=crawl.failures)
        states = assess_crawl(HealthSection(), outcome, silent_after=settings.daemon.silent_after, now=now)
        for state in states:
            event = build_event(
                state.kind,
                now,
                crawl.source,
                state.subject,
                crawl.id,
                source=crawl.source,
                incident=_incident_id(home, crawl.source),
                facts={"subject": state.subject, **state.facts},
            )
            begin_state(store, event, state.subject, route_by(settings), now)


def _incident_id(home: Home, source: str) -> str:
    """The incident of a source; '' for none, and if the file of incidents cannot be read, which each crawl reports."""
    try:
        incident = incident_of(read_incidents(home.path), source)
    except ConfigError:
        return ""
    return incident.id if incident is not None else ""
