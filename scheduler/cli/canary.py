"""`tocsin canary`: create, enrol, import, list, plan and retire canaries."""

from __future__ import annotations

import csv
import gc
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.plural import counted
from scheduler.cli.client_tables import ClientChoice, client_table_options
from scheduler.cli.common import InputPath, emit_json, json_option, note, pass_home, progress

if TYPE_CHECKING:
    from data.case.bundle import BundleHeader
    from data.hashing.case_keys import EnrolKeys, Keys
    from data.settings.home import Home
    from data.watchlist.manifest import Manifest

# Lines that are printed about single bundles.
MAX_LINES = 20


@click.group()
def canary() -> None:
    """Create, enrol, import and plan the canaries of clients."""


def _check_client(client: str) -> str:
    import re

    from data.errors import InputError

    if not re.fullmatch(r"[\w.-]{1,64}", client):
        raise InputError(
            f"'{client}' is not a valid client id",
            hint="use letters, digits, dots, dashes and underscores; give the name with --name",
        )
    return client


def _read_key(path: Path) -> EnrolKeys:
    from data.errors import KeyFileError
    from data.hashing.case_keys import parse_enrol_key

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(
            f"the enrolment key {path} cannot be read", hint="ask the monitoring team for enrol.key"
        ) from error
    return parse_enrol_key(text)


@canary.command()
@click.argument("tables", nargs=-1, required=True, type=InputPath(), metavar="TABLE…")
@click.option("--key", type=InputPath(), required=True, help="The case's enrolment key file.")
@click.option("--client", default="", metavar="ID", help="Opaque id of the client of all rows.")
@click.option("--name", default="", help="Display name of the client, shown in alerts.")
@click.option(
    "--client-column", default="", metavar="COLUMN", help="For a vendor: the column that holds each row's client id."
)
@click.option(
    "--names",
    type=InputPath(),
    help="With --client-column: a table of client ids and their display names.",
)
@click.option("--split", is_flag=True, help="With --client-column: write a folder with one bundle for each client.")
@click.option(
    "--columns", default="", metavar="a=surname,b=dob,…", help="What the columns hold, if Tocsin cannot detect it."
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The bundle, or with --split the folder, to write."
)
def enrol(
    tables: tuple[Path, ...],
    key: Path,
    client: str,
    name: str,
    client_column: str,
    names: Path | None,
    split: bool,
    columns: str,
    out: Path,
) -> None:
    """Hash tables of real identifiers into a bundle of tags. To be run at the client, or at its vendor.

    Needs no home folder, only the enrolment key. The bundle holds no plaintext. A table may be CSV, a workbook, a
    database or an SQL dump; it is read inside the sandbox.
    """
    from data.errors import BundleError, InputError
    from scheduler.canaries.vendor_enrolment import enrol_tables, read_names

    keys = _read_key(key)
    if bool(client) == bool(client_column):
        raise InputError(
            "name either the client of all rows or the column that holds it",
            hint="give --client ID or --client-column COLUMN",
        )
    if client:
        _check_client(client)
    if (names or split) and not client_column:
        raise InputError("--names and --split need --client-column", hint="give the name of one client with --name")
    if out.exists():
        # before hours of reading, not after
        raise BundleError(f"{out} exists and is not overwritten", hint="name another place with --out")
    display = read_names(names) if names else {client: name} if client else None
    if client and len(tables) == 1 and _is_text(tables[0]):
        _enrol_text(tables[0], keys, client, name, columns, out)
        return
    from crawler.sandbox.sandbox import Sandbox

    began = time.monotonic()
    total = sum(path.stat().st_size for path in tables if path.is_file())
    with Sandbox() as sandbox, progress("reading", total) as done:
        # millions of rows without references: the search for reference cycles would take a tenth of the time
        gc.disable()
        try:
            made = enrol_tables(
                sandbox, tables, keys, out, client_column=client_column, client=client, columns=columns,
                names=display, split=split, report=note, done=done,
            )  # fmt: skip
        finally:
            gc.enable()
    for table, row, why in made.examples:
        note(f"  {table}, row {row} left out: {why}")
    if made.without_client:
        note(f"{made.without_client:,} of {made.rows:,} rows name no client and were left out")
    if made.unnamed:
        note(f"without a name in {names}: {counted(made.unnamed, 'client')}")
    took = time.monotonic() - began
    click.echo(
        f"{out}: {counted(made.canaries, 'canary', 'canaries')} of {counted(len(made.clients), 'client')}, "
        f"{counted(made.tags, 'tag')} of case {keys.case}; {made.refused:,} of {made.rows:,} rows refused; "
        f"{made.rows / max(took, 1e-9):,.0f} rows/s"
    )


