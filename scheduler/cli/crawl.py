"""`tocsin crawl`: crawls the named sources once, now, in the foreground."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from data.printable import printable
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import console, emit_json, json_option, note, pass_home
from scheduler.reports.linked_lines import linked_files_line, linked_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from data.settings.home import Home
    from data.sources.definition import Definition
    from scheduler.crawls.crawl_tally import CrawlResult
    from scheduler.delivery.delivery import DeliveryCounts


# Refused hosts and other sources that are named for each crawl.
_MAX_NAMED = 10
# Not of the whole crawl: these are its canaries in the post that has most of them
_CLIENT_COLUMNS = ("client", "name", "most in one post", "sources")


@click.command()
@click.argument("names", nargs=-1, metavar="NAME… | --all")
@click.option("--all", "everything", is_flag=True, help="Every enabled source.")
@click.option(
    "--pages", type=click.IntRange(1, 10_000), help="Read up to so many pages of each listing, back to a known post."
)
@click.option("--no-deliver", is_flag=True, help="Do not send the alerts; leave them in the outbox.")
@client_table_options(every="--all-clients")
@json_option
@pass_home
def crawl(
    home: Home,
    names: tuple[str, ...],
    everything: bool,
    pages: int | None,
    no_deliver: bool,
    as_json: bool,
    choice: ClientChoice,
) -> int:
    """Crawl sources once, now, in the foreground.

    Exit status: 0 nothing matched, 1 something matched, 2 something failed or could not be examined (2 wins).
    """
    from data.errors import InputError
    from data.sources.definition import with_pages

    if bool(names) == everything:
        raise InputError("name the sources to crawl, or give --all", hint="see: tocsin source list")
    definitions = [found if pages is None else with_pages(found, pages) for found in _definitions(home, names)]
    if not definitions:
        raise InputError("no source is enabled", hint="add one: tocsin source add FILE")
    return crawl_and_show(home, definitions, deliver=not no_deliver, as_json=as_json, choice=choice)


def crawl_and_show(
    home: Home, definitions: Sequence[Definition], *, deliver: bool, as_json: bool, choice: ClientChoice
) -> int:
    """Crawl sources, print the results and send the alerts; returns the exit status of `tocsin crawl`."""
    import asyncio

    from data.watchlist.manifest import client_names

    clients = client_names(home.watchlist_dir)
    results, delivered, waiting = asyncio.run(_crawl(home, definitions, deliver=deliver))
    if as_json:
        emit_json({"crawls": [_to_json(result) for result in results]})
        write_csv(choice, _CLIENT_COLUMNS, _client_rows(results, clients))
    else:
        for result in results:
            _show(result, len(clients))
        print_clients(choice, _CLIENT_COLUMNS, _client_rows(results, clients), title="HITS")
        if delivered.sent:
            note(f"{counted(delivered.sent, 'alert')} delivered")
    if waiting:
        note(
            f"no channel is declared, so nobody was told: {counted(waiting, 'alert')} waiting for one;"
            " add a [channels.NAME] table to tocsin.toml"
        )
    undelivered = delivered.deferred + delivered.refused
    if undelivered:
        note(f"not delivered yet: {counted(undelivered, 'alert')}, kept in the outbox; see: tocsin alert list")
    if undelivered or any(result.failed for result in results):
        return 2
    return 1 if any(result.hits for result in results) else 0


def _definitions(home: Home, names: tuple[str, ...]) -> list[Definition]:
    from data.errors import InputError
    from data.sources.source_files import load_source, load_sources
    from scheduler.crawls.definitions import complete_definition

    if names:
        for name in names:
            if not (home.sources_dir / f"{name}.yaml").is_file():
                raise InputError(f"no source is called '{name}'", hint="see: tocsin source list")
        return [complete_definition(load_source(home.sources_dir / f"{name}.yaml")) for name in dict.fromkeys(names)]
    good, bad = load_sources(home.sources_dir)
    for error in bad:
        note(f"error: {error}")
    if bad:
        raise InputError(
            f"{len(bad)} source files cannot be used, so not all sources can be crawled", hint="correct the files"
        )
    return [definition for source in good if (definition := complete_definition(source)).enabled]


async def _crawl(
    home: Home, definitions: Sequence[Definition], *, deliver: bool
) -> tuple[list[CrawlResult], DeliveryCounts, int]:
    """The results, what became of the alerts, and how many wait because no channel is declared."""
    import contextlib
    from datetime import UTC, datetime

    from crawler.process import startup_memory
    from data.errors import LeaseLost
    from data.logs import set_up
    from scheduler.canaries.known_watchlist import start_examiner
    from scheduler.crawl_processes.host_turns import HostTurns
    from scheduler.crawls.crawl_tally import CrawlResult
    from scheduler.crawls.expired_crawls import report_expired
    from scheduler.crawls.keyed_store import open_store
    from scheduler.crawls.lease_owner import owner_alive, owner_name
    from scheduler.crawls.run_crawl import run_crawl
    from scheduler.crawls.tor_connection import TorConnection
    from scheduler.delivery.delivery import DeliveryCounts, DisplayNames, deliver_until_empty

    settings = home.settings()
    set_up(settings.log.form)
    # all modules are imported by now, and a crawl of one large file may take hours
    startup_memory.release_startup_memory()
    results: list[CrawlResult] = []
    turns = HostTurns(definitions)
    tor = TorConnection(home, settings.tor)
    with (
        contextlib.closing(tor),
        start_examiner(home, report=note, storing=True) as examiner,
        contextlib.closing(open_store(home, examiner)) as store,
    ):
        now = datetime.now(UTC)
        report_expired(home, store, settings, store.crawls.expire_dead_owners(owner_alive, now), now)
        for definition in definitions:
            try:
                results.append(
                    await run_crawl(
                        home,
                        store,
                        definition,
                        examiner,
                        owner=owner_name(),
                        settings=settings,
                        reason="by hand",
                        tor=tor,
                        report=note,
                        standalone=len(definitions) == 1,
                        turns=turns,
                    )
                )
            except LeaseLost as error:
                results.append(CrawlResult(definition.name, "", "failed", error=str(error), hint=error.hint))
        delivered = DeliveryCounts()
        if deliver:
            delivered = await deliver_until_empty(settings, store, DisplayNames.of_home(home))
        return results, delivered, store.outbox.count_without_channel()


def _to_json(result: CrawlResult) -> dict[str, Any]:
    value = asdict(result)
    value["hits"] = dict(result.clients)
    del value["clients"]
    return value


def _client_rows(results: Iterable[CrawlResult], names: Mapping[str, str]) -> list[tuple[str, str, int, str]]:
    """Per client its id, its name, the most canaries in one post and the sources of its hits; most canaries first."""
    most: dict[str, int] = {}
    sources: dict[str, list[str]] = {}
    for result in results:
        for client, canaries in result.clients.items():
            most[client] = max(most.get(client, 0), canaries)
            sources.setdefault(client, []).append(result.source)
    worst = sorted(most, key=lambda client: (-most[client], client))
    return [(client, names.get(client, ""), most[client], ", ".join(sources[client])) for client in worst]


def _show(result: CrawlResult, clients: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console()
    state = "[green]done[/]" if result.state == "done" else "[bold red]FAILED[/]"
    out.print(f"[bold]{escape(result.source)}[/]  {state} in {result.seconds:.1f} s")
    table = Table(box=None, show_header=False, padding=(0, 2))
    rows = (
        ("posts listed", result.listed),
        ("  new", result.new),
        ("  changed", result.changed),
        ("replies in the feed", result.replies),
        ("examined", result.examined),
        ("not examined", result.unexamined),
        ("requests refused", result.refused),
        ("findings / events", f"{result.findings} / {result.events}"),
    )
    for name, value in rows:
        if name == "replies in the feed" and not value:
            continue
        highlight = name in ("not examined", "requests refused") and value
        table.add_row(name, f"[bold yellow]{value}[/]" if highlight else str(value))
    out.print(table)
    if result.never_rows:
        out.print(
            "  [bold yellow]no post[/]: this source never showed one. An empty board is one reason, rules that do not fit"
            f" are another; see: tocsin source check {escape(result.source)}"
        )
    elif result.look:
        for sentence in result.look.values():
            out.print(f"  [bold yellow]page changed[/]: {escape(printable(sentence))}")
        out.print(
            f"  see: tocsin source check {escape(result.source)}; if it is read as it should be: tocsin source accept"
            f" {escape(result.source)}"
        )
    elif result.changed_page:
        out.print("  [bold yellow]page changed[/]: fewer rows than expected of this source; see: tocsin source check")
    if result.gap and result.gap_lost:
        out.print("  [bold yellow]gap[/]: the listing shows no known post and has no further pages; posts were missed")
    elif result.gap:
        out.print(
            "  [bold yellow]gap[/]: the listing was not read back to a known post; posts may have been missed. Read"
            f" them: tocsin source backfill {escape(result.source)}"
        )
    for host, count in _first(result.hosts):
        out.print(
            f"  refused: {counted(count, 'request')} to {escape(printable(host))}, a host that this source does not declare"
        )
    if len(result.hosts) > _MAX_NAMED:
        out.print(f"  … and requests to {len(result.hosts) - _MAX_NAMED:,} further hosts (--json lists them)")
    for source, count in _first(result.handed):
        out.print(f"  {counted(count, 'link')} handed to source {escape(source)}, whose next crawl examines them")
    if len(result.handed) > _MAX_NAMED:
        out.print(f"  … and links handed to {len(result.handed) - _MAX_NAMED:,} further sources (--json lists them)")
    for line in linked_lines(result.linked, result.linked_others)[: _MAX_NAMED + 1]:
        out.print(f"  {escape(line)}")
    if result.linked_files:
        out.print(f"  [bold yellow]not read[/]: {linked_files_line(result.linked_posts, result.linked_files)}")
    if result.clients:
        of = f" of {clients:,}" if clients >= len(result.clients) else ""
        out.print(
            f"  [bold red]HIT[/] data of {len(result.clients):,}{of} clients, {counted(result.canaries, 'canary', 'canaries')}"
            f" in all, with up to {max(result.clients.values()):,} of one client in one post"
        )
    if result.error:
        out.print(f"  [bold red]error[/]: {escape(result.error)}")
    if result.hint:
        out.print(f"  hint: {escape(result.hint)}")


def _first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest counts, at most `_MAX_NAMED`."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_NAMED]
