"""The incidents: a list of all, and one of them with its lineage, its timeline, its clients and what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from crawler.alerts.plain_text import defang
from data.errors import InputError
from scheduler.console import now_view
from scheduler.console.console import KEPT_SECONDS, Console
from scheduler.console.now_view import incident_json
from scheduler.console.pages import Asked, Cell, NoSuchPage, WebPage
from scheduler.reports.document.lineage_drawing import draw_lineage
from scheduler.reports.document.sentences import Sentences
from scheduler.reports.document.words import Words
from scheduler.reports.incident_figures import figures_of
from scheduler.reports.incident_report import CSV_COLUMNS, csv_row
from scheduler.reports.source_coverage import SourceCoverage

PAGE = 100
# The timeline of the page shows so many events, the latest ones; the JSON twin has more.
LATEST = 60
# And so many sources, the worst covered ones.
SOURCES = 30
LIST_COLUMNS = ("id", "name", "clients", "sources", "open_events", "severity")


def show(asked: Asked) -> WebPage:
    """The list of all incidents."""
    console = asked.console
    opened = now_view.open_ones(asked.console)
    by_id = {each.id: each for each in opened}
    rows: list[dict[str, Any]] = []
    for incident in console.incidents():
        found = by_id.get(incident.id)
        rows.append(
            {
                "id": incident.id,
                "name": incident.name,
                "clients": len(incident.clients),
                "sources": len(incident.sources),
                "open_events": sum(found.events.values()) if found else 0,
                "severity": found.worst.value if found else "",
                "last_seen": found.last.isoformat(timespec="seconds") if found else None,
            }
        )
    rows.sort(key=lambda each: (-each["open_events"], each["id"]))
    table = [[each[name] for name in LIST_COLUMNS] for each in rows]
    return WebPage("incidents.html", "Incidents", {"incidents": rows}, LIST_COLUMNS, table)


def kept_name(incident: str) -> str:
    """The name under which the figures of an incident are kept."""
    return f"incident {incident}"


@dataclass(frozen=True, slots=True)
class ToldIncident:
    """What the page of an incident says, worked out once for all who look: its data, table, drawing, and clients seen."""

    data: Mapping[str, Any]
    rows: Sequence[Sequence[Cell]]
    drawing: Markup | str
    seen: Sequence[Mapping[str, Any]]
    unseen: int


def read(console: Console, incident: str) -> ToldIncident:
    """All that the home knows of an incident, in words."""
    intervals = {each.name: each.every for each in console.definitions()[0] if each.enabled}
    figures = figures_of(
        console.home,
        console.reading(),
        incident,
        intervals,
        console.given.case,
        datetime.now(UTC),
        clocks_of_clients=False,
        looks=console.looks.setdefault(incident, {}),
    )
    words = Words("en")
    say = Sentences(figures, words)
    data = {
        **figures.shown,
        "summary": say.summary(),
        "warnings": say.warnings(),
        "known": say.known(),
        "unknown": say.unknown(),
        "posts": [_post_json(each, say) for each in figures.graph.posts],
        "timeline": [
            {
                "id": each.id,
                "at": each.at.isoformat(timespec="seconds"),
                "kind": each.kind.value,
                "severity": each.severity.value,
                "said": say.event(each),
                "source": each.source,
            }
            for each in figures.events.events
        ],
        "timeline_total": figures.events.total,
        "coverage": [
            {
                "source": each.source,
                "state": each.state,
                "last": each.last and each.last.isoformat(timespec="seconds"),
                "gaps": each.gap_count,
                "unwatched_seconds": round(each.unwatched.total_seconds()),
            }
            for each in sorted(figures.coverage, key=_worst_covered)
        ],
        "head": figures.head,
        "command": f"tocsin report {incident}",
    }
    return ToldIncident(
        data,
        [csv_row(each) for each in figures.shown["blast_radius"]],
        draw_lineage(say.graph_rows(), words) if say.graph_rows() else "",
        figures.seen,
        len(figures.unseen),
    )


def _worst_covered(source: SourceCoverage) -> tuple[bool, timedelta, str]:
    """Sorts sources that cannot be read first, then those that were not looked at for the longest time."""
    return source.state == "ok", -source.unwatched, source.source


def show_one(asked: Asked) -> WebPage:
    """One incident."""
    console, name = asked.console, asked.path["incident"]
    if name not in {each.id for each in console.incidents()}:
        raise NoSuchPage("there is no incident with that id")
    try:
        told = console.kept(kept_name(name), KEPT_SECONDS, lambda: read(console, name))
    except InputError as error:
        raise NoSuchPage(str(error)) from error
    mine = next((each for each in now_view.open_ones(asked.console) if each.id == name), None)
    page = asked.number("page", 1, 1000)
    wanted = asked.query.get("q", "").strip().lower()
    seen = [each for each in told.seen if not wanted or wanted in f"{each['client']} {each['name']}".lower()]
    more = {
        "drawing": told.drawing,
        "clients_shown": seen[(page - 1) * PAGE : page * PAGE],
        "clients_found": len(seen),
        "seen_count": len(told.seen),
        "unseen_count": told.unseen,
        "page_number": page,
        "more_pages": len(seen) > page * PAGE,
        "latest": LATEST,
        "sources_listed": SOURCES,
    }
    data = {**told.data, "open": None if mine is None else incident_json(mine, asked)}
    return WebPage("incident.html", told.data["name"], data, CSV_COLUMNS, told.rows, more)


def _post_json(post: Any, say: Sentences) -> dict[str, Any]:
    value = asdict(post)
    return {
        "name": say.post_name(post),
        "verdict_text": say.verdict(post),
        "counts": say.counts(post),
        **{
            key: value[key]
            for key in (
                "number", "version", "post", "source", "release", "verdict", "people", "known", "new", "interval",
                "added", "origin", "authentic", "confidence", "complete", "problems", "relations",
            )
        },
        "address": defang(post.address),
        "at": post.at.isoformat(timespec="seconds"),
        "clients": len(post.hits),
    }  # fmt: skip
