"""`tocsin event`: what happened, also what rang nobody."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from scheduler.cli.common import console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from data.settings.home import Home


@click.group()
def event() -> None:
    """List events, also those that rang nobody."""


@event.command("list")
@click.option("--source", default="", metavar="NAME", help="Only events of this source.")
@click.option("--kind", default="", metavar="KIND", help="Only events of this kind.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="At most so many.")
@json_option
@pass_home
def list_(home: Home, source: str, kind: str, limit: int, as_json: bool) -> None:
    """List the latest events, newest first; `tocsin alert show ID` shows one of them."""
    from rich.markup import escape
    from rich.table import Table

    from crawler.alerts.wording import message_of
    from data.errors import InputError
    from data.model import EventKind
    from data.sources.selector_rules import did_you_mean
    from data.store.store import Store
    from scheduler.delivery.delivery import DisplayNames

    kinds = [each.value for each in EventKind]
    if kind and kind not in kinds:
        raise InputError(f"there is no kind of event '{kind}'{did_you_mean(kind, kinds)}", hint=", ".join(kinds))
    with contextlib.closing(Store.open(home.db_path)) as store:
        found = store.events.latest(limit=limit, kind=kind, source=source)
    if as_json:
        emit_json({"events": [asdict(each) for each in found]})
        return
    if not found:
        note("no events")
        return
    names = DisplayNames.of_home(home)
    table = Table("id", "time", "severity", "source", "what")
    for each in found:
        message = message_of(each, clients=names.clients, incident=names.incidents.get(each.incident, ""))
        table.add_row(
            each.id[:12], f"{each.at:%Y-%m-%d %H:%M}", each.severity.value, each.source, escape(message.headline)
        )
    console().print(table)


@click.command()
@click.option("--since", "cursor", default="", metavar="CURSOR", help="Of the last event that was read. Default: all.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most so many.")
@json_option
@pass_home
def events(home: Home, cursor: str, limit: int, as_json: bool) -> None:
    """Print the events after a cursor, in the order in which they were stored: a feed for a SIEM.

    Prints one JSON object for each event, with the field names of the Elastic Common Schema; its `tocsin.cursor` is where
    the next call goes on. With --json all are one object, as in `event list`, with the cursor of the last one.
    """
    import orjson

    from crawler.alerts.channels.generic import ecs_event
    from crawler.alerts.wording import message_of
    from data.store.store import Store
    from scheduler.delivery.delivery import DisplayNames

    with contextlib.closing(Store.open(home.db_path)) as store:
        found = store.events.after(cursor, limit=limit)
    if as_json:
        last = found[-1][0] if found else cursor
        emit_json(
            {
                "events": [{**asdict(each), "cursor": at} for at, each in found],
                "cursor": last,
                "more": len(found) == limit,
            }
        )
        return
    names = DisplayNames.of_home(home)
    settings = home.settings()
    for at, each in found:
        message = message_of(
            each, clients=names.clients, case=settings.case, link=settings.link,
            incident=names.incidents.get(each.incident, ""),
        )  # fmt: skip
        value = ecs_event(message)
        value["tocsin"]["cursor"] = at
        click.echo(orjson.dumps(value).decode())
