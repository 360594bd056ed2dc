"""Metrics are what Prometheus reads, hold counts and names of sources alone, and are served on loopback only."""

from __future__ import annotations

import socket
import stat
import urllib.request
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from data.errors import ConfigError
from data.settings.service_settings import MetricsSettings
from scheduler.daemon.metrics import Metrics, Snapshot, Totals

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SNAPSHOT = Snapshot(
    at=NOW,
    sources=[{"name": "board", "last_success": NOW, "failures": 0, "posts_per_day": 2.5},
             {"name": "new", "last_success": None, "failures": 3, "posts_per_day": None}],
    conditions={"fine": 1, "late": 0, "blind": 1, "disabled": 0},
    outbox={"depth": 2, "held": 1, "refused": 0},
    states={"source_silent": 1},
    failures={"delivery": 2},
    selftests={"examiner": (NOW, True)},
)  # fmt: skip


def samples(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_prometheus_reads_what_is_served_and_what_is_written(tmp_path):
    settings = MetricsSettings(listen=f"127.0.0.1:{free_port()}", file=tmp_path / "tocsin.prom")
    totals = Totals(examined=7)
    totals.crawls["done"] += 3
    metrics = Metrics(settings, totals)
    try:
        metrics.renew(SNAPSHOT)
        with urllib.request.urlopen(f"http://{settings.listen}/metrics", timeout=20) as answer:
            served = samples(answer.read().decode())
        with pytest.raises(ConfigError, match="cannot be served"):
            Metrics(settings, totals)
    finally:
        metrics.close()
    assert served == samples((tmp_path / "tocsin.prom").read_text())
    assert stat.S_ISREG((tmp_path / "tocsin.prom").stat().st_mode)
    expected = {
        "tocsin_crawls_total/done": 3, "tocsin_posts_examined_total": 7, "tocsin_sources/blind": 1,
        "tocsin_outbox_alerts/depth": 2, "tocsin_lasting_states/source_silent": 1, "tocsin_work_failures/delivery": 2,
        "tocsin_source_posts_per_day/board": 2.5, "tocsin_source_failures/new": 3,
        "tocsin_source_last_success_timestamp_seconds/board": NOW.timestamp(), "tocsin_selftest_passed/examiner": 1,
    }  # fmt: skip
    assert {name: served[name] for name in expected} == expected
    assert "tocsin_source_last_success_timestamp_seconds/new" not in served
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(settings.listen.rpartition(":")[2])), 5)


def test_a_file_that_cannot_be_written_is_an_error_with_a_hint(tmp_path):
    metrics = Metrics(MetricsSettings(file=tmp_path / "none" / "tocsin.prom"), Totals())
    with pytest.raises(ConfigError, match="cannot be written"):
        metrics.renew(SNAPSHOT)


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "192.0.2.1:9464", "unix:/run/metrics", "example.org:9464"])
def test_metrics_are_served_on_loopback_alone(address):
    with pytest.raises(ValueError, match=r"loopback|numeric"):
        MetricsSettings(listen=address)
