"""The commands of `tocsin alert` with which people decide about events: acknowledge, snooze, assign, close, merge."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from data.model import ClosingReason, TriageState
from data.plural import counted, percent
from scheduler.cli.common import console, emit_json, find_event, json_option, pass_home
from scheduler.delivery.decisions import OPEN_STATES, checked_note, checked_owner, snooze_end

if TYPE_CHECKING:
    from rich.table import Table

    from data.settings.home import Home
    from data.store.store import Store
    from data.store.triage import Decision, Precision

# Events that one answer with --json lists; the count says how many there are.
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The events that a command is about: named one by one, or all of an incident, source, kind or severity."""

    events: tuple[str, ...]
    incident: str
    source: str
    kind: str
    severity: str

    def ids(self, home: Home, store: Store, states: Sequence[TriageState], now: datetime) -> list[str]:
        """Their ids; those that are not named must be in one of the states.

        Raises:
            InputError: nothing or both is given, an id names no event or several, or the incident or source is unknown.
        """
        from data.case.incidents import slug
        from data.errors import InputError

        bulk = any((self.incident, self.source, self.kind, self.severity))
        if bool(self.events) == bulk:
            raise InputError(
                "name events by their ids, or choose them with --incident, --source, --kind or --severity",
                hint="see: tocsin alert list",
            )
        if not bulk:
            return [find_event(store, each)[0].id for each in self.events]
        incident = slug(self.incident) if self.incident else ""
        found = store.triage.select(
            now, states=states, incident=incident, source=self.source, kind=self.kind, severity=self.severity
        )
        if not found:
            self._require_known(home, store, incident)
        return found

    def _require_known(self, home: Home, store: Store, incident: str) -> None:
        """Raise InputError if the incident or the source is none that this home knows: then it is misspelt."""
        from data.case.incidents import read_incidents
        from data.errors import InputError
        from data.sources.selector_rules import did_you_mean

        names = {each.id: each.name for each in read_incidents(home.path)} if incident else {}
        if incident and incident not in names and not store.events.has(incident=incident):
            raise InputError(
                f"there is no incident '{self.incident}'{did_you_mean(self.incident, list(names.values()))}",
                hint="see: tocsin incident list",
            )
        sources = [row["name"] for row in store.database.rows("select name from source")] if self.source else []
        if self.source and self.source not in sources and not store.events.has(source=self.source):
            raise InputError(
                f"there is no source '{self.source}'{did_you_mean(self.source, sources)}",
                hint="see: tocsin source list",
            )


