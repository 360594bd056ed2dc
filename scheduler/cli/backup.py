"""`tocsin backup` and `tocsin restore`: a home that is in use as one file, and a working home made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.plural import counted
from scheduler.cli.common import InputPath, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from typing import Any

    from data.settings.home import Home
    from scheduler.home_copies.backup import BackupSummary


@click.command()
@click.argument("copy", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--with-keys", is_flag=True, help="Also the private keys. Whoever has them can recognise your clients' data."
)
@json_option
@pass_home
def backup(home: Home, copy: Path, with_keys: bool, as_json: bool) -> None:
    """Write a backup of the home into one file (tar, Zstandard); the daemon may run meanwhile.

    It holds all but the private keys: settings with the addresses of channels, sources, incidents, the watch-list,
    releases, sealed evidence and the database. Keep the file as you keep the home.
    """
    from scheduler.home_copies.backup import write_backup

    summary = write_backup(home, copy, with_keys=with_keys)
    if as_json:
        emit_json(_value(summary, copy))
        return
    click.echo(
        f"{copy}: {counted(summary.files, 'file')}, {counted(copy.stat().st_size, 'byte')}; record: {summary.head}"
    )
    note(
        "the private keys are in this file: keep it as safe as the keys"
        if with_keys
        else "the private keys are not in it: without keys/match.key, nothing can be matched; keep that elsewhere"
    )


@click.command()
@click.argument("file", type=InputPath())
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def restore(file: Path, folder: Path, as_json: bool) -> None:
    """Make a working home of a backup, in a folder that is new or empty.

    Posts that were published since the backup are examined again, and their alerts sent again.
    """
    from data.settings.home import Home
    from scheduler.home_copies.backup import restore_backup

    summary = restore_backup(file, folder)
    if as_json:
        emit_json(_value(summary, file))
        return
    click.echo(f"{folder}: {counted(summary.files, 'file')} of {summary.made:%F %R} UTC; record: {summary.head}")
    if not Home(folder).match_key_is_at_rest:
        note(
            f"put the match key into {folder / 'keys' / 'match.key'} (chmod 600), or give it by the environment or systemd"
        )
    note(f"stop the daemon of the old home before you start one here; then run: tocsin --home {folder} doctor")


def _value(summary: BackupSummary, file: Path) -> dict[str, Any]:
    return {
        "file": str(file),
        "made": summary.made,
        "version": summary.version,
        "keys": summary.keys,
        "files": summary.files,
        "bytes": summary.bytes,
        "head": summary.head,
    }
