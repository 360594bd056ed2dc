"""Writes segments of the watch-list: sorts new entries into runs, and merges runs and older segments into one file.

All runs are sorted by tag, so they are merged one range of tags after the other, and memory does not grow with the
watch-list. Runs that are too many for memory wait in a file without a name, which vanishes with the process.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U64
from data.durable_files import sync_folder
from data.errors import StoreError
from data.hashing.tags import RECORD_KINDS
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import TagSet
from data.watchlist.manifest import WrittenSegment
from data.watchlist.segment import ENTRY_DTYPE, MAX_SHARING, PARTS, PartLayout, SegmentPart, WatchlistSegment

SEGMENT_PREFIX = "segment-"
MAX_PEOPLE = 2**32 - 1
"""How many people one segment can number."""
# A sort packs a truncated tag (44 bits) and a place (20 bits) into one number: numpy sorts numbers five times as fast
# as it sorts places by numbers.
_PLACE_BITS = 64 - KEPT_BITS
MAX_SORTED = 1 << _PLACE_BITS
# A merge reads ranges of about so many entries: fewer than `MAX_SORTED`, although ranges differ a little in size.
_RANGE_ENTRIES = 700_000
# Runs of so many entries or fewer are kept in memory (21 bytes each).
_IN_MEMORY = 2 * MAX_SORTED
_RAW = np.dtype((np.void, ENTRY_DTYPE.itemsize))
_BLOCK = 8 * 2**20


class SortedEntries(Protocol):
    """Entries that are sorted by tag."""

    def __len__(self) -> int: ...

    def borders(self, range_bits: int) -> I64:
        """See `SegmentPart.borders`."""
        ...

    def read(self, low: int, high: int) -> tuple[U64, NDArray[Any]]:
        """See `SegmentPart.read`."""
        ...


@dataclass(frozen=True, eq=False)
class Run:
    """New entries that are sorted by tag.

    Attributes:
        truncated: shape (n,), the first 44 bits of each tag.
        entries: shape (n,), of `ENTRY_DTYPE`.
    """

    truncated: U64
    entries: NDArray[Any]

    def __len__(self) -> int:
        return len(self.truncated)

    def borders(self, range_bits: int) -> I64:
        """See `SegmentPart.borders`."""
        wanted = np.arange((1 << range_bits) + 1, dtype=np.uint64) << np.uint64(KEPT_BITS - range_bits)
        return np.searchsorted(self.truncated, wanted)

    def read(self, low: int, high: int) -> tuple[U64, NDArray[Any]]:
        """See `SegmentPart.read`."""
        return self.truncated[low:high], self.entries[low:high]


@dataclass(frozen=True, eq=False)
class _Source:
    """Sorted entries with the numbers that their people get in the merged segment.

    Attributes:
        entries: of one part.
        offset: is added to each person.
        dropped: for each bundle of an older segment whether it is left out; None if none is.
        firsts: first person of each bundle, before `offset` is added.
    """

    entries: SortedEntries
    offset: int = 0
    dropped: NDArray[np.bool_] | None = None
    firsts: NDArray[Any] | None = None

    def read(self, low: int, high: int) -> tuple[U64, NDArray[Any]]:
        truncated, entries = self.entries.read(low, high)
        if self.dropped is not None and self.firsts is not None:
            keep = ~self.dropped[np.searchsorted(self.firsts, entries["person"], "right") - 1]
            truncated, entries = truncated[keep], entries[keep]
        if self.offset:
            entries = entries.copy()
            entries["person"] += np.uint32(self.offset)
        return truncated, entries

    def count(self) -> int:
        if self.dropped is None:
            return len(self.entries)
        step = MAX_SORTED
        return sum(len(self.read(at, min(at + step, len(self.entries)))[0]) for at in range(0, len(self.entries), step))


def sort_entries(truncated: U64, entries: NDArray[Any]) -> tuple[U64, NDArray[Any]]:
    """Entries of any order, sorted by tag; shape (n,) both."""
    if len(truncated) <= MAX_SORTED:
        both = np.sort(truncated << np.uint64(_PLACE_BITS) | np.arange(len(truncated), dtype=np.uint64))
        order = (both & np.uint64(MAX_SORTED - 1)).astype(np.int64)
        return both >> np.uint64(_PLACE_BITS), entries.view(_RAW)[order].view(ENTRY_DTYPE)
    order = np.argsort(truncated, kind="stable")
    return truncated[order], entries.view(_RAW)[order].view(ENTRY_DTYPE)


@dataclass
class NewEntries:
    """Collects the entries of new bundles as sorted runs.

    Attributes:
        numbers, firsts: the bundles so far, as in `WatchlistSegment`.
        people: how many people they have.
    """

    folder: Path
    numbers: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    people: int = 0
    tags: int = 0
    _runs: tuple[list[Run], list[Run]] = field(default_factory=lambda: ([], []))
    _waiting: list[tuple[U64, NDArray[Any]]] = field(default_factory=list)
    _waiting_count: int = 0
    _spill: IO[bytes] | None = None

    def add_bundle(
        self, number: int, canaries: int, tags: U64, digests: U64, persons: NDArray[Any], kinds: Any
    ) -> None:
        """Add a bundle.

        Args:
            number: of the bundle on the watch-list.
            canaries: how many it has.
            tags: shape (n,).
            digests: shape (n,), the first eight bytes of each confirm digest.
            persons: shape (n,), number of the canary within the bundle.
            kinds: shape (n,).

        Raises:
            StoreError: one segment cannot number so many people.
        """
        if self.people + canaries > MAX_PEOPLE:
            raise StoreError(
                f"one import adds at most {MAX_PEOPLE:,} canaries", hint="import the bundles in several steps"
            )
        self.numbers.append(number)
        self.firsts.append(self.people)
        entries = np.empty(len(tags), ENTRY_DTYPE)
        entries["digest"], entries["person"], entries["kind"] = digests, persons, kinds
        entries["person"] += np.uint32(self.people)
        self.people += canaries
        self.tags += len(tags)
        truncated = tags >> np.uint64(64 - KEPT_BITS)
        for at in range(0, len(tags), MAX_SORTED):
            piece = truncated[at : at + MAX_SORTED], entries[at : at + MAX_SORTED]
            if self._waiting_count + len(piece[0]) > MAX_SORTED:
                self._sort_waiting()
            self._waiting.append(piece)
            self._waiting_count += len(piece[0])

    def _sort_waiting(self) -> None:
        """Make sorted runs of the entries that wait."""
        if not self._waiting_count:
            return
        truncated = np.concatenate([piece[0] for piece in self._waiting])
        entries = np.concatenate([piece[1] for piece in self._waiting])
        self._waiting, self._waiting_count = [], 0
        is_record = entries["kind"] >= int(RECORD_KINDS[0])
        for runs, chosen in zip(self._runs, (~is_record, is_record), strict=True):
            if chosen.any():
                runs.append(self._keep(*sort_entries(truncated[chosen], entries[chosen])))

    def _keep(self, truncated: U64, entries: NDArray[Any]) -> Run:
        if self.tags <= _IN_MEMORY:
            return Run(truncated, entries)
        if self._spill is None:
            self._spill = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - lives as long as this object
        at = self._spill.seek(0, os.SEEK_END)
        self._spill.write(truncated.data)
        self._spill.write(entries.view(np.uint8).data)
        self._spill.flush()
        return Run(
            np.memmap(self._spill, np.uint64, "r", at, truncated.shape),
            np.memmap(self._spill, ENTRY_DTYPE, "r", at + truncated.nbytes, entries.shape),
        )

    def runs(self) -> tuple[list[Run], list[Run]]:
        """The runs of values and those of record keys."""
        self._sort_waiting()
        return self._runs

    def in_memory(self, retired: frozenset[int] = frozenset()) -> WatchlistSegment:
        """All that was added, as a segment in memory."""
        parts = []
        for runs in self.runs():
            truncated = np.concatenate([run.truncated for run in runs] or [np.zeros(0, np.uint64)])
            entries = np.concatenate([run.entries for run in runs] or [np.zeros(0, ENTRY_DTYPE)])
            parts.append(SegmentPart.of_sorted(*sort_entries(truncated, entries)))
        return WatchlistSegment((parts[0], parts[1]), self.numbers, self.firsts, retired)

    def close(self) -> None:
        """Delete the file in which runs wait."""
        if self._spill is not None:
            self._spill.close()


def write_segment(
    folder: Path,
    new: NewEntries,
    older: Sequence[tuple[WatchlistSegment, int]] = (),
    retired: frozenset[int] = frozenset(),
) -> WrittenSegment:
    """Merge new entries and older segments into a new segment; an error leaves no file behind.

    Args:
        folder: the `watchlist` folder of a home.
        new: may be empty.
        older: segments, each with the number of people that it numbers.
        retired: numbers of bundles whose entries are left out.

    Raises:
        OSError: the files cannot be written.
    """
    sources: tuple[list[_Source], list[_Source]] = ([], [])
    numbers, firsts, offset = list(new.numbers), list(new.firsts), new.people
    for place, runs in enumerate(new.runs()):
        sources[place].extend(_Source(run) for run in runs)
    for segment, people in older:
        if offset + people > MAX_PEOPLE:
            raise StoreError("the watch-list has too many canaries for one segment", hint="report this")
        dropped = np.isin(segment.numbers, list(retired))
        for place, part in enumerate(segment.parts):
            sources[place].append(_Source(part, offset, dropped if dropped.any() else None, segment.firsts))
        for number, first, gone in zip(
            segment.numbers.tolist(), segment.firsts.tolist(), dropped.tolist(), strict=True
        ):
            if not gone:
                numbers.append(number)
                firsts.append(first + offset)
        offset += people
    name = f"{SEGMENT_PREFIX}{secrets.token_hex(6)}"
    path = folder / name
    try:
        path.mkdir(mode=0o700)
        written = [_write_part(path / f"{part}.part", sources[place]) for place, part in enumerate(PARTS)]
        sync_folder(path)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    counts, shared, digests = zip(*written, strict=True)
    return WrittenSegment(name, sum(counts), offset, tuple(numbers), tuple(firsts), digests, sum(shared))


def _write_part(path: Path, sources: Sequence[_Source]) -> tuple[int, int, str]:
    """Write the file of one part; returns the number of its entries, of its shared tags, and its SHA-256."""
    layout = PartLayout.of(sum(source.count() for source in sources))
    range_bits = min(TagSet.MAX_BUCKET_BITS, max(0, (layout.count // _RANGE_ENTRIES).bit_length()))
    counts = np.zeros(1 << layout.bits, np.int64)
    suffixes = np.empty(layout.width * layout.count, np.uint8)
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:  # noqa: PTH123 - its mode
        file.seek(layout.entries)
        done = shared = 0
        for truncated, entries in _merged_ranges(sources, range_bits):
            buckets = (truncated >> np.uint64(KEPT_BITS - layout.bits)).astype(np.int64)
            if len(buckets):
                found = np.bincount(buckets - buckets[0])
                counts[buckets[0] : buckets[0] + len(found)] += found
            whole = truncated.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - layout.width :]
            suffixes[layout.width * done : layout.width * (done + len(truncated))] = whole.reshape(-1)
            file.write(entries.view(np.uint8).data)
            done += len(truncated)
            # in order, so that a tag that stands so many places further on has more entries; ranges divide no tag
            beyond = truncated[MAX_SHARING:][truncated[MAX_SHARING:] == truncated[:-MAX_SHARING]]
            shared += min(1, len(beyond)) + int((beyond[1:] != beyond[:-1]).sum())
        starts = np.zeros((1 << layout.bits) + 1, np.uint32)
        starts[1:] = np.cumsum(counts)
        tags = TagSet(layout.bits, starts, suffixes)
        file.seek(layout.filter)
        file.write(tags.make_bloom_filter().data)
        file.seek(0)
        file.write(layout.header())
        file.write(starts.data)
        file.write(suffixes.data)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
    return layout.count, shared, digest.hexdigest()


def _merged_ranges(sources: Sequence[_Source], range_bits: int) -> Iterator[tuple[U64, NDArray[Any]]]:
    """The merged entries of all sources, one range of tags after the other."""
    borders = [source.entries.borders(range_bits) for source in sources]
    for number in range(1 << range_bits):
        pieces = [
            source.read(int(border[number]), int(border[number + 1]))
            for source, border in zip(sources, borders, strict=True)
            if border[number] < border[number + 1]
        ]
        if len(pieces) == 1:
            yield pieces[0]
        elif pieces:
            yield sort_entries(
                np.concatenate([truncated for truncated, _ in pieces]), np.concatenate([rest for _, rest in pieces])
            )


def remove_other_segments(folder: Path, kept: Iterable[str]) -> None:
    """Delete the folders of segments and generations that the manifest does not name (any more).

    A process that has mapped their files keeps them until it opens the watch-list again.
    """
    names = set(kept)
    for path in folder.iterdir():
        if path.is_dir() and path.name.startswith((SEGMENT_PREFIX, "generation-")) and path.name not in names:
            shutil.rmtree(path, ignore_errors=True)
