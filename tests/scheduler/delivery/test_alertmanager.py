"""Alerts through a real Prometheus Alertmanager, as far as the receiver behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.events import build_event
from crawler.alerts.message import Thread
from crawler.alerts.wording import message_of
from data.errors import DeliveryDeferred, DeliveryRefused
from data.model import EventKind, Severity
from data.settings.settings import Settings
from data.store.states import LastingState
from data.store.store import Store
from scheduler.canaries.known_watchlist import report_other_database
from scheduler.daemon.trouble_reports import report_fault
from scheduler.delivery.delivery import http_client, send
from scheduler.delivery.lasting_states import recovery_event
from tests.servers.base import ServerProcess, client, debian_program, free_port
from tests.servers.webhook import Webhook
from tests.synth.breach import hostile_strings

pytestmark = [pytest.mark.servers, pytest.mark.slow]

CONFIGURATION = """
route:
  receiver: behind
  group_by: [thread]
  group_wait: 0s
  group_interval: 200ms
  repeat_interval: 1h
receivers:
  - name: behind
    webhook_configs: [{{url: "{url}/", send_resolved: true}}]
"""


class Running:
    """`url` of a real Alertmanager, and what the `behind` it was notified of."""

    def __init__(self, folder: Path, behind: Webhook) -> None:
        self.behind = behind
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (folder / "alertmanager.yml").write_text(CONFIGURATION.format(url=behind.url))
        command = [
            debian_program("prometheus-alertmanager", "prometheus-alertmanager"), f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        ]  # fmt: skip
        self.process = ServerProcess("alertmanager", command, folder=folder, ready_url=f"{self.url}/-/ready")

    def alerts(self) -> list[dict]:
        with client(self.url) as http:
            return http.get("/api/v2/alerts").json()

    def notified(self, wanted: Callable[[dict], bool]) -> dict:
        """The first notification that is wanted, once it has come."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for request in list(self.behind.received):
                if wanted(value := json.loads(request.body)):
                    return value
            time.sleep(0.02)
        raise AssertionError(f"not among {len(self.behind.received)} notifications")


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Webhook() as behind:
        running = Running(tmp_path_factory.mktemp("alertmanager"), behind)
        yield running
        running.process.stop()


def deliver(url: str, *events, thread: str = "", link: str = "") -> list[int]:
    target = Settings.model_validate({"channels": {"c": {"kind": "alertmanager", "url": url}}}).channels["c"]
    requests = []
    for event in events:
        message = message_of(event, clients={"practice-1": "Cabinet des Lilas"}, case="vendor", link=link)
        message = replace(message, thread=Thread("a" * 32, thread)) if thread else message
        requests.append(dialect(target).compose(target, "a" * 32, message, int(time.time())))

    async def go() -> list[int]:
        async with http_client() as http:
            return [(await send(http, target, each)).status for each in requests]

    return asyncio.run(go())


def test_a_state_fires_one_alert_until_its_end_resolves_it_whatever_its_severity_was(manager):
    began = datetime.now(UTC) - timedelta(hours=5)
    event = build_event(
        EventKind.SOURCE_SILENT,
        began,
        "state",
        source="board-é",
        severity=Severity.NOTICE,
        facts={"subject": "listing"},
    )
    reminder = build_event(
        EventKind.SOURCE_SILENT, datetime.now(UTC), "reminder", source="board-é", severity=Severity.NOTICE,
        facts={"subject": "listing", "began": began.isoformat(), "reminder": True},
    )  # fmt: skip
    assert deliver(manager.url, event, event, reminder) == [200] * 3
    firing = manager.notified(lambda each: each["commonLabels"].get("source") == "board-é")
    [alert] = firing["alerts"]
    assert (alert["status"], alert["labels"]["alertname"], alert["labels"]["severity"]) == (
        "firing", "tocsin_source_silent", "notice",
    )  # fmt: skip
    assert "board-é" in alert["annotations"]["summary"]
    assert "tocsin alert show" in alert["annotations"]["description"]
    assert len([each for each in manager.alerts() if each["labels"]["source"] == "board-é"]) == 1
    state = LastingState("board-é", EventKind.SOURCE_SILENT, "listing", began, began, event.id)
    assert deliver(manager.url, recovery_event(state)) == [200]
    ended = manager.notified(lambda each: each["groupKey"] == firing["groupKey"] and each["status"] == "resolved")
    assert alert["fingerprint"] in {each["fingerprint"] for each in ended["alerts"]}
    assert manager.alerts() == [] or all(each["labels"]["source"] != "board-é" for each in manager.alerts())


def test_what_belongs_to_one_thread_is_one_group_of_alerts_that_differ(manager):
    now = datetime.now(UTC)
    facts = {"clients": [{"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email"]}]}
    first = build_event(EventKind.CANARY_HIT, now, "first", source="forum-1", facts=facts)
    second = build_event(EventKind.REPOST, now, "second", source="forum-2", facts=facts)
    deliver(manager.url, first, link="https://soc.example/events")
    deliver(manager.url, second, second, thread=first.id)
    both = manager.notified(lambda each: {a["labels"].get("event") for a in each["alerts"]} == {first.id, second.id})
    assert all(each["status"] == "firing" for each in both["alerts"])
    links = {each["labels"]["event"]: each["generatorURL"] for each in both["alerts"]}
    assert links == {first.id: f"https://soc.example/events/{first.id}", second.id: ""}
    assert "Cabinet des Lilas" in json.dumps(both, ensure_ascii=False)


def test_a_warning_that_nothing_ends_does_not_fire_for_a_month(home):
    now = datetime.now(UTC)
    with contextlib.closing(Store.open(home.db_path)) as store:
        report_fault(store, Settings(), "reload", "tocsin.toml is damaged", now)
        report_other_database(store, Settings(), now)
        events = store.events.latest()
    assert len(events) == 2
    for event in events:
        target = Settings.model_validate({"channels": {"c": {"kind": "alertmanager", "url": "http://alerts.example"}}})
        message = message_of(event, clients={}, case="vendor")
        sent = dialect(target.channels["c"]).compose(target.channels["c"], "a" * 32, message, int(now.timestamp()))
        [alert] = json.loads(sent.body)
        assert alert["labels"]["event"] == event.id
        assert datetime.fromisoformat(alert["endsAt"]) - now <= timedelta(days=1)


def test_hostile_text_of_sources_is_taken_and_tells_alerts_apart(manager):
    texts = hostile_strings()
    before = len(manager.alerts())
    events = [
        build_event(
            EventKind.CANARY_HIT, datetime.now(UTC), number, source=text, address=text, facts={"problems": [text]}
        )
        for number, text in enumerate(texts)
    ]
    assert set(deliver(manager.url, *events)) == {200}
    assert len(manager.alerts()) == before + len(texts)


def test_an_alertmanager_that_refuses_or_is_gone_is_told(manager):
    event = build_event(EventKind.GAP, datetime.now(UTC), "x")
    with pytest.raises(DeliveryRefused, match="404"):
        deliver(f"{manager.url}/elsewhere", event)
    with pytest.raises(DeliveryDeferred, match="cannot be reached"):
        deliver(f"http://127.0.0.1:{free_port()}", event)
