"""`tocsin scan`: examines local files, folders or standard input in the same way as posts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import (
    InputPath,
    console,
    emit_json,
    json_option,
    note,
    pass_home,
    printable,
    without_controls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data.model import Finding
    from data.settings.home import Home

NOTHING, MATCHED, FAILED = 0, 1, 2
# Problems, members and releases of one file that are printed.
MAX_LINES = 20


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH… | -")
@click.option(
    "--record", is_flag=True, help="Store the findings and send alerts about them; without it nothing is stored."
)
@click.option("--no-deliver", is_flag=True, help="With --record: do not send the alerts; leave them in the outbox.")
@click.option(
    "--bounded",
    is_flag=True,
    help="As in a crawl: of a sample with more than examine.exact_rows rows compare only a part with the releases.",
)
@click.option(
    "--post",
    type=InputPath(),
    help="A file with the text of the post that the files came with: passwords that it gives are tried on archives.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Tell for each table what its columns were understood as, and why; no value is printed.",
)
@client_table_options()
@json_option
@pass_home
def scan(
    home: Home,
    paths: tuple[str, ...],
    record: bool,
    no_deliver: bool,
    bounded: bool,
    post: Path | None,
    explain: bool,
    as_json: bool,
    choice: ClientChoice,
) -> int:
    """Examine local files, folders or standard input.

    Exit status: 0 nothing matched, 1 something matched, 2 something failed or could not be examined (2 wins).
    """
    from crawler.pages.given_passwords import find_passwords
    from data.case.watchlist import client_names
    from data.errors import ExamineError, InputError
    from scheduler.local_files.scanning import expand_paths, open_scanner, shown_name

    inputs: list[dict[str, Any]] = []
    findings: list[Finding] = []
    failed = False
    names = client_names(home.watchlist_dir)
    try:
        passwords = find_passwords(post.read_text("utf-8", "replace")) if post else []
    except OSError as error:
        raise InputError(f"{post}: {error.strerror}", hint="check the path") from error
    if post and not passwords:
        note("note: the text of the post gives no password")
    with open_scanner(home, report=note, passwords=passwords) as scanner:
        if not scanner.greeting.canaries:
            note("note: the watch-list is empty, so no client's data can be recognised; see: tocsin canary --help")
        for path, finding in scanner.examine_all(expand_paths(paths), sighted=record, bounded=bounded, explain=explain):
            if isinstance(finding, InputError | ExamineError):
                failed = True
                note(f"error: {finding}")
                if finding.hint:
                    note(f"hint: {finding.hint}")
                inputs.append(_not_examined(shown_name(path), without_controls(str(finding))))
                continue
            findings.append(finding)
            failed = failed or not finding.complete
            inputs.append(finding.to_json(public=True))
            if not as_json:
                _show(finding, clients=len(names))
                _show_tables(finding)
        rows = _client_rows(findings, names)
        if as_json:
            write_csv(choice, _columns(findings), rows)
        else:
            print_clients(choice, _columns(findings), rows, title="HITS")
        if record and findings:
            from scheduler.local_files.recording import record_scan

            failed = record_scan(home, scanner, findings, deliver=not no_deliver, report=note) or failed
    if as_json:
        emit_json({"inputs": inputs})
    if failed:
        return FAILED
    return MATCHED if any(finding.hits for finding in findings) else NOTHING


def _not_examined(path: str, sentence: str) -> dict[str, Any]:
    from data.model import Finding

    finding = Finding(path=path, sha256="", bytes=0, format="unknown", complete=False, problems=(f"input: {sentence}",))
    return finding.to_json(public=True)


def _columns(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Titles of the table of clients; of several files the numbers are those of the file with most of a client."""
    if len(findings) == 1:
        return ("client", "name", "records", "canaries", "kinds")
    return ("client", "name", "records (most in one file)", "canaries (most in one file)", "files", "kinds")


