"""`tocsin source`: adds, replaces, removes, lists, checks, enables and disables sources."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import SourceError, TocsinError
from data.plural import counted
from data.settings.home import Home
from scheduler.cli.common import InputPath, console, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.sources.definition import Definition
    from data.sources.source_files import SourceFile


@click.group()
def source() -> None:
    """Add, list, check, enable and disable sources. Every key of a source file: docs/sources.md."""


@source.command()
@click.argument("file", type=InputPath())
@pass_home
def add(home: Home, file: Path) -> None:
    """Check a source file and copy it into the home folder."""
    from data.durable_files import new_file
    from data.sources.source_files import load_source
    from scheduler.crawls.definitions import complete_definition

    found = load_source(file)
    definition = complete_definition(found)
    target = home.sources_dir / f"{definition.name}.yaml"
    try:
        with new_file(target) as stream:
            stream.write(found.text.encode())
    except FileExistsError as error:
        raise SourceError(
            f"there is already a source '{definition.name}'; nothing was changed",
            file=found.file,
            line=found.line(("name",)),
            field="name",
            hint=f"choose another name, or edit {target}",
        ) from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise SourceError(f"cannot be copied to {target}: {error.strerror}", file=found.file) from error
    try:
        _record(home, "source added", definition)
    except TocsinError:
        # the source is added only if the audit chain records it
        target.unlink(missing_ok=True)
        raise
    for line in _describe(definition):
        click.echo(line)
    click.echo(f"\nSee which posts it would read:  tocsin source check {definition.name}")
    click.echo("A running daemon uses it after its next reload (SIGHUP).")


@source.command()
@click.argument("file", type=InputPath())
@pass_home
def replace(home: Home, file: Path) -> None:
    """Replace the source file of the same name by another one; its posts stay known."""
    from data.sources.source_files import load_source
    from scheduler.crawls.definitions import complete_definition

    found = load_source(file)
    definition = complete_definition(found)
    _find(home, found.name)
    _write(home, found)
    _record(home, "source replaced", definition)
    click.echo("\n".join(_describe(definition, "replaced")))


@source.command()
@click.argument("name")
@pass_home
def remove(home: Home, name: str) -> None:
    """Delete a source file. Its findings, events and posts stay until they are purged."""
    from scheduler.crawls.definitions import complete_definition

    found = _find(home, name)
    _record(home, "source removed", complete_definition(found))
    (home.sources_dir / found.file).unlink()
    click.echo(f"{name} is removed; a running daemon stops crawling it after its next reload (SIGHUP)")


def _describe(definition: Definition, done: str = "added") -> list[str]:
    """What a definition declares, in lines for the operator."""
    from data.sources.definition import source_hosts, start_url

    hosts = sorted({host for host, _ in source_hosts(definition)})
    lines = [
        f"{done} {definition.name}" + ("" if definition.enabled else "  (disabled: enabled: false)"),
        f"  platform   {definition.platform}",
        f"  listing    {start_url(definition, datetime.now(UTC))}",
        f"  every      {_span(definition.every.total_seconds())}, via {definition.via}",
        f"  hosts      {', '.join(hosts)}; no other host is contacted",
    ]
    if definition.item is not None:
        lines.append(f"  posts      read from {definition.item.url}")
    if definition.raw is not None:
        lines.append(f"  bytes      fetched from {definition.raw.url}")
    if not definition.robots.obey:
        lines.append(f"  robots.txt ignored, because: {definition.robots.ignore}")
    if not definition.tls.verify:
        lines.append(f"  certificates not checked, because: {definition.tls.reason}")
    lines += [f"  links      that match {follow.match} are handed to {follow.source}" for follow in definition.follow]
    return lines


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _record(home: Home, action: str, definition: Definition) -> None:
    """Record an operator's change in the audit chain, with the reason if robots.txt is ignored."""
    from scheduler.crawls.keyed_store import open_operator_store

    now = datetime.now(UTC)
    with contextlib.closing(open_operator_store(home)) as store:
        store.sources.put(definition.name, definition.digest(), definition.enabled, now)
        store.audit.record("operator", action, definition.name, now)
        if not definition.robots.obey:
            store.audit.record("operator", "robots.txt ignored", f"{definition.name}: {definition.robots.ignore}", now)
        if not definition.tls.verify:
            store.audit.record(
                "operator", "certificate not checked", f"{definition.name}: {definition.tls.reason}", now
            )


@source.command("list")
@json_option
@pass_home
def list_(home: Home, as_json: bool) -> None:
    """List the sources. Exit status 2 if a source file cannot be used."""
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition

    good, bad = load_sources(home.sources_dir)
    definitions: list[Definition] = []
    for found in good:
        try:
            definitions.append(complete_definition(found))
        except SourceError as error:
            bad.append(error)
    if as_json:
        emit_json(
            {
                "sources": [_to_json(definition) for definition in definitions],
                "errors": [
                    {"file": error.file, "line": error.line, "field": error.field, "error": str(error)} for error in bad
                ],
            }
        )
    elif definitions:
        _print_table(
            ["source", "platform", "every", "via", "state", "listing"],
            [
                [
                    definition.name,
                    definition.platform,
                    _span(definition.every.total_seconds()),
                    definition.via,
                    "on" if definition.enabled else "off",
                    definition.list.url or definition.url,
                ]
                for definition in definitions
            ],
        )
    elif not bad:
        note("no source is declared yet; add one with:  tocsin source add FILE")
    for wrong in bad:
        note(f"error: {wrong}")
    if bad:
        sys.exit(2)


