"""Events in words for a tired person at three in the morning: ids, counts and names, never matched text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.model import Event, EventKind, Severity
from data.plural import counted

TITLES = {
    EventKind.FURTHER_RELEASE: "Further release: people not seen before are out",
    EventKind.CANARY_HIT: "Data of our clients is out",
    EventKind.REPOST: "Known data was posted again",
    EventKind.EARLY_LOOK: "Early look, before the data itself was read",
    EventKind.LISTING_CHANGED: "A known post changed",
    EventKind.ANNOUNCEMENT: "A release was announced",
    EventKind.UNEXAMINED: "Something could not be examined",
    EventKind.GAP: "Posts may have been missed",
    EventKind.SOURCE_SILENT: "A source is not seen any more",
    EventKind.SOURCE_CHANGED: "A source's page changed; nothing is read from it",
    EventKind.TOR_DOWN: "Tor is down; its sources are blind",
    EventKind.DELIVERY_FAILED: "A channel does not take alerts",
    EventKind.SELFTEST_FAILED: "Tocsin itself needs attention",
    EventKind.RECOVERED: "Back to normal",
}

NEXT = {
    EventKind.FURTHER_RELEASE: "Tell the clients named here; open the sealed evidence with the team's key.",
    EventKind.CANARY_HIT: "Tell the clients named here; register what is confirmed: tocsin release add.",
    EventKind.ANNOUNCEMENT: "Look at the post; its source is watched more closely as the time nears.",
    EventKind.LISTING_CHANGED: "Look at the post: this is how further parts are announced.",
    EventKind.EARLY_LOOK: "By names, sizes and checksums alone; the full examination follows and is told.",
    EventKind.UNEXAMINED: "Look at the post by hand: no match was excluded.",
    EventKind.GAP: "Look at the listing by hand; crawl this source more often.",
    EventKind.SOURCE_SILENT: "Check whether the site moved: tocsin source check.",
    EventKind.SOURCE_CHANGED: "Compare the page with the source file: tocsin source check.",
    EventKind.DELIVERY_FAILED: "Check the channel: tocsin alert test, then tocsin alert retry.",
    EventKind.SELFTEST_FAILED: "Run: tocsin doctor.",
}

VERDICTS = {
    "re-post": "a re-post: all of it was known",
    "re-packaged": "known data in another packaging",
    "subset": "a part of known data",
    "superset": "known data with further people",
    "overlap": "partly known, partly new",
    "new": "people in no known release",
    "padded": "known people filled up with invented ones",
    "unrelated": "other people; nothing ties them to the known releases",
    "undecided": "not decided",
}
ADDED = {
    "note": "medical notes or other free text",
    "nir": "social security numbers",
    "email": "e-mail addresses",
    "phone": "telephone numbers",
    "iban": "bank accounts",
    "professional": "professional numbers",
}


@dataclass(frozen=True, slots=True)
class Message:
    """What one alert says, before a dialect gives it a form; every text is plain and on one line."""

    event: str
    kind: str
    severity: Severity
    title: str
    at: str
    fields: tuple[tuple[str, str], ...]
    advice: str
    link: str
    facts: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        mark = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠"}.get(self.severity, "🔵")
        lines = [f"{mark} {self.title}", *(f"{name}: {value}" for name, value in self.fields)]
        return "\n".join([*lines, *([self.advice] if self.advice else []), self.link])


def defang(url: str) -> str:
    """An address that no chat turns into a link."""
    return re.sub(r"^http", "hxxp", url).replace("://", "[://]").replace(".", "[.]").replace("@", "[at]")


def plain(text: str, limit: int = 300) -> str:
    """Text on one line without control, format and direction characters; a mention (@, <!) cannot form."""
    kept = "".join(
        " " if char in "\r\n\t" else char for char in text if char in "\r\n\t" or unicodedata.category(char)[0] != "C"
    )
    kept = re.sub(r" {2,}", " ", kept).strip()
    kept = kept.replace("@", "@\N{WORD JOINER}").replace("<!", "< !")
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def _deadline(value: Mapping[str, Any]) -> str:
    exact = int(value["exact_minutes"])
    day = str(value["at"]).replace("T", " ").replace("+00:00", " UTC")
    said = day if exact < 1440 else day[:10] + (" (to the day)" if exact <= 1440 else f" (within {exact // 1440} days)")
    return said + (f", was {str(value['before'])[:16].replace('T', ' ')}" if value.get("before") else "")


def _early(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an early look says, and what became of it."""
    said = f"{facts['files_known']:,} of {facts['files']:,} files known ({facts['bytes_known']:,} of {facts['bytes']:,} bytes)"
    if facts["how"] == "7z, locked":
        said = "not told: the archive's names are encrypted"
    elif facts["by_name"]:
        said += f", {facts['by_name']:,} of them by name and size alone"
    outcome = {
        "confirmed": "confirmed by the full examination",
        "corrected": f"corrected: the full examination says {VERDICTS.get(facts.get('full_verdict', ''), 'that it holds no records')}",
    }.get(facts["outcome"], "not decided by a full examination")
    if facts["how"] == "torrent":
        outcome = "stays open: no swarm is joined, what the torrent stands for is never fetched"
    fields = [("Early verdict", VERDICTS.get(facts["verdict"], str(facts["verdict"]))), ("Files", said)]
    if facts["parents"]:
        fields.append(("Known from", ", ".join(f"{each['kind']} {each['ref'][:16]}" for each in facts["parents"][:3])))
    return [*fields, ("Outcome", outcome)]


