"""Metrics of the daemon in the text format of Prometheus: served on a loopback address, or written to a file.

They are made from a snapshot that the daemon renews, so that a request reads no database and waits for nothing.
"""

from __future__ import annotations

import threading
from collections import Counter as Numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer

import structlog

from data.errors import ConfigError
from data.settings.endpoint import Endpoint
from data.settings.service_settings import MetricsSettings
from scheduler.crawls.crawl_tally import CrawlResult

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = structlog.get_logger("daemon")


@dataclass(slots=True)
class Totals:
    """What this process has done since it started: ended crawls by their state, posts examined, findings."""

    crawls: Numbers[str] = field(default_factory=Numbers)
    examined: int = 0
    findings: int = 0

    def add(self, result: CrawlResult) -> None:
        """Count a crawl that ended."""
        self.crawls[result.state] += 1
        self.examined += result.examined
        self.findings += result.findings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the daemon at a moment.

    Attributes:
        at: when it was taken. sources: as in `status --json`. conditions: number of sources by condition.
        outbox: `depth`, `held` and `refused`. states: lasting states by kind. failures: work -> failures in a row.
        selftests: name -> when it last ran and whether it passed.
    """

    at: datetime
    sources: Sequence[Mapping[str, Any]]
    conditions: Mapping[str, int]
    outbox: Mapping[str, int]
    states: Mapping[str, int]
    failures: Mapping[str, int]
    selftests: Mapping[str, tuple[datetime, bool]]


class Metrics:
    """The metrics of one daemon."""

    def __init__(self, settings: MetricsSettings, totals: Totals) -> None:
        """Serve or write what `settings` ask for.

        Raises:
            ConfigError: the address cannot be used.
        """
        # loading it takes a megabyte, which a daemon without metrics saves
        from prometheus_client import CollectorRegistry

        self._settings, self._totals = settings, totals
        self._snapshot: Snapshot | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        if settings.listen is not None:
            from prometheus_client import start_http_server

            endpoint = Endpoint.parse(settings.listen)
            try:
                self._server = start_http_server(endpoint.port, endpoint.host, registry=self._registry)
            except OSError as error:
                raise ConfigError(
                    f"metrics cannot be served at {settings.listen}: {error.strerror}",
                    hint="choose another port in  [metrics] listen",
                ) from error

    def renew(self, snapshot: Snapshot) -> None:
        """Show a new state, and write the file.

        Raises:
            ConfigError: the file cannot be written.
        """
        self._snapshot = snapshot
        if self._settings.file is None:
            return
        from prometheus_client import write_to_textfile

        try:
            # written beside it and renamed
            write_to_textfile(str(self._settings.file), self._registry)
        except OSError as error:
            raise ConfigError(
                f"the file of metrics cannot be written: {error.strerror}", hint="check  [metrics] file  and its folder"
            ) from error

    def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def collect(self) -> Iterator[Metric]:
        """The metrics, as the library asks for them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        crawls = CounterMetricFamily("tocsin_crawls", "Crawls that ended since the start.", labels=["state"])
        for state in ("done", "failed"):
            crawls.add_metric([state], self._totals.crawls[state])
        yield crawls
        yield CounterMetricFamily(
            "tocsin_posts_examined", "Posts examined since the start.", value=self._totals.examined
        )
        yield CounterMetricFamily("tocsin_findings", "Findings stored since the start.", value=self._totals.findings)
        now = self._snapshot
        if now is None:
            return
        yield GaugeMetricFamily(
            "tocsin_snapshot_timestamp_seconds", "When the daemon last renewed these numbers.", value=now.at.timestamp()
        )
        for name, text, label, values in (
            ("tocsin_sources", "Sources by condition.", "condition", now.conditions),
            ("tocsin_outbox_alerts", "Alerts that wait (depth), wait for quiet hours (held), were refused.", "state", now.outbox),
            ("tocsin_lasting_states", "Lasting states by kind of event.", "kind", now.states),
            ("tocsin_work_failures", "Failures in a row of each piece of work.", "work", now.failures),
        ):  # fmt: skip
            yield _labelled(name, text, label, values)
        passed = {name: float(ok) for name, (_, ok) in now.selftests.items()}
        yield _labelled("tocsin_selftest_passed", "Whether the last self-test passed.", "name", passed)
        tested = {name: at.timestamp() for name, (at, _) in now.selftests.items()}
        yield _labelled("tocsin_selftest_timestamp_seconds", "When the last self-test ran.", "name", tested)
        for key, name, text in (
            ("last_success", "last_success_timestamp_seconds", "Start of the last crawl that ended well."),
            ("failures", "failures", "Crawls that failed in a row."),
            ("posts_per_day", "posts_per_day", "New posts a day."),
        ):
            numbers = {each["name"]: _number(each[key]) for each in now.sources if each[key] is not None}
            yield _labelled(f"tocsin_source_{name}", text, "source", numbers)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _number(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value)
