"""`tocsin evidence`: handles sealed evidence; only the holder of the private key can open it, on another machine."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data.plural import counted
from data.printable import printable
from scheduler.cli.common import InputPath, console, emit_json, json_option, note, pass_home, write_new_file

if TYPE_CHECKING:
    from data.settings.home import Home


@click.group()
def evidence() -> None:
    """List, verify, export, open and expire sealed evidence."""


@evidence.command("list")
@json_option
@pass_home
def list_(home: Home, as_json: bool) -> None:
    """List all evidence, oldest first."""
    from rich.table import Table

    from data.case.evidence import entries

    found = entries(home.evidence_dir)
    if as_json:
        emit_json({"evidence": [asdict(entry) for entry in found]})
        return
    if not found:
        note("no evidence yet: it is sealed when a canary is hit, or an alert asks people to look at a post")
        return
    table = Table("id", "stored", "bytes", "state")
    for entry in found:
        state = "sealed" if entry.expired is None else f"expired {entry.expired:%Y-%m-%d}"
        table.add_row(entry.id, f"{entry.at:%Y-%m-%d %H:%M}", f"{entry.bytes:,}", state)
    console().print(table)


@evidence.command()
@click.option(
    "--head", "noted", metavar="HEAD", help="Also check that the record still holds this head, copied from an alert."
)
@json_option
@pass_home
def verify(home: Home, noted: str | None, as_json: bool) -> int:
    """Check the evidence, the audit chain, and that both agree with the database. Exit status 2 if anything is wrong.

    Every alert ends with the head of the record. An alert that left this machine is therefore proof of what the record
    held then: with --head, entries that were removed or rewritten since are found, whoever did it.
    """
    from data.hashing.chain_keys import ChainHead
    from scheduler.reports.record_check import check_record

    report = check_record(home, datetime.now(UTC), None if noted is None else ChainHead.parse(noted))
    if as_json:
        emit_json(report.to_json())
    else:
        for problem in report.problems:
            click.echo(f"wrong: {problem}")
        for remark in report.notes:
            click.echo(f"note: {remark}")
        if report.stamps:
            last = report.stamps[-1]
            click.echo(
                f"{counted(len(report.stamps), 'time stamp')}; the last one: {last['head']} existed at {last['at']}"
            )
        if noted is not None and report.contains_head:
            click.echo("the record holds this head")
        click.echo(
            f"{counted(report.evidence, 'piece')} of evidence, {counted(len(report.problems), 'problem')}; head {report.head}"
        )
    return 2 if report.problems else 0


@evidence.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the stamp to a file, and the text that it is of to FILE.txt.",
)
@pass_home
def stamp(home: Home, out: Path | None) -> None:
    """Have a time-stamp authority state that the record as it is now existed (RFC 3161).

    The authority is named in `[timestamps]` of tocsin.toml and learns a digest alone. `tocsin evidence verify` verifies all
    stamps without the network; so does `openssl ts -verify -in FILE -data FILE.txt -CAfile CERTIFICATES`.
    """
    import asyncio

    from data.errors import ConfigError
    from data.store.store import Store
    from scheduler.delivery.time_stamps import stamp_head, stamped_text, stamps

    settings = home.settings().timestamps
    if not settings.url:
        raise ConfigError("no time-stamp authority is named", hint="set `url` in [timestamps] of tocsin.toml")
    with contextlib.closing(Store.open(home.db_path)) as store:
        head = asyncio.run(stamp_head(settings, home.path, store, datetime.now(UTC)))
        token = dict(stamps(store))[head]
    if out is not None:
        write_new_file(out, token)
        write_new_file(out.with_name(f"{out.name}.txt"), stamped_text(head))
    click.echo(f"stamped: {head}")


@evidence.command()
@click.argument("finding", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The file to write.")
@pass_home
def export(home: Home, finding: str, out: Path) -> None:
    """Write one piece of evidence to a file; it stays sealed."""
    from data.case.evidence import read

    sealed = read(home.evidence_dir, finding)
    write_new_file(out, sealed)
    click.echo(f"{len(sealed):,} bytes written; to open it with the private key:  age -d -i evidence.key {out}")


@evidence.command("open")
@click.argument("finding", metavar="ID")
@click.option(
    "--key",
    type=InputPath(),
    required=True,
    metavar="FILE",
    help="The team's private key, `evidence.key`. Bring it only to a machine where it may be.",
)
@click.option("--address", is_flag=True, help="Print the address of the post alone, or of each post.")
@click.option("--screenshot", is_flag=True, help="Print the picture of the page alone, a JPEG file.")
@pass_home
def open_(home: Home, finding: str, key: Path, address: bool, screenshot: bool) -> None:
    """Open one piece of evidence with the private key, and print it; nothing is written.

    Of a page that a browser rendered (`render: browser`) it has a picture; print that into a file.
    """
    import base64
    import sys

    import orjson
    import pyrage

    from data.case.evidence import read
    from data.errors import InputError

    sealed = read(home.evidence_dir, finding)
    try:
        lines = [line.strip() for line in key.read_text().splitlines()]
        identity = pyrage.x25519.Identity.from_str(next(line for line in lines if line.startswith("AGE-SECRET-KEY-")))
        proof = orjson.loads(pyrage.decrypt(sealed, [identity]))
    except (OSError, UnicodeDecodeError, StopIteration, ValueError, pyrage.IdentityError, pyrage.DecryptError) as error:
        raise InputError(
            f"{key} does not open this evidence", hint="give the private key that belongs to keys/evidence.pub"
        ) from error
    received = proof.get("received")
    picture = received.get("screenshot", "") if isinstance(received, dict) else ""
    if screenshot:
        if not picture:
            raise InputError(
                "this evidence has no picture", hint="only pages of sources with  render: browser  have one"
            )
        sys.stdout.buffer.write(base64.b64decode(picture))
        return
    if picture:
        received["screenshot"] = f"{len(base64.b64decode(picture))} bytes: print it with --screenshot"
    if address:
        for post in proof.get("posts") or [proof]:
            click.echo(printable(post["url"]))
    else:
        click.echo(orjson.dumps(proof, option=orjson.OPT_INDENT_2).decode())


@evidence.command()
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="Delete the evidence that was stored before this day.",
)
@pass_home
def expire(home: Home, before: datetime) -> None:
    """Delete old evidence; the chain keeps one line for each piece, with the time of its deletion."""
    from data.case.evidence import expire as delete
    from data.store.store import Store
    from scheduler.crawls.keyed_store import chain_keys_here

    keys, now = chain_keys_here(home), datetime.now(UTC)
    gone = delete(home.evidence_dir, before.replace(tzinfo=UTC), now, keys.evidence if keys is not None else None)
    if gone:
        with contextlib.closing(Store.open(home.db_path, chain_keys=keys)) as store:
            store.audit.record("operator", "evidence expired", f"{len(gone)} before {before:%Y-%m-%d}", now)
    click.echo(f"{counted(len(gone), 'piece')} of evidence deleted")
