"""The tag sets of all releases merged into few, so that a tag is looked up in few sets.

    releases/.union/index.json         the segments, and which releases each of them merges
    releases/.union/N/name+dob.tags …  the merged sets of a segment

Small releases are merged into segments; large ones are looked up themselves. Everything here is derived from the
releases and can be made again: a release that is in no segment is looked up itself, and a segment that contains a
retired release is not used.

Only releases that keep the same number of bits (`data.releases.kept_bits`) can be merged, because truncated bits are
lost. A Bloom filter (`data.tagsets.bloom_filter`) saves the look-up of foreign tags in each of many segments.

The segments of one number of bits grow as in a log-structured merge tree: a segment is merged with all smaller ones
once these together are half as large. So the number of segments grows with the logarithm of the total size, a release
is rewritten seldom, and the largest release is never copied.
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
from data.durable_files import read_file
from data.errors import StoreError
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.tagsets.bloom_filter import MAX_MEMBERS, BloomFilter
from data.tagsets.elias_fano import EliasFanoSet, open_tag_set, open_verified_sets
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import TagSet, write_atomically

AnyTagSet = TagSet | EliasFanoSet

MERGED_FOLDER, INDEX_FILE = ".union", "index.json"
# A Bloom filter is built for so many sets or more.
_MIN_FILTERED_SETS = 4
# Segments of at most so many records are always merged.
SMALL_SEGMENT = 20_000


class MergeableRelease(Protocol):
    """What this module needs of a release."""

    records: int
    kept_bits: tuple[int, int]

    @property
    def sets(self) -> Mapping[Kind, AnyTagSet]:
        """The record keys, one set for each kind."""
        ...

    @property
    def values(self) -> Mapping[Kind, AnyTagSet]:
        """The single values, one set for each kind."""
        ...

    @property
    def notes(self) -> AnyTagSet | None:
        """The prints of free texts; None if the release has none."""
        ...


@dataclass(frozen=True)
class Segment:
    """Merged releases.

    Attributes:
        releases: their ids.
        folder: holds the merged sets.
        records: of all these releases together.
        words: names of the sets, as in `sets`.
        kept_bits: how many bits are kept of a record key, and of a value.
    """

    releases: tuple[str, ...]
    folder: Path
    records: int
    words: tuple[str, ...]
    kept_bits: tuple[int, int] = (KEPT_BITS, KEPT_BITS)

    @cached_property
    def sets(self) -> Mapping[str, AnyTagSet]:
        """The sets by name: `name+dob`, `values/nir`, `notes`."""
        return open_verified_sets(self.folder, self.words)

    def verify(self) -> None:
        """Read all sets whole; raises StoreError if one is damaged or missing."""
        for word in self.words:
            open_tag_set(self.folder / f"{word}.tags").verify()


def _sets_by_word(release: MergeableRelease) -> dict[str, AnyTagSet]:
    found: dict[str, AnyTagSet] = {kind.word: release.sets[kind] for kind in RECORD_KINDS if kind in release.sets}
    found |= {f"values/{kind.word}": release.values[kind] for kind in VALUE_KINDS if kind in release.values}
    if release.notes is not None:
        found["notes"] = release.notes
    return found


class MergedSets:
    """Look-ups in all releases at once. A set is named by its word: `name+dob`, `values/nir`, `notes`."""

    def __init__(self, active: Mapping[str, MergeableRelease], segments: Sequence[Segment]) -> None:
        covered = {name for segment in segments for name in segment.releases}
        singles = [_sets_by_word(release) for name, release in active.items() if name not in covered]
        # all sets are opened now, so that a damaged one is not discovered in the middle of a sample
        self._sets: dict[str, list[AnyTagSet]] = {}
        for sets in [*(segment.sets for segment in segments), *singles]:
            for word, tag_set in sets.items():
                self._sets.setdefault(word, []).append(tag_set)
        for same_word in self._sets.values():
            same_word.sort(key=len, reverse=True)
        self._filters: dict[str, tuple[int, BloomFilter | None]] = {}

    def contains(self, word: str, tags: U64) -> Bools:
        """Which tags any release holds in its set of this word; shape of `tags`."""
        found = np.zeros((len(tags), 1), bool)
        self.look_up_column(word, tags.reshape(-1, 1), 0, found)
        return found[:, 0]

    def look_up_column(self, word: str, tags: U64, column: int, found: Bools) -> None:
        """Look up one column of tags, shape (n, columns), and mark those that any release holds in that of `found`."""
        if word not in self._filters:
            # threads that build it at the same time build equal filters
            self._filters[word] = self._build_filter(word)
        unfiltered, bloom_filter = self._filters[word]
        sets = self._sets.get(word, [])
        for tag_set in sets[:unfiltered]:
            tag_set.look_up_column(tags, column, found)
        if bloom_filter is None:
            return
        rows = bloom_filter.candidate_rows(tags, column, found)
        if not len(rows):
            return
        candidates = tags[rows, column].reshape(-1, 1)
        hits = np.zeros(candidates.shape, bool)
        for tag_set in sets[unfiltered:]:
            tag_set.look_up_column(candidates, 0, hits)
        found[rows, column] = hits[:, 0]

    def _build_filter(self, word: str) -> tuple[int, BloomFilter | None]:
        """How many of the largest sets are looked up for every tag, and a filter over the others; None if they are few.

        Releases of all sizes keep a dozen different numbers of bits, so that without a filter every tag would be looked
        up in as many sets.
        """
        sets = self._sets.get(word, [])
        unfiltered, members = len(sets), 0
        while unfiltered and members + len(sets[unfiltered - 1]) <= MAX_MEMBERS:
            unfiltered -= 1
            members += len(sets[unfiltered])
        if len(sets) - unfiltered < _MIN_FILTERED_SETS:
            return len(sets), None
        return unfiltered, BloomFilter((tag_set.to_array() for tag_set in sets[unfiltered:]), members)


def read_segments(folder: Path, active: Mapping[str, MergeableRelease]) -> list[Segment]:
    """The segments that contain only active releases; each release is in one of them at most.

    Raises:
        StoreError: the index is damaged.
    """
    path = folder / MERGED_FOLDER / INDEX_FILE
    try:
        index = orjson.loads(read_file(path))
        found = [
            Segment(
                tuple(each["members"]),
                folder / MERGED_FOLDER / each["id"],
                int(each["records"]),
                tuple(each["words"]),
                # in an index of an earlier version all sets keep the same number of bits
                tuple(each.get("cuts", (KEPT_BITS, KEPT_BITS))),
            )
            for each in index["segments"]
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "the index of the merged releases is damaged or cannot be read",
            hint=f"delete {path.parent}: it is made again when the next release is registered",
        ) from error
    return [segment for segment in found if all(name in active for name in segment.releases)]


def write_merged_sets(folder: Path, active: Mapping[str, MergeableRelease]) -> None:
    """Merge the releases that should be merged, write the index, and delete segments that it no longer names.

    The caller must make sure that nobody else writes in the folder.
    """
    root = folder / MERGED_FOLDER
    if not active:
        shutil.rmtree(root, ignore_errors=True)
        return
    root.mkdir(mode=0o700, exist_ok=True)
    kept = read_segments(folder, active)
    covered = {name for segment in kept for name in segment.releases}
    parts = [_MergeInput(segment.releases, segment.records, segment.kept_bits, segment) for segment in kept]
    parts += [
        _MergeInput((name,), release.records, release.kept_bits)
        for name, release in active.items()
        if name not in covered
    ]
    segments = []
    for kept_bits in sorted({part.kept_bits for part in parts}):
        alike = [part for part in parts if part.kept_bits == kept_bits]
        alike.sort(key=lambda part: (part.records, part.releases))
        to_merge = _count_to_merge([part.records for part in alike])
        if to_merge > 1:
            alike = [_merge(root, alike[:to_merge], active), *alike[to_merge:]]
        segments += [part.segment for part in alike if part.segment is not None]
    index = [
        {
            "id": each.folder.name,
            "members": each.releases,
            "records": each.records,
            "words": each.words,
            "cuts": each.kept_bits,
        }
        for each in segments
    ]
    write_atomically(root / INDEX_FILE, b"", [memoryview(orjson.dumps({"segments": index}))])
    named = {segment.folder.name for segment in segments}
    for path in root.iterdir():
        if path.is_dir() and path.name not in named:
            # a process that has mapped these files keeps them until it opens the releases again
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class _MergeInput:
    """A release or an existing segment (then `segment` is given) that may be merged."""

    releases: tuple[str, ...]
    records: int
    kept_bits: tuple[int, int]
    segment: Segment | None = field(default=None)


def _count_to_merge(records: Sequence[int]) -> int:
    """How many of the smallest parts are merged; `records` are their sizes in ascending order.

    The last part that is merged is the largest one that is small, or at most twice as large as all smaller ones
    together.
    """
    count, before = 0, 0
    for number, size in enumerate(records, 1):
        if number > 1 and (2 * before >= size or size <= SMALL_SEGMENT):
            count = number
        before += size
    return count


def _merge(root: Path, parts: Sequence[_MergeInput], active: Mapping[str, MergeableRelease]) -> _MergeInput:
    releases = tuple(sorted(name for part in parts for name in part.releases))
    taken = {int(path.name) for path in root.iterdir() if path.name.isdigit()}
    final = root / str(max(taken, default=0) + 1)
    (final / "values").mkdir(mode=0o700, parents=True)
    final.chmod(0o700)
    sources = [
        part.segment.sets if part.segment is not None else _sets_by_word(active[part.releases[0]]) for part in parts
    ]
    words = sorted({word for source in sources for word in source})
    for word in words:
        EliasFanoSet.union([source[word] for source in sources if word in source]).save(final / f"{word}.tags")
    records = sum(part.records for part in parts)
    kept_bits = parts[0].kept_bits
    return _MergeInput(releases, records, kept_bits, Segment(releases, final, records, tuple(words), kept_bits))
