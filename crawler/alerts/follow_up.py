"""The short message about an event that continues another one, and the first message with what came since (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crawler.alerts.headlines import MAX_NAME, headline_of
from crawler.alerts.message import Field, Message
from crawler.alerts.phrases.catalogue import phrases_in
from crawler.alerts.plain_text import sanitize
from crawler.alerts.wording import MAX_LINES, MAX_TITLE
from data.model import Event, EventKind, Severity


def is_sighting(event: Event) -> bool:
    """Whether an event says that the data of its thread was seen at another place."""
    return bool(event.thread) and event.kind is EventKind.REPOST and "baseline" not in event.facts


def belongs_in_thread(event: Event) -> bool:
    """Whether the message about an event may stand in a thread, where fewer people see it: a critical one may not."""
    return bool(event.thread) and event.severity is not Severity.CRITICAL


def follow_up(message: Message, event: Event, first: Event, names: Mapping[str, str], places: int) -> Message:
    """The message about an event, for people who have the message about the first event of its thread.

    Args:
        message: about the event, as if it stood for itself.
        event: that continues another one.
        first: the first event of its thread.
        names: display names of all clients by id.
        places: in how many posts the data of the thread was seen.
    """
    phrases = phrases_in(message.language)
    title = headline_of(first, names, phrases)
    belongs = sanitize(f"{title} ({first.id[:12]}, {phrases.time(first.at.isoformat())})")
    thread = Field(phrases("label.thread"), (belongs,), language=message.language)
    if not is_sighting(event):
        return replace(message, fields=(*message.fields, thread))
    source = sanitize(event.source, MAX_NAME) or phrases("title.a_source")
    said = phrases("title.also", source=source, places=phrases.count("place", places), title=title)
    kept = {phrases(f"label.{key}") for key in ("incomplete", "address", "source", "incident", "case")}
    if not _clients(event) <= _clients(first):
        # the first message does not name them
        kept |= {phrases("label.clients"), phrases("label.worst")}
    return replace(
        message,
        title=sanitize(said, MAX_TITLE),
        fields=(*(field for field in message.fields if field.label in kept), thread),
        advice=phrases("advice.also"),
    )


def _clients(event: Event) -> set[str]:
    return {hit["client"] for hit in event.facts.get("clients", ())}


def with_sightings(message: Message, sightings: Sequence[Event]) -> Message:
    """The message about the first event of a thread, with the other places at which its data was seen, latest first."""
    if not sightings:
        return message
    phrases = phrases_in(message.language)
    lines = [
        sanitize(f"{phrases.time(each.at.isoformat())} {each.source}") for each in reversed(sightings[-MAX_LINES:])
    ]
    places = Field(phrases("label.places"), tuple(lines), max(0, len(sightings) - MAX_LINES), language=message.language)
    return replace(message, fields=(places, *message.fields))
