"""`tocsin alert`: which alerts were sent to which channel, and which still wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import console, emit_json, json_option, pass_home

if TYPE_CHECKING:
    from data.settings.home import Home
    from data.store.store import Store

_CLIENT_COLUMNS = ("client", "name", "records", "canaries")
STATES = ("due", "deferred", "sent", "refused")


@click.group()
def alert() -> None:
    """List, show, acknowledge, test and retry alerts."""


def _store(home: Home) -> Store:
    from data.store.store import Store

    return Store.open(home.db_path)


@alert.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only alerts in this state.")
@json_option
@pass_home
def list_alerts(home: Home, state: str | None, as_json: bool) -> None:
    """List the alerts of each channel: state, attempts, last answer, next attempt."""
    import contextlib

    from rich.table import Table

    with contextlib.closing(_store(home)) as store:
        rows = store.outbox.alerts(state=state or "")
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
            row["state"] + (" (acknowledged)" if row["acked"] else ""), str(row["attempts"]),
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

    from rich.markup import escape

    from crawler.alerts.hit_totals import HitTotals
    from crawler.alerts.message import MORE_LABEL
    from crawler.alerts.wording import WORST_LABEL, message_of
    from scheduler.delivery.delivery import DisplayNames

    with contextlib.closing(_store(home)) as store:
        found, more = _find_event(store, event)
        deliveries = store.outbox.alerts(event=found.id)
    names = DisplayNames.of_home(home)
    hits = HitTotals.of_facts(found.facts, names.clients).hits
    rows = [(hit["client"], names.clients.get(hit["client"], ""), hit["records"], hit["canaries"]) for hit in hits]
    if as_json:
        emit_json({**asdict(found), **more, "deliveries": deliveries})
        write_csv(choice, _CLIENT_COLUMNS, rows)
        return
    out = console()
    message = message_of(found, clients=names.clients, incident=names.incidents.get(found.incident, ""))
    # the clients follow as a table, and this is the command that the message names for everything
    fields = [*(field for field in message.fields if field.label != WORST_LABEL), *message.closing]
    shown = [field.text for field in fields if not field.label.startswith(MORE_LABEL)]
    out.print(escape("\n".join([message.headline, *shown])))
    print_clients(choice, _CLIENT_COLUMNS, rows, title="Clients, hit worst first")
    out.print(
        f"\nseen {counted(more['sightings'], 'time')}, last {more['last_seen'][:19]}; acknowledged: {more['acked'] or 'no'}"
    )
    # many channels that took the message are one line
    channels: dict[tuple[str, int, str], list[str]] = {}
    for row in deliveries:
        channels.setdefault((row["state"], row["attempts"], row["reason"]), []).append(row["channel"])
    for (state, attempts, reason), those in channels.items():
        line = f"{', '.join(those)}: {state} after {counted(attempts, 'attempt')}"
        out.print(f"{line} {escape(reason)}" if reason else line)


def _find_event(store: Store, event: str) -> Any:
    """The only event whose id begins with `event`, and what the store knows about it."""
    from data.errors import InputError

    found = store.events.find(event)
    if found is None:
        raise InputError(
            f"no event, or more than one, has an id that begins with '{event}'", hint="see: tocsin alert list"
        )
    return found


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
@click.argument("event", metavar="ID")
@pass_home
def ack(home: Home, event: str) -> None:
    """Record that a person is working on an event."""
    import contextlib
    import getpass
    from datetime import UTC, datetime

    from scheduler.crawls.keyed_store import open_operator_store

    with contextlib.closing(open_operator_store(home)) as store:
        found, _ = _find_event(store, event)
        store.events.acknowledge(found.id, getpass.getuser(), datetime.now(UTC))
    click.echo(f"{found.id[:12]} is acknowledged")


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
    message = message_of(event, clients={}, case=settings.case, link=settings.link)
    outgoing = dialect(target).compose(target, alert_id(event.id, channel), message, int(time.time()))

    async def deliver() -> int:
        async with http_client() as client:
            return await send(client, target, outgoing)

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
