"""Sentences about links that nothing reads: undeclared hosts, and data files that no rule names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.plural import counted

if TYPE_CHECKING:
    from data.sources.definition import Definition
    from data.store.sources import HostOfLinks


def linked_lines(linked: Mapping[str, int], others: int) -> list[str]:
    """Sentences about undeclared hosts to which posts link.

    Args:
        linked: public service -> posts that link to it.
        others: number of other such hosts, whose names are sealed.
    """
    lines = [
        f"{counted(posts, 'post')} {'links' if posts == 1 else 'link'} to {name}: declare it?"
        for name, posts in sorted(linked.items(), key=lambda item: (-item[1], item[0]))
    ]
    if others:
        lines.append(f"posts link to {counted(others, 'other host')} that no source declares; see: tocsin source hosts")
    return lines


def linked_files_line(posts: int, files: int) -> str:
    """A sentence about data files to which posts link and that no rule of the source reads."""
    return (
        f"{counted(posts, 'post')} {'links' if posts == 1 else 'link'} to {counted(files, 'file')} that no rule of this"
        " source reads; see: tocsin source hosts"
    )


def linked_summary(links: Sequence[HostOfLinks], definitions: Sequence[Definition]) -> dict[str, Any]:
    """Undeclared hosts to which posts link: public services with the number of posts, and how many others there are."""
    from data.sources.definition import source_hosts

    declared = {host for each in definitions if each.enabled for host, _ in source_hosts(each)}
    services = {host.name: sum(host.posts.values()) for host in links if host.name and host.name not in declared}
    return {"services": services, "others": sum(not host.name for host in links)}
