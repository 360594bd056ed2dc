"""A Tor that answers, but never finishes its start, is told with how far it came."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.model import EventKind
from data.settings.home import Home
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.crawls.tor_connection import TorConnection
from scheduler.delivery.lasting_states import update_tor_state
from scheduler.delivery.routing import route_by

PHASES = {
    80: 'NOTICE BOOTSTRAP PROGRESS=80 TAG=ap_conn SUMMARY="Connecting to a relay to build circuits"',
    100: 'NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"',
}


class Socks(socketserver.StreamRequestHandler):
    """Answers as Tor does where an onion address is wrong."""

    def handle(self) -> None:
        _, methods = self.rfile.read(2)
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x02")
        for _ in ("user", "password"):
            self.rfile.read(self.rfile.read(2)[1] if _ == "user" else self.rfile.read(1)[0])
        self.wfile.write(b"\x01\x00")
        self.rfile.read(4)
        self.rfile.read(self.rfile.read(1)[0] + 2)
        self.wfile.write(b"\x05\xf6\x00\x01" + bytes(6))


class Control(socketserver.StreamRequestHandler):
    """Answers the questions that are asked of a control port."""

    progress = 80

    def handle(self) -> None:
        for line in self.rfile:
            word, _, name = line.decode().strip().partition(" ")
            values = {
                "version": "0.4.8.9", "status/version/current": "recommended", "status/bootstrap-phase": PHASES[self.progress],
            }  # fmt: skip
            if word == "PROTOCOLINFO":
                answer = '250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250-VERSION Tor="0.4.8.9"\r\n250 OK\r\n'
            elif word == "GETINFO":
                answer = f"250-{name}={values[name]}\r\n250 OK\r\n" if name in values else "552 Unrecognized key\r\n"
            else:
                answer = "250 OK\r\n"
            self.wfile.write(answer.encode())


@pytest.fixture
def tor(tmp_path):
    """The SOCKS port and the control port of a Tor."""
    with contextlib.ExitStack() as stack:
        for name, handler in (("socks", Socks), ("control", Control)):
            server = stack.enter_context(socketserver.ThreadingUnixStreamServer(str(tmp_path / name), handler))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
        yield tmp_path


def test_a_tor_that_stays_at_80_percent_is_down_after_its_time_and_its_end_is_told(tor: Path, monkeypatch):
    ends = {"socks": f"unix:{tor / 'socks'}", "control": f"unix:{tor / 'control'}"}
    settings = Settings.model_validate({"tor": {"mode": "remote", "ready": "1h", **ends}})
    patient = TorConnection(Home(tor, {}), settings.tor)
    assert asyncio.run(patient.check()) is None, "it may still finish"
    hurried = TorConnection(Home(tor, {}), settings.tor.model_copy(update={"ready": settings.tor.ready * 0}))
    reason = asyncio.run(hurried.check())
    assert reason == "Tor is not connected to the Tor network (80 %, Connecting to a relay to build circuits)"
    monkeypatch.setattr(Control, "progress", 100)
    assert asyncio.run(hurried.check()) == ""
    with contextlib.closing(Store.open(tor / "tocsin.db")) as store:
        for found in (reason, reason, ""):
            update_tor_state(store, route_by(settings), found, datetime.now(UTC))
        events = store.events.latest()
    assert sorted(each.kind for each in events) == [EventKind.RECOVERED, EventKind.TOR_DOWN], "told once, and its end"
    assert "80 %" in str(next(each.facts for each in events if each.kind is EventKind.TOR_DOWN))
