"""`tocsin source edit`, `replace`, `remove`, `enable` and `disable`: changes of source files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from data.errors import SourceError
from data.settings.home import Home
from scheduler.cli.common import InputPath, note, pass_home
from scheduler.cli.sources.home_sources import add_source, describe, find_source, record_change, write_source


@click.command()
@click.argument("file", type=InputPath())
@pass_home
def replace(home: Home, file: Path) -> None:
    """Replace the source file of the same name by another one; its posts stay known."""
    from data.sources.source_files import load_source
    from scheduler.crawls.definitions import complete_definition

    found = load_source(file)
    definition = complete_definition(found)
    find_source(home, found.name)
    write_source(home, found)
    record_change(home, "source replaced", definition)
    click.echo("\n".join(describe(definition, "replaced")))


@click.command()
@click.argument("name")
@pass_home
def edit(home: Home, name: str) -> None:
    """Edit a source file with your editor ($VISUAL, $EDITOR); what is wrong with the result leaves it unchanged.

    A text that is refused is kept beside the file, and the next `source edit` begins with it.
    """
    from data.durable_files import replace_file
    from data.errors import InputError
    from data.sources.source_files import parse_source
    from scheduler.crawls.definitions import complete_definition

    found = find_source(home, name)
    # no source file by its name, so that nothing reads it
    draft = home.sources_dir / f"{name}.yaml.draft"
    begun = draft.read_text("utf-8") if draft.is_file() else found.text
    try:
        text = click.edit(begun, extension=".yaml")
    except click.ClickException as error:
        raise InputError(f"the editor failed: {error.message}", hint="set $EDITOR; nothing was changed") from error
    if text == found.text:
        draft.unlink(missing_ok=True)
    if text is None or text == found.text:
        click.echo(f"{name} is unchanged")
        return
    try:
        changed = parse_source(text, found.file)
        if changed.name != name:
            raise changed.error("name", f"must stay {name}; nothing was changed", "use source add for a new source")
        definition = complete_definition(changed)
    except SourceError:
        replace_file(draft, [text.encode()])
        note(f"your text is kept: the next `tocsin source edit {name}` begins with it; to drop it: rm {draft}")
        raise
    write_source(home, changed)
    draft.unlink(missing_ok=True)
    record_change(home, "source edited", definition)
    click.echo("\n".join(describe(definition, "changed")))


@click.command()
@click.argument("name")
@pass_home
def remove(home: Home, name: str) -> None:
    """Delete a source file. Its findings, events and posts stay until they are purged."""
    from scheduler.crawls.definitions import complete_definition

    found = find_source(home, name)
    record_change(home, "source removed", complete_definition(found))
    (home.sources_dir / found.file).unlink()
    click.echo(f"{name} is removed; a running daemon stops crawling it after its next reload (SIGHUP)")


@click.command()
@click.argument("name")
@pass_home
def accept(home: Home, name: str) -> None:
    """Take what the listing of a source shows now as right: the next crawl learns anew how it looks.

    For a site that was redesigned and that its rules still read as they should; see it with `source check` first.
    """
    from datetime import UTC, datetime

    from scheduler.crawls.keyed_store import open_operator_store

    find_source(home, name)
    with contextlib.closing(open_operator_store(home)) as store:
        store.listing_shapes.forget(name)
        store.audit.record("operator", "listing accepted as it is", name, datetime.now(UTC))
    click.echo(f"the next crawl of {name} learns how its listing looks now")


@click.command()
@click.argument("name")
@pass_home
def enable(home: Home, name: str) -> None:
    """Enable a source: the daemon crawls it."""
    _set_enabled(home, name, enabled=True)


@click.command()
@click.argument("name")
@pass_home
def disable(home: Home, name: str) -> None:
    """Disable a source: the daemon no longer crawls it. Its posts stay known."""
    _set_enabled(home, name, enabled=False)


def _set_enabled(home: Home, name: str, *, enabled: bool) -> None:
    from data.sources.source_files import set_enabled
    from scheduler.crawls.definitions import complete_definition

    if enabled and _is_draft(home, name):
        _take_draft(home, name)
        return
    found = find_source(home, name)
    changed = set_enabled(found, enabled=enabled)
    definition = complete_definition(changed)
    write_source(home, changed)
    record_change(home, "source enabled" if enabled else "source disabled", definition)
    click.echo(f"{name} is {'enabled' if enabled else 'disabled'}")


def _is_draft(home: Home, name: str) -> bool:
    from data.sources.drafts import FOLDER

    return not (home.sources_dir / f"{name}.yaml").exists() and (home.sources_dir / FOLDER / f"{name}.yaml").is_file()


def _take_draft(home: Home, name: str) -> None:
    """Make an enabled source of a draft that `source import` wrote; raises SourceError if the draft is incomplete."""
    from data.sources.drafts import FOLDER
    from data.sources.source_files import load_source, set_enabled
    from scheduler.crawls.definitions import complete_definition

    path = home.sources_dir / FOLDER / f"{name}.yaml"
    changed = set_enabled(load_source(path), enabled=True)
    try:
        definition = complete_definition(changed)
    except SourceError as error:
        url = str(changed.raw.get("url", ""))
        raise SourceError(
            f"the draft {name} does not say how the site is read: {error}",
            hint=f"look at the site, which contacts it: tocsin source new {url} --name {name}",
        ) from error
    add_source(home, changed, definition)
    click.echo("\n".join(describe(definition, "taken from its draft:")))
