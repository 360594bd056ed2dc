"""`tocsin incident`: the threats that the team works on, and the clients, sources and baselines of each."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from data.printable import printable
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import InputPath, console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
@click.option("--all-clients", is_flag=True, help="Every client on the watch-list.")
@click.option(
    "--clients-from",
    type=InputPath(allow_dash=True),
    metavar="FILE",
    help="A file with one client id on each line, or a CSV file with the ids in its first column; - for standard input.",
)
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="A source that is watched for this incident; repeatable."
)
@click.option("--word", "words", multiple=True, metavar="WORD", help="A word the attacker uses; repeatable.")
@click.option("--expression", "expressions", multiple=True, metavar="REGEX", help="A regular expression; repeatable.")
@click.option(
    "--yara", "files", multiple=True, metavar="FILE", type=InputPath(), help="A file of YARA rules; repeatable."
)
@pass_home
def add(
    home: Home,
    name: str,
    clients: tuple[str, ...],
    all_clients: bool,
    clients_from: str | None,
    sources: tuple[str, ...],
    words: tuple[str, ...],
    expressions: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Add an incident, or add clients, sources, words and rules to an existing one."""
    from data.case.incidents import put_incident, store_rule_file
    from data.watchlist.manifest import client_names

    known = client_names(home.watchlist_dir)
    listed = [] if clients_from is None else _read_clients(clients_from)
    chosen = (*clients, *listed, *(_every_client(known) if all_clients else ()))
    rules = [(path, _read_rules(path)) for path in files]
    # stored before the incident is changed, so that a file name that is refused leaves the incident as it was
    yara = [store_rule_file(home.path, path, text) for path, text in rules]
    made = put_incident(
        home.path, name, clients=chosen, sources=sources, words=words, expressions=expressions, yara=yara
    )
    for source in sources:
        # `scan` stands for local files
        if source != "scan" and not (home.sources_dir / f"{source}.yaml").is_file():
            note(f"note: there is no source {source} yet; add it with: tocsin source add FILE")
    if without := [client for client in clients if client not in known]:
        note(
            f"note: no canaries yet, so Tocsin cannot recognise their data: {_first_names(without)}; check the ids with:"
            " tocsin canary list"
        )
    if without := [client for client in listed if client not in known]:
        note(
            f"note: {len(without):,} of {counted(len(listed), 'client')} in the file have no canaries yet, so Tocsin cannot"
            f" recognise their data: {_first_names(without)}"
        )
    click.echo(f"incident {made.id}: {_counts_text(made)}")


def _every_client(known: Mapping[str, str]) -> list[str]:
    from data.errors import InputError

    if not known:
        raise InputError(
            "the watch-list has no client yet; nothing was changed",
            hint="import bundles first (tocsin canary import), or name the clients with --client or --clients-from",
        )
    return sorted(known)


def _read_clients(path: str) -> list[str]:
    """The client ids in the first column of a file; a heading, empty lines and lines that begin with # are left out.

    Raises:
        InputError: the file cannot be read or is no text, a line holds no client id, or there is none.
    """
    import csv
    import re

    from data.errors import InputError

    found: dict[str, None] = {}
    shown = "standard input" if path == "-" else path
    try:
        with click.open_file(path, encoding="utf-8-sig") as stream:
            for row in csv.reader(stream):
                client = row[0].strip() if row else ""
                is_heading = not found and client.lower() in {"client", "client_id", "id"}
                if not client or client.startswith("#") or is_heading:
                    continue
                if not re.fullmatch(r"[\w.-]{1,64}", client):
                    raise InputError(
                        f"{shown}: {printable(client[:64])!r} is not a valid client id; nothing was changed",
                        hint="put one id on each line: letters, digits, dots, dashes and underscores, at most 64",
                    )
                found[client] = None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{shown} cannot be read as text in UTF-8; nothing was changed", hint="put one client id on each line"
        ) from error
    except OSError as error:
        raise InputError(
            f"{shown} cannot be read: {error.strerror}; nothing was changed", hint="check the path"
        ) from error
    if not found:
        raise InputError(f"{shown} holds no client id; nothing was changed", hint="put one id on each line")
    return list(found)