def _is_text(table: Path) -> bool:
    """Whether a file can be read as a text table, or cannot be read at all, which the reader of text tables reports."""
    try:
        with table.open("rb") as stream:
            head = stream.read(64 * 1024)
    except OSError:
        return True
    # UTF-16 has null bytes, like formats that are no text, but begins with a byte order mark
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    return b"\0" not in head and not head.lstrip().upper().startswith((b"--", b"/*", b"INSERT", b"CREATE", b"SET "))


def _enrol_text(table: Path, keys: EnrolKeys, client: str, name: str, columns: str, out: Path) -> None:
    from data.case.bundle import write_bundle
    from data.errors import InputError
    from scheduler.canaries.client_table import choose_columns, describe_columns, open_table
    from scheduler.canaries.enrolment import enrol_rows

    began = time.monotonic()
    try:
        stream = table.open("rb")
    except OSError as error:
        raise InputError(f"{table}: {error.strerror}", hint="check the path") from error
    with stream:
        opened = open_table(table, stream)
        plan = choose_columns(opened, columns)
        kind = "with a header" if opened.header else "without a header"
        note(f"{table.name}: {opened.encoding}, separated by {opened.separator!r}, {kind}")
        for line in describe_columns(plan, opened.forms):
            note(f"  {line}")
        # millions of rows without references: the search for reference cycles would take a tenth of the time
        gc.disable()
        try:
            made = enrol_rows(opened.rows, plan, keys)
        finally:
            gc.enable()
    for row, why in made.examples:
        note(f"  row {row} refused: {why}")
    if made.refused > len(made.examples):
        note(f"  … {made.refused:,} rows refused in total")
    if not made.canaries:
        raise InputError(
            f"no row of {table.name} could be tagged", hint="check the columns above, or name them with --columns"
        )
    header = write_bundle(out, keys, made.records, client=client, name=name, canaries=made.canaries)
    took = time.monotonic() - began
    click.echo(
        f"{out}: {counted(header.canaries, 'canary', 'canaries')}, {counted(header.tags, 'tag')}"
        f" of case {header.case}; "
        f"{made.refused:,} of {made.rows:,} rows refused; {made.rows / max(took, 1e-9):,.0f} rows/s"
    )


@canary.command()
@click.option("--client", required=True, metavar="ID", help="Opaque id of the client.")
@click.option("--name", default="", help="Display name of the client, shown in alerts.")
@click.option("--count", type=click.IntRange(1, 1_000_000), required=True, help="How many people.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The table to write, in clear: delete it after planting.",
)
@click.option(
    "--domain",
    default="example.org",
    show_default=True,
    help="Domain of their e-mail addresses; one of your own is best.",
)
@click.option("--seed", type=int, help="The same seed gives the same people.")
@pass_home
def generate(home: Home, client: str, name: str, count: int, out: Path, domain: str, seed: int | None) -> None:
    """Invent plausible people to plant, and put their tags on the watch-list of this home."""
    from crawler.records.column_roles import plan_columns_of_rows
    from data.case.bundle import read_bundle, write_bundle
    from data.case.watchlist_import import import_bundle
    from data.errors import InputError
    from scheduler.canaries.enrolment import enrol_rows
    from scheduler.canaries.invention import INVENTED_COLUMNS, invent_people
    from scheduler.canaries.known_watchlist import after_change, check_watchlist, record_watchlist

    _check_client(client)
    check_watchlist(home, changing=True)
    keys = _read_key(home.enrol_key_path)
    people = invent_people(count, seed=seed, domain=domain)
    rows = [[person[column] for column in INVENTED_COLUMNS] for person in people]
    made = enrol_rows(iter(rows), plan_columns_of_rows(list(INVENTED_COLUMNS), rows[:500]), keys)
    try:
        opened = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(f"{out} exists and is not overwritten", hint="name another file with --out") from error
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}", hint="choose another file with --out") from error
    bundle = home.watchlist_dir / f".{os.getpid()}.bundle"
    try:
        try:
            with open(opened, "w", newline="", encoding="utf-8") as stream:  # noqa: PTH123 - os.open set the mode
                writer = csv.writer(stream)
                writer.writerow(INVENTED_COLUMNS)
                writer.writerows(rows)
        except OSError as error:
            raise InputError(
                f"{out} cannot be written: {error.strerror}", hint="choose another file with --out"
            ) from error
        try:
            write_bundle(bundle, keys, made.records, client=client, name=name, canaries=made.canaries, planted=True)
            header, records = read_bundle(bundle, keys.case, keys.bundle)
        finally:
            bundle.unlink(missing_ok=True)
        import_bundle(home.watchlist_dir, keys.case, header, records)
    except BaseException:
        # who would be planted, but is on no watch-list, would ring nothing
        out.unlink(missing_ok=True)
        raise
    with after_change(f"run: tocsin canary list; the people are in {out}"):
        record_watchlist(home)
    click.echo(f"{out}: {made.canaries} invented people for {client}; their {header.tags} tags are on the watch-list")
    click.echo("Have the client enter them into its own systems, then delete the table: it is the only copy in clear.")


