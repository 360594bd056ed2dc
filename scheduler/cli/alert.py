"""`tocsin alert`: which alerts were sent to which channel, and which still wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from data.model import TriageState
from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import console, emit_json, find_event, json_option, pass_home
from scheduler.cli.triage import COMMANDS as TRIAGE_COMMANDS

if TYPE_CHECKING:
    from data.settings.home import Home
    from data.store.store import Store
    from data.store.triage import EventTriage

_CLIENT_COLUMNS = ("client", "name", "records", "canaries")
# Decisions about an event that `show` prints, the latest ones; --json has all.
MAX_HISTORY = 10
# Alerts that `list` shows, the latest ones.
MAX_LISTED = 1000
STATES = ("due", "deferred", "grouped", "sent", "refused")


@click.group()
def alert() -> None:
    """List and show alerts, decide about their events, test channels and retry deliveries."""


for command in TRIAGE_COMMANDS:
    alert.add_command(command)


def _store(home: Home) -> Store:
    from data.store.store import Store

    return Store.open(home.db_path)


@alert.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only alerts in this state.")
@click.option(
    "--triage", type=click.Choice([each.value for each in TriageState]), help="Only alerts of events in this state."
)
@click.option("--digest", default="", metavar="ID", help="Only the alerts that this digest tells.")
@json_option
@pass_home
def list_alerts(home: Home, state: str | None, triage: str | None, digest: str, as_json: bool) -> None:
    """List the alerts of each channel: state, attempts, last answer, next attempt, and what was decided about them."""
    import contextlib

    from rich.table import Table

    with contextlib.closing(_store(home)) as store:
        told = find_event(store, digest)[0].id if digest else ""
        # those that a digest tells are all listed: it is the one place that names them
        rows = store.outbox.alerts(
            state=state or "", triage=triage or "", digest=told, limit=-1 if digest else MAX_LISTED
        )
    if as_json:
        emit_json({"alerts": rows})
        return
    if not rows:
        console().print("no alerts")
        return
    # short titles, so that the last answer fits into one line of 160 columns
    table = Table("event", "time", "kind", "severity", "source", "channel", "state", "tries", "last answer", "next try")
    for row in rows:
        next_try = row["next_try"][:19] if row["state"] in ("due", "deferred") else ""
        table.add_row(
            row["event"][:12], row["at"][:19], row["kind"], row["severity"], row["source"], row["channel"],
            row["state"] + (f" ({row['triage']})" if row["triage"] != "new" else ""), str(row["attempts"]),
            row["reason"] or (str(row["last_status"]) if row["last_status"] else ""), next_try,
        )  # fmt: skip
    console().print(table)


@alert.command()
@click.argument("event", metavar="ID")
@client_table_options()
@json_option
@pass_home
def show(home: Home, event: str, as_json: bool, choice: ClientChoice) -> None:
    """Show one event, named by its id or the beginning of it, and the delivery of its alerts.

    Of the clients that were hit, those with most records come first.
    """
    import contextlib
    from dataclasses import asdict
    from datetime import UTC, datetime

    from rich.markup import escape

    from crawler.alerts.follow_up import with_sightings
    from crawler.alerts.hit_totals import HitTotals
    from crawler.alerts.phrases.catalogue import phrases_in
    from crawler.alerts.wording import message_of
    from data.store.triage import EventTriage
    from scheduler.delivery.delivery import DisplayNames

    with contextlib.closing(_store(home)) as store:
        found, more = find_event(store, event)
        deliveries = store.outbox.alerts(event=found.id)
        triage = store.triage.of([found.id], datetime.now(UTC)).get(found.id, EventTriage())
        history = store.audit.about(found.id)
        elsewhere = store.events.sightings(found.id)
    names = DisplayNames.of_home(home)
    hits = HitTotals.of_facts(found.facts, names.clients).hits
    rows = [(hit["client"], names.clients.get(hit["client"], ""), hit["records"], hit["canaries"]) for hit in hits]
    if as_json:
        emit_json({**asdict(found), **more, "triage": triage.to_json(), "history": history, "deliveries": deliveries})
        write_csv(choice, _CLIENT_COLUMNS, rows)
        return
    out = console()
    message = message_of(found, clients=names.clients, incident=names.incidents.get(found.incident, ""))
    message = with_sightings(message, elsewhere)
    # the clients follow as a table, and this is the command that the message names for everything
    phrases = phrases_in(message.language)
    fields = [*(field for field in message.fields if field.label != phrases("label.worst")), *message.closing]
    shown = [field.text for field in fields if not field.label.startswith(phrases("label.more"))]
    out.print(escape("\n".join([message.headline, *shown])))
    print_clients(choice, _CLIENT_COLUMNS, rows, title="Clients, hit worst first")
    out.print(
        f"\nseen {counted(more['sightings'], 'time')}, last {more['last_seen'][:19]}; {escape(_triage_text(triage))}"
    )
    if found.thread:
        out.print(f"continues {found.thread[:12]}")
    for each in history[-MAX_HISTORY:]:
        out.print(
            escape(f"{each['at'][:19]} {each['actor']}: {each['action']} {each['detail'][len(found.id) :].strip()}")
        )
    # many channels that took the message are one line
    channels: dict[tuple[str, int, str], list[str]] = {}
    for row in deliveries:
        channels.setdefault((row["state"], row["attempts"], row["reason"]), []).append(row["channel"])
    for (state, attempts, reason), those in channels.items():
        named = ", ".join(filter(None, those)) or "no channel is declared yet"
        line = f"{named}: {state} after {counted(attempts, 'attempt')}"
        out.print(f"{line} {escape(reason)}" if reason else line)


def _triage_text(triage: EventTriage) -> str:
    """What was decided about an event, in one line."""
    if triage.at is None:
        return "acknowledged: no"
    text = triage.state.value + (f" as {triage.reason}" if triage.reason else "")
    text += f" until {triage.until:%Y-%m-%d %H:%M} UTC" if triage.until else ""
    text += f", assigned to {triage.owner}" if triage.owner else ""
    text += f", by {triage.by or 'somebody'} at {triage.at:%Y-%m-%d %H:%M} UTC"
    text += f", together with {triage.head[:12]}" if triage.head else ""
    return text + (f": {triage.note}" if triage.note else "")


def _require_retryable(store: Store, start: str) -> None:
    """Raise InputError unless a deferred or refused alert, or its event, has an id that begins with `start`."""
    from data.errors import InputError

    waiting = [row for row in store.outbox.alerts(limit=-1) if row["state"] in ("deferred", "refused")]
    if not start or not any(row[name].startswith(start) for row in waiting for name in ("id", "event")):
        raise InputError(
            f"no deferred or refused alert has an id that begins with '{start}'; no alert was retried",
            hint="see: tocsin alert list",
        )


@alert.command()
@click.argument("channel")
@pass_home
def test(home: Home, channel: str) -> None:
    """Send a harmless test message to a channel, and print its answer."""
    import asyncio
    import time
    from datetime import UTC, datetime

    from crawler.alerts.channels.registry import dialect, masked
    from crawler.alerts.wording import message_of
    from data.errors import ConfigError
    from data.store.outbox import alert_id
    from scheduler.delivery.delivery import http_client, send
    from scheduler.delivery.lasting_states import channel_test_event

    settings = home.settings()
    target = settings.channels.get(channel)
    if target is None:
        names = ", ".join(settings.channels) or "none"
        raise ConfigError(f"no channel is called '{channel}'; the channels are: {names}", hint="add it to tocsin.toml")
    event = channel_test_event(datetime.now(UTC))
    message = message_of(event, clients={}, case=settings.case, link=settings.link, language=target.language)
    outgoing = dialect(target).compose(target, alert_id(event.id, channel), message, int(time.time()))

    async def deliver() -> int:
        async with http_client() as client:
            return (await send(client, target, outgoing)).status

    status = asyncio.run(deliver())
    click.echo(
        f"{masked(target.url.get_secret_value())} accepted the message ({status}); check that people see it there"
    )


@alert.command()
@click.argument("events", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Retry all deferred and refused alerts.")
@pass_home
def retry(home: Home, events: tuple[str, ...], everything: bool) -> int:
    """Send alerts again, now, that a channel deferred or refused."""
    import asyncio
    import contextlib
    from datetime import UTC, datetime

    from data.errors import InputError
    from scheduler.delivery.delivery import DisplayNames, deliver_until_empty

    if bool(events) == everything:
        raise InputError(
            "name the alerts to retry by their ids, or give --all", hint="see: tocsin alert list --state refused"
        )
    with contextlib.closing(_store(home)) as store:
        for each in events:
            _require_retryable(store, each)
        count = store.outbox.retry(None if everything else events, datetime.now(UTC))
        done = asyncio.run(deliver_until_empty(home.settings(), store, DisplayNames.of_home(home), deadline=10))
    click.echo(f"{count} retried: {done.sent} sent, {done.deferred} deferred, {done.refused} refused")
    return 2 if done.deferred or done.refused else 0
