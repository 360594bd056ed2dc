"""Names of files that lie beside each other and are one table: its rows, its long texts and its description.

Whoever fetches files passes those of one table on together, in an archive; the reader of the archive joins them.
"""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Sequence

WHOLES: dict[str, tuple[str, ...]] = {
    ".dbf": (".dbt", ".fpt"),
    ".myd": (".frm", ".myi"),
    ".mad": (".frm", ".mai"),
}
"""The ending of a file of rows, and the endings of the files that belong to it."""
_PARTS = frozenset(ending for endings in WHOLES.values() for ending in endings)
END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)


def ending_of(name: str) -> str:
    """The ending of a name if files with it are read together with others; '' otherwise."""
    ending = name[name.rfind(".") :].lower()
    return ending if ending in WHOLES or ending in _PARTS else ""


def belongs_to_rows(ending: str, endings: set[str]) -> bool:
    """Whether a file of rows is among files of the same name with these endings."""
    return any(ending in parts and whole in endings for whole, parts in WHOLES.items())


def group_companions(names: Sequence[str]) -> list[tuple[int, ...]]:
    """The files among names that are one table: their places, two at least, in the order of the names.

    Args:
        names: of files that lie beside each other.
    """
    stems: dict[str, dict[str, int]] = defaultdict(dict)
    for place, name in enumerate(names):
        if ending := ending_of(name):
            stems[name[: -len(ending)].lower()].setdefault(ending, place)
    found = []
    for endings in stems.values():
        together = {
            ending: place
            for ending, place in endings.items()
            if belongs_to_rows(ending, set(endings)) or any(part in endings for part in WHOLES.get(ending, ()))
        }
        if together:
            found.append(tuple(sorted(together.values())))
    return found


def member_header(name: str, size: int) -> bytes:
    """What stands before a file of this size in an archive."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "replace")


def padding(size: int) -> bytes:
    """What stands behind a file of this size in an archive."""
    return bytes(-size % tarfile.BLOCKSIZE)
