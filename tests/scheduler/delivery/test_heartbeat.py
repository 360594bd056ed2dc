"""The sign of life reaches its channels and the dead man's switch, which is not called while work fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime

import pytest

from data.errors import ConfigError
from data.settings.home import Home
from data.settings.settings import load_settings
from data.store.store import Store
from scheduler.daemon.service import SIGN_OF_LIFE, Service
from scheduler.daemon.supervisor import Supervisor
from scheduler.daemon.trouble_reports import TroubleReports
from scheduler.delivery.heartbeat import SignOfLife, send_sign_of_life
from tests.servers.webhook import Webhook

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
GOOD = SignOfLife({"fine": 198, "late": 1, "blind": 1, "disabled": 4}, 3412, NOW, waiting=2, refused=0, failing=())
FAILING = SignOfLife({"fine": 1}, 0, NOW, waiting=0, refused=1, failing=("delivery",))
LINE = "Watching: 198 sources fine, 1 late, 1 blind; 2 alerts waiting, 0 refused; 3,412 posts examined since 2026-11-30 12:00 UTC"


@pytest.fixture
def world(tmp_path):
    with Webhook() as chat, Webhook() as switch:
        file = tmp_path / "tocsin.toml"
        file.write_text(
            f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n'
            f'[heartbeat]\nchannels = ["team"]\nurl = "{switch.url}/ping/secret"\n'
        )
        yield file, chat, switch


def send(file, sign: SignOfLife, store: Store | None = None) -> list[str]:
    return asyncio.run(send_sign_of_life(load_settings(file, {}), sign, NOW, store))


def test_the_line_is_in_the_chat_and_in_the_call_of_the_switch(world, tmp_path):
    file, chat, switch = world
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        head = str(store.head())
        send(file, GOOD, store)
    [message], [call] = chat.received, switch.received
    assert LINE in json.dumps(json.loads(message.body), ensure_ascii=False)
    assert head in message.body.decode(), "the head of the chains leaves this machine with each sign of life"
    assert "tocsin status" in message.body.decode()
    assert (call.method, call.path, call.body.decode()) == ("POST", "/ping/secret", LINE)


def test_while_work_fails_the_switch_is_not_called_unless_it_has_an_address_for_that(world):
    file, chat, switch = world
    send(file, FAILING)
    assert "Watching, but delivery fails" in chat.received[0].body.decode()
    assert switch.received == []
    with file.open("a") as stream:
        stream.write(f'failing_url = "{switch.url}/ping/secret/fail"\nmethod = "GET"\n')
    send(file, FAILING)
    [call] = switch.received
    assert (call.method, call.path, call.body) == ("GET", "/ping/secret/fail", b"")


def test_those_that_did_not_take_a_sign_are_named_without_their_address(world):
    file, chat, switch = world
    switch.script = [(404, {}, b"no such check")]
    assert send(file, GOOD) == ["the dead man's switch"]
    assert len(chat.received) == 1
    chat.script = ["drop"]
    switch.script = ["drop"]
    assert send(file, GOOD) == ["channel team", "the dead man's switch"]


def test_a_sign_that_does_not_arrive_is_sent_again_there_and_is_told_if_that_fails_too(world, tmp_path):
    file, chat, switch = world
    settings = load_settings(file, {})
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        supervisor = Supervisor(TroubleReports(Home(tmp_path, {}), lambda: settings, lambda: store))
        service = Service(supervisor, lambda: settings, lambda: store, dict, tmp_path)

        def minute() -> None:
            asyncio.run(supervisor.run(SIGN_OF_LIFE, service.show_life))

        switch.script = [(500, {}, b""), (500, {}, b""), (200, {}, b"OK")]
        minute()
        assert store.states.lasting() == [], "once may pass by itself"
        minute()
        [state] = store.states.lasting()
        assert (
            store.events.latest()[0]
            .facts["reason"]
            .startswith("sign of life: the sign of life did not reach the dead man's switch")
        )
        assert "secret" not in str(store.events.latest()[0].facts)
        minute()
        minute()
        assert store.states.lasting() == []
    assert state.subject == SIGN_OF_LIFE
    assert (len(chat.received), len(switch.received)) == (1, 3), "the chat took the first one"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('channels = ["other"]', "names the channel 'other', which does not exist"),
        ('url = "ftp://hc.example/ping/geheim"', "must be complete http"),
        ('url = "https://hc.example:99999/ping/geheim"', "must be complete http"),
        ('failing_url = "https://hc.example/fail"', "needs `url`"),
        ('every = "5s"', "greater than or equal to"),
    ],
)
def test_what_cannot_work_is_refused_and_shows_no_secret(tmp_path, text, words):
    (tmp_path / "tocsin.toml").write_text(f"[heartbeat]\n{text}\n")
    with pytest.raises(ConfigError, match=words) as refused:
        load_settings(tmp_path / "tocsin.toml", {})
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("kind", ["alertmanager", "pagerduty"])
def test_a_receiver_that_opens_an_incident_for_each_message_gets_no_signs_of_life(tmp_path, kind):
    file = tmp_path / "tocsin.toml"
    file.write_text(
        f'[channels.duty]\nkind = "{kind}"\nurl = "http://127.0.0.1:9"\ntoken = "x"\n[heartbeat]\nchannels = ["duty"]\n'
    )
    with pytest.raises(ConfigError, match=f"{kind} would open an incident"):
        load_settings(file, {})
