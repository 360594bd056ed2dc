"""Delivery goes on while something else of the home is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind, Severity
from data.settings.home import Home
from data.settings.settings import Settings
from data.store.outbox import QUIET_HOURS
from data.store.store import DELIVERING_SECONDS, Store
from scheduler.delivery.delivery import DeliveryCounts, DisplayNames, deliver_due, deliver_until_empty
from scheduler.delivery.routing import route_by
from tests.inside import fine
from tests.servers.strict_chats import slack
from tests.servers.webhook import Webhook

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("damaged", ["watchlist/manifest.json", "incidents.toml"])
def test_an_alert_about_a_damaged_file_is_sent_although_the_file_has_the_names(tmp_path, damaged):
    fine(None, "init", tmp_path / "home")
    file = tmp_path / "home" / damaged
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\xff{damaged")
    home = Home(tmp_path / "home", {})
    event = build_event(
        EventKind.SELFTEST_FAILED, NOW, "x", facts={"subject": "examiner", "reason": f"{damaged} is damaged"}
    )
    with Webhook([slack]) as chat:
        (home.path / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n')
        with contextlib.closing(Store.open(home.db_path)) as store:
            store.events.add([event], route_by(home.settings()), NOW)
            assert asyncio.run(deliver_due(home.settings(), store, DisplayNames.of_home(home))).sent == 1


def test_quiet_hours_hold_what_can_wait_until_they_end_or_are_taken_back(tmp_path):
    fine(None, "init", tmp_path / "home")
    home = Home(tmp_path / "home", {})
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    with Webhook([slack, slack, slack]) as chat:
        channel = f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n'
        (home.path / "tocsin.toml").write_text(channel + f'quiet_hours = "{begin:%H:%M}-{end:%H:%M}"\n')
        with contextlib.closing(Store.open(home.db_path)) as store:
            # a digest that a channel deferred before the quiet hours waits as well
            kinds = {EventKind.CANARY_HIT: None, EventKind.GAP: None, EventKind.DIGEST: Severity.WARNING}
            for kind, severity in kinds.items():
                store.events.add(
                    [build_event(kind, NOW, "x", source="s", severity=severity)], route_by(home.settings()), NOW
                )
            assert asyncio.run(deliver_due(home.settings(), store)).sent == 1, "a critical alert does not wait"
            assert asyncio.run(deliver_until_empty(home.settings(), store, deadline=5)) == DeliveryCounts()
            assert store.outbox.waiting_since() is None, "an alert that is held is not late"
            assert (store.outbox.depth().waiting, store.outbox.depth().held) == (2, 2)
            assert "2 waiting (2 of them for the end of quiet hours), 0 refused" in fine(home.path, "status").stdout
            digest, held = store.outbox.alerts(state="due")
            assert (held["kind"], held["reason"], held["attempts"]) == ("gap", QUIET_HOURS, 0)
            assert (digest["kind"], digest["reason"]) == ("digest", QUIET_HOURS)
            assert timedelta(0) < datetime.fromisoformat(held["next_try"]) - now <= timedelta(hours=1)
            (home.path / "tocsin.toml").write_text(channel)
            assert asyncio.run(deliver_due(Home(home.path, {}).settings(), store)).sent == 2
            assert store.outbox.depth().waiting == 0


@pytest.mark.parametrize(("seconds", "is_told"), [(30, False), (3600, True)])
def test_a_chat_that_asks_for_a_long_wait_is_told_to_the_others_at_once(home, seconds, is_told):
    """Three tries would take hours."""

    def later(_received):
        return 503, {"Retry-After": str(seconds)}, b""

    event = build_event(EventKind.GAP, NOW, "x", source="s")
    with Webhook([later]) as busy, Webhook([slack, slack]) as team:
        home.config_path.write_text(
            f'[channels.busy]\nkind = "slack"\nurl = "{busy.url}/"\n'
            f'[channels.team]\nkind = "slack"\nurl = "{team.url}/"\n'
        )
        with contextlib.closing(Store.open(home.db_path)) as store:
            store.events.add([event], route_by(home.settings()), NOW)
            assert asyncio.run(deliver_due(home.settings(), store)) == DeliveryCounts(sent=1, deferred=1)
            found = {each.kind for each in store.states.lasting()}
            assert found == ({EventKind.DELIVERY_FAILED} if is_told else set())


def test_of_two_processes_that_deliver_at_once_one_sends_and_one_that_hangs_keeps_no_alert_back(tmp_path):
    def slowly(_request: object) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.3)
        return 200, {}, b"ok"

    with Webhook([slowly]) as chat:
        settings = Settings.model_validate({"channels": {"team": {"kind": "slack", "url": f"{chat.url}/hook"}}})
        with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
            store.events.add([build_event(EventKind.CANARY_HIT, NOW, "x")], route_by(settings), NOW)

        def deliver() -> DeliveryCounts:
            with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
                return asyncio.run(deliver_until_empty(settings, store, deadline=10))

        with ThreadPoolExecutor() as pool:
            done = [each.result() for each in [pool.submit(deliver), pool.submit(deliver)]]
        assert sorted(each.sent for each in done) == [0, 1]
        assert len(chat.received) == 1
        with contextlib.closing(Store.open(tmp_path / "t.db")) as store, store.delivering() as is_free:
            assert is_free
            store.events.add([build_event(EventKind.CANARY_HIT, NOW, "y")], route_by(settings), NOW)
            assert asyncio.run(deliver_due(settings, store)) == DeliveryCounts()
            long_ago = time.time() - 2 * DELIVERING_SECONDS
            os.utime(tmp_path / "delivery.lock", (long_ago, long_ago))
            assert asyncio.run(deliver_due(settings, store)).sent == 1
