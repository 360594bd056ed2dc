"""A home with clients, sources, crawls, events and deliveries in any number, as the daemon would have left it."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from crawler.alerts.events import build_event
from data.case.incidents import put_incident
from data.model import Event, EventKind, Severity
from data.store.database import stamp
from data.store.outbox import alert_id
from data.store.store import Store
from data.watchlist.manifest import Manifest, write_manifest
from scheduler.cli import main

SOURCE = "name: {name}\nplatform: feed\nurl: https://{name}.example/feed.xml\nevery: 15m\n"
INCIDENT = "the-breach"


def make_home(home: Path) -> None:
    """An empty home, by the real command."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["init", str(home)])


def put_clients(home: Path, names: Mapping[str, str]) -> None:
    """Clients by id with their display names, one bundle of ten canaries each."""
    (home / "watchlist").mkdir(mode=0o700, exist_ok=True)
    bundles = [
        {"id": f"{number:032x}", "client": client, "name": name, "created": "2026-01-01T00:00:00+00:00", "canaries": 10,
         "tags": 60, "kinds": {"email": 10}, "planted": False, "retired": None}
        for number, (client, name) in enumerate(names.items())
    ]  # fmt: skip
    write_manifest(home / "watchlist", Manifest("0" * 16, bundles))


def put_sources(home: Path, names: Sequence[str], now: datetime, *, crawls: int = 3) -> None:
    """Source files and their last crawls, every tenth of which failed."""
    for name in names:
        (home / "sources" / f"{name}.yaml").write_text(SOURCE.format(name=name))
    rows = []
    for number, name in enumerate(names):
        for back in range(crawls):
            at = stamp(now - timedelta(minutes=15 * back + 5))
            failed = (number + back) % 10 == 9
            counts = json.dumps({"listed": 20, "new": back % 4, "changed": 0, "examined": 2, "code": ""})
            rows.append(
                (f"{number:08x}{back:08x}", name, "due", "failed" if failed else "done", at, at, at, "t", at, 1, 1, counts,
                 "no response" if failed else "")
            )  # fmt: skip
    with contextlib.closing(Store.open(home / "tocsin.db")) as store, store.together():
        store.database.execute_many(
            "insert into source (name, digest, enabled, added) values (?, '', 1, ?)",
            [(name, stamp(now - timedelta(days=9))) for name in names],
        )
        store.database.execute_many("insert into crawl values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def leak_facts(clients: Sequence[str], new: int = 1000) -> dict[str, Any]:
    """What an event about a further release says of these clients."""
    return {
        "clients": [{"client": each, "canaries": 3, "records": 3, "kinds": ["email"]} for each in clients],
        "format": "delimited", "bytes": 10**6, "rows": 2 * new, "complete": True, "problems": [], "verdict": "overlap",
        "people": 2 * new, "known": new, "new": new, "interval": [new - 5, new + 5], "mistyped": 0, "added": {},
        "confidence": 0.97, "new_values": {}, "parents": [{"release": "part-1", "share": 0.5}],
    }  # fmt: skip


def put_incident_of(home: Path, name: str, clients: Sequence[str], sources: Sequence[str]) -> str:
    """An incident; returns its id."""
    return put_incident(home, name, clients=clients, sources=sources).id


def put_events(home: Path, events: Sequence[Event], now: datetime, channel: str = "team") -> None:
    """Events with an alert for one channel each."""
    with contextlib.closing(Store.open(home / "tocsin.db")) as store:
        store.events.add(events, lambda _: (channel,), now)


def a_few(now: datetime, clients: Sequence[str], sources: Sequence[str]) -> list[Event]:
    """Events of many kinds, newest last."""
    first = sources[0]
    leak = build_event(
        EventKind.FURTHER_RELEASE, now - timedelta(hours=2), "leak", source=first, incident=INCIDENT,
        severity=Severity.CRITICAL, address="http://leaksexampleonion.onion/[3771fa].zip", facts=leak_facts(clients),
    )  # fmt: skip
    rest = [
        build_event(kind, now - timedelta(minutes=50 - number), kind, source=first, incident=incident, facts=facts)
        for number, (kind, incident, facts) in enumerate(
            (
                (EventKind.CANARY_HIT, INCIDENT, {"clients": leak_facts(clients[:1])["clients"]}),
                (EventKind.REPOST, INCIDENT, leak_facts(clients[:2], 0)),
                (EventKind.GAP, "", {"subject": "listing"}),
                (EventKind.SOURCE_SILENT, "", {"subject": "listing", "reason": "no response"}),
                (EventKind.LISTING_CHANGED, INCIDENT, {"changed": ["size", "files"]}),
            )
        )
    ]
    return [leak, *rest]


def put_many_events(home: Path, number: int, clients: Sequence[str], sources: Sequence[str], now: datetime) -> None:
    """Many events with a realistic mix of kinds, severities and decisions, written without the checks of `Events.add`."""
    draw = random.Random(7)
    kinds = [
        (EventKind.LISTING_CHANGED, "notice", 30), (EventKind.GAP, "warning", 14), (EventKind.RECOVERED, "info", 30),
        (EventKind.UNEXAMINED, "warning", 12), (EventKind.REPOST, "info", 8), (EventKind.CANARY_HIT, "critical", 3),
        (EventKind.FURTHER_RELEASE, "critical", 3),
    ]  # fmt: skip

    def rows() -> Iterator[tuple[Any, ...]]:
        for place in range(number):
            kind, severity, _ = draw.choices(kinds, [each[2] for each in kinds])[0]
            facts: dict[str, Any] = {"subject": "listing", "reason": "no response"}
            if kind in {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT, EventKind.REPOST}:
                hit = clients if place % 5000 == 0 else draw.sample(list(clients), min(len(clients), 5))
                facts = leak_facts(hit, draw.randrange(10, 5000))
            # all but one in twenty were closed
            closed = draw.random() < 0.95 and place < number - 300
            at = stamp(now - timedelta(minutes=number - place))
            yield (
                f"{place:032x}", kind.value, severity, at, draw.choice(sources), INCIDENT if "clients" in facts else "", "",
                "http://board.example/[3771fa]", json.dumps(facts), 1, at, at if closed else None,
            )  # fmt: skip

    with contextlib.closing(Store.open(home / "tocsin.db")) as store, store.together():
        store.database.execute_many(
            "insert into event (id, kind, severity, at, source, incident, post, address, facts, sightings, last_seen, acked)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows(),
        )
        store.database.execute(
            "insert into triage select id, 'closed', '', 'ana', acked, 'true', '', null, '' from event where acked is not null"
        )
        for row in store.database.rows("select id, acked from event where acked is not null order by rowid"):
            store.audit.record("ana", "closed", f"{row['id']} as true", datetime.fromisoformat(row["acked"]))
        listed = store.database.rows("select id, at from event where severity in ('warning', 'critical')")
        store.database.execute_many(
            "insert into alert (id, event, channel, state, attempts, next_try, last_status, sent)"
            " values (?, ?, 'team', 'sent', 1, ?, 200, ?)",
            [(alert_id(row["id"], "team"), row["id"], row["at"], row["at"]) for row in listed],
        )
