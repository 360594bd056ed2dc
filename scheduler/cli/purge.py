"""`tocsin purge`: deletes old findings, events and evidence, or everything of a case."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

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
    verb = "would be deleted" if dry_run else "deleted"
    click.echo(f"{findings} findings, {events} events and {len(old)} pieces of evidence {verb}")


def _destroy(home: Home, case: str, *, dry_run: bool) -> None:
    from data.errors import InputError
    from data.hashing.case_keys import parse_match_key

    actual = parse_match_key(home.match_key_text()).derive().case
    if case != actual:
        raise InputError(f"this home holds the case {actual}, not {case}; nothing was deleted", hint="check --home")
    # the key first: without it the rest is meaningless, even if the deletion is interrupted
    paths = [home.match_key_path, home.enrol_key_path, home.watchlist_dir, home.releases_dir, home.evidence_dir]
    paths += [home.path / f"{home.db_path.name}{ending}" for ending in ("", "-wal", "-shm")]
    for path in paths:
        if not path.exists():
            continue
        click.echo(f"{'would delete' if dry_run else 'deleting'} {path}")
        if dry_run:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if not dry_run:
        click.echo(
            "The case is destroyed on this machine. Destroy the backups of its match key as well:"
            " with one of them the tags can be used again."
        )
