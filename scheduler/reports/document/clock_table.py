"""The clocks of an incident or of one client, and what changed since a report was handed over, as lines of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crawler.alerts.plain_text import visible_text
from scheduler.reports.clocks import Clocks, Entered, Reported
from scheduler.reports.document.words import Words

_DASH = "–"
MAX_REPORTED = 3
"""The first report that was handed over and the latest ones before now: so many columns."""


def clock_facts(clocks: Clocks, words: Words) -> list[tuple[str, str]]:
    """First alert, acknowledgement and awareness: label and value."""
    first = clocks.first_alert or clocks.first_event
    key = "first_alert" if clocks.first_alert or not clocks.first_event else "first_event"
    return [
        (words(key), words.time(first) if first else _DASH),
        (words("acknowledged"), _entered(clocks.acknowledged, "acknowledged_by", words) or words("not_acknowledged")),
        (words("aware"), _entered(clocks.aware, "aware_by", words) or words("aware_not")),
    ]


def _entered(entered: Entered | None, key: str, words: Words) -> str:
    return "" if entered is None else words(key, at=entered.at, who=visible_text(entered.who)[:40])


def due_rows(clocks: Clocks, words: Words, now: datetime) -> list[dict[str, Any]]:
    """One line for each obligation: what, term, due, left, source; `hot` if it is over or within a day."""
    made = []
    for due in clocks.dues:
        each, left = due.obligation, due.left(now)
        french = words.language == "fr"
        term = words("hours", n=int(each.after.total_seconds() // 3600)) if each.after else ""
        term = term or (french and each.term_fr) or each.term or _DASH
        if left is None:
            told = words("clock_starts") if each.after else _DASH
        else:
            told = words.span(left) if left.total_seconds() > 0 else words("clock_over", span=words.span(-left))
        made.append({
            "name": visible_text((french and each.name_fr) or each.name),
            "note": "" if each.applies else words("clock_open"),
            "term": visible_text(term),
            "due": words.time(due.at) if due.at else _DASH,
            "left": told,
            "source": visible_text((french and each.source_fr) or each.source) + (f" ({visible_text(each.checked)})" if each.checked else ""),
            "hot": left is not None and left.total_seconds() < 86_400,
        })  # fmt: skip
    return made


def amendment(reported: Sequence[Reported], figures: Mapping[str, int], words: Words) -> dict[str, Any] | None:
    """What was handed over and what is known now, with both figures; None if nothing was handed over."""
    if not reported:
        return None
    last = reported[-1]
    # a figure may be known since then, or not be known any more
    names = list(dict.fromkeys([*figures, *(name for each in reported for name in each.figures)]))
    changed = [name for name in names if last.figures.get(name) != figures.get(name)]
    columns = [reported[0], *reported[1:][-(MAX_REPORTED - 1) :]]
    sentence = words("amendment_intro" if changed else "amendment_same", at=last.at, who=visible_text(last.who)[:40])
    return {
        "sentence": sentence,
        "columns": [words("reported_head", at=words.short(each.at)) for each in columns],
        "rows": [
            {
                "name": words(f"r_{name}"),
                "numbers": [words.number(each.figures[name]) if name in each.figures else _DASH for each in columns],
                "now": words.number(figures[name]) if name in figures else _DASH,
                "hot": name in changed,
            }
            for name in names
        ] if changed else [],
    }  # fmt: skip
