"""`tocsin scan`: examines local files, folders or standard input in the same way as posts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted, percent
from data.printable import printable, without_controls
from scheduler.cli.client_tables import ClientChoice, client_table_options, print_clients, write_csv
from scheduler.cli.common import (
    InputPath,
    console,
    emit_json,
    json_option,
    note,
    pass_home,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from data.model import Finding
    from data.settings.home import Home
    from scheduler.local_files.scanning import Scanner, ScanResult

NOTHING, MATCHED, FAILED = 0, 1, 2
# Problems, members and releases of one file that are printed.
MAX_LINES = 20


def _read_part(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """The number of a part and how many there are, from `I/N`."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) <= int(count) and int(count)):
        raise click.BadParameter("give it as I/N, with I from 0 to N: 3/8")
    return int(number), int(count)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH… | -")
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
@click.option(
    "--authentic",
    is_flag=True,
    help="Tell whether each sample is genuine, by column and by rows: real, put together from known values, or invented.",
)
@click.option(
    "--part",
    callback=_read_part,
    metavar="I/N",
    help="Examine only part I of N, on this machine or another; needs --out. Part 0 only finds where files can be cut.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --part or --cluster: the folder of the results.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Let the workers of a Dask cluster examine the files, or N processes of this machine: local:N (extra dask).",
)
@click.option(
    "--fold",
    type=InputPath(),
    help="Print the findings of the parts whose results are in this folder.",
)
@click.option(
    "--chunk-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    metavar="MIB",
    help="With --part or --cluster: cut files that are larger into chunks of about this size, where that changes nothing.",
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
    authentic: bool,
    part: tuple[int, int] | None,
    out: Path | None,
    cluster: str | None,
    fold: Path | None,
    chunk_size: int,
    as_json: bool,
    choice: ClientChoice,
) -> int:
    """Examine local files, folders or standard input.

    Several machines share the work with --part, each with the same home, paths and folder of results; --fold then prints
    what one machine would have printed.

    Exit status: 0 nothing matched, 1 something matched, 2 something failed or could not be examined (2 wins). With --part: 0
    the part is done, whatever matched, 2 a piece of it failed.
    """
    from crawler.pages.given_passwords import find_passwords
    from data.errors import ExamineError, InputError
    from data.watchlist.manifest import client_names
    from scheduler.local_files.scanning import expand_paths, open_scanner, shown_name

    _check_options(paths, part, out, fold, cluster, record=record)
    if fold is not None and (bounded or explain or post):
        raise click.UsageError("--bounded, --explain and --post go with --part: the folder tells how it was examined.")
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
        if part is not None and out is not None:
            options = {"exact": not bounded, "explain": explain}
            return _examine_part(
                home, scanner, paths, part, out, chunk_size * 2**20, options, passwords, as_json=as_json
            )
        if cluster is not None:
            options = {"exact": not bounded, "explain": explain}
            results = _examine_on_cluster(home, scanner, paths, cluster, out, chunk_size * 2**20, options, passwords)
        elif fold is not None:
            from scheduler.local_files.scan_plan import planned
            from scheduler.local_files.shared_work import SharedScan

            results = SharedScan(scanner, planned(fold), fold, note).fold()
        else:
            results = scanner.examine_all(expand_paths(paths), sighted=record, bounded=bounded, explain=explain)
        for path, finding in results:
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
                if authentic:
                    _show_authentic(finding)
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


def _check_options(
    paths: Sequence[str],
    part: tuple[int, int] | None,
    out: Path | None,
    fold: Path | None,
    cluster: str | None,
    *,
    record: bool,
) -> None:
    """Raise a usage error if options do not go together."""
    if fold is None and not paths:
        raise click.UsageError("Missing argument 'PATH… | -'.")
    if fold is not None and (paths or part is not None):
        raise click.UsageError("--fold takes neither paths nor --part: the folder tells what was examined.")
    if cluster is not None and (part is not None or fold is not None):
        raise click.UsageError("--cluster goes neither with --part nor with --fold.")
    if (part is None) != (out is None) and cluster is None:
        raise click.UsageError("--part and --out go together.")
    if out is not None and any(out.resolve().is_relative_to(Path(path).resolve()) for path in paths if path != "-"):
        raise click.UsageError("--out lies in a folder that is examined: results would be examined as files.")
    if record and (part is not None or fold is not None or cluster is not None):
        raise click.UsageError("--record stores what one machine examined; not with --part, --fold or --cluster.")