@canary.command("import")
@click.argument("bundles", nargs=-1, required=True, type=InputPath(), metavar="BUNDLE… | FOLDER…")
@click.option(
    "--anew",
    is_flag=True,
    help="Begin a new watch-list in place of one that is lost or damaged: name all bundles, retired ones left out.",
)
@click.option("--no-deliver", is_flag=True, help="Leave alerts about earlier data in the outbox.")
@pass_home
def import_(home: Home, bundles: tuple[Path, ...], anew: bool, no_deliver: bool) -> None:
    """Put the tags of clients on the watch-list, and compare them with what was seen before.

    All bundles are imported, or none: one that is incomplete, altered or of another case is refused. Of a folder all
    *.bundle files are imported.
    """
    from data.hashing.case_keys import parse_match_key
    from data.watchlist.manifest import read_manifest
    from scheduler.canaries.bundle_import import expand_folders, import_files

    keys = parse_match_key(home.match_key_text()).derive()
    paths = expand_folders(bundles)
    total = 2 * sum(path.stat().st_size for path in paths if path.is_file())
    with progress("importing", total) as done:
        imported = import_files(home, keys, paths, anew=anew, done=done)
    for each in imported[:MAX_LINES]:
        click.echo(
            _describe_import(each.path, each.header)
            if each.added
            else f"{each.path}: {each.header.client} was imported before; nothing changed"
        )
    if len(imported) > MAX_LINES:
        click.echo(f"… and {len(imported) - MAX_LINES:,} further bundles")
    if len(imported) > 1:
        added = [each.header for each in imported if each.added]
        click.echo(
            f"{len(added):,} of {counted(len(imported), 'bundle')} added:"
            f" {counted(sum(header.canaries for header in added), 'canary', 'canaries')}"
            f" of {counted(len({header.client for header in added}), 'client')},"
            f" {counted(sum(header.tags for header in added), 'tag')}"
        )
    _tell_shared(read_manifest(home.watchlist_dir))
    click.echo(
        "A running daemon uses them after its next reload (SIGHUP). Import them once more after that: what it"
        " examines until then is compared too."
    )
    if not anew:
        before = {each.header.bundle for each in imported} - {each.header.bundle for each in imported if each.added}
        _match_back(home, keys, paths, before, deliver=not no_deliver)


def _match_back(home: Home, keys: Keys, paths: list[Path], before: set[str], *, deliver: bool) -> None:
    """Compare canaries with earlier samples and releases, and alert what is found.

    Those that were imported `before` are compared too: that import may have been killed before it came to this, and a
    daemon may have examined samples before it was reloaded.
    """
    import asyncio
    import contextlib
    from datetime import UTC, datetime

    from data.errors import StoreError
    from scheduler.canaries.bundle_import import REPEAT
    from scheduler.canaries.known_watchlist import after_change
    from scheduler.canaries.retro_match import active_bundles, describe, match_back, store_matches
    from scheduler.crawls.keyed_store import open_operator_store
    from scheduler.delivery.delivery import DisplayNames, deliver_until_empty

    now, settings = datetime.now(UTC), home.settings()
    with after_change(REPEAT), contextlib.closing(open_operator_store(home)) as store:
        store.seen.expire(now - settings.examine.keep_seen, settings.examine.keep_seen_bytes)
        found = match_back(home, store, keys, active_bundles(home, keys, paths), now, enrolled_before=before)
        if not found.bundles:
            # all of them were retired
            return
        store_matches(home, store, found, now)
        for line in describe(found):
            click.echo(line)
        for event in found.events:
            click.echo(f"  see: tocsin alert show {event.id[:12]}")
        if found.events and deliver:
            done = asyncio.run(deliver_until_empty(settings, store, DisplayNames.of_home(home), deadline=10))
            click.echo(f"{counted(done.sent, 'alert')} delivered, {done.deferred + done.refused:,} not yet")
    if found.unreadable:
        raise StoreError(
            f"{counted(found.unreadable, 'earlier sample')} cannot be opened, and what is in them is not known",
            hint="was the match key replaced, or the database damaged? run: tocsin doctor",
        )


def _tell_shared(manifest: Manifest) -> None:
    """Say how many values of the watch-list recognise nobody."""
    from data.watchlist.segment import MAX_SHARING

    if manifest.shared is None:
        click.echo(
            f"An earlier version did not count the values that more than {MAX_SHARING} entries have and that recognise nobody."
        )
    elif manifest.shared:
        is_one = manifest.shared == 1
        click.echo(
            f"{counted(manifest.shared, 'value or record key', 'values or record keys')} of the watch-list"
            f" {'is' if is_one else 'are'} shared by more than {MAX_SHARING} entries and"
            f" {'recognises' if is_one else 'recognise'} nobody. If the same people were enrolled many times, retire the"
            " older bundles; otherwise these are fillers and numbers of practices."
        )


