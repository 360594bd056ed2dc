"""`tocsin source import`: takes a list of sites as disabled drafts, and tells what changed in it."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import InputError, SourceError
from data.plural import counted
from data.settings.home import Home
from scheduler.cli.common import InputPath, emit_json, json_option, note, pass_home

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from data.sources.drafts import ListMemory
    from data.sources.list_changes import Change, KnownSite, SiteChange

SHOWN = 30
_ORDER: tuple[Change, ...] = ("moved", "back", "new", "gone")


@click.command("import")
@click.argument("file", type=InputPath(), metavar="LIST")
@click.option("--name", default="", help="Name of the list. Default: that of the file.")
@click.option("--all", "everything", is_flag=True, help=f"Print all changes, not only {SHOWN} of each kind.")
@click.option("--dry-run", is_flag=True, help="Only print what changed; write and remember nothing.")
@json_option
@pass_home
def import_list(home: Home, file: Path, name: str, everything: bool, dry_run: bool, as_json: bool) -> None:
    """Take a list of sites as disabled drafts, and print what changed since it was imported last.

    Known are the groups of RansomLook (/api/export/0), ransomware.live and ransomwatch in JSON, the tables of deepdarkCTI in
    Markdown, and CSV with the columns name, url, status, title, favicon. Nothing is contacted. Drafts lie in
    sources/drafts/ and are never crawled; `source enable NAME` and `source new` make sources of them.
    """
    from data.sources.discovery_lists import read_list
    from data.sources.drafts import read_memory
    from data.sources.list_changes import compare

    name = name or re.sub(r"[^a-z0-9._-]+", "-", file.stem.lower()).strip(".-_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise InputError("the list has no usable name", hint="give one with --name")
    found = read_list(file.read_text("utf-8-sig", errors="replace"))
    memory = read_memory(home.sources_dir, name)
    now = datetime.now(UTC)
    changes, known = compare(memory.sites, found.sites, f"{now:%F}")
    written, edited = 0, 0
    if not dry_run:
        written, edited = _write_drafts(home, name, known, memory)
        _record(home, name, changes, now)
    private = sum(site.is_private for site in found.sites)
    watched = _watched(home, changes)
    if as_json:
        emit_json(
            {
                "list": name,
                "format": found.format,
                "sites": len(found.sites),
                "without_address": found.without_address,
                "private": private,
                "drafts": written,
                "edited": edited,
                "changes": [_to_json(change, watched) for change in changes],
            }
        )
        return
    counts = Counter(change.kind for change in changes)
    click.echo(
        f"{name}: {counted(len(found.sites), 'address', 'addresses')} ({found.format}); "
        + ", ".join(f"{counts[kind]:,} {kind}" for kind in _ORDER)
    )
    first = not memory.sites
    for kind in _ORDER:
        of_kind = [change for change in changes if change.kind == kind]
        # of a list that was never read, everything is new
        shown = of_kind if everything else [] if first and kind == "new" else of_kind[:SHOWN]
        for change in shown:
            click.echo(f"  {change.sentence()}")
        if len(of_kind) > len(shown):
            click.echo(f"  … and {len(of_kind) - len(shown):,} {kind} (--all)")
    for change in changes:
        if source := watched.get(change.site.address):
            what = f"moved to {change.to}: {change.why}" if change.kind == "moved" else "is gone, says the list"
            note(f"source {source} reads {change.site.address}, which {what}; see: tocsin source edit {source}")
    if found.without_address:
        note(
            f"{counted(found.without_address, 'row')} of the list {'has' if found.without_address == 1 else 'have'} no address"
        )
    if private:
        note(f"{counted(private, 'address', 'addresses')} can be read by invitation alone, and got no draft")
    if edited:
        note(f"{counted(edited, 'draft')} that you edited {'was' if edited == 1 else 'were'} left as they are")
    if not dry_run:
        click.echo(f"{counted(written, 'draft')} written to {home.sources_dir / 'drafts'}; none is crawled")


def _write_drafts(home: Home, list_name: str, known: Sequence[KnownSite], memory: ListMemory) -> tuple[int, int]:
    """Write the drafts of a list and what it said; how many were written, and how many were left because they were edited."""
    from data.durable_files import replace_file
    from data.sources.drafts import FOLDER, ListMemory, draft_name, draft_text, sites_by_name, write_memory

    folder = home.sources_dir / FOLDER
    drafts, texts = dict(memory.drafts or {}), dict(memory.texts or {})
    taken = {path.stem for path in (*home.sources_dir.glob("*.yaml"), *folder.glob("*.yaml"))}
    written = edited = 0
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for site, addresses in sites_by_name(known).items():
            name = drafts.get(site) or draft_name(site, {*taken, *drafts.values()})
            is_taken_over = site in drafts and not (folder / f"{name}.yaml").exists()
            drafts[site] = name
            if is_taken_over:
                # it was deleted, or became a source
                continue
            text = draft_text(name, addresses, list_name, _platform_of)
            path = folder / f"{name}.yaml"
            if path.exists() and path.read_text("utf-8") != texts.get(name, ""):
                edited += 1
                continue
            if texts.get(name) != text:
                replace_file(path, [text.encode()])
                written += 1
            texts[name] = text
        write_memory(home.sources_dir, list_name, ListMemory(tuple(known), drafts, texts))
    except OSError as error:
        raise SourceError(f"drafts cannot be written: {error.strerror}", file=str(folder)) from error
    return written, edited


def _platform_of(address: str) -> str:
    """The platform that an address shows by its form alone; '' for none."""
    from data.sources.platform_files import platform_of_address

    return platform_of_address(address)


def _record(home: Home, name: str, changes: Iterable[SiteChange], now: datetime) -> None:
    from scheduler.crawls.keyed_store import open_operator_store

    counts = Counter(change.kind for change in changes)
    detail = f"{name}: " + ", ".join(f"{counts[kind]} {kind}" for kind in _ORDER)
    with contextlib.closing(open_operator_store(home)) as store:
        store.audit.record("operator", "list of sites imported", detail, now)


def _watched(home: Home, changes: Sequence[SiteChange]) -> dict[str, str]:
    """Address that is gone or moved -> the enabled source that declares its host."""
    from data.sources.addresses import host_pairs
    from data.sources.definition import source_hosts
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition

    left = [change for change in changes if change.kind in ("moved", "gone")]
    if not left:
        return {}
    by_host: dict[tuple[str, int], str] = {}
    for source in load_sources(home.sources_dir)[0]:
        # `source list` tells what is wrong with it
        with contextlib.suppress(SourceError):
            definition = complete_definition(source)
            if definition.enabled:
                by_host |= dict.fromkeys(source_hosts(definition), definition.name)
    return {
        change.site.address: by_host[pair]
        for change in left
        for pair in host_pairs(change.site.address)
        if pair in by_host
    }


def _to_json(change: SiteChange, watched: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "name": change.site.name,
        "address": change.site.address,
        "online": change.site.online,
        "to": change.to,
        "why": change.why,
        "source": watched.get(change.site.address, ""),
    }