def _first_names(clients: Sequence[str]) -> str:
    more = f" and {len(clients) - 5:,} more" if clients[5:] else ""
    return ", ".join(map(printable, clients[:5])) + more


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
@client_table_options()
@json_option
@pass_home
def show(home: Home, name: str, as_json: bool, choice: ClientChoice) -> None:
    """Show one incident: what belongs to it, and how much of each client's data has been published.

    The clients with most sighted canaries come first; --all also lists those whose data was not sighted. Some of a
    client's tagged canaries were sighted in posts. If the tagged canaries are a random draw of the client's records, the
    published share of its data lies between the bounds shown, with 95 % confidence.
    """
    from scheduler.reports.incident_report import CSV_COLUMNS, csv_row, incident_report

    found = incident_report(home, name)
    write_csv(choice, CSV_COLUMNS, [csv_row(each) for each in found["blast_radius"]])
    if as_json:
        emit_json(found)
    else:
        _show(found, replace(choice, csv_file=None))


@incident.command()
@click.argument("name")
@click.option(
    "--at", required=True, metavar="TIME", help="ISO 8601, as 2026-11-30T09:15+01:00; without a zone it is UTC."
)
@click.option("--client", default="", metavar="ID", help="The client that became aware; without it, the team.")
@pass_home
def aware(home: Home, name: str, at: str, client: str) -> None:
    """Enter since when the controller is aware of the breach: the legal terms in reports count from then.

    The entry stands in the audit chain with your name. A later one corrects it; both stay in the chain.
    """
    import contextlib
    import getpass
    from datetime import UTC, datetime

    from data.errors import InputError
    from data.watchlist.manifest import client_names
    from scheduler.crawls.keyed_store import open_operator_store
    from scheduler.reports.clocks import EVERYBODY, enter_aware
    from scheduler.reports.incident_scope import IncidentScope

    scope, now = IncidentScope.of_home(home.path, name), datetime.now(UTC)
    try:
        since = datetime.fromisoformat(at)
    except ValueError as error:
        raise InputError(f"{printable(at)} is not a time", hint="write it as 2026-11-30T09:15+01:00") from error
    since = since.replace(tzinfo=UTC) if since.tzinfo is None else since.astimezone(UTC)
    if since > now:
        raise InputError("this time is still to come", hint="check the date and the time zone")
    if client and client not in {*scope.incident.clients, *client_names(home.watchlist_dir)}:
        raise InputError(f"there is no client {printable(client)}", hint="see: tocsin canary list")
    with contextlib.closing(open_operator_store(home)) as store:
        enter_aware(store, scope, since, getpass.getuser(), now, client or EVERYBODY)
    click.echo(f"{printable(client) or scope.incident.id}: aware since {since:%Y-%m-%d %H:%M} UTC")


