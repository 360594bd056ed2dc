"""The rules for what a person decides about events, wherever that is entered: the command line and the console."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from data.errors import InputError
from data.model import TriageState
from data.settings.quantities import parse_span

if TYPE_CHECKING:
    from data.store.store import Store
    from data.store.triage import Decision

OPEN_STATES = (TriageState.NEW, TriageState.ACKNOWLEDGED, TriageState.SNOOZED)
MAX_NOTE = 500
MAX_SNOOZE = timedelta(days=90)
# An e-mail address, or a number as long as a telephone's: a note rests in clear.
_PERSONAL = re.compile(r"\S@\S+\.\S|(?:\d[ .\-/]?){7,}")
_NAME = re.compile(r"[\w][\w .@-]{0,63}")


def decide(store: Store, events: Sequence[str], decision: Decision, who: str, now: datetime) -> tuple[int, list[str]]:
    """Record a decision about events and everything merged with them.

    Whoever takes on a digest, or puts it aside, takes on the events that it tells which are not closed. Closing it closes none
    of them: they were not looked at one by one.

    Returns:
        How many events were changed, and their ids.

    Raises:
        InputError: a closed event would be open again without a word; nothing was changed.
    """
    told: list[str] = []
    if decision.state in {None, TriageState.ACKNOWLEDGED, TriageState.SNOOZED}:
        told = store.outbox.told_by(events)
        states = store.triage.of(told, now)
        told = [each for each in told if each not in states or states[each].state is not TriageState.CLOSED]
    ids = store.triage.with_merged([*events, *told])
    before = store.triage.of(ids, now)
    closed = [id_ for id_, each in before.items() if each.state is TriageState.CLOSED]
    if closed and decision.state in {TriageState.ACKNOWLEDGED, TriageState.SNOOZED}:
        raise InputError(
            f"{closed[0][:12]} is closed; nothing was changed", hint=f"tocsin alert reopen {closed[0][:12]}"
        )
    return store.triage.decide(ids, decision, who, now), ids


def checked_note(text: str) -> str:
    """The note, without control characters; raises InputError if it is too long or holds what looks like a value."""
    if len(text) > MAX_NOTE:
        raise InputError(f"a note has at most {MAX_NOTE} characters, and this one {len(text):,}", hint="shorten it")
    if _PERSONAL.search(text):
        raise InputError(
            "a note is stored in clear and must not hold an e-mail address or a long number", hint="leave it out"
        )
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def checked_owner(name: str) -> str:
    """The name of a person; raises InputError if it is none."""
    if not _NAME.fullmatch(name):
        raise InputError(
            "a person's name has 1 to 64 letters, digits, dots, dashes or spaces", hint="choose a shorter name"
        )
    return name


def snooze_end(text: str, now: datetime) -> datetime:
    """The end of a snooze, which `text` names as for `time_of`.

    Raises:
        InputError: as `time_of`, or it is too far away: what nobody will see again is closed, with a reason.
    """
    at = time_of(text, now)
    if at > now + MAX_SNOOZE:
        raise InputError(
            f"{at:%Y-%m-%d} is more than {MAX_SNOOZE.days} days away",
            hint="choose an earlier time, or close the event with a reason",
        )
    return at


def time_of(text: str, now: datetime) -> datetime:
    """The time that a time span from now, a day or a time names.

    Raises:
        InputError: it is none of these, or not in the future.
    """
    span = parse_span(text)
    try:
        at = now + span if isinstance(span, timedelta) else datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.astimezone()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"'{text[:40]}' is no time", hint="write 4h, 2d, 2026-12-01 or 2026-12-01T08:00Z") from None
    if at <= now:
        raise InputError(f"{at:%Y-%m-%d %H:%M} UTC is not in the future", hint="choose a later time")
    return at
