"""What any release holds, as few look-ups: small releases are merged into segments, large ones answer for themselves.

    releases/.union/index.json         the segments, and which releases each is made of
    releases/.union/N/name+dob.tags …  the merged sets of a segment

Everything here is made from the releases and can be made again: a release that no segment holds is looked up itself,
and a segment that holds one which was retired is not used. Only releases that are cut to the same bits (`data.releases.cut_bits`) are
merged: what was cut off is gone; a sieve (`data.tagsets.bloom_filter`) keeps strangers from being looked up in each of many segments.
Segments of one cut grow as in a log-structured merge tree: one is
merged with all smaller ones once these are half as large, so that their number grows with the logarithm of the size
of everything, a release is rewritten seldom, and the largest release is never copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import orjson

from data.arrays.array_types import U64, Bools
from data.errors import StoreError
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.tagsets.bloom_filter import MAX_MEMBERS, BloomFilter
from data.tagsets.elias_fano import EliasFanoSet, open_tag_set
from data.tagsets.tagset import KEPT_BITS, TagSet, write_atomically

AnySet = TagSet | EliasFanoSet

FOLDER, INDEX = ".union", "index.json"
# So many sets and more are sifted before they are asked.
_MANY = 4
# Segments smaller than this are merged however they compare.
SMALL = 20_000


class Member(Protocol):
    """A release as the union sees it."""

    records: int
    cuts: tuple[int, int]

    @property
    def sets(self) -> Mapping[Kind, AnySet]:
        """By kind of record key."""
        ...

    @property
    def values(self) -> Mapping[Kind, AnySet]:
        """By kind of value."""
        ...

    @property
    def notes(self) -> AnySet | None:
        """Prints of free texts."""
        ...


@dataclass(frozen=True)
class Segment:
    """Merged releases: their ids, where their sets lie, how many records they have together, and how they are cut."""

    members: tuple[str, ...]
    folder: Path
    records: int
    words: tuple[str, ...]
    cuts: tuple[int, int] = (KEPT_BITS, KEPT_BITS)

    @cached_property
    def sets(self) -> Mapping[str, AnySet]:
        """By word: `name+dob`, `values/nir`, `notes`."""
        return {word: open_tag_set(self.folder / f"{word}.tags") for word in self.words}


def _sets_of(member: Member) -> dict[str, AnySet]:
    found: dict[str, AnySet] = {kind.word: member.sets[kind] for kind in RECORD_KINDS if kind in member.sets}
    found |= {f"values/{kind.word}": member.values[kind] for kind in VALUE_KINDS if kind in member.values}
    if member.notes is not None:
        found["notes"] = member.notes
    return found


class Union:
    """All releases at once."""

    def __init__(self, active: Mapping[str, Member], segments: Sequence[Segment]) -> None:
        covered = {name for segment in segments for name in segment.members}
        singles = [_sets_of(release) for name, release in active.items() if name not in covered]
        # opened now: a damaged one must not be found out in the middle of a sample
        self._sets: dict[str, list[AnySet]] = {}
        for sets in [*(segment.sets for segment in segments), *singles]:
            for word, held in sets.items():
                self._sets.setdefault(word, []).append(held)
        for several in self._sets.values():
            several.sort(key=len, reverse=True)
        self._filters: dict[str, tuple[int, BloomFilter | None]] = {}

    def holds(self, word: str, tags: U64) -> Bools:
        """Shape of `tags`: which any release holds, in its set of this word."""
        found = np.zeros((len(tags), 1), bool)
        self.look_up_column(word, tags.reshape(-1, 1), 0, found)
        return found[:, 0]

    def look_up_column(self, word: str, tags: U64, column: int, found: Bools) -> None:
        """`holds` of one column of tags, shape (n, columns), into that of `found`."""
        if word not in self._filters:
            # threads that make it at once make the same
            self._filters[word] = self._bloom_filter(word)
        direct, bloom_filter = self._filters[word]
        sets = self._sets.get(word, [])
        for held in sets[:direct]:
            held.look_up_column(tags, column, found)
        if bloom_filter is None:
            return
        rows = bloom_filter.candidate_rows(tags, column, found)
        if not len(rows):
            return
        some = tags[rows, column].reshape(-1, 1)
        hits = np.zeros(some.shape, bool)
        for held in sets[direct:]:
            held.look_up_column(some, 0, hits)
        found[rows, column] = hits[:, 0]

    def _bloom_filter(self, word: str) -> tuple[int, BloomFilter | None]:
        """How many sets are asked for every tag, and what tells of the smaller ones' strangers; None where those are few.

        Releases of all sizes are cut to a dozen different numbers of bits, and as many sets would be asked in turn.
        """
        sets = self._sets.get(word, [])
        direct, members = len(sets), 0
        while direct and members + len(sets[direct - 1]) <= MAX_MEMBERS:
            direct -= 1
            members += len(sets[direct])
        if len(sets) - direct < _MANY:
            return len(sets), None
        return direct, BloomFilter((held.to_array() for held in sets[direct:]), members)


def read_segments(folder: Path, active: Mapping[str, Member]) -> list[Segment]:
    """The segments that hold active releases alone, each release in one of them at most.

    Raises:
        StoreError: the index is damaged.
    """
    path = folder / FOLDER / INDEX
    try:
        held = orjson.loads(path.read_bytes())
        found = [
            Segment(
                tuple(each["members"]),
                folder / FOLDER / each["id"],
                int(each["records"]),
                tuple(each["words"]),
                # before there were others all sets had one cut
                tuple(each.get("cuts", (KEPT_BITS, KEPT_BITS))),
            )
            for each in held["segments"]
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "the index of the union of all releases cannot be used",
            hint=f"delete {path.parent}: it is made again with the next release",
        ) from error
    return [segment for segment in found if all(name in active for name in segment.members)]


def write_union(folder: Path, active: Mapping[str, Member]) -> None:
    """Merge what has to be merged, write the index, and delete what it no longer names.

    The caller sees to it that nobody else writes.
    """
    root = folder / FOLDER
    if not active:
        shutil.rmtree(root, ignore_errors=True)
        return
    root.mkdir(mode=0o700, exist_ok=True)
    kept = read_segments(folder, active)
    covered = {name for segment in kept for name in segment.members}
    parts = [_Part(segment.members, segment.records, segment.cuts, segment) for segment in kept]
    parts += [_Part((name,), release.records, release.cuts) for name, release in active.items() if name not in covered]
    segments = []
    for cuts in sorted({part.cuts for part in parts}):
        alike = sorted((part for part in parts if part.cuts == cuts), key=lambda part: (part.records, part.members))
        together = _to_merge([part.records for part in alike])
        if together > 1:
            alike = [_merge(root, alike[:together], active), *alike[together:]]
        segments += [part.segment for part in alike if part.segment is not None]
    index = [
        {
            "id": each.folder.name,
            "members": each.members,
            "records": each.records,
            "words": each.words,
            "cuts": each.cuts,
        }
        for each in segments
    ]
    write_atomically(root / INDEX, b"", [memoryview(orjson.dumps({"segments": index}))])
    named = {segment.folder.name for segment in segments}
    for path in root.iterdir():
        if path.is_dir() and path.name not in named:
            # whoever has it open keeps it until he opens the releases again
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class _Part:
    members: tuple[str, ...]
    records: int
    cuts: tuple[int, int]
    segment: Segment | None = field(default=None)


def _to_merge(records: Sequence[int]) -> int:
    """How many of the smallest parts, their sizes in order, are merged: up to the largest that the smaller ones reach."""
    reach, before = 0, 0
    for number, size in enumerate(records, 1):
        if number > 1 and (2 * before >= size or size <= SMALL):
            reach = number
        before += size
    return reach


def _merge(root: Path, parts: Sequence[_Part], active: Mapping[str, Member]) -> _Part:
    members = tuple(sorted(name for part in parts for name in part.members))
    taken = {int(path.name) for path in root.iterdir() if path.name.isdigit()}
    final = root / str(max(taken, default=0) + 1)
    (final / "values").mkdir(mode=0o700, parents=True)
    final.chmod(0o700)
    sources = [part.segment.sets if part.segment is not None else _sets_of(active[part.members[0]]) for part in parts]
    words = sorted({word for source in sources for word in source})
    for word in words:
        EliasFanoSet.union([source[word] for source in sources if word in source]).save(final / f"{word}.tags")
    records = sum(part.records for part in parts)
    cuts = parts[0].cuts
    return _Part(members, records, cuts, Segment(members, final, records, tuple(words), cuts))