def _show(found: dict[str, Any], choice: ClientChoice) -> None:
    click.echo(f"Incident {found['id']}: {printable(found['name'])}")
    for field, value in found.items():
        # tuples are the fields of the incident itself; lists are what the report gathered about it
        if isinstance(value, tuple) and value and field != "clients":
            click.echo(f"  {field:<11} {printable(', '.join(value))}")
    for each in found["baselines"]:
        state = "" if each["retired"] is None else f", retired {each['retired'][:10]}"
        click.echo(
            f"  {'baseline':<11} {each['id']}: {counted(each['people'], 'person', 'people')},"
            f" since {each['created'][:10]}{state}"
        )
    if found["events"]:
        counts = ", ".join(f"{each['number']:,} {each['kind']}" for each in found["events"])
        click.echo(f"  {'events':<11} {counts}")
    if found["outside"]:
        sources = sorted({source for each in found["outside"] for source in each["sources"]})
        note(
            f"not counted: {counted(len(found['outside']), 'client')} of this incident, seen at sources that it does not"
            f" name: {_first_names(sources)}; add one with: tocsin incident add {found['id']} --source NAME"
        )
    radii = found["blast_radius"]
    if not radii:
        note("no client belongs to this incident yet; add one with: tocsin incident add NAME --client ID")
        return
    seen = [each for each in radii if each["first"] is not None]
    untagged = [each["client"] for each in radii if not each["tagged"]]
    sighted, tagged = (sum(each[field] for each in radii) for field in ("sighted", "tagged"))
    click.echo(
        f"\nData of {len(seen):,} of {counted(len(radii), 'client')} was sighted: {sighted:,} of {tagged:,} canaries."
    )
    percent = f"{found['confidence']:.0%}".replace("%", " %")
    retired = any(each["sighted_retired"] for each in radii)
    columns = (
        "client", "name", "tagged", "sighted", *(("retired",) if retired else ()), f"share published ({percent})",
        "first seen", "last seen",
    )  # fmt: skip
    rows: list[tuple[str | int, ...]] = [
        (
            each["client"], "" if each["name"] == each["client"] else each["name"], each["tagged"], each["sighted"],
            *((each["sighted_retired"],) if retired else ()),
            _share_text(each["share"]), _place_text(each["first"]), _place_text(each["last"]),
        )
        for each in (radii if choice.every or choice.clients else seen)
    ]  # fmt: skip
    print_clients(choice, columns, rows)
    if rows:
        click.echo(f"The bounds of the share hold only if {found['assumption']}.")
    if len(seen) < len(radii) and not choice.every:
        click.echo(f"No data of the other {len(radii) - len(seen):,} clients was sighted; list them with --all.")
    if untagged:
        click.echo(
            f"Without canaries: {_first_names(untagged)}."
            " Tocsin cannot recognise their data; enrol canaries with: tocsin canary enrol --help"
        )


def _share_text(bounds: tuple[float, float] | None) -> str:
    if bounds is None:
        return "not known"
    low, high = (math.floor(bounds[0] * 1000) / 10, math.ceil(bounds[1] * 1000) / 10)
    return f"{low:g} % to {high:g} %"


def _place_text(place: dict[str, str] | None) -> str:
    """When and at which source; the address is in `--csv` and `--json`, because a client takes one line."""
    return "-" if place is None else f"{place['at'][:16].replace('T', ' ')} {place['source']}"


def _counts_text(made: Incident) -> str:
    rules = len(made.expressions) + len(made.yara)
    text = ", ".join(
        counted(len(found), noun)
        for found, noun in ((made.clients, "client"), (made.sources, "source"), (made.words, "word"))
    )
    return text + (f", {counted(rules, 'rule')}" if rules else "")


@incident.command()
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["misp", "stix", "csv"]), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The file to write. Default: printed.")
@click.option("--with-clients", is_flag=True, help="Name the clients: such files are made to be shared.")
@pass_home
def export(home: Home, name: str, form: str, out: Path | None, with_clients: bool) -> None:
    """Write what was published in an incident for other programs: a MISP event, a STIX 2.1 bundle, or CSV.

    Holds counts, times, names of sources and masked addresses, and no value that was matched. The same incident has the same
    ids in each export, so that MISP, OpenCTI and TheHive update what they have.
    """
    import contextlib
    from datetime import UTC, datetime

    from data.store.store import Store
    from data.watchlist.manifest import client_names
    from scheduler.cli.common import write_new_file
    from scheduler.reports.exchange import read_export
    from scheduler.reports.incident_scope import IncidentScope

    scope, now = IncidentScope.of_home(home.path, name), datetime.now(UTC)
    names = client_names(home.watchlist_dir) if with_clients else {}
    with contextlib.closing(Store.open(home.db_path)) as store:
        found = read_export(store, scope, case=home.settings().case, names=names, now=now)
    if found.total > len(found.told):
        note(f"only {len(found.told):,} of {counted(found.total, 'event')} are exported")
    content = found.render(form, now)
    if out is None:
        click.echo(content.decode(), nl=False)
        return
    write_new_file(out, content)
    click.echo(f"{out}: {counted(len(found.told), 'event')}")


def _to_json(home: Home, each: Incident) -> dict[str, Any]:
    from data.releases.folder import read_manifests

    releases = [item["id"] for item in read_manifests(home.releases_dir) if item.get("incident") == each.id]
    return {**asdict(each), "releases": releases}
