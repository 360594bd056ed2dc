"""`tocsin source`: proposes, adds, edits, replaces, removes, lists, checks, enables and disables sources."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import SourceError
from data.plural import counted
from data.printable import printable
from data.settings.home import Home
from scheduler.cli.common import InputPath, emit_json, json_option, note, pass_home
from scheduler.cli.sources import cookies, hosts, list_import, source_edits
from scheduler.cli.sources.checked_source import checked_json, hint_of, print_table, show_check, unread_files_notes
from scheduler.cli.sources.home_sources import add_source, describe, find_source, span_text

if TYPE_CHECKING:
    from data.sources.definition import Definition
    from scheduler.crawls.source_proposal import Draft

# Public services that are named one by one.
MAX_LINKED = 5


@click.group()
def source() -> None:
    """Propose, add, edit, list, check, enable and disable sources. Every key of a source file: docs/sources.md."""


for _command in (
    hosts.hosts,
    list_import.import_list,
    source_edits.replace,
    source_edits.edit,
    source_edits.remove,
    source_edits.accept,
    cookies.cookies,
    source_edits.enable,
    source_edits.disable,
):
    source.add_command(_command)


@source.command()
@click.argument("file", type=InputPath())
@pass_home
def add(home: Home, file: Path) -> None:
    """Check a source file and copy it into the home folder."""
    from data.sources.source_files import load_source
    from scheduler.crawls.definitions import complete_definition

    found = load_source(file)
    definition = complete_definition(found)
    add_source(home, found, definition)
    for line in describe(definition):
        click.echo(line)
    click.echo(f"\nSee which posts it would read:  tocsin source check {definition.name}")
    click.echo("A running daemon uses it after its next reload (SIGHUP).")


@source.command()
@click.argument("addresses", nargs=-1, metavar="ADDRESS… | --from FILE")
@click.option("--from", "listed", type=InputPath(), metavar="FILE", help="A file with one address a line.")
@click.option("--name", default="", help="Name of the source, if there is one address.")
@click.option("--tor", is_flag=True, help="Look over Tor, and crawl over Tor. Onion addresses always are.")
@click.option("--yes", "-y", is_flag=True, help="Write the files without asking.")
@json_option
@pass_home
def new(
    home: Home, addresses: tuple[str, ...], listed: Path | None, name: str, tor: bool, yes: bool, as_json: bool
) -> int:
    """Look at a page and propose a source file for it: its site software, or the rows that repeat on it.

    The posts that it would read are shown, and the file is written once you say yes. Only the host of the address is
    contacted. Exit status 2 if there is an address for which no file could be proposed.
    """
    from data.errors import InputError
    from scheduler.crawls.source_proposal import draft_source

    wanted = [*addresses, *(_lines(listed) if listed is not None else [])]
    if not wanted:
        raise InputError("name an address, or give --from FILE", hint="tocsin source new https://board.example/forum/2")
    if name and len(wanted) > 1:
        raise InputError("--name is for one address alone")
    results: list[dict[str, Any]] = []
    for url in wanted:
        taken = {path.stem for path in home.sources_dir.glob("*.y*ml")}
        try:
            draft = draft_source(home, url, name=name, tor=tor, taken=taken, report=note)
        except SourceError as error:
            results.append({"address": url, "written": False, "error": str(error), "hint": error.hint})
            if not as_json:
                note(f"error: {printable(str(error))}")
                note(f"hint: {error.hint}")
            continue
        if not as_json:
            _show_draft(draft)
        written = _is_wanted(draft, yes=yes, as_json=as_json)
        if written:
            add_source(home, draft.file, draft.definition)
            if not as_json:
                click.echo(f"written: {home.sources_dir / draft.file.file}")
        results.append(
            {
                "address": url,
                "written": written,
                "name": draft.file.name,
                "platform": draft.file.platform,
                "why": draft.why,
                "file": draft.file.text,
                "notes": [*draft.notes, *unread_files_notes(draft.definition)],
                **checked_json(draft.check),
            }
        )
    if as_json:
        emit_json({"sources": results})
    return 2 if any("error" in each for each in results) else 0


def _lines(file: Path) -> list[str]:
    """The addresses in a file: one a line; blank lines and lines that begin with # are none."""
    lines = (line.strip() for line in file.read_text("utf-8-sig", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _show_draft(draft: Draft) -> None:
    click.echo(f"{draft.definition.name}: {printable(draft.why)}\n")
    click.echo("".join(f"    {printable(line)}\n" for line in draft.file.text.splitlines()))
    show_check(draft.check)
    for each in (*draft.notes, *unread_files_notes(draft.definition)):
        note(f"note: {printable(each)}")


def _is_wanted(draft: Draft, *, yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        note(f"{draft.file.file} was not written; to write it, give --yes")
        return False
    return click.confirm(f"Write {draft.file.file}?")


@source.command("list")
@json_option
@pass_home
def list_(home: Home, as_json: bool) -> None:
    """List the sources. Exit status 2 if a source file cannot be used."""
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition

    good, bad = load_sources(home.sources_dir)
    definitions: list[Definition] = []
    for found in good:
        try:
            definitions.append(complete_definition(found))
        except SourceError as error:
            bad.append(error)
    if as_json:
        emit_json(
            {
                "sources": [_to_json(definition) for definition in definitions],
                "errors": [
                    {"file": error.file, "line": error.line, "field": error.field, "error": str(error)} for error in bad
                ],
            }
        )
    elif definitions:
        print_table(
            ["source", "platform", "every", "via", "state", "listing"],
            [
                [
                    definition.name,
                    definition.platform,
                    span_text(definition.every.total_seconds()),
                    definition.via,
                    "on" if definition.enabled else "off",
                    definition.list.url or definition.url,
                ]
                for definition in definitions
            ],
        )
        for line in _linked_lines(home, definitions):
            note(line)
    elif not bad:
        note("no source is declared yet; add one with:  tocsin source add FILE")
    for wrong in bad:
        note(f"error: {wrong}")
    if bad:
        sys.exit(2)


def _linked_lines(home: Home, definitions: list[Definition]) -> list[str]:
    """Sentences about undeclared hosts to which posts of the sources link."""
    from data.store.store import Store
    from scheduler.reports.linked_lines import linked_lines, linked_summary

    with contextlib.closing(Store.open(home.db_path)) as store:
        found = linked_summary(store.sources.linked_hosts(), definitions)
    return linked_lines(found["services"], found["others"])[: MAX_LINKED + 1]


def _to_json(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "platform": definition.platform,
        "url": definition.list.url or definition.url,
        "via": definition.via,
        "every_seconds": definition.every.total_seconds(),
        "enabled": definition.enabled,
        "version": definition.version,
    }


@source.command()
@click.argument("name")
@pass_home
def renew(home: Home, name: str) -> None:
    """Close the Tor circuits of a source, so that its next request uses new ones.

    Other sources keep their circuits.
    """
    from crawler.tor import control_port
    from data.errors import ConfigError
    from scheduler.crawls.tor_connection import TorConnection

    find_source(home, name)
    tor = TorConnection(home, home.settings().tor)
    if tor.control is None:
        raise ConfigError("Tor's control port is not declared", hint="add  control = …  under [tor] in tocsin.toml")
    closed = control_port.close_circuits(tor.control, tor.password, name)
    click.echo(f"{counted(closed, 'circuit')} of {name} closed")


@source.command()
@click.argument("name")
@json_option
@pass_home
def check(home: Home, name: str, as_json: bool) -> None:
    """Read the listing of a source and two of its posts, and show them; nothing is stored.

    Of the posts a long one is opened, so that its further pages are read too. Exit status 2 if no post could be read, or
    an opened one not.
    """
    from scheduler.crawls.definitions import complete_definition
    from scheduler.crawls.source_check import check_source

    found = find_source(home, name)
    result = check_source(home, name, note)
    if as_json:
        emit_json({"source": name, **checked_json(result)})
    else:
        show_check(result)
        for each in unread_files_notes(complete_definition(found)):
            note(f"note: {each}")
    if not result.posts and not result.is_good:
        note(f"error: no post could be read from {name} (state {result.state})")
        note(f"hint: {hint_of(result.state)}")
    elif not result.is_good:
        bad = next((post.state for post in result.opened if post.state not in ("ok", "absent")), result.state)
        note(f"error: the posts of {name} cannot be read as they should (state {bad})")
        note(f"hint: {hint_of(bad)}")
    if not result.is_good:
        sys.exit(2)


@source.command()
@click.argument("name")
@click.option(
    "--pages", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="At most so many pages."
)
@click.option("--beyond", is_flag=True, help="Read on past known posts, to the last page.")
@click.option("--no-deliver", is_flag=True, help="Do not send the alerts; leave them in the outbox.")
@json_option
@pass_home
def backfill(home: Home, name: str, pages: int, beyond: bool, no_deliver: bool, as_json: bool) -> int:
    """Crawl a source now, back through its older pages to a post that is known: what a gap left unread is read.

    Exit status as of `tocsin crawl`: 2 if no known post was reached.
    """
    from data.sources.definition import with_pages
    from scheduler.cli.client_tables import ClientChoice
    from scheduler.cli.crawl import crawl_and_show
    from scheduler.crawls.definitions import complete_definition

    definition = with_pages(complete_definition(find_source(home, name)), pages, stop="empty" if beyond else None)
    if definition.list.max_pages < pages:
        note(f"the listing of {name} has one page alone: its file names no `list.next`, and its address no {{page}}")
    choice = ClientChoice(every_option="--all-clients")
    return crawl_and_show(home, [definition], deliver=not no_deliver, as_json=as_json, choice=choice)


@source.command()
def schema() -> None:
    """Print the JSON schema of source files, for editors."""
    from data.sources.source_files import json_schema

    emit_json(json_schema())
