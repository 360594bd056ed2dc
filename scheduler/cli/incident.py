"""`tocsin incident`: the threats that the team works on, and the clients, sources and baselines of each."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from scheduler.cli.common import console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from data.model import Incident
    from data.settings.home import Home


@click.group()
def incident() -> None:
    """Group the clients, sources and baselines that belong to one threat."""


@incident.command()
@click.argument("name")
@click.option(
    "--client", "clients", multiple=True, metavar="ID", help="A client whose data the threat concerns; repeatable."
)
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="A source that is watched for this incident; repeatable."
)
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
    """Add an incident, or add clients, sources, words and rules to an existing one."""
    from data.case.incidents import put_incident, store_rule_file

    rules = [(path, _read_rules(path)) for path in map(Path, files)]
    # stored before the incident is changed, so that a file name that is refused leaves the incident as it was
    yara = [store_rule_file(home.path, path, text) for path, text in rules]
    made = put_incident(
        home.path, name, clients=clients, sources=sources, words=words, expressions=expressions, yara=yara
    )
    for source in sources:
        if not (home.sources_dir / f"{source}.yaml").is_file():
            note(f"note: there is no source {source} yet; add it with: tocsin source add FILE")
    click.echo(f"incident {made.id}: {_counts_text(made)}")


def _read_rules(path: Path) -> str:
    """The text of a file of YARA rules; InputError unless it compiles."""
    from crawler.pages.incident_rules import compile_yara
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
    """List all incidents."""
    from rich.markup import escape
    from rich.table import Table

    from data.case.incidents import read_incidents

    found = [_to_json(home, each) for each in read_incidents(home.path)]
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
@click.option("--all", "every", is_flag=True, help="Also list the clients whose data was not sighted.")
@json_option
@pass_home
def show(home: Home, name: str, every: bool, as_json: bool) -> None:
    """Show one incident: what belongs to it, and how much of each client's data has been published.

    Some of a client's tagged canaries were sighted in posts. If the tagged canaries are a random draw of the client's
    records, the published share of its data lies between the bounds shown, with 95 % confidence.
    """
    from scheduler.reports.incident_report import incident_report

    found = incident_report(home, name)
    if as_json:
        emit_json(found)
    else:
        _show(found, every=every)


def _show(found: dict[str, Any], *, every: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    click.echo(f"Incident {found['id']}: {found['name']}")
    for field, value in found.items():
        # tuples are the fields of the incident itself; lists are what the report gathered about it
        if isinstance(value, tuple) and value and field != "clients":
            click.echo(f"  {field:<11} {', '.join(value)}")
    for each in found["baselines"]:
        state = "" if each["retired"] is None else f", retired {each['retired'][:10]}"
        click.echo(
            f"  {'baseline':<11} {each['id']}: {counted(each['people'], 'person', 'people')},"
            f" since {each['created'][:10]}{state}"
        )
    if found["events"]:
        counts = ", ".join(f"{each['number']:,} {each['kind']}" for each in found["events"])
        click.echo(f"  {'events':<11} {counts}")
    radii = found["blast_radius"]
    if not radii:
        note("no client belongs to this incident yet; add one with: tocsin incident add NAME --client ID")
        return
    shown = [each for each in radii if every or each["first"] is not None]
    untagged = [each["client"] for each in radii if not each["tagged"]]
    sighted = sum(each["first"] is not None for each in radii)
    click.echo(f"\nData of {sighted:,} of {len(radii):,} clients was sighted.")
    if shown:
        percent = f"{found['confidence']:.0%}".replace("%", " %")
        table = Table("client", "tagged", "sighted", f"share published ({percent})", "first seen", "last seen")
        for column in table.columns[1:4]:
            column.justify = "right"
        for each in shown:
            name = each["name"] if each["name"] == each["client"] else f"{each['name']} ({each['client']})"
            table.add_row(
                escape(name),
                f"{each['tagged']:,}" if each["tagged"] else "none",
                f"{each['sighted']:,}"
                + (f" (+{each['sighted_retired']:,} retired)" if each["sighted_retired"] else ""),
                _share_text(each["share"]),
                escape(_place_text(each["first"])),
                escape(_place_text(each["last"])),
            )
        console().print(table)
        click.echo(f"The bounds of the share hold only if {found['assumption']}.")
    if len(shown) < len(radii):
        click.echo(f"No data of the other {len(radii) - len(shown):,} clients was sighted; list them with --all.")
    if untagged:
        others = f" and {len(untagged) - 5:,} others" if untagged[5:] else ""
        click.echo(
            f"Without canaries: {', '.join(untagged[:5])}{others}."
            " Tocsin cannot recognise their data; enrol canaries with: tocsin canary"
        )


def _share_text(bounds: tuple[float, float] | None) -> str:
    if bounds is None:
        return "not known"
    low, high = (math.floor(bounds[0] * 1000) / 10, math.ceil(bounds[1] * 1000) / 10)
    return f"{low:g} % to {high:g} %"


def _place_text(place: dict[str, str] | None) -> str:
    from crawler.alerts.plain_text import defang

    if place is None:
        return "-"
    return f"{place['at'][:16].replace('T', ' ')} {place['source']}\n{defang(place['address'])}".rstrip()


def _counts_text(made: Incident) -> str:
    rules = len(made.expressions) + len(made.yara)
    text = ", ".join(
        counted(len(found), noun)
        for found, noun in ((made.clients, "client"), (made.sources, "source"), (made.words, "word"))
    )
    return text + (f", {rules} rules" if rules else "")


def _to_json(home: Home, each: Incident) -> dict[str, Any]:
    from data.releases.folder import read_manifests

    releases = [item["id"] for item in read_manifests(home.releases_dir) if item.get("incident") == each.id]
    return {**asdict(each), "releases": releases}
