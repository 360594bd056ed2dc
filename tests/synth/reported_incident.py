"""A home with one incident as crawls leave it: clients with canaries, a baseline, posts of every verdict, and gaps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from crawler.alerts.events import PostContext, events_of_post
from data.case.canary_bitmaps import bitmaps_of_codes, encode_bitmaps
from data.case.incidents import put_incident
from data.model import Authenticity, Finding, Hit, Lineage, Origin, Parent
from data.settings.home import Home
from data.store.posts import PostRow
from data.store.store import Store
from data.watchlist.manifest import Manifest, write_manifest
from tests.leased_crawl import LeasedCrawl

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
CANARIES = 40
SOURCE = """\
name: {name}
platform: declared
url: http://127.0.0.1:9/
every: 15m
list:
  as: html
  each: ["css:a"]
  fields:
    id: "xpath:./@href"
    link: "xpath:./@href"
"""
KINDS = ("email", "name+dob")


def lineage(verdict: str, people: int, new: int, *parents: Parent, **more) -> Lineage:
    """A lineage with exact bounds, unless `interval` is given."""
    fields = {"interval": (new, new), "parents": parents, "confidence": 0.99, "origin": Origin("ours", 1.0), **more}
    return Lineage(verdict, people, people - new, new, **fields)


def finding(
    hits: dict[str, int], compared: Lineage | None, number: int, *, notes: int = 0, minors: int = 0, **more
) -> Finding:
    """What the examiner says of a table in which so many canaries of each client hit.

    With `notes` what stands in the rows was counted: that many of the people of the first client have free text.
    """
    bitmaps = bitmaps_of_codes(np.arange(max(hits.values(), default=0), dtype=np.uint64), lambda _: "all")
    sighted = {
        f"bundle-{client}": bitmaps_of_codes(np.arange(count, dtype=np.uint64), lambda _: "one")["one"]
        for client, count in hits.items()
    }
    assert bool(bitmaps) == bool(hits)
    fields = {
        "rows": 100, "records": 100, "lineage": compared, "sighted": encode_bitmaps(sighted),
        "fingerprint": f"{number:032x}" if hits else "", **more,
    }  # fmt: skip
    listed = tuple(
        Hit(client, count, count, KINDS, None if not notes else {"names": count, "dob": count, "email": count} | (
            {} if at else {"note": notes, "minor": minors}))
        for at, (client, count) in enumerate(sorted(hits.items()))
    )  # fmt: skip
    return Finding("", f"{number:064x}", 9_000, "delimited", hits=listed, **fields)


class ReportedIncident:
    """Fills a home. `home` must exist with a `tocsin.toml`."""

    def __init__(self, home: Home, clients: dict[str, str], *, name: str = "Vendor 2026") -> None:
        self.home, self.clients = home, clients
        home.watchlist_dir.mkdir(mode=0o700, exist_ok=True)
        bundles = [
            {"id": f"bundle-{client}", "client": client, "name": title, "created": BEGAN.isoformat(),
             "canaries": CANARIES, "tags": 1, "kinds": {}, "planted": False, "retired": None}
            for client, title in clients.items()
        ]  # fmt: skip
        write_manifest(home.watchlist_dir, Manifest("0123456789abcdef", bundles))
        for source in ("board", "mirror"):
            (home.sources_dir / f"{source}.yaml").write_text(SOURCE.format(name=source))
        self.incident = put_incident(home.path, name, clients=list(clients), sources=["board", "mirror"])

    def crawl(
        self,
        hours: float,
        posts: Sequence[tuple[str, Sequence[Finding]]] = (),
        *,
        source: str = "board",
        channels=("c",),
    ) -> None:
        """One crawl of a source, so many hours after the beginning, which examined some posts."""
        now = BEGAN + timedelta(hours=hours)
        with contextlib.closing(Store.open(self.home.db_path)) as store:
            crawl = LeasedCrawl(store, source, now=now, channels=channels)
            for number, (post, findings) in enumerate(posts):
                at = now + timedelta(minutes=number)
                address = f"http://exampleonionaddress.onion/[{post}].csv"
                context = PostContext(source, post, address, self.incident.id, at)
                row = PostRow(post, f"version {hours}", address)
                crawl.commit(row, findings, events_of_post(context, findings), now=at)
            crawl.finish(now=now)

    def fail(self, hours: float, source: str = "board") -> None:
        """One crawl of a source that failed."""
        now = BEGAN + timedelta(hours=hours)
        with contextlib.closing(Store.open(self.home.db_path)) as store:
            crawl = LeasedCrawl(store, source, now=now)
            store.finish_crawl(crawl.id, crawl.fence, "failed", lambda event: (), now, error="timeout")


def small_incident(
    home: Home, *, names: Sequence[str] = ("Cabinet des Lilas", "Maison du Port", "Centre Nord")
) -> ReportedIncident:
    """Three clients of whom one was never seen; new data, its copy, a larger second version, another's data, a gap."""
    made = ReportedIncident(home, {f"p{number}": name for number, name in enumerate(names, 1)})
    first = finding(
        {"p1": 12, "p2": 3},
        lineage("new", 500, 500, interval=(480, 500)),
        1,
        notes=5,
        minors=2,
        release=f"sighted-{1:016x}",
    )
    of_first = Parent(f"sighted-{1:016x}", 1.0, 1.0)
    genuine = Authenticity("genuine", "very likely", 8.0, 50, 50, 0, 0, (0.9, 1.0))
    copy = finding({"p1": 12, "p2": 3}, lineage("re-post", 500, 0, of_first, authentic=genuine), 2)
    more = finding(
        {"p1": 20},
        lineage("superset", 700, 200, replace(of_first, share=5 / 7), added={"note": 30}),
        3,
        notes=7,
        minors=2,
    )
    others = finding(
        {},
        lineage("overlap", 900, 890, replace(of_first, coverage=0.02, share=0.01), origin=Origin("another's", 0.01)),
        4,
    )
    cut = finding({"p2": 1}, None, 5, complete=False, problems=("truncated: the file ends within a record",))
    made.crawl(0, [("a" * 32, [first])])
    made.crawl(1, [("b" * 32, [copy])], source="mirror")
    made.fail(2)
    made.fail(3)
    made.crawl(9, [("a" * 32, [more]), ("c" * 32, [others]), ("d" * 32, [cut])])
    return made


__all__ = ["BEGAN", "CANARIES", "ReportedIncident", "finding", "lineage", "small_incident"]
