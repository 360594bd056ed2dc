"""`tocsin scan`: examines local files, folders or standard input in the same way as posts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from scheduler.cli.common import console, emit_json, json_option, note, pass_home, printable

if TYPE_CHECKING:
    from data.model import Finding
    from data.settings.home import Home

NOTHING, MATCHED, FAILED = 0, 1, 2


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
@json_option
@pass_home
def scan(home: Home, paths: tuple[str, ...], record: bool, no_deliver: bool, bounded: bool, as_json: bool) -> int:
    """Examine local files, folders or standard input.

    Exit status: 0 nothing matched, 1 something matched, 2 something failed or could not be examined (2 wins).
    """
    from data.errors import ExamineError, InputError
    from scheduler.local_files.scanning import expand_paths, open_scanner

    inputs: list[dict[str, Any]] = []
    findings: list[Finding] = []
    failed = False
    with open_scanner(home, report=note) as scanner:
        if not scanner.greeting.canaries:
            note("note: the watch-list is empty, so no client's data can be recognised; see: tocsin canary --help")
        for path, finding in scanner.examine_all(expand_paths(paths), sighted=record, bounded=bounded):
            if isinstance(finding, InputError | ExamineError):
                failed = True
                note(f"error: {finding}")
                if finding.hint:
                    note(f"hint: {finding.hint}")
                inputs.append(_not_examined(path, str(finding)))
                continue
            findings.append(finding)
            failed = failed or not finding.complete
            inputs.append(finding.to_json(public=True))
            if not as_json:
                _show(finding)
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


def _show(finding: Finding) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console()
    state = "[green]complete[/]" if finding.complete else "[bold red]NOT completely examined[/]"
    out.print(
        f"[bold]{escape(printable(finding.path))}[/]  {finding.format}, {counted(finding.bytes, 'byte')}, "
        f"{counted(finding.rows, 'row')}, {counted(finding.records, 'record')}, {state}"
    )
    for problem in finding.problems:
        out.print(f"  [yellow]problem[/] {escape(printable(problem))}")
    for member in finding.members[:20]:
        out.print(
            f"  member {escape(printable(member.path))}: {member.format},"
            f" {counted(member.bytes, 'byte')}, {counted(member.rows, 'row')}"
            + ("" if member.complete else ", [red]not complete[/]")
        )
    if len(finding.members) > 20:
        out.print(f"  … and {len(finding.members) - 20} further members (--json lists them)")
    if finding.lineage is not None:
        lineage = finding.lineage
        out.print(
            f"  lineage [bold]{lineage.verdict}[/]: {counted(lineage.records, 'person', 'people')},"
            f" {lineage.known:,} known, "
            f"[bold]{lineage.new:,} new[/] (between {lineage.interval[0]:,} and {lineage.interval[1]:,})"
        )
        for parent in lineage.parents:
            out.print(
                f"    release {escape(parent.release)}: "
                f"{parent.share:.1%} of this sample, {parent.coverage:.1%} of that release"
            )
        for reason in lineage.notes:
            out.print(f"    {escape(printable(reason))}")
    if not finding.hits:
        out.print("  no canary of any client was found")
        return
    table = Table("client", "canaries", "records", "kinds", title="HITS", title_justify="left", title_style="bold red")
    for hit in finding.hits:
        table.add_row(escape(hit.client), f"{hit.canaries:,}", f"{hit.records:,}", ", ".join(hit.kinds))
    out.print(table)
