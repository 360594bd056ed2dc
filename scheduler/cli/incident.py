"""`tocsin incident`: what the team works on, and what belongs to it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from scheduler.cli.common import console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from data.config import Home
    from data.model import Incident


@click.group()
def incident() -> None:
    """Tie clients, sources and baselines to one threat."""


@incident.command()
@click.argument("name")
@click.option("--client", "clients", multiple=True, metavar="ID", help="A client whose data it is about; repeatable.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="A source to watch for it; repeatable.")
@click.option("--word", "words", multiple=True, metavar="WORD", help="A word the attacker uses; repeatable.")
@pass_home
def add(home: Home, name: str, clients: tuple[str, ...], sources: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Add an incident, or add clients, sources and words to one that is there."""
    from data.incidents import put_incident

    made = put_incident(home.path, name, clients=clients, sources=sources, words=words)
    for source in sources:
        if not (home.sources_dir / f"{source}.yaml").is_file():
            note(f"note: there is no source {source} yet; add it with: tocsin source add FILE")
    click.echo(f"incident {made.id}: {_size(made)}")


@incident.command("list")
@json_option
@pass_home
def list_(home: Home, as_json: bool) -> None:
    """All incidents."""
    from rich.markup import escape
    from rich.table import Table

    from data.incidents import read_incidents

    found = [_json(home, each) for each in read_incidents(home.path)]
    if as_json:
        emit_json({"incidents": found})
        return
    if not found:
        note("no incident yet; add one with: tocsin incident add NAME --client ID --source NAME")
        return
    table = Table("id", "name", "clients", "sources", "words", "releases")
    for each in found:
        counts = [str(len(each[field])) for field in ("clients", "sources", "words", "releases")]
        table.add_row(escape(each["id"]), escape(each["name"]), *counts)
    console().print(table)


@incident.command()
@click.argument("name")
@json_option
@pass_home
def show(home: Home, name: str, as_json: bool) -> None:
    """One incident: its clients, sources, words and releases."""
    from data.incidents import find_incident, read_incidents

    found = _json(home, find_incident(read_incidents(home.path), name))
    if as_json:
        emit_json(found)
        return
    click.echo(f"incident {found['id']}: {found['name']}")
    for field in ("clients", "sources", "words", "releases"):
        click.echo(f"  {field:9} {', '.join(found[field]) or '-'}")


def _size(made: Incident) -> str:
    return f"{len(made.clients)} clients, {len(made.sources)} sources, {len(made.words)} words"


def _json(home: Home, each: Incident) -> dict[str, Any]:
    from data.releases import read_manifests

    releases = [item["id"] for item in read_manifests(home.releases_dir) if item.get("incident") == each.id]
    return {**asdict(each), "releases": releases}
