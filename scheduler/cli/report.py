"""`tocsin report`: an incident as a page to hand over, for everybody or for one client."""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, write_csv
from scheduler.cli.common import note, pass_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from data.settings.home import Home
    from scheduler.reports.incident_figures import IncidentFigures

NewFile = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("incident")
@click.option("--out", type=NewFile, metavar="FILE", help="The page to write. Default: INCIDENT.html here.")
@click.option("--pdf", type=NewFile, metavar="FILE", help="Also write the page as PDF; needs the extra `pdf`.")
@click.option("--client", default="", metavar="ID", help="Only about this client, without a word of the others.")
@click.option(
    "--each",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="One page for each client whose data was seen, into a new folder.",
)
@click.option(
    "--filed",
    is_flag=True,
    help="This report is handed over: record its figures, so that a later one shows what changed.",
)
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True, help="English or French.")
@pass_home
def report(
    home: Home,
    incident: str,
    out: Path | None,
    pdf: Path | None,
    client: str,
    each: Path | None,
    filed: bool,
    language: str,
) -> None:
    """Write a report about an incident: one HTML file that needs nothing else, and a CSV file with all clients beside it.

    It tells what was published and when, which post is a copy or a further release of which, how much of each client's
    data is out, what is not known, and when nobody looked. It holds no value that was matched. The report about one client
    has the fields of the notification to the authority, filled in where they are known.
    """
    from datetime import UTC, datetime

    from data.errors import InputError
    from scheduler.reports.document.client_page import own_figures, render_client
    from scheduler.reports.document.page import render_incident
    from scheduler.reports.document.writing import check_new, check_pdf, write_page, write_pdf
    from scheduler.reports.incident_figures import read_figures
    from scheduler.reports.incident_report import CSV_COLUMNS, csv_row

    if each is not None and (out or pdf or client):
        raise InputError("--each writes a folder of its own", hint="leave out --out, --pdf and --client")
    if pdf is not None:
        check_pdf()
    now = datetime.now(UTC)
    figures = read_figures(home, incident, now)
    handed: dict[str, Mapping[str, int]] = {}
    if each is not None:
        handed = _write_each(figures, each, language)
        click.echo(f"{counted(len(handed), 'report')}: {each.absolute().as_uri()}")
    else:
        name = figures.shown["id"] + (f"-{_file_name(client)}" if client else "")
        page = out or Path(f"{name}.html")
        table = [] if client else [page.with_suffix(".csv")]
        check_new(page, *table, *([pdf] if pdf is not None else []))
        if client:
            own = own_figures(figures, client)
            handed[client], render = own.to_report(), functools.partial(render_client, figures, own, language)
        else:
            from scheduler.reports.clocks import EVERYBODY

            handed[EVERYBODY] = figures.to_report()
            render = functools.partial(render_incident, figures, language, csv_name=table[0].name)
        write_page(page, render())
        for path in table:
            rows = [csv_row(radius) for radius in figures.shown["blast_radius"]]
            write_csv(ClientChoice(csv_file=path), CSV_COLUMNS, rows)
        if pdf is not None:
            write_pdf(pdf, render(paper=True))
            note(f"{pdf}: the same as PDF")
        click.echo(f"report: {page.absolute().as_uri()}")
    if filed:
        _record(home, incident, handed, now)


def _file_name(client: str) -> str:
    """The id of a client as a part of a file name."""
    return re.sub(r"[^\w.-]", "_", client)[:64]


def _write_each(figures: IncidentFigures, folder: Path, language: str) -> dict[str, Mapping[str, int]]:
    """Write one page for each client whose data was seen into a new folder; returns their figures by client."""
    from data.errors import InputError
    from scheduler.reports.document.client_page import own_figures, render_client
    from scheduler.reports.document.writing import write_page

    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise InputError(f"{folder} cannot be created: {error.strerror}", hint="name a new folder") from error
    handed: dict[str, Mapping[str, int]] = {}
    for radius in figures.seen:
        own = own_figures(figures, radius["client"])
        name = f"{_file_name(own.client)}.html"
        write_page(folder / name, render_client(figures, own, language))
        handed[own.client] = own.to_report()
    return handed


def _record(home: Home, incident: str, handed: Mapping[str, Mapping[str, int]], now: datetime) -> None:
    """Record figures that are handed over in the audit chain, all of them or none."""
    import getpass

    from scheduler.crawls.keyed_store import open_operator_store
    from scheduler.reports.clocks import record_reported
    from scheduler.reports.incident_scope import IncidentScope

    scope = IncidentScope.of_home(home.path, incident)
    with contextlib.closing(open_operator_store(home)) as store, store.together():
        for client, figures in handed.items():
            record_reported(store, scope, figures, getpass.getuser(), now, client)
    note(f"recorded as handed over: {counted(len(handed), 'report')}")
