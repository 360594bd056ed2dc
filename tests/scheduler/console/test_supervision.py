"""The process that starts the console: what it answers, how often, that it reads settings anew, and that slow clients keep nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from data.settings.home import Home
from scheduler.console.broker_client import MAX_LINE
from scheduler.console.connections import HEAD_SECONDS, MAX_CONNECTIONS
from scheduler.console.incidents_view import kept_name
from scheduler.console.rendering import _ENVIRONMENT
from scheduler.console.supervision import AN_HOUR, ConsoleRunner, answer_line
from tests.command import must
from tests.scheduler.console.conftest import Site
from tests.servers.console import RunningConsole, running_console
from tests.synth import console_home

WAIT = 60


def test_an_answer_that_is_too_long_for_a_line_is_told_and_leaves_the_connection_whole():
    assert json.loads(answer_line(7, {"result": {"rows": 3}})) == {"number": 7, "result": {"rows": 3}}
    # titles of a page that was looked at, for instance
    line = answer_line(8, {"result": "x" * MAX_LINE})
    assert len(line) < MAX_LINE
    assert line.endswith(b"\n")
    answer = json.loads(line)
    assert answer["number"] == 8
    assert "too large" in answer["error"]


@pytest.mark.parametrize("kind", AN_HOUR)
def test_the_console_may_ask_for_so_much_an_hour_and_no_more(tmp_path: Path, kind: str):
    with socket.socket() as unused:
        runner = ConsoleRunner(Home(tmp_path, environ={}), unused, (), "0.1.0")
        times = [minute * 60.0 for minute in range(AN_HOUR[kind] + 1) if minute < 60]
        refused = [runner._refusal({"do": kind}, at) for at in times]
        assert refused[: AN_HOUR[kind]] == [None] * AN_HOUR[kind]
        refusal = runner._refusal({"do": kind}, 3599.0)
        assert refusal is not None
        assert "in the last hour" in refusal["error"]
        assert "wait 1 min" in refusal["hint"]
        # the first one is over an hour ago
        assert runner._refusal({"do": kind}, 3600.0) is None
        assert runner._refusal({"do": kind}, 3601.0) is not None


@pytest.mark.slow
def test_the_console_says_that_it_is_ready_once_first_looks_are_prepared_and_keeps_them_fresh(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scheduler.console.application.PREPARE_EVERY", 0.05)
    monkeypatch.setattr("scheduler.console.console.KEPT_SECONDS", 0.0)
    site.ours.settimeout(WAIT)
    with TestClient(site.application):
        assert json.loads(site.ours.recv(4096)) == {"do": "ready"}
        kept = dict(site.application.state.console._kept)
        assert {"status", "definitions", "names", "incidents open", kept_name(console_home.INCIDENT)} <= kept.keys()
        assert len(_ENVIRONMENT.cache) >= len(_ENVIRONMENT.list_templates())
        # nobody asks for a page, and it is renewed all the same
        until = time.monotonic() + WAIT
        while site.application.state.console._kept["status"].at == kept["status"].at:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_what_was_read_before_a_decision_is_not_kept_after_it(site: Site):
    console = site.application.state.console
    console.forget()

    def read_while_somebody_decides() -> str:
        console.forget()
        return "old"

    assert console.kept("status", 60, read_while_somebody_decides) == "old"
    assert console.kept("status", 60, lambda: "new") == "new"
    assert console.kept("status", 60, lambda: "newer") == "new"
    console.forget()


def test_the_address_is_told_once_and_not_before_the_first_process_is_ready(tmp_path: Path):
    told: list[str] = []

    async def go() -> None:
        with socket.socket() as unused:
            runner = ConsoleRunner(Home(tmp_path, environ={}), unused, (), "0.1.0", lambda: told.append("ready"))
            reader = asyncio.StreamReader()
            reader.feed_data(b'{"do": "ready"}\n{"do": "ready"}\n')
            reader.feed_eof()
            assert told == []
            await runner._answer(reader, None)

    asyncio.run(go())
    assert told == ["ready"]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("supervised") / "home"
    console_home.make_home(home)
    token = must(home, "console", "token", "SIEM", "--role", "view").split()[-1]
    with running_console(home) as running:
        yield home, running, {"Authorization": f"Bearer {token}"}


def connected(running: RunningConsole) -> socket.socket:
    parts = urlsplit(running.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=WAIT)


@pytest.mark.slow
@pytest.mark.servers
def test_changed_settings_are_read_without_a_lost_request(console):
    home, running, token = console
    settings = home / "tocsin.toml"
    settings.write_text(
        settings.read_text() + '\n[channels.later]\nkind = "generic"\nurl = "https://soc.example/x"\nunsigned = true\n'
    )
    names: list[str] = []
    deadline = time.monotonic() + WAIT
    while "later" not in names and time.monotonic() < deadline:
        answer = httpx.get(f"{running.address}/delivery.json", headers=token, timeout=WAIT)
        assert answer.status_code == 200
        names = [each["channel"] for each in answer.json()["channels"]]
        time.sleep(0.2)
    assert "later" in names


@pytest.mark.slow
@pytest.mark.servers
def test_clients_that_never_finish_a_request_are_cut_off_and_keep_nobody_out(console):
    _, running, token = console
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(running)) for _ in range(MAX_CONNECTIONS + 20)]
        for number, each in enumerate(slow):
            with contextlib.suppress(OSError):
                each.sendall(b"GET / HTTP/1.1\r\nHost: x" if number % 2 else b"G")
        # beyond the bound connections are closed at once; within it they end after the time for a head
        deadline = time.monotonic() + WAIT
        answered = 0
        while not answered and time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answered = httpx.get(f"{running.address}/now.json", headers=token, timeout=WAIT).status_code
        assert answered == 200
        for each in slow:
            each.settimeout(HEAD_SECONDS + WAIT)
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) in {b"", b"H"}
