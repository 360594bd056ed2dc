"""The text of alerts, for a tired person at three in the morning: ids, counts, names, and never text of a sample."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.model import Event, EventKind, Severity
from data.plural import counted

TITLES = {
    EventKind.FURTHER_RELEASE: "Further release: data that was not known before has been published",
    EventKind.CANARY_HIT: "Data of our clients has been published",
    EventKind.REPOST: "Known data was posted again",
    EventKind.EARLY_LOOK: "Preview of a file list; the data itself is not examined yet",
    EventKind.LISTING_CHANGED: "A known post changed",
    EventKind.ANNOUNCEMENT: "A release was announced",
    EventKind.UNEXAMINED: "Some data could not be examined",
    EventKind.GAP: "Posts may have been missed",
    EventKind.SOURCE_SILENT: "A source cannot be read, or shows nothing new",
    EventKind.SOURCE_CHANGED: "A source is no longer read correctly",
    EventKind.TOR_DOWN: "Tor is down; sources that need it are not watched",
    EventKind.DELIVERY_FAILED: "A channel does not accept alerts",
    EventKind.SELFTEST_FAILED: "Tocsin itself needs attention",
    EventKind.RECOVERED: "Back to normal",
}
_CORRECTION_TITLE = "Correction: the full examination contradicts an earlier preview"

ADVICE = {
    EventKind.FURTHER_RELEASE: "Inform the clients named here. Open the sealed evidence with the team's private key.",
    EventKind.CANARY_HIT: "Inform the clients named here. Once it is confirmed, register it: tocsin release add.",
    EventKind.ANNOUNCEMENT: "Look at the post. Its source is checked more often as the announced time comes near.",
    EventKind.LISTING_CHANGED: "Look at the post: further parts of a leak are often announced this way.",
    EventKind.EARLY_LOOK: "This verdict uses file names, sizes and checksums alone. The full examination follows.",
    EventKind.UNEXAMINED: "A match cannot be ruled out: check the post by hand.",
    EventKind.GAP: "Check the listing by hand, and have this source crawled more often.",
    EventKind.SOURCE_SILENT: "Check whether the site has moved: tocsin source check.",
    EventKind.SOURCE_CHANGED: "Compare the site's page with the source file: tocsin source check.",
    EventKind.DELIVERY_FAILED: "Check the channel: tocsin alert test. Then send again: tocsin alert retry.",
    EventKind.SELFTEST_FAILED: "Run: tocsin doctor.",
}
_TORRENT_ADVICE = "This verdict uses file names and sizes alone: the content of a torrent is never downloaded."

VERDICTS = {
    "re-post": "a re-post: all of it was known before",
    "re-packaged": "known data in another packaging",
    "subset": "a part of known data",
    "superset": "known data together with data that was not known before",
    "overlap": "partly known, partly new",
    "new": "not in any known release",
    "padded": "known people mixed with invented ones",
    "unrelated": "other people, without a connection to the known releases",
    "undecided": "not decided",
}
ADDED_DATA = {
    "note": "medical notes or other free text",
    "nir": "social security numbers",
    "email": "e-mail addresses",
    "phone": "telephone numbers",
    "iban": "bank accounts",
    "professional": "professional numbers",
}

Field = tuple[str, str]
"""A label and a value."""


@dataclass(frozen=True, slots=True)
class Message:
    """The content of one alert, before a channel dialect formats it; every text is plain and on one line.

    Attributes:
        event: id of the event. at: its time, ISO 8601. fields: in the order in which they are shown.
        advice: what to do next, '' for nothing. link: an address or a command that shows the whole event.
    """

    event: str
    kind: str
    severity: Severity
    title: str
    at: str
    fields: tuple[Field, ...]
    advice: str
    link: str
    facts: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        mark = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}.get(self.severity, "🔵")
        lines = [f"{mark} {self.title}", *(f"{label}: {value}" for label, value in self.fields)]
        return "\n".join([*lines, *([self.advice] if self.advice else []), self.link])


def defang(url: str) -> str:
    """An address in a form that no chat turns into a link."""
    return re.sub(r"^http", "hxxp", url).replace("://", "[://]").replace(".", "[.]").replace("@", "[at]")


def sanitize(text: str, limit: int = 300) -> str:
    """Text on one line, without control, format and direction characters, and in which no mention (@, <!) can form."""
    kept = "".join(
        " " if char in "\r\n\t" else char for char in text if char in "\r\n\t" or unicodedata.category(char)[0] != "C"
    )
    kept = re.sub(r" {2,}", " ", kept).strip()
    kept = kept.replace("@", "@\N{WORD JOINER}").replace("<!", "< !")
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def message_of(
    event: Event, *, clients: Mapping[str, str], case: str = "", link: str = "", incident: str = ""
) -> Message:
    """The message about an event.

    Args:
        event: what happened.
        clients: display names by client id.
        case: name of the case, '' for none.
        link: base address of the web pages that show events; with '' the message names the command that shows this one.
        incident: name of the event's incident, '' for none.
    """
    fields = [
        ("Case", case),
        ("Incident", incident),
        ("Source", event.source),
        *_client_fields(event.facts, clients),
        *(_preview_fields(event.facts) if event.facts.get("early") else _lineage_fields(event.facts)),
        *_state_fields(event.facts),
        *_post_fields(event.facts),
        *_sample_fields(event),
        ("Address", defang(event.address)),
    ]
    return Message(
        event=event.id,
        kind=event.kind.value,
        severity=event.severity,
        title=_title(event),
        at=event.at.isoformat(timespec="seconds"),
        fields=tuple((label, sanitize(value)) for label, value in fields if value),
        advice=_advice(event),
        link=f"{link.rstrip('/')}/{event.id}" if link else f"tocsin alert show {event.id[:12]}",
        facts=event.facts,
    )


def _title(event: Event) -> str:
    if event.facts.get("of_event"):
        return _CORRECTION_TITLE
    return ("Reminder: " if event.facts.get("reminder") else "") + TITLES[event.kind]


def _advice(event: Event) -> str:
    if event.kind is EventKind.EARLY_LOOK:
        if event.facts.get("of_event"):
            return ""
        if event.facts.get("how") == "torrent":
            return _TORRENT_ADVICE
    return ADVICE.get(event.kind, "")


def _client_fields(facts: Mapping[str, Any], names: Mapping[str, str]) -> list[Field]:
    fields = []
    for hit in facts.get("clients", ()):
        name = names.get(hit["client"], "")
        client = f"{name} ({hit['client']})" if name and name != hit["client"] else hit["client"]
        canaries, records = counted(hit["canaries"], "canary", "canaries"), counted(hit["records"], "record")
        fields.append(("Client", f"{client}: {canaries} found in {records}, by {', '.join(hit['kinds'])}"))
    return fields


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
        ("Verdict of the preview", _verdict(facts)),
        ("Files", files),
        ("Known from", parents),
        ("Outcome", outcome),
    ]


def _lineage_fields(facts: Mapping[str, Any]) -> list[Field]:
    """What the full examination found about the people in the data."""
    if "verdict" not in facts:
        return []
    added = [f"{ADDED_DATA.get(kind, kind)} ({people:,})" for kind, people in facts.get("added", {}).items()]
    return [
        ("Verdict", _verdict(facts)),
        ("People", _people(facts)),
        ("New data about known people", ", ".join(added)),
    ]


def _verdict(facts: Mapping[str, Any]) -> str:
    return VERDICTS.get(facts["verdict"], str(facts["verdict"]))


def _people(facts: Mapping[str, Any]) -> str:
    low, high = facts["interval"]
    new, known = facts["new"], facts["known"]
    bounds = f" (between {low:,} and {high:,})" if low != high else ""
    people = counted(facts["people"], "person", "people")
    return f"{people}, of whom {new:,}{bounds} were not seen before and {known:,} were known"


def _state_fields(facts: Mapping[str, Any]) -> list[Field]:
    labels = {"reason": "Reason", "subject": "About", "channel": "Channel", "began": "Since", "of": "Ended"}
    return [(label, str(facts[name])) for name, label in labels.items() if facts.get(name)]


def _post_fields(facts: Mapping[str, Any]) -> list[Field]:
    """What a post announces, what changed in it, and the verdicts of earlier previews of it."""
    return [
        ("Matching rules", ", ".join(facts.get("rules", ()))),
        *(("Announced for", _deadline(each)) for each in facts.get("deadlines", ())),
        *(("Earlier preview", f"{_verdict(each)} ({each['outcome']})") for each in facts.get("early_looks", ())),
        ("Changed", ", ".join(facts.get("changed", ()))),
    ]


def _deadline(value: Mapping[str, Any]) -> str:
    exact = int(value["exact_minutes"])
    time = str(value["at"]).replace("T", " ").replace("+00:00", " UTC")
    if exact == 1440:
        time = f"{time[:10]} (exact to the day)"
    elif exact > 1440:
        time = f"{time[:10]} (exact to {exact // 1440} days)"
    return time + (f", before: {str(value['before'])[:16].replace('T', ' ')}" if value.get("before") else "")


def _sample_fields(event: Event) -> list[Field]:
    facts = event.facts
    fields = []
    reasons = ", ".join(facts.get("problems") or facts.get("codes", ()))
    if event.kind is EventKind.UNEXAMINED:
        fields.append(("Not examined", reasons))
    elif facts.get("complete") is False and not facts.get("early"):
        fields.append(("Not examined to its end", reasons or "no reason was reported"))
    if facts.get("format"):
        size, rows = counted(facts["bytes"], "byte"), counted(facts.get("rows", 0), "row")
        fields.append(("Sample", f"{facts['format']}, {size}, {rows}"))
    return fields
