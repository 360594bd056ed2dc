"""Files of one folder that are examined as one: parts of a divided file, and files that are one table together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from crawler.preview.volume_names import group_volumes
from crawler.process.companion_names import group_companions


@dataclass(frozen=True, slots=True)
class DividedFile:
    """A file whose bytes stand in several files, or several files that are read together.

    Attributes:
        path: of the whole, which no file has, and how many parts there are; shown to people.
        parts: paths of its parts in the order of their bytes.
        together: each part is a file by itself; they are examined as an archive of these files.
        missing: what is said if a part before or behind these is missing; '' if none is known to be.
    """

    path: str
    parts: tuple[str, ...]
    missing: str = ""
    together: bool = False

    def __str__(self) -> str:
        """The path that is shown."""
        return self.path


def join_parts(paths: Iterable[str]) -> list[list[str | DividedFile]]:
    """What stands at the place of each path: the path, or the file of which it is the first part given, or nothing.

    Parts that lie in one folder are joined, and so are files that are one table (`.dbf` with `.fpt`). Behind a missing part, what follows is a file of its own, so that as much as
    possible of it is examined.
    """
    listed = list(paths)
    folders: dict[Path, list[int]] = defaultdict(list)
    for place, path in enumerate(listed):
        folders[Path(path).parent].append(place)
    joined: dict[int, list[DividedFile]] = {}
    gone: set[int] = set()
    for folder, places in folders.items():
        for volumes in group_volumes([Path(listed[place]).name for place in places]):
            gone.update(places[part] for part in volumes.parts)
            sentence = volumes.missing_sentence()
            joined[min(places[part] for part in volumes.parts)] = [
                DividedFile(
                    f"{folder / volumes.name} (parts {first}-{first + len(run) - 1})",
                    tuple(listed[places[part]] for part in run),
                    sentence,
                )
                for run, first in volumes.numbered_runs()
            ]
        alone = [place for place in places if place not in gone]
        for group in group_companions([Path(listed[place]).name for place in alone]):
            first, *others = (alone[part] for part in group)
            gone.update((first, *others))
            with_names = ", ".join(Path(listed[place]).name for place in others)
            parts = tuple(listed[place] for place in (first, *others))
            joined[first] = [DividedFile(f"{listed[first]} (with {with_names})", parts, together=True)]
    return [[*joined.get(place, [] if place in gone else [path])] for place, path in enumerate(listed)]
