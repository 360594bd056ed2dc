"""Lasting states give one notice, a reminder after each period, and one notice when they end."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from crawler.process.examiner_client import ExaminerProcess
from data.model import EventKind
from data.settings.home import Home
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event, remind_of_lasting_states, run_selftest
from scheduler.delivery.routing import route_by
from tests.inside import fine

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    fine(None, "init", tmp_path / "home")
    (tmp_path / "home" / "tocsin.toml").write_text(
        '[channels.team]\nkind = "slack"\nurl = "http://127.0.0.1:9/x"\n[daemon]\nremind_every = "1d"\n'
    )
    return Home(tmp_path / "home", {})


def test_a_lasting_state_gives_a_reminder_after_each_period_until_it_ends(home):
    settings = home.settings()
    with contextlib.closing(Store.open(home.db_path)) as store:
        gap = build_event(EventKind.GAP, NOW, "s", source="s")
        assert store.states.begin(gap, "listing", route_by(settings), NOW)
        assert not store.states.begin(gap, "listing", route_by(settings), NOW)
        assert remind_of_lasting_states(settings, store, NOW + timedelta(hours=23)) == 0
        assert remind_of_lasting_states(settings, store, NOW + timedelta(hours=25)) == 1
        assert remind_of_lasting_states(settings, store, NOW + timedelta(hours=26)) == 0
        assert remind_of_lasting_states(settings, store, NOW + timedelta(hours=50)) == 1
        assert store.states.end("s", EventKind.GAP, "listing", recovery_event, route_by(settings), NOW)
        assert not store.states.end("s", EventKind.GAP, "listing", recovery_event, route_by(settings), NOW)
        assert remind_of_lasting_states(settings, store, NOW + timedelta(days=9)) == 0
        gaps = [event for event in store.events.latest() if event.kind is EventKind.GAP]
        assert len(gaps) == 3
        assert [event.facts.get("reminder") for event in gaps].count(True) == 2
        assert sum(event.kind is EventKind.RECOVERED for event in store.events.latest()) == 1


@pytest.mark.slow
def test_a_failing_examiner_gives_one_alert_and_its_recovery_another(home):
    settings = home.settings()
    with contextlib.closing(Store.open(home.db_path)) as store:

        def run(at: datetime) -> list[str]:
            return asyncio.run(run_selftest(settings, store, examiner, at))

        with ExaminerProcess.start(home) as examiner:
            assert run(NOW) == []
            assert store.selftests.latest() == {"examiner": (NOW, True)}
            # the test stored a finding with a hit and took it back
            assert store.findings.latest() == []
            assert store.sightings.of_sources() == []
            store.database.execute("alter table sighting rename to aside")
            (wrong,) = run(NOW + timedelta(minutes=10))
            assert wrong.startswith("a finding cannot be stored: the database failed")
            store.database.execute("alter table aside rename to sighting")
            examiner.process.kill()
            examiner.process.wait()
            assert run(NOW + timedelta(hours=1)) == ["the examiner has ended"]
            assert run(NOW + timedelta(hours=2))
        with ExaminerProcess.start(home) as examiner:
            assert run(NOW + timedelta(hours=3)) == []
        alerts = [(event.kind, event.severity.value) for event in reversed(store.events.latest())]
        # the second reason is another one, and has an alert of its own; the third time it is the same
        failed = (EventKind.SELFTEST_FAILED, "critical")
        assert alerts == [failed, failed, (EventKind.RECOVERED, "notice")]
