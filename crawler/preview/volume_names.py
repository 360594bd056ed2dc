"""Recognises by their names the parts of a file that was divided: volumes of archives and pieces of `split`.

It knows names only. Whoever reads the parts joins their bytes in the order given here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# Parts of one file that are joined; a listing can name any number of them.
MAX_PARTS = 10_000
# A single part shows a divided file up to this number. The ending of `a.csv.gz` would be the 182nd of `split`, and that
# of `a.sql.2024` is a year.
_ALONE = 26
# Most numbers that are reported as missing one by one.
MAX_MISSING = 20
# Endings behind which even a single part shows that others are missing; elsewhere `.001` and `.aa` may be a file's name.
_DIVIDED = re.compile(
    r"\.(?:7z|zip|rar|tar|t?gz|tgz|t?bz2|t?xz|zst|lz4|csv|tsv|sql|json|jsonl|ndjson|xml|txt|bak|dump|dmp|sqlite|db|mdb"
    r"|accdb|xlsx|mbox|pst|hl7|iso|img|gpg|enc)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Volumes:
    """The parts of one divided file.

    Attributes:
        name: of the whole file.
        parts: places of its parts in the list of names, in the order of their bytes.
        numbers: the number of each part, the first part of the file being 1.
        missing: numbers of parts that no name stands for. Parts behind the last one are not known.
    """

    name: str
    parts: tuple[int, ...]
    numbers: tuple[int, ...]
    missing: tuple[int, ...]

    def numbered_runs(self) -> list[tuple[tuple[int, ...], int]]:
        """The parts that follow each other without a gap: each run with the number of its first part."""
        runs: list[tuple[list[int], int]] = []
        last = 0
        for place, number in zip(self.parts, self.numbers, strict=True):
            if number != last + 1 or not runs:
                runs.append(([], number))
            runs[-1][0].append(place)
            last = number
        return [(tuple(places), first) for places, first in runs]

    def missing_sentence(self) -> str:
        """What is said of the missing parts; '' if none is known to be missing."""
        return missing_sentence(self.missing)


def _letters(text: str) -> int:
    """The number of a suffix of `split`: aa is 0, ab is 1."""
    value = 0
    for char in text:
        value = value * 26 + ord(char) - ord("a")
    return value


# Each form: how a name is divided into the name of the whole and the part, the number of that part, and the first number.
_Form = tuple[re.Pattern[str], Callable[[str], int]]
_FORMS: tuple[_Form, ...] = (
    # photos.part1.rar, photos.part01.rar
    (re.compile(r"(?P<stem>.+)\.part(?P<part>\d{1,5})(?P<end>\.(?:rar|exe))", re.IGNORECASE | re.DOTALL), int),
    # dump.csv.part1, dump.csv.part-01, dump.7z.part_1
    (re.compile(r"(?P<stem>.+)\.part[-_.]?(?P<part>\d{1,5})(?P<end>)", re.IGNORECASE | re.DOTALL), int),
    # dump.csv.partaa, dump.csv.part-aa
    (re.compile(r"(?P<stem>.+)\.part[-_.]?(?P<part>[a-z]{2,3})(?P<end>)", re.DOTALL), _letters),
    # dump.7z.001, dump.zip.001, dump.csv.00
    (re.compile(r"(?P<stem>.+)\.(?P<part>\d{2,5})(?P<end>)", re.DOTALL), int),
    # dump.csv.aa
    (re.compile(r"(?P<stem>.+)\.(?P<part>[a-z]{2,3})(?P<end>)", re.DOTALL), _letters),
    # xaa, the names that `split` gives by itself
    (re.compile(r"(?P<stem>x)(?P<part>[a-z]{2})(?P<end>)", re.DOTALL), _letters),
    # dump.sql.gz-aa, dump.csvaa
    (re.compile(r"(?P<stem>.+\.[a-z0-9]{2,6}[-_])(?P<part>[a-z]{2})(?P<end>)", re.DOTALL), _letters),
)
# dump.z01, dump.z02, … and last dump.zip; dump.rar first, then dump.r00, dump.r01, …
_OLD = re.compile(r"(?P<stem>.+)\.(?P<kind>[zr])(?P<part>\d{2,3})", re.IGNORECASE | re.DOTALL)


_NAMED_PART = re.compile(r"\.part[-_.]?\d{1,5}(?:\.\w{3})?\Z", re.IGNORECASE)


def missing_sentence(numbers: Sequence[int]) -> str:
    """What is said of parts that are missing; '' for none."""
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"part {numbers[0]} of this divided file is missing"
    listed = ", ".join(map(str, numbers[:MAX_MISSING]))
    return f"parts {listed} of this divided file are missing"


def group_volumes(names: Sequence[str]) -> list[Volumes]:
    """The divided files among names that lie beside each other (in a folder, a listing, a post).

    A name belongs to at most one divided file. A file of which only one part has a name is returned as well if its
    ending tells that it was divided.

    Args:
        names: without folders, in any order.

    Returns:
        In the order of their first parts in `names`.
    """
    found: list[Volumes] = []
    taken: set[int] = set()
    for volumes in (*_old_volumes(names), *_numbered_volumes(names)):
        if taken.isdisjoint(volumes.parts):
            taken.update(volumes.parts)
            found.append(volumes)
    return sorted(found, key=lambda each: min(each.parts))


def _old_volumes(names: Sequence[str]) -> Iterable[Volumes]:
    """Volumes of zip and of old RAR, of which one part keeps the usual ending."""
    places: dict[str, int] = {}
    ordered = sorted(enumerate(names), key=lambda each: each[1])
    for place, name in ordered:
        places.setdefault(name.lower(), place)
    groups: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    stems: dict[tuple[str, str], str] = {}
    for place, name in ordered:
        if match := _OLD.fullmatch(name):
            key = match["stem"].lower(), match["kind"].lower()
            stems.setdefault(key, match["stem"])
            groups[key].setdefault(int(match["part"]), place)
    for (stem, kind), parts in groups.items():
        main = places.get(f"{stem}.{'zip' if kind == 'z' else 'rar'}")
        if kind == "z":
            if main is not None:
                parts[max(parts) + 1] = main
            yield _volumes(f"{stems[stem, kind]}.zip", parts, last_known=main is not None)
        else:
            shifted = {number + 2: place for number, place in parts.items()}
            if main is not None:
                shifted[1] = main
            yield _volumes(f"{stems[stem, kind]}.rar", shifted)


def _numbered_volumes(names: Sequence[str]) -> Iterable[Volumes]:
    for pattern, number_of in _FORMS:
        groups: dict[tuple[str, str, int], dict[int, int]] = defaultdict(dict)
        for place, name in sorted(enumerate(names), key=lambda each: each[1]):
            if match := pattern.fullmatch(name):
                # RAR and people write 1 … 9, 10, so behind `part` the width is no part of the key
                width = 0 if _NAMED_PART.search(name) else len(match["part"])
                groups[match["stem"], match["end"].lower(), width].setdefault(number_of(match["part"]), place)
        for (stem, end, _), parts in groups.items():
            first = 0 if number_of is _letters or 0 in parts else 1
            shown = {number - first + 1: place for number, place in parts.items()}
            is_volume = bool(end) or (
                _DIVIDED.search(stem.rstrip("-_")) is not None and max(shown) <= max(_ALONE, 2 * len(shown))
            )
            # without an ending that tells it, only parts that follow each other from the first one are a divided file
            if is_volume or (len(shown) > 1 and set(shown) == set(range(1, len(shown) + 1))):
                yield _volumes(stem + end, shown)


def _volumes(name: str, parts: dict[int, int], *, last_known: bool = True) -> Volumes:
    """The volumes of a file, from {number: place}; `last_known` is false if the part that ends it is missing."""
    order = sorted(parts)[:MAX_PARTS]
    missing: list[int] = []
    last = 0
    for number in order:
        missing += range(last + 1, min(number, last + 1 + MAX_MISSING))
        last = number
    if not last_known:
        missing.append(last + 1)
    return Volumes(name, tuple(parts[number] for number in order), tuple(order), tuple(missing[:MAX_MISSING]))
