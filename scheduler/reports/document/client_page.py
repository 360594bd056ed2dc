"""Renders the report about one client of an incident: the same page without a word of the other clients."""

from __future__ import annotations

from typing import Any

from scheduler.reports.client_figures import Bounds, ClientFigures, client_figures
from scheduler.reports.document.authority_form import form_groups, size_class
from scheduler.reports.document.page import client_row, render_page
from scheduler.reports.document.sentences import Sentences, posts_of, shown
from scheduler.reports.document.words import Words
from scheduler.reports.incident_figures import IncidentFigures

_DATA = ("names", "dob", "nir", "email", "phone", "iban", "note")


def own_figures(figures: IncidentFigures, client: str) -> ClientFigures:
    """The figures of one client; raises InputError if it does not belong to the incident."""
    return client_figures(figures.radius(client), figures.graph, figures.bundles)


def render_client(figures: IncidentFigures, own: ClientFigures, language: str, *, paper: bool = False) -> str:
    """The report about one client.

    Args:
        figures: of the incident.
        own: of the client.
        language: `en` or `fr`.
        paper: whether a PDF is made of it.
    """
    words = Words(language)
    say = Sentences(figures, words, own.client)
    clocks, reported = figures.clocks.of(own.client), figures.clocks.reported.get(own.client, ())
    # what was handed over in time is not late, even if it is read later
    handed = min((each.at for each in reported), default=figures.at)
    is_late = any(due.at is not None and due.obligation.applies and due.at < handed for due in clocks.dues)
    sections = (
        "summary",
        *(("amendment",) if reported else ()),
        "clocks",
        "figures",
        "form",
        "timeline",
        "lineage",
        "knowledge",
        "sources",
        "method",
    )
    return render_page("client.html.j2", figures, words, say, {
        "kind": words("document_client"),
        "title": shown(own.name, 120),
        "contents": [(section, words(section)) for section in sections],
        "summary": _summary(figures, own, words, say),
        "tiles": _tiles(own, words),
        "clocks": clocks,
        "reported": reported,
        "to_report": own.to_report(),
        "totals": False,
        "paper": paper,
        "facts": _facts(own, words),
        "bar": client_row(figures.radius(own.client), words)["bar"],
        "form": form_groups(own, clocks, words, is_late=is_late),
    })  # fmt: skip


def _summary(figures: IncidentFigures, own: ClientFigures, words: Words, say: Sentences) -> list[str]:
    name = shown(own.name)
    if own.first is None or own.last is None:
        return [words("c_lead_outside" if say.outside else "c_lead_none", name=name), *say.warnings()]
    number = len({post.post for post in own.posts})
    found = [words("c_lead", name=name, posts=words("posts", n=number), first=own.first, last=own.last)]
    if own.share is not None:
        confidence = words.percent(figures.shown["confidence"])
        low, high = words.percent(own.share[0]), words.percent(own.share[1], up=True)
        told = {"seen": own.sighted, "tagged": own.tagged, "low": low, "high": high}
        found.append(words("c_share", confidence=confidence, assumption=words("assumption"), **told))
    if fresh := posts_of(say.new_posts):
        found.append(words("c_new", n=fresh, name=name))
    elif own.posts and own.copies == len(own.posts):
        found.append(words("c_repost"))
    found += say.open_questions()
    if notes := own.count("note"):
        found.append(words("c_notes", people=words("people", n=notes)))
    elif own.has_notes:
        found.append(words("sum_notes"))
    if minors := own.count("minor"):
        found.append(words("c_minors", n=minors))
    return [*found, *say.warnings()]


def _tiles(own: ClientFigures, words: Words) -> list[dict[str, Any]]:
    people = words("not_known") if own.people is None else words.interval(*own.people)
    share = words("not_known") if own.share is None else words.share(own.share)
    tiles = [
        {"label": words("fig_people"), "number": people, "of": "", "hot": own.first is not None},
        {"label": words("fig_share"), "number": share, "of": "", "hot": False},
        {
            "label": words("fig_canaries"), "number": words.number(own.sighted), "of": words("fig_of", n=own.tagged),
            "hot": False,
        },
    ]  # fmt: skip
    return tiles[1:] if own.planted else tiles


def _facts(own: ClientFigures, words: Words) -> list[dict[str, str]]:
    """The figures of the client: name, value and on what it rests."""
    canaries = words("of_people", seen=own.sighted, all=own.tagged)
    people = words("not_known") if own.people is None else words.interval(*own.people)
    basis = [words("b_people_planted")] if own.planted else [words("b_people"), words("b_enrolled")]
    basis += [words("b_retired")] if own.retired else []
    found = [
        {"name": words("fact_canaries"), "value": canaries, "basis": words("b_canaries")},
        {"name": words("fact_people"), "value": people, "basis": "; ".join(basis)},
        {"name": words("f_class"), "value": size_class(own, words) or words("not_known"), "basis": ""},
    ]  # fmt: skip
    if not own.planted:
        records = _counted(own.records, words, is_least=own.is_cut) if own.posts else words("not_known")
        found.append({"name": words("fact_records"), "value": records, "basis": words("b_records")})
    if own.data is not None:
        is_least = own.is_cut or own.uncounted > 0
        data_basis = words("b_data_mixed", n=own.invented) if own.invented else words("b_data")
        data_basis = words("b_data_planted") if own.planted else data_basis
        found += [
            {
                "name": words(f"data_{kind}"),
                "value": _counted(own.data[kind], words, is_least=is_least),
                "basis": data_basis,
            }
            for kind in _DATA
            if kind in own.data
        ]
        if not own.planted:
            minors = _counted(own.data.get("minor", (0, 0)), words, is_least=is_least)
            found.append({"name": words("fact_minors"), "value": minors, "basis": words("b_minor")})
    if own.uncounted:
        found.append(
            {
                "name": words("fact_uncounted"),
                "value": words("not_known"),
                "basis": words("b_uncounted", n=own.uncounted),
            }
        )
    return found


def _counted(bounds: Bounds, words: Words, *, is_least: bool) -> str:
    """A number of rows or people; where a post was not counted, or not to its end, only the least is known."""
    if not is_least:
        return words.interval(*bounds)
    return words("at_least", n=bounds[0]) if bounds[0] else words("not_known")
