"""The console inside the process of the tests: the real application, with Starlette's client in place of a browser."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from data.settings.home import Home
from data.store.store import Store
from scheduler.console import access
from scheduler.console.access import Credential, Role
from scheduler.console.application import COOKIE, application
from scheduler.console.broker_client import BrokerClient
from scheduler.console.console import Console, Given, KnownChannel
from tests.synth import console_home

ADDRESS = "http://127.0.0.1:8466"
CLIENTS = {f"practice-{number}": f"Cabinet {number}" for number in range(30)}
SOURCES = ("board-a", "board-b", "leaks")


class Site:
    """A home, its console, and people who may use it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ours, self.theirs = socket.socketpair()
        given = Given(
            "the case",
            (KnownChannel("team", "slack", "https://hooks.example/…"),),
            "0.1.0",
            "Landlock 7",
            ("GDPR", 72 * 3600.0),
        )
        console = Console(Home(home, environ={}), given, (ADDRESS,), BrokerClient(self.theirs))
        self.application = application(console)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        with contextlib.closing(Store.open(self.home / "tocsin.db")) as store:
            yield store

    def secret(self, role: str, credential: str = "session") -> str:
        """The secret of a new session, token or link of a person called as the role."""
        with self.store() as store:
            now = datetime.now(UTC)
            if credential != "session":
                return access.grant(store, role, Role(role), Credential(credential), "test", now)
            link = access.grant(store, role, Role(role), Credential.LINK, "test", now)
            session = access.sign_in(store, link, now)
            assert session is not None
            return session

    def client(self, role: str = "") -> TestClient:
        """A browser that is signed in with a role; without one it is nobody's."""
        client = TestClient(self.application, base_url=ADDRESS, follow_redirects=False)
        if role:
            client.cookies.set(COOKIE, self.secret(role))
        return client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console over a home with a little of everything."""
    home = tmp_path_factory.mktemp("console") / "home"
    console_home.make_home(home)
    now = datetime.now(UTC)
    console_home.put_clients(home, CLIENTS)
    console_home.put_sources(home, SOURCES, now)
    console_home.put_incident_of(home, "The Breach", list(CLIENTS), SOURCES)
    console_home.put_events(home, console_home.a_few(now, list(CLIENTS), SOURCES), now)
    made = Site(home)
    yield made
    made.close()
