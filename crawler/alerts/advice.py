"""What a person should do about each kind of event, with the exact commands."""

from __future__ import annotations

import re

from crawler.alerts.events import KNOWN_VERDICTS
from data.model import Event, EventKind

_TORRENT = "Wait for a source that has the data itself: the content of a torrent is never downloaded."


# `tocsin alert show` lists so many clients unless it is told to list all.
LISTED_CLIENTS = 20


def show_command(event: Event) -> str:
    """The command that shows the whole event."""
    every = " --all" if len(event.facts.get("clients", ())) > LISTED_CLIENTS else ""
    return f"tocsin alert show {event.id[:12]}{every}"


def advice_of(event: Event) -> str:
    """What to do next, one to three sentences; '' for nothing. Commands are complete, because a person copies them."""
    facts = event.facts
    clients = (
        f" The list of clients: tocsin alert show {event.id[:12]} --csv clients.csv" if facts.get("clients") else ""
    )
    # a keyed id, as `data.store.findings.finding_id` makes it
    evidence = next((each for each in facts.get("evidence", ()) if re.fullmatch(r"[0-9a-f]{32}", str(each))), "")
    proof = f"tocsin evidence export {evidence} --out proof.age" if evidence else "tocsin evidence list"
    opened = f"tocsin evidence open {evidence or 'ID'} --address --key FILE"
    # names of sources and channels are checked when they are loaded; anything else would not be a safe command
    source = event.source if re.fullmatch(r"[A-Za-z0-9][\w-]*", event.source) else "NAME"
    channel = str(facts.get("channel", ""))
    channel = channel if re.fullmatch(r"[\w-]+", channel) else "NAME"
    if facts.get("trial") or event.kind is EventKind.RECOVERED:
        return ""
    if event.kind is EventKind.EARLY_LOOK:
        if facts.get("of_event"):
            return "Tell those who acted on the preview. The alert about the full examination has the numbers."
        if facts.get("how") == "torrent":
            return _TORRENT
    return {
        EventKind.FURTHER_RELEASE: (
            f"Inform the clients{'' if clients else ', once you know which'}, and preserve the evidence: it is sealed for"
            f" the team's private key and holds the address of the post. Run: {proof} and, with the key: {opened}{'.' if clients else ''}{clients}"
        ),
        EventKind.CANARY_HIT: (
            "Inform the clients. Once a person has confirmed the data, register it as known with tocsin release add."
            f" The address of the post, with the private key: {opened}{'.' if clients else ''}{clients}"
        ),
        EventKind.SHARED_PEOPLE: (
            "Find out whose data it is: shared patients do not show that. If it is another organisation's breach, the"
            f" practices may still have to tell their patients. The address of the post, with the private key: {opened}."
        ),
        EventKind.REPOST: (
            "No client has to be informed again, if they were when it was first published."
            " You may ask the site to remove it."
            if facts.get("verdict") in KNOWN_VERDICTS
            else "Look at the post: whether something in it is new was not decided."
        ),
        EventKind.EARLY_LOOK: "Wait for the full examination: this verdict uses file names, sizes and checksums alone.",
        EventKind.LISTING_CHANGED: "Look at the post: further parts of a leak are often announced this way.",
        EventKind.ANNOUNCEMENT: "Look at the post and prepare: its source is checked more often as the time comes near.",
        EventKind.UNEXAMINED: "Check the post by hand; the site may have removed it by now.",
        EventKind.GAP: f"Read what was missed: tocsin crawl {source} --pages 100. Until a crawl has reached a known post,"
        f" the gap lasts. Then shorten `every` in sources/{source}.yaml, so that it is crawled more often.",
        EventKind.SOURCE_SILENT: (
            f"Open the site by hand: it may be down, or have moved. Then run: tocsin source check {source}"
            if facts.get("subject") != "new posts"
            else "Open the site by hand. If it shows newer posts, the source no longer reads them; run:"
            f" tocsin source check {source}"
        ),
        EventKind.SOURCE_CHANGED: f"Compare the site with its source file. Run: tocsin source check {source}",
        EventKind.TOR_DOWN: "Find the reason. Run: tocsin doctor",
        EventKind.DELIVERY_FAILED: f"Correct the channel. Run: tocsin alert test {channel}"
        " and then: tocsin alert retry --all",
        EventKind.SELFTEST_FAILED: "Until this is repaired, silence proves nothing. Run: tocsin doctor",
    }[event.kind]