def _to_json(definition: Definition) -> dict[str, Any]:
    return {
        "name": definition.name,
        "platform": definition.platform,
        "url": definition.list.url or definition.url,
        "via": definition.via,
        "every_seconds": definition.every.total_seconds(),
        "enabled": definition.enabled,
        "version": definition.version,
    }


@source.command()
@click.argument("name")
@pass_home
def renew(home: Home, name: str) -> None:
    """Close the Tor circuits of a source, so that its next request uses new ones.

    Other sources keep their circuits.
    """
    from crawler.tor import control_port
    from data.errors import ConfigError
    from scheduler.crawls.tor_connection import TorConnection

    _find(home, name)
    tor = TorConnection(home, home.settings().tor)
    if tor.control is None:
        raise ConfigError("Tor's control port is not declared", hint="add  control = …  under [tor] in tocsin.toml")
    closed = control_port.close_circuits(tor.control, tor.password, name)
    click.echo(f"{counted(closed, 'circuit')} of {name} closed")


@source.command()
@click.argument("name")
@json_option
@pass_home
def check(home: Home, name: str, as_json: bool) -> None:
    """Read the listing of a source and show its posts; nothing is stored. Exit status 2 if no post could be read."""
    from scheduler.crawls.source_check import check_source

    _find(home, name)
    result = check_source(home, name, note)
    if as_json:
        emit_json(
            {
                "source": name,
                "state": result.state,
                "posts": result.posts,
                "problems": list(result.problems),
                "requests": result.requests,
                "refused": result.refused,
                "hosts": dict(result.hosts),
            }
        )
    else:
        if result.posts:
            _print_table(
                ["id", "title", "time", "fields", "address"],
                [
                    [
                        str(post.get("native", "")),
                        str(post.get("title", "")),
                        str(post.get("time", "")),
                        _fields_text(post),
                        str(post.get("raw") or post.get("url", "")),
                    ]
                    for post in result.posts
                ],
            )
        click.echo(
            f"{len(result.posts)} posts, state {result.state}, {result.requests} requests, {result.refused} refused; "
            "nothing was stored"
        )
        for host, count in result.hosts.items():
            note(f"refused: {counted(count, 'request')} to {_printable(host)}, a host that the source does not declare")
        for problem in result.problems:
            note(f"problem: {_printable(problem)}")
    if not result.posts:
        note(f"error: no post could be read from {name} (state {result.state})")
        note(f"hint: {_HINTS.get(result.state, 'see the problems above')}")
        sys.exit(2)


_HINTS = {
    "empty": "the page was read, but `list.each` finds no row in it: compare `list.each` with the page as it is now",
    "blocked": "the site refuses access (log-in, captcha, limit): open it in a browser; lower `rate`",
    "absent": "the site has no page at this address: correct `url`",
}


def _fields_text(post: Mapping[str, Any]) -> str:
    parts = [f"{name} {text}" for name, text in (post.get("fields") or {}).items()]
    if attachments := post.get("attachments"):
        parts.append(f"{len(attachments)} attachments")
    if body := post.get("body"):
        parts.append(f"{len(body)} characters of text")
    return ", ".join(parts)


@source.command()
@click.argument("name")
@pass_home
def enable(home: Home, name: str) -> None:
    """Enable a source: the daemon crawls it."""
    _set_enabled(home, name, enabled=True)


@source.command()
@click.argument("name")
@pass_home
def disable(home: Home, name: str) -> None:
    """Disable a source: the daemon no longer crawls it. Its posts stay known."""
    _set_enabled(home, name, enabled=False)


@source.command()
def schema() -> None:
    """Print the JSON schema of source files, for editors."""
    from data.sources.source_files import json_schema

    emit_json(json_schema())


def _find(home: Home, name: str) -> SourceFile:
    """The source file of this name.

    Raises:
        SourceError: the file cannot be used, or there is no such source; then the error suggests the nearest name.
    """
    from data.sources.selector_rules import did_you_mean
    from data.sources.source_files import load_sources

    good, bad = load_sources(home.sources_dir)
    for found in good:
        if found.name == name:
            return found
    for wrong in bad:
        if Path(wrong.file).stem == name:
            raise wrong
    raise SourceError(
        f"there is no source '{name}'{did_you_mean(name, [found.name for found in good])}", hint="tocsin source list"
    )


def _set_enabled(home: Home, name: str, *, enabled: bool) -> None:
    from data.sources.source_files import set_enabled
    from scheduler.crawls.definitions import complete_definition

    found = _find(home, name)
    changed = set_enabled(found, enabled=enabled)
    definition = complete_definition(changed)
    _write(home, changed)
    _record(home, "source enabled" if enabled else "source disabled", definition)
    click.echo(f"{name} is {'enabled' if enabled else 'disabled'}")


def _write(home: Home, changed: SourceFile) -> None:
    """Replace a source file of the home; after a crash the old or the new one is there."""
    from data.durable_files import replace_file

    try:
        replace_file(home.sources_dir / f"{changed.name}.yaml", [changed.text.encode()])
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", file=changed.file) from error


def _printable(text: str) -> str:
    """Text of a site, without characters that control a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _print_table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(_printable(cell if len(cell) <= 200 else cell[:199] + "…")) for cell in row))
    console().print(table)
