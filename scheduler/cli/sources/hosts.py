"""`tocsin source hosts`: the hosts to which posts link and where nothing reads these links, for the operator to decide."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from data.settings.home import Home
from scheduler.cli.common import emit_json, json_option, note, pass_home
from scheduler.cli.sources.checked_source import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from data.store.sources import HostOfLinks

SHOWN = 30


@dataclass(frozen=True, slots=True)
class ListedHost:
    """A host as the command shows it.

    Attributes:
        name: as it is, or a keyed id if the match key is not here.
        kind: of a public service (`pastes`, `files`, `channels`), else ''.
        posts, sources: that link to it. files: links to data files there.
        first, last: when it was linked.
    """

    name: str
    kind: str
    posts: int
    files: int
    sources: Sequence[str]
    first: datetime
    last: datetime


@click.command()
@click.argument("names", nargs=-1, metavar="[SOURCE…]")
@click.option("--all", "everything", is_flag=True, help=f"All hosts, not only the {SHOWN} that most posts link to.")
@json_option
@pass_home
def hosts(home: Home, names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """List the hosts to which posts link and that no source declares. None of them was ever contacted.

    A second list has declared hosts where a link looks like a post and the source takes no such address.

    Names of public services are stored as they are, all others sealed: they are shown if the match key is here.
    """
    found, untaken = undeclared_hosts(home, names), untaken_hosts(home, names)
    if as_json:
        emit_json({"undeclared": [_to_json(host) for host in found], "untaken": [_to_json(host) for host in untaken]})
        return
    if found:
        _print_undeclared(found, everything=everything)
    else:
        click.echo("no post links to a host that no source declares")
    if untaken:
        click.echo(
            "\nlinks to hosts of sources that take links, but not these (their `links` or `item` know no such address):"
        )
        _print_hosts(untaken, everything=everything)
    if any(host.name.startswith("[") for host in (*found, *untaken)):
        note("names in brackets are sealed; they are shown where the match key of this home can be read")


def _print_hosts(found: Sequence[ListedHost], *, everything: bool) -> None:
    shown = found if everything else found[:SHOWN]
    print_table(
        ["host", "kind", "posts", "data files", "sources", "last"],
        [
            [
                host.name, host.kind, f"{host.posts:,}", f"{host.files:,}" if host.files else "",
                ", ".join(host.sources), f"{host.last:%F %R}",
            ]
            for host in shown
        ],
    )  # fmt: skip
    if len(found) > len(shown):
        click.echo(f"… and {len(found) - len(shown):,} further hosts (--all)")


def _print_undeclared(shown: Sequence[ListedHost], *, everything: bool) -> None:
    from data.sources.platform_files import platform_of_host

    _print_hosts(shown, everything=everything)
    first = shown[0].name
    platform = platform_of_host(first)
    lines = [f"name: {first.split('.')[0].strip('[]')}", f"platform: {platform or 'linked'}"]
    lines.append(f"url: https://{first}/" if platform else f"hosts: [{first}]")
    click.echo(
        f"\n{counted(shown[0].posts, 'post')} {'links' if shown[0].posts == 1 else 'link'} to {shown[0].name}: declare it?"
        "  A source of three lines reads what posts link to there:\n" + "\n".join(f"    {line}" for line in lines)
    )


def undeclared_hosts(home: Home, sources: Collection[str] = ()) -> list[ListedHost]:
    """The hosts to which posts link and that no enabled source declares: public services first, most posts first.

    Args:
        home: the home folder.
        sources: only links of these; () for all.
    """
    from data.store.store import Store

    declared = declared_hosts(home)
    with contextlib.closing(Store.open(home.db_path)) as store:
        return _listed_hosts(home, sources, store.sources.linked_hosts(), lambda name: name not in declared)


def untaken_hosts(home: Home, sources: Collection[str] = ()) -> list[ListedHost]:
    """The hosts of sources that take links, with links that look like a post and that none of them takes.

    Links that posts had before such a source was known are none of them: they were counted because nobody declared the host.

    Args:
        home: the home folder.
        sources: only links of these; () for all.
    """
    from data.sources.definition import source_hosts
    from data.sources.known_services import service_of
    from data.store.store import Store
    from scheduler.crawls.definitions import link_takers

    takers: dict[str, set[str]] = {}
    with contextlib.closing(Store.open(home.db_path)) as store:
        for taker in link_takers(home.sources_dir):
            if added := store.sources.added(taker.definition.name):
                for host, _ in source_hosts(taker.definition):
                    takers.setdefault(service_of(host) or host.removeprefix("www."), set()).add(added)
        first = {name: min(times) for name, times in takers.items()}
        found = []
        for since in sorted(set(first.values())):
            names = {name for name, each in first.items() if each == since}
            found += _listed_hosts(home, sources, store.sources.linked_hosts(since), names.__contains__)
    return _sorted(found)


def _listed_hosts(
    home: Home, sources: Collection[str], linked: Sequence[HostOfLinks], is_shown: Callable[[str], bool]
) -> list[ListedHost]:
    from data.sources.known_services import SERVICES

    key = _post_key(home)
    found = []
    for host in linked:
        name = _name_of(host, key)
        by = {source: posts for source, posts in host.posts.items() if not sources or source in sources}
        if by and is_shown(name):
            kind = SERVICES.get(name, "")
            found.append(ListedHost(name, kind, sum(by.values()), host.files, sorted(by), host.first, host.last))
    return _sorted(found)


def _sorted(found: Sequence[ListedHost]) -> list[ListedHost]:
    return sorted(found, key=lambda host: (host.kind not in ("pastes", "files"), -host.posts, host.name))


def declared_hosts(home: Home) -> frozenset[str]:
    """The hosts that enabled sources of the home declare; those of files that cannot be used are none."""
    from data.errors import SourceError
    from data.sources.definition import source_hosts
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition

    found: set[str] = set()
    for source in load_sources(home.sources_dir)[0]:
        # `source list` tells what is wrong with it
        with contextlib.suppress(SourceError):
            if source.enabled:
                found |= {host.removeprefix("www.") for host, _ in source_hosts(complete_definition(source))}
    return frozenset(found)


def _post_key(home: Home) -> bytes:
    """The key with which names are sealed; b"" if the match key cannot be read here."""
    from data.errors import KeyFileError
    from data.hashing.case_keys import parse_match_key

    try:
        return parse_match_key(home.match_key_text()).derive().post
    except KeyFileError:
        return b""


def _name_of(host: HostOfLinks, key: bytes) -> str:
    from crawler.pages.post_identity import open_host
    from data.errors import WireError

    if host.name:
        return host.name
    # a name that another key sealed stays an id
    with contextlib.suppress(WireError):
        if key:
            return open_host(key, host.sealed)
    return f"[{host.id[:6]}]"


def _to_json(host: ListedHost) -> dict[str, Any]:
    return {
        "host": host.name,
        "kind": host.kind,
        "posts": host.posts,
        "files": host.files,
        "sources": list(host.sources),
        "first": host.first,
        "last": host.last,
    }
