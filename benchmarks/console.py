"""How long the pages of the console take with 1,500 clients, 2,000 sources and 100,000 events: `--clients=N --sources=N --events=N`.

Each page and twin is asked for six times, in process, 0.3 seconds apart: the first answer, the median and the worst of the others
are printed, in milliseconds, with the processor time of the first answer and the median of the others, and the size of the
page. As in the real console, the first answer comes once everything is prepared, which is renewed beside the answers.
Status 1 if the first or the median processor time of a page is over 100 ms.
"""

from __future__ import annotations

import socket
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from starlette.testclient import TestClient

from data.settings.home import Home
from data.store.store import Store
from scheduler.console import access
from scheduler.console.access import Credential, Role
from scheduler.console.application import COOKIE, application
from scheduler.console.broker_client import BrokerClient
from scheduler.console.console import Console, Given
from scheduler.console.views import prepare
from tests.synth import console_home

ROUNDS = 6
PAUSE = 0.3
ADDRESS = "http://127.0.0.1:8466"
LIMIT = 100.0
PATHS = (
    "/", "/alerts", "/alerts?state=new&severity=critical", "/alerts?state=closed&page=900", "/alerts?state=all&q=source-1999", "/alerts?state=all&q=without-a-hit",
    "/alerts/{event}", "/incidents", "/incidents/the-breach", "/sources", "/sources?state=failing&page=3", "/sources/source-7",
    "/releases", "/delivery", "/about", "/now.json", "/alerts.json", "/incidents/the-breach.csv",
)  # fmt: skip


def _option(name: str, otherwise: int) -> int:
    return next((int(each.partition("=")[2]) for each in sys.argv if each.startswith(f"--{name}=")), otherwise)


def main() -> None:
    clients, sources, events = _option("clients", 1500), _option("sources", 2000), _option("events", 100_000)
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="console-") as folder:
        home, now = Path(folder) / "home", datetime.now(UTC)
        console_home.make_home(home)
        names = {f"practice-{number}": f"Cabinet {number}" for number in range(clients)}
        watched = [f"source-{number}" for number in range(sources)]
        console_home.put_clients(home, names)
        console_home.put_sources(home, watched, now, crawls=50)
        console_home.put_incident_of(home, "The Breach", list(names), watched)
        console_home.put_many_events(home, events, list(names), watched, now)
        ours, theirs = socket.socketpair()
        console = Console(Home(home, environ={}), Given("", (), "0"), (ADDRESS,), BrokerClient(theirs))
        client = stack.enter_context(TestClient(application(console), base_url=ADDRESS))
        with closing(Store.open(home / "tocsin.db")) as store:
            link = access.grant(store, "bench", Role.ADMIN, Credential.LINK, "bench", now)
            client.cookies.set(COOKIE, access.sign_in(store, link, now) or "")
            event = max(
                store.events.latest(kind="further_release", limit=500), key=lambda each: len(each.facts["clients"])
            ).id
        began, slow = time.process_time(), []
        prepare(console)
        print(
            f"{clients:,} clients, {sources:,} sources, {events:,} events; prepared in {time.process_time() - began:.1f} s of processor time"
        )
        print(f"{'':42}{'first':>9}{'median':>9}{'worst':>9}{'processor: first':>18}{'median':>8}{'kB':>7}")
        for path in PATHS:
            taken, spent, size = [], [], 0
            for _ in range(ROUNDS):
                start, busy = time.perf_counter(), time.process_time()
                answer = client.get(path.format(event=event))
                taken.append((time.perf_counter() - start) * 1000)
                spent.append((time.process_time() - busy) * 1000)
                if answer.status_code != 200:
                    raise SystemExit(f"{path}: {answer.status_code}: {answer.text[:300]}")
                size = len(answer.content)
                time.sleep(PAUSE)
            median = statistics.median(spent[1:])
            slow += [path] if max(spent[0], median) > LIMIT else []
            print(
                f"{path:42}{taken[0]:>9.0f}{statistics.median(taken[1:]):>9.0f}{max(taken[1:]):>9.0f}"
                f"{spent[0]:>18.0f}{median:>8.0f}{size / 1000:>7.0f}"
            )
        ours.close()
        if slow:
            raise SystemExit(f"over {LIMIT:.0f} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
