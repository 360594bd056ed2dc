"""The source files of a home as the commands about sources find, describe, write and record them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import SourceError, TocsinError

if TYPE_CHECKING:
    from data.settings.home import Home
    from data.sources.definition import Definition
    from data.sources.source_files import SourceFile


def find_source(home: Home, name: str) -> SourceFile:
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


def add_source(home: Home, found: SourceFile, definition: Definition) -> None:
    """Write a new source file into the home, and record that; raises SourceError if there is one of this name."""
    from data.durable_files import new_file
    from data.sources.drafts import FOLDER

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
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise SourceError(
            f"cannot be copied to {target}: {error.strerror}", file=found.file, hint="run: tocsin doctor"
        ) from error
    try:
        record_change(home, "source added", definition)
    except TocsinError:
        # the source is added only if the audit chain records it
        target.unlink(missing_ok=True)
        raise
    # a source takes the place of its draft
    (home.sources_dir / FOLDER / target.name).unlink(missing_ok=True)


def write_source(home: Home, changed: SourceFile) -> None:
    """Replace a source file of the home; after a crash the old or the new one is there."""
    from data.durable_files import replace_file

    try:
        replace_file(home.sources_dir / f"{changed.name}.yaml", [changed.text.encode()])
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror}", file=changed.file) from error


def record_change(home: Home, action: str, definition: Definition) -> None:
    """Record an operator's change in the audit chain, with the reason if robots.txt is ignored."""
    from scheduler.crawls.definitions import put_source
    from scheduler.crawls.keyed_store import open_operator_store

    now = datetime.now(UTC)
    with contextlib.closing(open_operator_store(home)) as store:
        put_source(store, definition, now)
        store.audit.record("operator", action, definition.name, now)
        if not definition.robots.obey:
            store.audit.record("operator", "robots.txt ignored", f"{definition.name}: {definition.robots.ignore}", now)
        if not definition.tls.verify:
            store.audit.record(
                "operator", "certificate not checked", f"{definition.name}: {definition.tls.reason}", now
            )


def describe(definition: Definition, done: str = "added") -> list[str]:
    """What a definition declares, in lines for the operator."""
    from data.sources.definition import source_hosts, start_url

    hosts = sorted({host for host, _ in source_hosts(definition)})
    lines = [
        f"{done} {definition.name}" + ("" if definition.enabled else "  (disabled: enabled: false)"),
        f"  platform   {definition.platform}",
        f"  listing    {start_url(definition, datetime.now(UTC))}",
        f"  every      {span_text(definition.every.total_seconds())}, via {definition.via}",
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


def span_text(seconds: float) -> str:
    """A span as a source file has it: `15m`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