def choice_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that choose events, and give them to the function as `chosen`."""
    import functools

    from data.model import EventKind, Severity

    @functools.wraps(function)
    def with_choice(
        *args: Any,
        events: tuple[str, ...],
        incident: str,
        source: str,
        kind: str | None,
        severity: str | None,
        **rest: Any,
    ) -> Any:
        return function(*args, chosen=Chosen(events, incident, source, kind or "", severity or ""), **rest)

    for option in (
        click.option("--severity", type=click.Choice([each.value for each in Severity]), help="All of this severity."),
        click.option("--kind", type=click.Choice([each.value for each in EventKind]), help="All of this kind."),
        click.option("--source", default="", metavar="NAME", help="All of this source."),
        click.option("--incident", default="", metavar="NAME", help="All of this incident."),
        click.argument("events", nargs=-1, metavar="[ID]…"),
    ):
        with_choice = option(with_choice)
    return with_choice


note_option = click.option(
    "--note", "text", default="", metavar="TEXT", help="Why, in your words; it is stored in clear, so name no person."
)


def _decide(home: Home, chosen: Chosen, states: Sequence[TriageState], decision: Decision, *, as_json: bool) -> None:
    """Record a decision and print about how many events it is.

    Raises:
        InputError: a closed event would be open again without a word.
    """
    import getpass

    from scheduler.crawls.keyed_store import open_operator_store
    from scheduler.delivery.decisions import decide

    now, who = datetime.now(UTC), getpass.getuser()
    with contextlib.closing(open_operator_store(home)) as store:
        count, ids = decide(store, chosen.ids(home, store, states, now), decision, who, now)
        decided = store.triage.of(ids[:MAX_LISTED], now)
    if as_json:
        emit_json({"count": count, "events": [{"id": id_, **each.to_json()} for id_, each in decided.items()]})
        return
    state = next((each.state for each in decided.values()), decision.state or TriageState.ACKNOWLEDGED)
    what = {TriageState.NEW: "new again", TriageState.CLOSED: f"closed: {decision.reason}"}.get(state, state.value)
    if decision.until:
        what += f" until {decision.until:%Y-%m-%d %H:%M} UTC"
    to = f", assigned to {decision.owner}" if decision.owner and decision.owner != who else ""
    named = ids[0][:12] if count == 1 else counted(count, "event")
    click.echo(
        f"{named} {'is' if count == 1 else 'are'} {what}{to}"
        if count
        else "no event fits, or this was decided about all that do: nothing changed; see: tocsin alert list"
    )


@click.command()
@choice_options
@click.option("--to", "owner", default="", metavar="WHO", help="Assign it to this person. Default: you.")
@note_option
@json_option
@pass_home
def ack(home: Home, owner: str, text: str, as_json: bool, chosen: Chosen) -> None:
    """Record that a person is working on events, which ends their reminders.

    New records about the same post end the acknowledgement, and so does the end of a lasting state.
    """
    import getpass

    from data.store.triage import Decision

    decision = Decision(TriageState.ACKNOWLEDGED, checked_owner(owner or getpass.getuser()), note=checked_note(text))
    _decide(home, chosen, OPEN_STATES, decision, as_json=as_json)


@click.command()
@choice_options
@click.option("--to", "owner", required=True, metavar="WHO", help="The person who works on it from now on.")
@note_option
@json_option
@pass_home
def assign(home: Home, owner: str, text: str, as_json: bool, chosen: Chosen) -> None:
    """Give events to a person; new ones are acknowledged by it."""
    from data.store.triage import Decision

    decision = Decision(None, checked_owner(owner), note=checked_note(text))
    _decide(home, chosen, OPEN_STATES, decision, as_json=as_json)


@click.command()
@choice_options
@click.option(
    "--until",
    required=True,
    metavar="WHEN",
    help="A time span (4h, 2d) or a time (2026-12-01, 2026-12-01T08:00Z), at most 90 days from now.",
)
@note_option
@json_option
@pass_home
def snooze(home: Home, until: str, text: str, as_json: bool, chosen: Chosen) -> None:
    """Put events aside until a time; then they are new again."""
    from data.store.triage import Decision

    decision = Decision(TriageState.SNOOZED, until=snooze_end(until, datetime.now(UTC)), note=checked_note(text))
    _decide(home, chosen, OPEN_STATES, decision, as_json=as_json)


@click.command()
@choice_options
@click.option(
    "--as",
    "reason",
    required=True,
    type=click.Choice([each.value for each in ClosingReason]),
    help="What it was; `tocsin alert precision` counts these reasons.",
)
@note_option
@json_option
@pass_home
def close(home: Home, reason: str, text: str, as_json: bool, chosen: Chosen) -> None:
    """Close events: true alarm, false alarm, re-post or test."""
    from data.store.triage import Decision

    decision = Decision(TriageState.CLOSED, reason=reason, note=checked_note(text))
    _decide(home, chosen, OPEN_STATES, decision, as_json=as_json)


@click.command()
@choice_options
@note_option
@json_option
@pass_home
def reopen(home: Home, text: str, as_json: bool, chosen: Chosen) -> None:
    """Make events new again that were closed, snoozed or acknowledged."""
    from data.store.triage import Decision

    decision = Decision(TriageState.NEW, "", note=checked_note(text))
    states = (TriageState.ACKNOWLEDGED, TriageState.SNOOZED, TriageState.CLOSED)
    _decide(home, chosen, states, decision, as_json=as_json)


@click.command()
@click.argument("into", metavar="ID")
@click.argument("events", nargs=-1, required=True, metavar="OTHER…")
@pass_home
def merge(home: Home, into: str, events: tuple[str, ...]) -> None:
    """Let events belong together: what is decided about one of them holds for all."""
    import getpass

    from data.errors import InputError
    from scheduler.crawls.keyed_store import open_operator_store

    with contextlib.closing(open_operator_store(home)) as store:
        head = find_event(store, into)[0].id
        others = [find_event(store, each)[0].id for each in events]
        if head in others:
            raise InputError(
                f"{head[:12]} cannot be merged into itself; nothing was changed", hint="name two different events"
            )
        moved = store.triage.merge(head, others, getpass.getuser(), datetime.now(UTC))
    click.echo(f"{counted(moved, 'event')} merged into {head[:12]}")


@click.command()
@click.argument("event", metavar="ID")
@pass_home
def split(home: Home, event: str) -> None:
    """Take an event out of those that it was merged with."""
    import getpass

    from data.errors import InputError
    from scheduler.crawls.keyed_store import open_operator_store

    with contextlib.closing(open_operator_store(home)) as store:
        found = find_event(store, event)[0].id
        if not store.triage.split(found, getpass.getuser(), datetime.now(UTC)):
            raise InputError(
                f"{found[:12]} was not merged into another event", hint=f"see: tocsin alert show {found[:12]}"
            )
    click.echo(f"{found[:12]} stands for itself again")


@click.command()
@json_option
@pass_home
def precision(home: Home, as_json: bool) -> None:
    """Show how people closed the events of each kind and source and of each rule of an incident, and the share of true alarms."""
    from crawler.alerts.headlines import shown_rule
    from data.store.store import Store

    with contextlib.closing(Store.open(home.db_path)) as store:
        found, rules = store.triage.precision(), store.triage.precision_of_rules()
    if as_json:
        rows = [{"kind": each.kind.value, "source": each.source, **_counts(each)} for each in found]
        emit_json({"precision": rows, "rules": [{"rule": each.rule, **_counts(each)} for each in rules]})
        return
    if not found:
        console().print("no event was closed by a person yet: tocsin alert close ID --as true")
        return
    console().print(_table(["kind", "source"], [((each.kind.value, each.source), each) for each in found]))
    if rules:
        console().print(_table(["rule"], [((shown_rule(each.rule),), each) for each in rules]))


def _counts(each: Precision) -> dict[str, Any]:
    counts = {reason.value.replace("-", "_"): each.counts.get(reason, 0) for reason in ClosingReason}
    return {**counts, "precision": each.share}


def _table(names: list[str], rows: list[tuple[tuple[str, ...], Precision]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    made = Table(*names, *(reason.value for reason in ClosingReason), "share of true alarms")
    for cells, each in rows:
        numbers = (f"{each.counts.get(reason, 0):,}" for reason in ClosingReason)
        share = "" if each.share is None else percent(each.share, 0)
        made.add_row(*map(escape, cells), *numbers, share)
    return made


COMMANDS = (ack, assign, snooze, close, reopen, merge, split, precision)