def _examine_on_cluster(
    home: Home,
    scanner: Scanner,
    paths: tuple[str, ...],
    address: str,
    out: Path | None,
    chunk_bytes: int,
    options: Mapping[str, Any],
    passwords: Sequence[str],
) -> Iterator[ScanResult]:
    """The findings of files that the workers of a cluster examine."""
    import contextlib
    import tempfile

    from data.errors import InputError
    from scheduler.local_files.cluster_scan import connected, examine_on_cluster
    from scheduler.local_files.scan_plan import Plan
    from scheduler.local_files.shared_work import SharedScan

    plan = Plan.of(home, paths, chunk_bytes, options, passwords)
    with contextlib.ExitStack() as opened:
        if out is None:
            out = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-scan-")))
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out}: {error.strerror}", hint="check the path") from error
        work = SharedScan(scanner, plan, out, note)
        with connected(address) as client:
            examine_on_cluster(client, home, work, plan, note)
        yield from work.fold()


def _examine_part(
    home: Home,
    scanner: Scanner,
    paths: tuple[str, ...],
    part: tuple[int, int],
    out: Path,
    chunk_bytes: int,
    options: Mapping[str, Any],
    passwords: Sequence[str],
    *,
    as_json: bool,
) -> int:
    """Examine one part of several; returns the exit status."""
    from data.errors import InputError
    from scheduler.local_files.scan_plan import Plan, record_part
    from scheduler.local_files.shared_work import SharedScan

    number, count = part
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}", hint="check the path") from error
    plan = Plan.of(home, paths, chunk_bytes, options, passwords)
    work = SharedScan(scanner, plan, out, note)
    work.examine_part(number, count)
    if number:
        # also if a piece failed: the fold tells which file was not examined, and prints the others
        record_part(out, plan, number, count)
    if as_json:
        counts = {"examined": work.examined, "found": work.found, "failed": work.failed}
        emit_json({"part": number, "of": count, **counts})
    else:
        examined = f"{counted(work.examined, 'piece')} examined, {work.found:,} were there already"
        note(f"part {number} of {count}: {examined}" + (f", {work.failed:,} FAILED" if work.failed else ""))
    return FAILED if work.failed else NOTHING


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


def _show_authentic(finding: Finding) -> None:
    """Print whether a sample is genuine: the answer, its reasons, and a table by column."""
    from crawler.alerts.phrases.catalogue import phrases_in

    out, phrases = console(), phrases_in("en")
    found = finding.lineage.authentic if finding.lineage is not None else None
    if found is None:
        out.print(
            "  genuine: not judged: fewer than five rows gave a record key, or no release is registered and no canary hit"
        )
        return
    low, high = found.known_share
    how = f"{counted(found.rows, 'row')} judged, weight of evidence {found.weight:+.1f}"
    if found.answer == "open":
        out.print(f"  genuine: [bold]not decided[/] ({how})")
    else:
        out.print(f"  genuine: [bold]{phrases('genuine.' + found.answer)}[/] ({found.likelihood}; {how})")
    out.print(
        f"    {found.known:,} of known people ({low:.0%} to {high:.0%} of all), {found.recombined:,} recombined, "
        f"{found.invented:,} invented, {found.rows - found.known - found.recombined - found.invented:,} open"
    )
    compared = [column for column in found.columns if column.rows]
    if not compared:
        out.print("    no column could be compared: no registered release holds a value of these rows")
    for column in compared:
        out.print(
            f"    {phrases('column.' + column.column)}: [bold]{column.answer}[/] ({counted(column.rows, 'row')}: {column.agree:,} of the "
            f"person, {column.of_others:,} of somebody else, {column.of_nobody:,} in no release)"
        )
    for reason in found.reasons:
        out.print(f"    {reason}")


def _show(finding: Finding, *, clients: int) -> None:
    from rich.markup import escape

    from crawler.alerts.headlines import best_estimate
    from data.model import NO_RELEASES

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
                f"{percent(parent.share)} of this sample, {percent(parent.coverage)} of that release"
            )
        if lineage.origin is not None and lineage.origin.answer != "ours" and NO_RELEASES not in lineage.notes:
            answer = "not decided" if lineage.origin.answer == "open" else lineage.origin.answer
            out.print(
                f"    whose breach it is: {answer} ({lineage.origin.likelihood:.0%} likely that of the"
                " registered releases)"
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