def _describe_import(path: Path, header: BundleHeader) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in header.kinds.items())
    canaries = counted(header.canaries, "canary", "canaries")
    return f"{path}: {canaries} of {header.client}, {counted(header.tags, 'tag')} ({kinds})"


@canary.command("list")
@client_table_options()
@json_option
@pass_home
def list_(home: Home, as_json: bool, choice: ClientChoice) -> None:
    """List the clients with most canaries first, and how many canaries each has."""
    from dataclasses import asdict

    from data.case.watchlist import clients_of
    from data.hashing.case_keys import parse_match_key
    from data.watchlist.manifest import read_manifest
    from scheduler.canaries.known_watchlist import check_watchlist
    from scheduler.cli.client_tables import print_clients

    counts = check_watchlist(home)
    manifest = read_manifest(home.watchlist_dir, parse_match_key(home.match_key_text()).derive().case)
    bundles = manifest.bundles
    clients = clients_of(bundles)
    if as_json:
        emit_json(
            {
                "clients": [asdict(client) for client in clients],
                "bundles": bundles,
                "tags": counts.tags,
                "shared": manifest.shared,
            }
        )
        return
    click.echo(
        f"{counted(counts.canaries, 'active canary', 'active canaries')} of {counted(counts.clients, 'client')}, "
        f"{counted(counts.tags, 'tag')}; {counted(counts.bundles, 'bundle')}, {counts.retired:,} of them retired"
    )
    _tell_shared(manifest)
    ids: dict[str, list[str]] = {}
    for bundle in bundles:
        ids.setdefault(bundle["client"], []).append(bundle["id"][:8])
    clients.sort(key=lambda client: (-client.active, client.id))
    rows = [(each.id, each.name, each.active, each.retired, ", ".join(ids[each.id])) for each in clients]
    print_clients(choice, ("client", "name", "active canaries", "retired", "bundles"), rows)


@canary.command()
@click.option("--total", type=click.IntRange(1), required=True, help="How many records the attacker holds.")
@click.option(
    "--release", type=click.IntRange(1), required=True, help="How many records the release has that must be detected."
)
@click.option(
    "--tagged",
    type=click.IntRange(0),
    help="How many canaries are tagged; also prints the probability of detection with them.",
)
@click.option(
    "--confidence", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.95, show_default=True
)
@json_option
def plan(total: int, release: int, tagged: int | None, confidence: float, as_json: bool) -> None:
    """Calculate how many canaries are needed so that a random release holds at least one."""
    from data.errors import InputError
    from scheduler.canaries.planning import canaries_needed, detection_probability

    if release > total or (tagged or 0) > total:
        raise InputError("--release or --tagged is larger than --total", hint="give at most --total for each of them")
    if not 0 < confidence < 1:
        # click accepts nan, although it lies in no range
        raise InputError("the confidence must be a number between 0 and 1", hint="for example --confidence 0.95")
    count = canaries_needed(total, release, confidence)
    answer = {"total": total, "release": release, "confidence": confidence, "needed": count, "share": count / total}
    if tagged is not None:
        answer |= {"tagged": tagged, "chance": detection_probability(total, release, tagged)}
    if as_json:
        emit_json(answer)
        return
    click.echo(
        f"{count:,} tagged records of {total:,} detect a random release of {release:,} records"
        f" with {confidence:.1%} probability."
    )
    if tagged is not None:
        click.echo(
            f"{tagged:,} tagged records detect it with {detection_probability(total, release, tagged):.2%} probability."
        )
    if count > total // 1000:
        click.echo("So many people cannot be planted: have the clients enrol real identifiers (tocsin canary enrol).")
    click.echo("An attacker who chooses what to release does not draw at random: spread the canaries over all clients.")


@canary.command()
@click.argument("client")
@click.option("--bundle", default="", help="Only the bundle whose id begins with this text.")
@pass_home
def retire(home: Home, client: str, bundle: str) -> None:
    """Remove a client's canaries from the watch-list."""
    from data.case.watchlist_import import retire_canaries
    from data.errors import InputError
    from data.hashing.case_keys import parse_match_key
    from scheduler.canaries.known_watchlist import after_change, check_watchlist, record_watchlist

    case = parse_match_key(home.match_key_text()).derive().case
    check_watchlist(home, changing=True)
    count = retire_canaries(home.watchlist_dir, case, client, bundle=bundle)
    if not count:
        raise InputError(f"no active canaries of '{client}' were found", hint="see: tocsin canary list")
    with after_change("run: tocsin canary list"):
        record_watchlist(home)
    click.echo(f"retired: {counted(count, 'canary', 'canaries')} of {client}")
