"""The watch-list: all tags of all clients, memory-mapped, with the confirm digest that makes a hit certain.

`data.watchlist` has its format: segments that grow as in a log-structured merge tree, so that importing a bundle costs
about what the bundle brings, and a manifest that names them. `data.case.watchlist_import` adds and retires bundles.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U64, Bools
from data.arrays.packed import read_only
from data.errors import StoreError
from data.hashing.tags import Kind
from data.model import Client
from data.tagsets.verified_files import verify_changed_files
from data.watchlist.generation import read_generation
from data.watchlist.manifest import RESTORE_HINT, Manifest, WrittenSegment, read_manifest
from data.watchlist.segment import MAX_SHARING, PARTS, SegmentPart, WatchlistSegment, damaged_error
from data.watchlist.segment_writer import NewEntries

ENTRY_DTYPE = np.dtype(
    [("tags", "<u8"), ("digests", "u1", 16), ("canaries", "<u4"), ("owners", "<u4"), ("kinds", "u1")]
)
"""One entry of a list in memory: a tag, its confirm digest, its canary (number of the bundle, number within it), its
kind."""
_OPENING_ATTEMPTS = 5


class TagMembers(Protocol):
    """A set of tags."""

    def lookup(self, tags: U64) -> Bools:
        """Which tags, shape (n,), are members."""
        ...


class _Union:
    """The tags of several segments, the largest of which is looked up first."""

    def __init__(self, sets: Sequence[TagMembers]) -> None:
        self._sets = sets

    def lookup(self, tags: U64) -> Bools:
        """Which tags, shape (n,), any segment has; a foreign tag counts as a member with probability len / 2**44."""
        found = np.zeros(len(tags), np.bool_)
        for tag_set in self._sets:
            found |= tag_set.lookup(tags)
        return found


class Watchlist:
    """The watch-list as it was when it was opened. A look-up reads only the pages that it needs."""

    def __init__(self, manifest: Manifest, segments: Sequence[WatchlistSegment], folder: Path | None = None) -> None:
        """For `open` and `in_memory`; `segments` are those that the manifest names, `folder` is where it lies."""
        self._manifest, self._folder = manifest, folder
        self._segments = sorted(segments, key=len, reverse=True)
        self.probe_values = _look_up_all([segment.values for segment in self._segments])
        """The tags of values."""
        self.probe_records = _look_up_all([segment.records for segment in self._segments])
        """The tags of record keys."""

    @classmethod
    def open(cls, folder: Path, *, case: str) -> Self:
        """Open the watch-list of a home; it is empty if nothing was imported.

        All bytes of a list of up to 128 MiB are verified, and of a larger one those of files that have changed since
        they were verified.

        Raises:
            ConfigError: the list belongs to another case or another version of the normaliser.
            StoreError: the list is damaged.
        """
        for _ in range(_OPENING_ATTEMPTS):
            manifest = read_manifest(folder, case)
            try:
                return cls(manifest, open_segments(folder, manifest), folder)
            except FileNotFoundError as error:
                # an import that ended meanwhile has deleted the segments of the manifest that was just read
                if read_manifest(folder, case).checksum == manifest.checksum:
                    raise damaged_error(Path(str(error.filename)), "the file is missing") from error
        raise StoreError("the watch-list changes all the time", hint="try again when no import is running")

    @classmethod
    def in_memory(cls, records: NDArray[Any], client: str) -> Self:
        """A watch-list of one client that is held in memory only.

        Args:
            records: of dtype `ENTRY_DTYPE`, with 0 for all `owners`.
            client: id of the client.
        """
        manifest = Manifest("", [_bundle_in_memory(records, client)])
        return cls(manifest, [_segment_in_memory(records, 0)])

    def with_client(self, records: NDArray[Any], client: str) -> Watchlist:
        """This list with a further client, which is held in memory only; the arguments are those of `in_memory`."""
        bundles = [*self._manifest.bundles, _bundle_in_memory(records, client)]
        manifest = Manifest(self._manifest.case, bundles)
        return Watchlist(manifest, [*self._segments, _segment_in_memory(records, len(bundles) - 1)])

    def verify(self) -> None:
        """Read all files whole, those that are mapped and those that the next opening would use.

        Raises:
            ConfigError: the files belong to another case now.
            StoreError: bytes differ from their checksums, or files or bundles are lost.
        """
        if self._folder is None:
            return
        for _ in range(_OPENING_ATTEMPTS):
            manifest = read_manifest(self._folder, self._manifest.case)
            if len(manifest.bundles) < len(self._manifest.bundles):
                raise StoreError(
                    f"the watch-list has {len(manifest.bundles)} bundles now, instead of {len(self._manifest.bundles)}",
                    hint=RESTORE_HINT,
                )
            try:
                open_segments(self._folder, manifest, verify_all=True)
                break
            except FileNotFoundError as error:
                # an import that ended meanwhile has deleted the segments of the manifest that was just read
                if read_manifest(self._folder).checksum == manifest.checksum:
                    raise damaged_error(Path(str(error.filename)), "the file is missing") from error
        if manifest.checksum != self._manifest.checksum:
            for segment in self._segments:
                segment.verify()

    def count_unreachable(self, sample_size: int) -> int:
        """How many of about `sample_size` evenly drawn entries their own tag does not find; 0 in an intact list."""
        lost = 0
        total = sum(map(len, self._segments))
        for segment in self._segments:
            for part, probe in zip(segment.parts, (self.probe_values, self.probe_records), strict=True):
                if not len(part):
                    continue
                size = min(len(part), max(1, round(sample_size * len(part) / total)))
                lost += self._count_unreachable(segment, part, probe, size)
        return lost

    def _count_unreachable(
        self, segment: WatchlistSegment, part: SegmentPart, probe: TagMembers, sample_size: int
    ) -> int:
        drawn = np.linspace(0, len(part) - 1, sample_size).astype(np.int64)
        entries = part.people_and_kinds[drawn]
        bundles = np.searchsorted(segment.firsts, entries["person"], "right") - 1
        active = segment.active[bundles] != 0
        drawn, entries = drawn[active], entries[active]
        tags = part.tags.members_at(drawn) << np.uint64(20) | np.uint64(1)
        seen = probe.lookup(tags)
        digests = np.zeros((len(tags), 16), np.uint8)
        digests[:, :8] = np.ascontiguousarray(entries["digest"]).view(np.uint8).reshape(-1, 8)
        found, _ = self.resolve(tags, digests, np.ascontiguousarray(entries["kind"]), len(self))
        seen[np.setdiff1d(np.arange(len(tags)), found)] = False
        return int((~seen).sum())

    def __len__(self) -> int:
        """Number of tags of active canaries."""
        return sum(int(bundle.get("tags", 0)) for bundle in self._manifest.bundles if not bundle["retired"])

    @property
    def checksum(self) -> str:
        """The checksum of the manifest; it changes with every import and retirement. '' for an empty list."""
        return self._manifest.checksum

    @property
    def has_checksums(self) -> bool:
        """Whether damage of any byte can be noticed: not in a list of an earlier version, which has no checksums."""
        return not self._manifest.generation

    def count_shared(self) -> int:
        """How many entries of active canaries are of values that recognise nobody; reads the whole list."""
        return sum(segment.count_shared() for segment in self._segments)

    def resolve(
        self, tags: U64, digests: U8, kinds: U8, most: int = MAX_SHARING, passed_over: Bools | None = None
    ) -> tuple[I64, U64]:
        """The entries whose tag, kind and confirm digest equal those of n values.

        Of a tag its first 44 bits are compared, and of a digest its first eight bytes. A value that more than `most`
        canaries of a segment have is no evidence for any of them, and has no entry.

        Args:
            tags: shape (n,).
            digests: shape (n, 16), or (n, 8) for their first eight bytes alone.
            kinds: shape (n,).
            most: how many canaries may share a value.
            passed_over: shape (n,), gets True for each value that more canaries have; None if nobody asks.

        Returns:
            For each such entry the index of the value, ascending, and its canary (bundle number << 32 | number of the
            canary); both of shape (m,).
        """
        beginnings = read_only(np.ascontiguousarray(digests[:, :8]).view("<u8").reshape(-1), np.uint64)
        tags, kinds = read_only(tags, np.uint64), read_only(kinds, np.uint8)
        told = np.zeros(len(tags), np.bool_) if passed_over is None else passed_over
        found = [
            pair
            for segment in self._segments
            for pair in segment.resolve(tags, beginnings, kinds, most, told)
            if len(pair[0])
        ]
        if len(found) == 1:
            return found[0]
        values = np.concatenate([np.zeros(0, np.int64), *(pair[0] for pair in found)])
        codes = np.concatenate([np.zeros(0, np.uint64), *(pair[1] for pair in found)])
        order = np.argsort(values, kind="stable")
        return values[order], codes[order]

    def client_of(self, bundle: int) -> str:
        """The id of the client that a bundle, given by its number, belongs to."""
        return str(self._manifest.bundles[bundle]["client"])

    def bundle_of(self, bundle: int) -> str:
        """The id of a bundle, given by its number."""
        return str(self._manifest.bundles[bundle]["id"])

    @cached_property
    def has_tokens(self) -> bool:
        """Whether any active canary is a planted string."""
        return any(bundle["kinds"].get(Kind.TOKEN.word) for bundle in self._manifest.bundles if not bundle["retired"])

    def clients(self) -> list[Client]:
        """All clients in the order of their ids, each with its numbers of active and retired canaries."""
        return clients_of(self._manifest.bundles)

    def bundles(self) -> list[dict[str, Any]]:
        """The manifest entries of all imported bundles, oldest first."""
        return [dict(bundle) for bundle in self._manifest.bundles]


def clients_of(bundles: Sequence[dict[str, Any]]) -> list[Client]:
    """The clients of some bundles in the order of their ids, each with its numbers of active and retired canaries."""
    found: dict[str, Client] = {}
    for bundle in bundles:
        old = found.get(bundle["client"], Client(bundle["client"], bundle["name"]))
        active, retired = (0, bundle["canaries"]) if bundle["retired"] else (bundle["canaries"], 0)
        found[old.id] = Client(old.id, bundle["name"] or old.name, old.active + active, old.retired + retired)
    return [found[client] for client in sorted(found)]


def open_segments(folder: Path, manifest: Manifest, *, verify_all: bool = False) -> list[WatchlistSegment]:
    """Open and verify the segments that a manifest names.

    Args:
        folder: the `watchlist` folder of a home.
        manifest: as `read_manifest` returned it.
        verify_all: verify files although they were verified and have not changed since.

    Raises:
        FileNotFoundError: a file is missing.
        StoreError: a file is damaged.
    """
    if manifest.generation:
        return [read_generation(folder / manifest.generation, manifest)]
    segments = [_open_segment(folder, each, manifest.retired) for each in manifest.segments]
    checks = {
        folder / segment.id / f"{name}.part": partial(part.verify, digest)
        for segment in segments
        for name, part, digest in zip(PARTS, segment.parts, segment.digests, strict=True)
    }
    if verify_all:
        with ThreadPoolExecutor(2) as threads:
            for done in [threads.submit(check) for check in checks.values()]:
                done.result()
    else:
        verify_changed_files(folder, checks)
    return segments


def _open_segment(folder: Path, each: WrittenSegment, retired: frozenset[int]) -> WatchlistSegment:
    parts = [SegmentPart.open(folder / each.id / f"{name}.part") for name in PARTS]
    if sum(map(len, parts)) != each.tags:
        raise damaged_error(folder / each.id / PARTS[0], "it does not have the number of tags that the manifest names")
    return WatchlistSegment((parts[0], parts[1]), each.numbers, each.firsts, retired, each.id, each.digests)


def _look_up_all(parts: Sequence[SegmentPart]) -> TagMembers:
    sets = [part.tags for part in parts if len(part)]
    return sets[0] if len(sets) == 1 else _Union(sets)


def _bundle_in_memory(records: NDArray[Any], client: str) -> dict[str, Any]:
    return {
        "id": client, "client": client, "name": client, "canaries": len(np.unique(records["canaries"])),
        "tags": len(records), "kinds": {Kind(kind).word: 1 for kind in set(records["kinds"].tolist())}, "retired": None,
    }  # fmt: skip


def _segment_in_memory(records: NDArray[Any], number: int) -> WatchlistSegment:
    new = NewEntries(Path())
    digests = np.ascontiguousarray(records["digests"][:, :8]).view("<u8").reshape(-1)
    canaries = int(records["canaries"].max(initial=0)) + 1
    new.add_bundle(number, canaries, records["tags"], digests, records["canaries"], records["kinds"])
    return new.in_memory()