def word(event: Event, *, clients: Mapping[str, str], case: str = "", link: str = "", incident: str = "") -> Message:
    """The message of an event.

    Args:
        event: what happened.
        clients: display names by client id.
        case: name of the case, '' for none.
        link: base address of local records; '' shows the command to type.
        incident: name of the event's incident, '' for none.
    """
    fields: list[tuple[str, str]] = []
    facts = event.facts
    if case:
        fields.append(("Case", case))
    if incident:
        fields.append(("Incident", incident))
    if event.source:
        fields.append(("Source", event.source))
    for hit in facts.get("clients", ()):
        name = clients.get(hit["client"], "")
        shown = f"{name} ({hit['client']})" if name and name != hit["client"] else hit["client"]
        fields.append(
            (
                "Client",
                f"{shown}: {counted(hit['canaries'], 'canary', 'canaries')} in {counted(hit['records'], 'record')}, by {', '.join(hit['kinds'])}",
            )
        )
    if facts.get("early"):
        fields += _early(facts)
    elif "verdict" in facts:
        low, high = facts["interval"]
        fields.append(("Verdict", VERDICTS.get(facts["verdict"], str(facts["verdict"]))))
        fields.append(
            (
                "People",
                f"{facts['people']:,}, {facts['new']:,} of them new ({low:,} to {high:,}), {facts['known']:,} known",
            )
        )
    if facts.get("added"):
        said = (f"{ADDED.get(word, word)} ({count:,})" for word, count in facts["added"].items())
        fields.append(("Known people now with", ", ".join(said)))
    for name, label in (
        ("reason", "Reason"),
        ("subject", "About"),
        ("channel", "Channel"),
        ("began", "Since"),
        ("of", "Was"),
    ):
        if facts.get(name):
            fields.append((label, str(facts[name])))
    if facts.get("rules"):
        fields.append(("Rules", ", ".join(facts["rules"])))
    fields += [("Announced for", _deadline(deadline)) for deadline in facts.get("deadlines", ())]
    for look in facts.get("early_looks", ()):
        fields.append(("Early look", f"had said {VERDICTS.get(look['verdict'], look['verdict'])}: {look['outcome']}"))
    if facts.get("changed"):
        fields.append(("Changed", ", ".join(facts["changed"])))
    if event.kind is EventKind.UNEXAMINED or facts.get("complete") is False:
        fields.append(("Not examined", ", ".join(facts.get("problems", ())) or "cut short"))
    if facts.get("format"):
        fields.append(
            ("Sample", f"{facts['format']}, {counted(facts['bytes'], 'byte')}, {counted(facts.get('rows', 0), 'row')}")
        )
    if event.address:
        fields.append(("Address", defang(event.address)))
    reminder = "Still so: " if facts.get("reminder") else ""
    return Message(
        event=event.id,
        kind=event.kind.value,
        severity=event.severity,
        title=reminder + TITLES[event.kind],
        at=event.at.isoformat(timespec="seconds"),
        fields=tuple((name, plain(value)) for name, value in fields),
        advice=NEXT.get(event.kind, ""),
        link=f"{link.rstrip('/')}/{event.id}" if link else f"tocsin alert show {event.id[:12]}",
        facts=facts,
    )
