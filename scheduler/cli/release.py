"""`tocsin release`: registers data that is already public, as tags, and compares local files with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, client_table_options
from scheduler.cli.common import console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from data.model import Finding
    from data.settings.home import Home


@click.group()
def release() -> None:
    """Register data that is already public, and compare files with it."""


@release.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH… | -")
@click.option("--name", required=True, metavar="N", help="The team's name for the release.")
@click.option("--incident", default="", metavar="I", help="The incident it belongs to.")
@pass_home
def add(home: Home, paths: tuple[str, ...], name: str, incident: str) -> int:
    """Register a baseline from files and folders; only tags are stored.

    Exit status: 0 everything was examined, 2 something could not be examined; the rest is registered.
    """
    from data.case.incidents import put_incident, slug
    from data.errors import ExamineError, ExaminerDied, InputError
    from data.hashing.tags import keyed_sha256
    from data.releases.folder import read_manifests
    from scheduler.local_files.scanning import expand_paths, open_scanner

    key = slug(name)
    if any(key == each["id"] for each in read_manifests(home.releases_dir)):
        raise InputError(f"there is already a release {key}", hint="choose another --name")
    findings: list[Finding] = []
    failed: list[str] = []
    with open_scanner(home, report=note) as scanner:
        for path in expand_paths(paths):
            try:
                if isinstance(path, InputError):
                    raise path
                finding = scanner.examine(path, release=key)
            except ExaminerDied as error:
                # the records collected from the files before this one are lost
                raise ExaminerDied(
                    f"the examiner ended while it examined {path}; nothing was registered",
                    hint="leave this file out, and report it",
                ) from error
            except (InputError, ExamineError) as error:
                failed.append(str(error))
                continue
            findings.append(finding)
            failed += [] if finding.complete else [f"{path}: not completely examined: {_first_problem(finding)}"]
            if not finding.records:
                note(f"note: {path}: no records were recognised in it")
        for line in failed:
            note(f"error: {line}")
        if not any(finding.records for finding in findings):
            raise InputError(
                "no record was recognised in the files given; nothing was registered",
                hint="see what is recognised in a file:  tocsin scan PATH",
            )
        manifest = scanner.finish_release(
            key,
            {
                "name": name,
                "incident": put_incident(home.path, incident).id if incident else "",
                "kind": "baseline",
                "created": datetime.now(UTC).isoformat(),
                "files": len(findings),
                "bytes": sum(finding.bytes for finding in findings),
                "rows": sum(finding.rows for finding in findings),
                "complete": not failed,
                "digests": sorted(keyed_sha256(scanner.greeting.post_key, finding.sha256) for finding in findings),
            },
        )
    _store_fingerprints(home, key, findings)
    _tell_changed_verdicts(home, key)
    click.echo(
        f"release {manifest['id']}: {counted(manifest['people'], 'person', 'people')}"
        f" in {counted(manifest['records'], 'record')} "
        f"of {counted(manifest['rows'], 'row')}, {counted(manifest['files'], 'file')}"
    )
    if failed:
        note(f"{len(failed)} inputs could not be examined completely; the release lacks the rest of their data")
    return 2 if failed else 0


def _tell_changed_verdicts(home: Home, key: str) -> None:
    """Tell, where earlier leaks were told, that the release holds their people."""
    import asyncio
    import contextlib
    from datetime import UTC, datetime

    from data.releases.known_releases import KnownReleases
    from scheduler.crawls.keyed_store import open_operator_store
    from scheduler.delivery.delivery import DisplayNames, deliver_until_empty
    from scheduler.delivery.routing import route_by
    from scheduler.local_files.changed_verdicts import changed_verdicts

    now, settings = datetime.now(UTC), home.settings()
    with contextlib.closing(open_operator_store(home)) as store:
        events = changed_verdicts(KnownReleases.open(home.releases_dir), key, store, now)
        if not events:
            return
        store.events.add(events, route_by(settings), now)
        asyncio.run(deliver_until_empty(settings, store, DisplayNames.of_home(home), deadline=10))
    click.echo(f"holds people of {counted(len(events), 'earlier leak')}; this is told where they were told")


@release.command("list")
@json_option
@pass_home
def list_(home: Home, as_json: bool) -> None:
    """List all releases, including retired ones."""
    from rich.markup import escape
    from rich.table import Table

    from data.releases.folder import read_manifests

    found = read_manifests(home.releases_dir)
    if as_json:
        emit_json({"releases": found})
        return
    if not found:
        note("no release yet; register data that is already public with: tocsin release add --name N PATH")
        return
    table = Table("id", "name", "incident", "kind", "created", "people", "records", "state")
    for each in found:
        table.add_row(
            each["id"],
            escape(str(each.get("name", ""))),
            escape(str(each.get("incident", "")) or "-"),
            str(each.get("kind", "")),
            str(each.get("created", ""))[:10],
            f"{each['people']:,}",
            f"{each['records']:,}",
            "active" if each["retired"] is None else f"retired {each['retired'][:10]}",
        )
    console().print(table)


@release.command()
@click.argument("name")
@json_option
@pass_home
def show(home: Home, name: str, as_json: bool) -> None:
    """Show what is stored about one release."""
    found = _find(home, name)
    size = sum(file.stat().st_size for file in (home.releases_dir / found["id"]).rglob("*.tags"))
    if as_json:
        emit_json({**found, "bytes_on_disk": size})
        return
    click.echo(f"release {found['id']}: {found.get('name', '')}")
    for field in ("incident", "kind", "created", "retired", "rows", "records", "people", "files", "complete"):
        value = found.get(field)
        click.echo(f"  {field:9} {f'{value:,}' if type(value) is int else value if value not in (None, '') else '-'}")
    for title, part in (("keys", "sets"), ("values", "values")):
        click.echo(f"  {title:9} {', '.join(f'{kind} {count:,}' for kind, count in found[part].items()) or '-'}")
    click.echo(f"  on disk   {size:,} bytes ({size / found['records']:.1f} per record)")


@release.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH… | -")
@client_table_options()
@json_option
@click.pass_context
def compare(ctx: click.Context, paths: tuple[str, ...], as_json: bool, choice: ClientChoice) -> Any:
    """Compare files with all releases; nothing is stored. Output and exit status are those of `scan`."""
    from scheduler.cli.scan import scan

    table = {"every_client": choice.every, "top": choice.top, "only": choice.clients, "csv_file": choice.csv_file}
    return ctx.invoke(scan, paths=paths, record=False, no_deliver=True, as_json=as_json, **table)


@release.command()
@click.argument("name")
@pass_home
def retire(home: Home, name: str) -> None:
    """Stop comparing with a release: its tags are deleted, its manifest is kept.

    A release whose files are lost is no longer expected.
    """
    from data.releases.folder import retire_release
    from scheduler.crawls.known_releases import give_up_lost_release

    if give_up_lost_release(home, name):
        click.echo(f"release {name} is lost: nothing is compared with it, and it is no longer expected")
        return
    found = retire_release(home.releases_dir, _find(home, name)["id"], datetime.now(UTC))
    _store_fingerprints(home, found["id"], [])
    click.echo(f"release {found['id']} is retired, its tags are deleted")
    note("a running daemon still compares with it until it reads its home folder again:  kill -HUP PID")


def _store_fingerprints(home: Home, release: str, findings: list[Finding]) -> None:
    """Store that a release exists, and the fingerprints by which its files are recognised; without findings delete those."""
    import contextlib

    from data.hashing.file_fingerprints import decode_fingerprints
    from data.store.store import Store

    with contextlib.closing(Store.open(home.db_path)) as store:
        parts = [decode_fingerprints(finding.prints, 2) for finding in findings if finding.prints]
        store.expected_releases.add([release])
        store.file_fingerprints.replace_release(release, parts, datetime.now(UTC))


def _find(home: Home, name: str) -> dict[str, Any]:
    from data.errors import InputError
    from data.releases.folder import read_manifests

    for each in read_manifests(home.releases_dir):
        if name in (each["id"], each.get("name")):
            return each
    raise InputError(f"there is no release {name}", hint="see: tocsin release list")


def _first_problem(finding: Finding) -> str:
    """The first problem of a sample or of one of its members, or how to find it."""
    for each in (finding, *finding.members):
        if each.problems:
            return each.problems[0]
    return "see: tocsin scan PATH"
