"""The text of alerts, for a tired person at three in the morning: ids, counts, names, and never text of a sample.

The order is that of a person's questions: what happened, whose data and how sure (the title), the verdict and its numbers,
the clients hit worst, where, what to do, and how to see everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from crawler.alerts.advice import advice_of, show_command
from crawler.alerts.events import KNOWN_VERDICTS
from crawler.alerts.headlines import (
    ADDED_DATA,
    VERDICTS,
    best_estimate,
    deadline_text,
    headline_of,
    time_text,
)
from crawler.alerts.hit_totals import HitTotals, client_text
from crawler.alerts.message import Field, Message
from crawler.alerts.plain_text import defang, sanitize
from data.model import Event, EventKind
from data.plural import counted

WORST_LABEL = "Hit worst"
# Subjects of lasting states that the title already speaks of.
_SAID_BY_TITLE = frozenset({"listing", "rows", "posts", "new posts", "tor", "examiner"})
WORST_CLIENTS = 10
"""So many clients are named in a message; the command in it lists all of them."""
# Fewer canaries than this say that a person's data is there, but hardly whose system it comes from.
FEW_CANARIES = 3
# Entries of any other list in a message.
MAX_LINES = 10
# Characters of a title: the shortest limit of a chat's title is Slack's, 150 with the mark.
MAX_TITLE = 145


def message_of(
    event: Event, *, clients: Mapping[str, str], case: str = "", link: str = "", incident: str = "", head: str = ""
) -> Message:
    """The message about an event.

    Args:
        event: what happened.
        clients: display names by client id, of all clients on the watch-list.
        case: name of the case, '' for none.
        link: base address of the web pages that show events; with '' the message names the command that shows this one.
        incident: name of the event's incident, '' for none.
        head: of the evidence and audit chains of the home, as text; '' for none.
    """
    facts = event.facts
    fields = [
        *(_preview_fields(facts) if facts.get("early") else _lineage_fields(facts)),
        *_completeness_fields(event),
        *_client_fields(facts, clients),
        *_state_fields(facts),
        *_post_fields(facts),
        _line("Address", defang(event.address)),
        _line("Source", event.source),
        _line("Incident", incident),
        _line("Case", case),
        _sample_field(event),
    ]
    return Message(
        event=event.id,
        kind=event.kind.value,
        severity=event.severity,
        title=sanitize(headline_of(event, clients), MAX_TITLE),
        at=event.at.isoformat(timespec="seconds"),
        fields=tuple(field for field in fields if field.lines),
        advice=advice_of(event),
        link=f"{link.rstrip('/')}/{event.id}" if link else show_command(event),
        facts=facts,
        head=head,
        source=event.source,
    )


def _line(label: str, text: str) -> Field:
    """A field of one line; without lines for an empty text."""
    shown = sanitize(text)
    return Field(label, (shown,) if shown else ())


def _lines(label: str, texts: Iterable[str]) -> Field:
    """A field of at most `MAX_LINES` lines."""
    shown = [sanitize(text) for text in texts if text]
    return Field(label, tuple(shown[:MAX_LINES]), max(0, len(shown) - MAX_LINES))


def _client_fields(facts: Mapping[str, Any], names: Mapping[str, str]) -> list[Field]:
    """Totals, and the clients hit worst; no kinds of keys, which nobody can act on."""
    totals = HitTotals.of_facts(facts, names)
    if not totals.hits:
        return []
    certain = "; each canary is confirmed by a second keyed digest"
    if totals.canaries < FEW_CANARIES:
        certain += "; so few may come from another organisation that has data of the same people"
    canaries, records = counted(totals.canaries, "canary", "canaries"), counted(totals.records, "record")
    worst = tuple(
        f"{client_text(hit['client'], names)}: {counted(hit['records'], 'record')}"
        f" with {counted(hit['canaries'], 'canary', 'canaries')}"
        for hit in totals.hits[:WORST_CLIENTS]
    )
    return [
        _line("Clients", f"{totals.share_text}; {canaries} found in {records}{certain}"),
        Field(WORST_LABEL, worst, len(totals.hits) - len(worst)),
    ]


def _preview_fields(facts: Mapping[str, Any]) -> list[Field]:
    """What a preview found, and whether the full examination agrees."""
    if facts["how"] == "7z, locked":
        files = "unknown: the archive encrypts its file names"
    else:
        files = (
            f"{facts['files_known']:,} of {counted(facts['files'], 'file')} known"
            f" ({facts['bytes_known']:,} of {counted(facts['bytes'], 'byte')})"
        )
        if facts["by_name"]:
            files += f"; {facts['by_name']:,} of the known files by name and size alone"
        if facts.get("complete") is False:
            files += "; the list is incomplete"
    full_verdict = VERDICTS.get(facts.get("full_verdict", ""), "the data holds no records")
    outcome = {
        "confirmed": "confirmed by the full examination",
        "corrected": f"corrected by the full examination: {full_verdict}",
    }.get(facts["outcome"], "not decided by a full examination")
    if facts["how"] == "torrent":
        outcome = "stays open: Tocsin does not join torrents, so their content is never examined"
    parents = ", ".join(f"{each['kind']} {each['ref'][:16]}" for each in facts["parents"][:3])
    return [
        _line("Verdict of the preview", VERDICTS.get(facts["verdict"], str(facts["verdict"]))),
        _line("Files", files),
        _line("Known from", parents),
        _line("Outcome", outcome),
    ]


def _lineage_fields(facts: Mapping[str, Any]) -> list[Field]:
    """What the full examination found about the people in the data."""
    if "verdict" not in facts:
        return []
    added = [f"{ADDED_DATA.get(kind, kind)} ({people:,})" for kind, people in facts.get("added", {}).items()]
    parents = [f"{each['release']} ({each['share']:.1%} of this data)" for each in facts.get("parents", ())]
    return [
        _line("Verdict", _verdict(facts) + _confidence(facts)),
        _line("People", _people(facts)),
        _line("New data about known people", ", ".join(added)),
        _line("Known from", ", ".join(parents[:3]) + (f" and {len(parents) - 3:,} more" if parents[3:] else "")),
    ]


def _verdict(facts: Mapping[str, Any]) -> str:
    """The verdict in words; that all people are known does not say that all data about them is."""
    if facts.get("added") and facts["verdict"] in KNOWN_VERDICTS:
        return "the people are known, the data about them is partly new"
    return VERDICTS.get(facts["verdict"], str(facts["verdict"]))


def _confidence(facts: Mapping[str, Any]) -> str:
    """`, 99.9 % sure`, rounded down; nothing for a verdict without a probability."""
    confidence = facts.get("confidence", 0.0)
    if not confidence or facts["verdict"] == "undecided":
        return ""
    shown = math.floor(confidence * 1000) / 10
    return ", more than 99.9 % sure" if shown >= 99.9 else f", {shown:g} % sure"


def _people(facts: Mapping[str, Any]) -> str:
    mistyped = facts["new"] - best_estimate(facts)
    errors = f"; {mistyped:,} probably known with typing errors" if mistyped else ""
    low, high = facts["interval"]
    best = best_estimate(facts)
    bounds = "" if low == high == best else f" (between {low:,} and {high:,})"
    return f"{facts['people']:,} in this data; {best:,} not seen before{bounds}; {facts['known']:,} known{errors}"


def _state_fields(facts: Mapping[str, Any]) -> list[Field]:
    subject = str(facts.get("subject", ""))
    return [
        _line("Reason", str(facts.get("reason", ""))),
        _line("About", "" if subject in _SAID_BY_TITLE else subject),
        _line("Channel", str(facts.get("channel", ""))),
        _line("Began" if "of" in facts else "Since", time_text(str(facts.get("began", "")))),
    ]


def _post_fields(facts: Mapping[str, Any]) -> list[Field]:
    """What a post announces, what changed in it, and the verdicts of earlier previews of it."""
    previews = [
        f"{VERDICTS.get(each['verdict'], str(each['verdict']))} ({each['outcome']})"
        for each in facts.get("early_looks", ())
    ]
    return [
        _lines("Announced for", map(deadline_text, facts.get("deadlines", ()))),
        _lines("Matching rules", facts.get("rules", ())),
        _lines("Changed", facts.get("changed", ())),
        _lines("Earlier preview", previews),
    ]


def _completeness_fields(event: Event) -> list[Field]:
    """What was not examined: it stands before the numbers of clients, which are then the least there are."""
    facts = event.facts
    codes = facts.get("codes", {})
    reasons = list(facts.get("problems") or [f"{code} ({codes[code]:,})" for code in sorted(codes)])
    more = f" and {len(reasons) - MAX_LINES:,} more" if reasons[MAX_LINES:] else ""
    shown = ", ".join(reasons[:MAX_LINES]) + more
    if event.kind is EventKind.UNEXAMINED:
        return [_line("Not examined", shown)]
    if facts.get("complete") is False and not facts.get("early"):
        return [_line("Not examined to its end", f"{shown or 'no reason was reported'}; all numbers may be higher")]
    return []


def _sample_field(event: Event) -> Field:
    facts = event.facts
    if not facts.get("format"):
        return Field("Sample", ())
    size, rows = counted(facts["bytes"], "byte"), counted(facts.get("rows", 0), "row")
    return _line("Sample", f"{facts['format']}, {size}, {rows}")
