"""Alerts through the real Apprise, in its process, to real receivers of this machine: what arrives, and what answers lead to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.errors import ConfigError, DeliveryDeferred, DeliveryRefused
from data.model import EventKind
from data.settings.settings import Settings, load_settings
from data.store.store import Store
from scheduler.delivery import apprise as delivery_by_apprise
from scheduler.delivery.apprise import environment_of
from scheduler.delivery.delivery import deliver_due, http_client, send
from scheduler.delivery.routing import route_by
from scheduler.reports.doctor import _channel
from tests.servers.webhook import Webhook

pytestmark = [pytest.mark.servers, pytest.mark.slow]
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
EVENT = build_event(
    EventKind.CANARY_HIT, NOW, "x", source="forum <b>é</b> @everyone",
    facts={"clients": [{"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email"]}]},
)  # fmt: skip


def settings_for(url: str, **more: object) -> Settings:
    return Settings.model_validate({"channels": {"c": {"kind": "apprise", "url": url, **more}}})


def deliver(url: str, **more: object) -> int:
    target = settings_for(url, **more).channels["c"]
    message = message_of(EVENT, clients={"practice-1": "Cabinet des Lilas"}, case="vendor")

    async def go() -> int:
        async with http_client() as client:
            return (await send(client, target, dialect(target).compose(target, "a" * 32, message, 1))).status

    return asyncio.run(go())


def address(server: Webhook) -> str:
    return f"{server.url.replace('http', 'json')}/hook/T0K3N"


def test_its_process_inherits_no_key_and_not_where_credentials_are():
    given = {
        "TOCSIN_MATCH_KEY": "k",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "APPRISE_URLS": "x://",
        "PATH": "/bin",
    }
    assert environment_of(given) == {"PATH": "/bin", "NO_PROXY": "*", "no_proxy": "*"}


@pytest.mark.parametrize("url", ["tgram://[T0K3N/1", "https://localhost:T0K3N/x", "json://localhost:99999/T0K3N"])
def test_an_address_that_is_none_is_refused_in_words_without_it(url, capfd):
    with pytest.raises((DeliveryRefused, DeliveryDeferred)) as refused:
        deliver(url)
    [bad] = _channel("c", settings_for(url).channels["c"])
    shown = f"{refused.value} {refused.value.hint} {bad} {capfd.readouterr()}"
    assert f"{url.partition(':')[0]}://…" in shown
    assert "T0K3N" not in shown


def test_a_receiver_gets_the_message_with_its_advice_and_command_and_nothing_of_it_is_logged(capfd):
    with Webhook() as receiver:
        assert deliver(address(receiver)) == 200
        # doctor sends nothing
        [good] = _channel("c", settings_for(address(receiver)).channels["c"])
        assert (good.state, "T0K3N" in good.result) == ("ok", False)
        [request] = receiver.received
    value = json.loads(request.body)
    assert (request.path, value["type"]) == ("/hook/T0K3N", "failure")
    assert "forum" in value["title"] + value["message"]
    for expected in ("Cabinet des Lilas", f"tocsin alert show {EVENT.id[:12]}"):
        assert expected in value["message"]
    assert "@everyone" not in value["title"] + value["message"]
    said = capfd.readouterr()
    assert "T0K3N" not in said.out + said.err


ANSWERS = {
    "429 with Retry-After": ((429, {"Retry-After": "7"}, b""), DeliveryDeferred, 7.0),
    "401": ((401, {}, b""), DeliveryRefused, None),
    "drop": ("drop", DeliveryDeferred, None),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_an_answer_of_the_service_leads_to_what_it_leads_to_elsewhere(fault):
    step, expected, wait = ANSWERS[fault]
    with Webhook([step]) as receiver:
        with pytest.raises(expected) as caught:
            deliver(address(receiver))
        assert len(receiver.received) == 1
    assert caught.value.retry_after == wait
    assert "127.0.0.1" not in str(caught.value)
    assert "T0K3N" not in str(caught.value)


def test_a_redirect_is_not_followed():
    with Webhook() as elsewhere, Webhook([(307, {"Location": f"{elsewhere.url}/taken"}, b"")]) as receiver:
        with pytest.raises(DeliveryRefused, match="redirects are not followed"):
            deliver(address(receiver))
        assert (len(receiver.received), elsewhere.received) == (1, [])


def test_a_service_that_is_silent_is_given_up_and_its_process_is_ended(monkeypatch):
    monkeypatch.setattr(delivery_by_apprise, "START_SECONDS", 0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def accept() -> None:
            connection, _ = server.accept()
            over.set()
            # its end is the end of the process that sent
            while connection.recv(4096):
                pass
            connection.close()
            ended.set()

        ended = threading.Event()
        threading.Thread(target=accept, daemon=True).start()
        with pytest.raises(DeliveryDeferred, match="within 4 s"):
            deliver(f"json://127.0.0.1:{server.getsockname()[1]}/hook", timeout="4s")
        if over.is_set():
            assert ended.wait(60)


# Delivers what is due; the arguments are the database and the settings.
DELIVERER = """
import asyncio, json, pathlib, sys
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.delivery import deliver_due
asyncio.run(deliver_due(Settings.model_validate(json.loads(sys.argv[2])), Store.open(pathlib.Path(sys.argv[1]))))
"""


def test_with_whoever_delivers_the_process_of_apprise_ends_so_that_it_sends_nothing_later(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        # longer than this test waits: without it Apprise gives up by itself after some seconds
        url = f"json://127.0.0.1:{server.getsockname()[1]}/hook?rto=900&cto=900"
        channel = {"kind": "apprise", "url": url, "timeout": "10m"}
        with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
            store.events.add([EVENT], lambda _: ("c",), NOW)
        settings = json.dumps({"channels": {"c": channel}})
        delivering = subprocess.Popen([sys.executable, "-c", DELIVERER, tmp_path / "t.db", settings])
        try:
            server.settimeout(300)
            connection, _ = server.accept()
        finally:
            delivering.kill()
            delivering.wait()
        # the end of the connection is that of the process, which would have waited for an answer for ten minutes
        connection.settimeout(300)
        with connection, contextlib.suppress(ConnectionResetError):
            while connection.recv(65_536):
                pass


def test_an_address_that_apprise_does_not_know_is_refused_and_doctor_says_so():
    with pytest.raises(DeliveryRefused, match="nosuch://… is no service that Apprise knows"):
        deliver("nosuch://T0K3N/x")
    [wrong] = _channel("c", settings_for("nosuch://T0K3N/x").channels["c"])
    assert (wrong.state, "no service" in wrong.result, "T0K3N" in wrong.result) == ("wrong", True, False)


def test_without_the_extra_the_alert_is_refused_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery_by_apprise.importlib.util, "find_spec", lambda name: None)
    store, settings = Store.open(tmp_path / "t.db"), settings_for("json://127.0.0.1:9/x")
    store.events.add([EVENT], route_by(settings), NOW)
    assert asyncio.run(deliver_due(settings, store)).refused == 1
    [row] = store.outbox.alerts()
    assert row["state"] == "refused"
    assert "Apprise is not installed" in row["reason"]
    [wrong] = _channel("c", settings.channels["c"])
    assert (wrong.state, wrong.result) == ("wrong", "Apprise is not installed")
    assert "tocsin[apprise]" in wrong.repair
    store.close()


@pytest.mark.parametrize("url", ["no address", "://x", "tgram:/T0K3N"])
def test_another_form_of_address_is_refused_without_showing_it(tmp_path, url):
    (tmp_path / "tocsin.toml").write_text(f'[channels.c]\nkind = "apprise"\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="SERVICE://") as caught:
        load_settings(tmp_path / "tocsin.toml", {})
    assert "T0K3N" not in str(caught.value)
