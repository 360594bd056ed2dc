"""What a person should do about each kind of event, with the exact commands."""

from __future__ import annotations

import re

from crawler.alerts.events import KNOWN_VERDICTS
from crawler.alerts.phrases.catalogue import Phrases
from data.model import Event, EventKind

# `tocsin alert show` lists so many clients unless it is told to list all.
LISTED_CLIENTS = 20

# The advice about these is to look at the post, of which the message shows a masked address.
_LOOK_AT_POST = frozenset(
    {EventKind.UNEXAMINED, EventKind.ANNOUNCEMENT, EventKind.LISTING_CHANGED, EventKind.EARLY_LOOK}
)


def show_command(event: Event) -> str:
    """The command that shows the whole event."""
    if event.kind is EventKind.HEARTBEAT:
        # it is sent, but not stored
        return "tocsin status"
    every = " --all" if len(event.facts.get("clients", ())) > LISTED_CLIENTS else ""
    return f"tocsin alert show {event.id[:12]}{every}"


def advice_of(event: Event, phrases: Phrases) -> str:
    """What to do next, one to three sentences; '' for nothing. Commands are complete, because a person copies them."""
    facts, kind = event.facts, event.kind
    if facts.get("trial") or kind in {EventKind.RECOVERED, EventKind.HEARTBEAT}:
        return ""
    key = _key_of(event)
    retro = phrases("advice.retro") + " " if "retro" in facts else ""
    values = _values_of(event, phrases)
    advice = retro + phrases(f"advice.{key}", **values)
    if kind in _LOOK_AT_POST and facts.get("evidence"):
        address = "advice.addresses" if facts.get("posts", 1) > 1 else "advice.address"
        advice += " " + phrases(address, opened=values["opened"])
    if kind not in {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT} or not facts.get("clients"):
        return advice
    command = f"tocsin alert show {event.id[:12]} --csv clients.csv"
    return advice + "." + phrases("advice.clients_list", command=command)


def _key_of(event: Event) -> str:
    """The key of the advice about an event."""
    facts, kind = event.facts, event.kind
    subject = facts.get("subject")
    if kind is EventKind.EARLY_LOOK and facts.get("of_event"):
        return "correction"
    if kind is EventKind.EARLY_LOOK and facts.get("how") == "torrent":
        return "torrent"
    if kind is EventKind.REPOST and "baseline" in facts:
        return "baseline"
    if kind is EventKind.REPOST and facts.get("verdict") not in KNOWN_VERDICTS:
        return "repost_open"
    if kind is EventKind.UNEXAMINED and subject == "linked files":
        return "linked_files"
    if kind is EventKind.SOURCE_CHANGED and subject in ("look", "post pages"):
        return "source_look"
    if kind is EventKind.SOURCE_CHANGED and facts.get("evidence"):
        return "source_page"
    if kind is EventKind.UNEXAMINED and facts.get("posts", 1) > 1:
        return "unexamined_posts"
    if kind is EventKind.GAP and subject == "lost posts":
        return "gap_lost"
    if kind is EventKind.SOURCE_SILENT and subject == "new posts":
        return "no_new_post"
    return kind.value


def _values_of(event: Event, phrases: Phrases) -> dict[str, str]:
    """What the commands in the advice about an event need."""
    facts = event.facts
    # a keyed id, as `data.store.findings.finding_id` makes it
    evidence = next((each for each in facts.get("evidence", ()) if re.fullmatch(r"[0-9a-f]{32}", str(each))), "")
    # names of sources and channels are checked when they are loaded; anything else would not be a safe command
    channel = str(facts.get("channel", ""))
    return {
        "proof": f"tocsin evidence export {evidence} --out proof.age" if evidence else "tocsin evidence list",
        "page": f"tocsin evidence open {evidence} --key FILE" if evidence else "tocsin evidence list",
        "opened": f"tocsin evidence open {evidence or 'ID'} --address --key FILE",
        "source": event.source if re.fullmatch(r"[A-Za-z0-9][\w-]*", event.source) else "NAME",
        "channel": channel if re.fullmatch(r"[\w-]+", channel) else "NAME",
        "unknown": "" if facts.get("clients") else phrases("advice.clients_unknown"),
        "id": event.id[:12],
    }
