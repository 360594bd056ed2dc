"""Finds the parts of divided files among the addresses of a post and among the posts of a listing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from crawler.preview.file_list import file_name
from crawler.preview.volume_names import group_volumes
from crawler.process.companion_names import group_companions
from data.model import Post


@dataclass(frozen=True, slots=True)
class AddressedVolumes:
    """The parts of one divided file.

    Attributes:
        name: of the whole file.
        addresses: of its parts, in the order of their bytes. numbers: of these parts, from 1.
        missing: numbers of parts that have no address.
        places: of the parts in the list of addresses.
        shown: names of the parts if they are files by themselves, which are examined as an archive.
    """

    name: str
    addresses: tuple[str, ...]
    numbers: tuple[int, ...]
    missing: tuple[int, ...]
    places: tuple[int, ...]
    shown: tuple[str, ...] = ()

    @property
    def together(self) -> bool:
        """Whether the parts are files that are read together, and not pieces of one."""
        return bool(self.shown)


def group_addresses(addresses: Sequence[str], names: Mapping[str, str] | None = None) -> list[str | AddressedVolumes]:
    """The addresses in their order, parts of one file in one folder joined at the place of the first of them.

    Args:
        addresses: of files.
        names: address -> name that the page shows, for addresses that do not tell the name (`attachment.php?id=7`).
    """
    folders: dict[str, list[int]] = defaultdict(list)
    for place, address in enumerate(addresses):
        folders[address.partition("?")[0].rpartition("/")[0]].append(place)
    joined: dict[int, AddressedVolumes] = {}
    gone: set[int] = set()

    def join(places: Sequence[int], shown: Sequence[str]) -> None:
        for volumes in group_volumes(shown):
            parts = tuple(places[part] for part in volumes.parts)
            gone.update(parts)
            joined[min(parts)] = AddressedVolumes(
                volumes.name, tuple(addresses[part] for part in parts), volumes.numbers, volumes.missing, parts
            )

        alone = [at for at, place in enumerate(places) if place not in gone]
        for group in group_companions([shown[at] for at in alone]):
            parts = tuple(places[alone[part]] for part in group)
            gone.update(parts)
            joined[parts[0]] = AddressedVolumes(
                shown[alone[group[0]]],
                tuple(addresses[part] for part in parts),
                tuple(range(1, len(parts) + 1)),
                (),
                parts,
                tuple(shown[alone[part]] for part in group),
            )

    for places in folders.values():
        join(places, [unquote(file_name(addresses[place])) for place in places])
        if names:
            left = [place for place in places if place not in gone and addresses[place] in names]
            join(left, [names[addresses[place]] for place in left])
    grouped: list[str | AddressedVolumes] = []
    for place, address in enumerate(addresses):
        if place in joined:
            grouped.append(joined[place])
        elif place not in gone:
            grouped.append(address)
    return grouped


def join_posts(posts: Sequence[Post]) -> tuple[Post, ...]:
    """The posts of one page of a listing of files, with the parts of a divided file as one post.

    It is the post of its first part, with the other parts as attachments. So a part that is added, or whose size or time
    changes, makes it a changed post.
    """
    grouped = group_addresses([post.raw or post.url for post in posts])
    joined: list[Post] = []
    singles = iter(_left_alone(posts, grouped))
    for each in grouped:
        if isinstance(each, str):
            joined.append(next(singles))
            continue
        first, *others = (posts[place] for place in each.places)
        parts = ", ".join(f"{post.fields.get('size', '')} {post.fields.get('mtime', '')}" for post in others)
        fields = {**first.fields, "parts": parts}
        joined.append(replace(first, fields=fields, attachments=(*first.attachments, *(each.addresses[1:]))))
    return tuple(joined)


def _left_alone(posts: Sequence[Post], grouped: Sequence[str | AddressedVolumes]) -> list[Post]:
    gone = {place for each in grouped if not isinstance(each, str) for place in each.places}
    return [post for place, post in enumerate(posts) if place not in gone]
