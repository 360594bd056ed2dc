"""Renders the report about an incident as one HTML page that needs nothing else: no file, no address, no script."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from scheduler.reports.clocks import EVERYBODY
from scheduler.reports.document.clock_table import amendment, clock_facts, due_rows
from scheduler.reports.document.lineage_drawing import MAX_ROWS, draw_lineage
from scheduler.reports.document.paper_lines import client_lines, source_lines
from scheduler.reports.document.sentences import Sentences, address, is_ringing, posts_of, shown
from scheduler.reports.document.words import Words
from scheduler.reports.incident_figures import IncidentFigures
from scheduler.reports.source_coverage import SourceCoverage

FOLDED = 25
"""So many clients are in the open table; all others are folded."""
FOLDED_SOURCES = 50
"""So many sources are in the open table, those with trouble first."""
_MAX_RELATIONS = 4
_TOLD_GAPS = 5
_DASH = "–"


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def environment() -> Environment:
    """Templates of this folder; everything that is put into a page is escaped, and a missing name is an error."""
    return Environment(loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined)


def render_incident(figures: IncidentFigures, language: str, *, csv_name: str = "", paper: bool = False) -> str:
    """The report about an incident.

    Args:
        figures: of the incident.
        language: `en` or `fr`.
        csv_name: name of the file with one line for each client, '' for none.
        paper: whether a PDF is made of it: what is folded on a screen stands there as lines of fixed width.
    """
    words = Words(language)
    say = Sentences(figures, words)
    reported = figures.clocks.reported.get(EVERYBODY, ())
    sections = (
        "summary",
        *(("amendment",) if reported else ()),
        "clocks",
        "timeline",
        "lineage",
        "clients",
        "knowledge",
        "sources",
        "method",
    )
    return render_page("page.html.j2", figures, words, say, {
        "kind": words("document_incident"),
        "title": shown(figures.shown["name"], 120),
        "contents": [(section, words(section)) for section in sections],
        "summary": say.summary(),
        "tiles": _tiles(figures, words, say),
        "csv_name": shown(csv_name),
            "clocks": figures.clocks.of(),
            "reported": reported,
            "to_report": figures.to_report(),
        "totals": True,
        "paper": paper,
        **_client_tables(figures, words),
    })  # fmt: skip


def render_page(
    template: str, figures: IncidentFigures, words: Words, say: Sentences, values: Mapping[str, Any]
) -> str:
    """A page of figures.

    Args:
        template: its name.
        figures: of the incident.
        words: of the language.
        say: the sentences, which know whether the page is about one client.
        values: what the template needs beside what every page has; `clocks`, `reported` and `to_report` are those of
            the incident or of the client, and `totals` tells whether totals over several clients are shown.
    """
    script = _text("search.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rows = say.graph_rows()
    sources = [_source(each, words, figures.at) for each in figures.coverage]
    made: dict[str, Any] = {
        "w": words,
        "version": version("tocsin"),
        "style": Markup(_text("style.css")),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": f"sha256-{digest}",
        "meta": _meta(figures, words),
        "timeline": _timeline(figures, words, say),
        "timeline_more": figures.events.total - len(figures.events.events),
        "drawing": draw_lineage(rows, words),
        "lineage_more": words("lineage_more", shown=MAX_ROWS, all=len(rows)) if len(rows) > MAX_ROWS else "",
        "lineage_table": _lineage_table(say, words, totals=values["totals"]),
        "known": say.known(),
        "unknown": say.unknown(),
        "sources": sorted(sources, key=lambda each: not each["hot"]),
        "folded_sources": FOLDED_SOURCES,
        "source_lines": functools.partial(source_lines, words=words),
        "clock_facts": clock_facts(values["clocks"], words),
        "dues": due_rows(values["clocks"], words, figures.at),
        "amended": amendment(values["reported"], values["to_report"], words),
        "search": bool(values.get("clients") or values.get("unseen")),
        **values,
    }
    html: str = environment().get_template(template).render(made)
    return html


def _meta(figures: IncidentFigures, words: Words) -> list[tuple[str, str]]:
    found = [(words("incident_label"), shown(figures.shown["id"]))]
    if figures.case:
        found.append((words("case_label"), shown(figures.case)))
    found.append((words("made_at", at="").strip(), words.time(figures.at)))
    found.append((words("head_label"), figures.head))
    return [*found, ("Tocsin", version("tocsin"))]


def _tiles(figures: IncidentFigures, words: Words, say: Sentences) -> list[dict[str, Any]]:
    radii = figures.shown["blast_radius"]
    sighted, tagged = (sum(each[field] for each in radii) for field in ("sighted", "tagged"))
    new, low, high = figures.graph.new_people
    further = posts_of(say.new_posts)
    return [
        {
            "label": words("fig_clients"), "number": words.number(len(figures.seen)),
            "of": words("fig_of", n=len(radii)), "hot": bool(figures.seen),
        },
        {"label": words("fig_canaries"), "number": words.number(sighted), "of": words("fig_of", n=tagged), "hot": False},
        {
            "label": words("fig_new"), "number": words.number(new) if high or not say.open_posts else words("not_known"),
            "of": "" if low == high == new else words.interval(low, high), "hot": new > 0,
        },
        {
            "label": words("fig_posts"), "number": words.number(len({post.post for post in say.own_posts})),
            "of": words("fig_further", n=further) if further else "", "hot": False,
        },
    ]  # fmt: skip


def _timeline(figures: IncidentFigures, words: Words, say: Sentences) -> list[dict[str, Any]]:
    rows: list[tuple[datetime, dict[str, Any]]] = []
    for number, each in enumerate(figures.graph.baselines, 1):
        if not each.created:
            continue
        at = datetime.fromisoformat(each.created)
        if say.client:
            text = words("ev_known_release", n=number)
        else:
            text = words("ev_baseline", name=shown(each.name), people=words("people", n=each.people))
        rows.append((at, {"at": words.short(at), "text": text, "severity": "", "details": [], "where": "", "address": "", "hot": False}))  # fmt: skip
    for event in figures.events.events:
        if not say.concerns(event):
            continue
        post, source = say.where(event), shown(event.source, 40)
        rows.append((event.at, {
            "at": words.short(event.at),
            "text": say.event(event),
            "severity": words(f"severity_{event.severity.value}") if is_ringing(event) else "",
            "details": say.event_details(event),
            "where": " · ".join(filter(None, (post, source))),
            "address": address(event.address) if event.address else (words("local_file") if event.source == "scan" else ""),
            "hot": event.severity.value == "critical",
        }))  # fmt: skip
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _lineage_table(say: Sentences, words: Words, *, totals: bool) -> list[dict[str, Any]]:
    made = []
    for post in say.posts:
        numbers = [words.number(post.people), words.number(post.known)] if post.people else [_DASH, _DASH]
        new = words.estimate(post.new, *post.interval)
        own = post.hits[say.client].canaries if say.client in post.hits else 0
        relations = say.relations(post)[:_MAX_RELATIONS]
        made.append(
            {
                "name": say.post_name(post), "source": shown(post.source, 40), "at": words.short(post.at),
                "verdict": say.verdict(post), "remarks": say.remarks(post), "relations": relations,
                "numbers": [*numbers, new if post.people else _DASH] if totals else [words.number(own)],
            }
        )  # fmt: skip
    return made


def _client_tables(figures: IncidentFigures, words: Words) -> dict[str, Any]:
    every = figures.shown["blast_radius"]
    total = {
        name: words.number(sum(each[field] for each in figures.seen))
        for name, field in (("sighted", "sighted"), ("tagged", "tagged"), ("retired", "sighted_retired"))
    }
    return {
        "clients": [client_row(each, words) for each in figures.seen],
        "unseen": [client_row(each, words) for each in figures.unseen],
        "total": total,
        "has_retired": any(each["sighted_retired"] for each in every),
        "confidence": words.percent(figures.shown["confidence"]),
        "folded": FOLDED,
        "client_lines": functools.partial(
            client_lines, words=words, confidence=words.percent(figures.shown["confidence"])
        ),
    }


def client_row(each: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """One client as a line of the table: texts, and the left edge and width of the bar in percent."""
    share = each["share"]
    bar = None if share is None else (f"{100 * share[0]:.1f}", f"{100 * (share[1] - share[0]):.1f}")
    first, last = (
        _DASH if each[when] is None else words.short(datetime.fromisoformat(each[when]["at"]))
        for when in ("first", "last")
    )
    return {
        "id": shown(each["client"]),
        "name": shown(each["name"]) or shown(each["client"]),
        "sighted": words.number(each["sighted"]),
        "tagged": words.number(each["tagged"]),
        "retired": words.number(each["sighted_retired"]),
        "share": words("not_known") if share is None else words.share(share),
        "bar": bar,
        "first": first,
        "last": last,
    }


def _source(each: SourceCoverage, words: Words, now: datetime) -> dict[str, Any]:
    gaps = []
    for gap in each.gaps[:_TOLD_GAPS]:
        span = words.span(gap.length(now))
        begin = words.short(gap.begin)
        gaps.append(
            words("gap_now", begin=begin, span=span)
            if gap.end is None
            else words("gap_line", begin=begin, end=words.short(gap.end), span=span)
        )
    if (more := each.gap_count - len(gaps)) > 0:
        gaps.append(words("gap_more", n=more))
    if each.lost:
        gaps.append(words("lost_posts", n=each.lost))
    state = each.state if each.enabled or each.state == "new" else "disabled"
    # a source that was never read has no gap between two readings
    gap_text = words("no_gap") if each.done else words("never_read")
    if each.gap_count:
        gap_text = words("gap_total", span=words.span(each.unwatched))
    if each.kept_since is not None:
        begin = words.short(each.kept_since)
        gap_text = gap_text if each.gap_count or not each.done else words("no_gap_since", begin=begin)
        gaps.append(words("not_kept", begin=begin))
    return {
        "name": shown(each.source),
        "state": words(f"state_{state}"),
        "hot": state in {"failing", "new"} or bool(each.gap_count) or not each.done,
        "every": words.span(each.every) if each.every else _DASH,
        "first": words.short(each.first) if each.first and each.kept_since is None else _DASH,
        "last": words.short(each.last) if each.last else _DASH,
        "crawls": f"{words.number(each.done + each.failed)} ({words.number(each.failed)})",
        "posts": words.number(each.posts),
        "gap_text": gap_text,
        "gaps": gaps,
    }
