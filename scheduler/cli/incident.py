"""`tocsin incident`: what the team works on, and what belongs to it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
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
@click.option("--expression", "expressions", multiple=True, metavar="REGEX", help="A regular expression; repeatable.")
@click.option(
    "--yara", "files", multiple=True, metavar="FILE", type=click.Path(), help="A file of YARA rules; repeatable."
)
@pass_home
def add(
    home: Home,
    name: str,
    clients: tuple[str, ...],
    sources: tuple[str, ...],
    words: tuple[str, ...],
    expressions: tuple[str, ...],
    files: tuple[str, ...],
) -> None:
    """Add an incident, or add clients, sources, words and rules to one that is there."""
    from data.incidents import keep_rules, put_incident

    kept = [(path, _rules_of(path)) for path in map(Path, files)]
    # the names first: a name that cannot be kept must leave nothing behind
    yara = [keep_rules(home.path, path, text) for path, text in kept]
    made = put_incident(
        home.path, name, clients=clients, sources=sources, words=words, expressions=expressions, yara=yara
    )
    for source in sources:
        if not (home.sources_dir / f"{source}.yaml").is_file():
            note(f"note: there is no source {source} yet; add it with: tocsin source add FILE")
    click.echo(f"incident {made.id}: {_size(made)}")


def _rules_of(path: Path) -> str:
    """The text of a YARA file that can be compiled."""
    from crawler.rules import compile_yara
    from data.errors import InputError

    try:
        text = path.read_text(encoding="utf-8")
        compile_yara(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="check the path") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}", hint="correct the rule; nothing was changed") from error
    return text


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
    """One incident: its clients, sources, words, rules and releases."""
    from data.incidents import find_incident, read_incidents

    found = _json(home, find_incident(read_incidents(home.path), name))
    if as_json:
        emit_json(found)
        return
    click.echo(f"incident {found['id']}: {found['name']}")
    for field in ("clients", "sources", "words", "expressions", "yara", "releases"):
        click.echo(f"  {field:11} {', '.join(found[field]) or '-'}")


def _size(made: Incident) -> str:
    rules = len(made.expressions) + len(made.yara)
    said = f"{len(made.clients)} clients, {len(made.sources)} sources, {len(made.words)} words"
    return said + (f", {rules} rules" if rules else "")


def _json(home: Home, each: Incident) -> dict[str, Any]:
    from data.releases import read_manifests

    releases = [item["id"] for item in read_manifests(home.releases_dir) if item.get("incident") == each.id]
    return {**asdict(each), "releases": releases}