def _client_rows(findings: Sequence[Finding], names: Mapping[str, str]) -> list[tuple[str | int, ...]]:
    """One row for each client, most records first."""
    numbers: dict[str, list[int]] = {}
    kinds: dict[str, dict[str, None]] = {}
    for finding in findings:
        for hit in finding.hits:
            row = numbers.setdefault(hit.client, [0, 0, 0])
            row[:] = max(row[0], hit.records), max(row[1], hit.canaries), row[2] + 1
            kinds.setdefault(hit.client, {}).update(dict.fromkeys(hit.kinds))
    worst = sorted(numbers, key=lambda client: (-numbers[client][0], -numbers[client][1], client))
    shown = 2 if len(findings) == 1 else 3
    return [(client, names.get(client, ""), *numbers[client][:shown], ", ".join(kinds[client])) for client in worst]


def _show_tables(finding: Finding, path: str = "") -> None:
    """Print what the columns of each table were understood as, by their numbers: names of columns are content."""
    from rich.markup import escape

    out = console()
    for number, table in enumerate(finding.tables, 1):
        where = f" of {escape(printable(path))}" if path else ""
        out.print(
            f"  [bold]table {number}[/]{where}: {counted(table.rows, 'row')}, {table.keyed:,} with a record key"
            + ("" if table.keyed else ": nothing could be compared by person")
        )
        for place, column in enumerate(table.columns, 1):
            kind = f"{column.role}, by its {column.by}" if column.role else "ignored"
            fits = "" if column.fits is None else f", {column.fits:.0%} of its cells fit"
            out.print(f"    column {place}: {kind}{fits}{', of somebody else' if column.of_others else ''}")
    for member in finding.members[:MAX_LINES]:
        _show_tables(member, member.path)


def _show(finding: Finding, *, clients: int) -> None:
    from rich.markup import escape

    from crawler.alerts.headlines import best_estimate

    out = console()
    state = "[green]complete[/]" if finding.complete else "[bold red]NOT completely examined[/]"
    out.print(
        f"[bold]{escape(printable(finding.path))}[/]  {finding.format}, {counted(finding.bytes, 'byte')}, "
        f"{counted(finding.rows, 'row')}, {counted(finding.records, 'record')}, {state}"
    )
    for problem in finding.problems[:MAX_LINES]:
        out.print(f"  [yellow]problem[/] {escape(printable(problem))}")
    if len(finding.problems) > MAX_LINES:
        out.print(f"  … and {len(finding.problems) - MAX_LINES:,} further problems (--json lists them)")
    for member in finding.members[:MAX_LINES]:
        out.print(
            f"  member {escape(printable(member.path))}: {member.format},"
            f" {counted(member.bytes, 'byte')}, {counted(member.rows, 'row')}"
            + ("" if member.complete else ", [red]not complete[/]")
        )
    if len(finding.members) > MAX_LINES:
        out.print(f"  … and {len(finding.members) - MAX_LINES:,} further members (--json lists them)")
    if finding.lineage is not None:
        lineage = finding.lineage
        best = best_estimate({"interval": lineage.interval, "new": lineage.new, "mistyped": lineage.mistyped})
        errors = lineage.new - best
        out.print(
            f"  lineage [bold]{lineage.verdict}[/]: {counted(lineage.records, 'person', 'people')},"
            f" [bold]{best:,} new[/] (between {lineage.interval[0]:,} and {lineage.interval[1]:,}), {lineage.known:,} known"
            + (f", {errors:,} probably known with typing errors" if errors else "")
        )
        if len(lineage.parents) > MAX_LINES:
            out.print(f"    {len(lineage.parents):,} releases share people with it, the first {MAX_LINES} are:")
        for parent in lineage.parents[:MAX_LINES]:
            out.print(
                f"    release {escape(parent.release)}: "
                f"{parent.share:.1%} of this sample, {parent.coverage:.1%} of that release"
            )
        if lineage.origin is not None and lineage.origin.answer != "ours":
            out.print(
                f"    whose breach it is: {lineage.origin.answer} ({lineage.origin.likelihood:.0%} likely the registered one)"
            )
        for reason in lineage.notes:
            out.print(f"    {escape(printable(reason))}")
    if not finding.hits:
        out.print("  no canary of any client was found")
        return
    of = f" of {clients:,}" if clients >= len(finding.hits) else ""
    canaries, records = sum(hit.canaries for hit in finding.hits), sum(hit.records for hit in finding.hits)
    out.print(
        f"  [bold red]HITS[/] of {len(finding.hits):,}{of} clients: {counted(canaries, 'canary', 'canaries')}"
        f" in {counted(records, 'record')}"
    )
