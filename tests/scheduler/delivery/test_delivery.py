"""Delivery goes on while something else of the home is damaged."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind
from data.settings.home import Home
from data.store.store import Store
from scheduler.delivery.delivery import DisplayNames, deliver_due
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
