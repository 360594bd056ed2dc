"""`tocsin purge`: deletes old findings, events and evidence, or everything of a case."""

from __future__ import annotations

import os
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.plural import counted
from scheduler.cli.common import pass_home

if TYPE_CHECKING:
    from data.settings.home import Home


@click.command()
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d"]), help="Delete findings, events and evidence older than this."
)
@click.option(
    "--case", metavar="CASE", help="Destroy the whole case with this id: keys, tags, releases, store, evidence."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be deleted.")
@pass_home
def purge(home: Home, before: datetime | None, case: str | None, dry_run: bool) -> None:
    """Delete old findings, events and evidence, or destroy a whole case.

    The keyed ids of posts are kept, so that an old post causes no second alert. Undelivered alerts are never deleted.
    """
    from data.errors import InputError

    if (before is None) == (case is None):
        raise InputError("choose what to delete: --before DATE or --case CASE", hint="tocsin purge --help")
    if case is not None:
        _destroy(home, case, dry_run=dry_run)
    elif before is not None:
        _expire(home, before.replace(tzinfo=UTC), dry_run=dry_run)


def _expire(home: Home, before: datetime, *, dry_run: bool) -> None:
    import contextlib

    from data.case import evidence
    from data.store.database import copies_of
    from data.store.store import Store
    from scheduler.crawls.keyed_store import chain_keys_here

    old = [entry for entry in evidence.entries(home.evidence_dir) if entry.at < before and entry.expired is None]
    findings = events = 0
    keys = chain_keys_here(home)
    if not dry_run:
        # the evidence first: a finding may name evidence that has expired, but no evidence may lose its finding
        evidence.expire(home.evidence_dir, before, datetime.now(UTC), keys.evidence if keys is not None else None)
    if home.db_path.exists():
        with contextlib.closing(Store.open(home.db_path, chain_keys=keys)) as store:
            findings, events = store.purge(before, datetime.now(UTC), dry_run=dry_run)
        # what is deleted must not stay in a copy
        for copy in copies_of(home.db_path):
            click.echo(f"{'would delete' if dry_run else 'deleting'} {copy}")
            if not dry_run:
                copy.unlink()
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(
        f"{counted(findings, 'finding')}, {counted(events, 'event')} and {counted(len(old), 'piece')} of evidence {verb}"
    )


def _destroy(home: Home, case: str, *, dry_run: bool) -> None:
    import contextlib

    from data.errors import InputError
    from data.hashing.case_keys import parse_match_key
    from data.store.database import copies_of
    from data.store.store import Store

    actual = parse_match_key(home.match_key_text()).derive().case
    if case != actual:
        raise InputError(f"this home holds the case {actual}, not {case}; nothing was deleted", hint="check --home")
    if not dry_run and home.db_path.exists():
        with contextlib.closing(Store.open(home.db_path)) as store:
            click.echo(f"the record ends with {store.head()}; keep this line as proof of what was destroyed")
    # the key first: without it the rest is meaningless, even if the deletion is interrupted
    paths = [home.match_key_path, home.enrol_key_path, home.watchlist_dir, home.releases_dir, home.evidence_dir]
    paths += [home.path / f"{home.db_path.name}{ending}" for ending in ("", "-wal", "-shm", ".part")]
    paths += copies_of(home.db_path)
    for path in paths:
        if not path.exists():
            continue
        click.echo(f"{'would delete' if dry_run else 'deleting'} {path}")
        if dry_run:
            continue
        # what a link leads to is destroyed, and then the link
        real = path.resolve()
        if real.is_dir():
            shutil.rmtree(real)
        else:
            if path.parent == home.keys_dir:
                overwrite_file(real)
            real.unlink()
        if path.is_symlink():
            path.unlink()
    if not dry_run:
        click.echo(REMAINS)
        if not home.match_key_came_from_its_file:
            click.echo("The match key of this command came from the environment or from systemd: destroy it there.")


# What no program can promise, said where it matters.
REMAINS = """\
The case is destroyed on this machine: its keys were overwritten before they were deleted.
An SSD, a journalling or copying file system, a snapshot or a virtual disk may still hold the old blocks of a key file.
Destroy the backups of its match key and every copy of its enrolment key, those of the clients too: with one of them the
tags can be used again. If the disk was not encrypted,
erase the whole device (blkdiscard --secure, nvme format --ses=1) when it leaves your hands."""


def overwrite_file(path: Path) -> None:
    """Overwrite the content of a file in place, once with random bytes and once with zeros, each on the disk.

    Raises:
        InputError: the file cannot be written; it still holds its content.
    """
    from data.errors import InputError

    try:
        # through a second name (a hard link) the same bytes would stay readable; in place they do not
        with path.open("r+b", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            for content in (secrets.token_bytes(size), bytes(size)):
                stream.seek(0)
                stream.write(content)
                os.fsync(stream.fileno())
    except OSError as error:
        raise InputError(
            f"{path} cannot be overwritten: {error.strerror}; it was not deleted",
            hint="check its owner and permissions",
        ) from error
