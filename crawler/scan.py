"""The format-blind pass over raw bytes: finds values of the watch-list in whatever clothes; confirming is the caller's part.

The compiled loops are `scan_kernels.py` (finding) and `scan_views.py` (other readings of the same bytes).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crawler import scan_kernels, scan_views
from crawler.scan_kernels import CLASSES, CP1252, IBAN_LENGTHS, SLACK, fold_table
from data.errors import InputError
from data.tags import Kind

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

# Blocks begin at multiples of this; small enough that the block and its views stay in a core's own cache.
BLOCK = 256 * 1024
# What is looked at on both sides of a block: the longest candidate, each of its characters escaped twice over.
AROUND = 4096
_ROUNDS = 3
_TAGS = 8192
_ARENA = 512 * 1024
# Collected tags are sorted and made distinct whenever this many have come together.
_COLLECTED = 4 * 1024 * 1024


class WatchProbe(Protocol):
    """What the scanner asks of a watch-list: which of these probe tags are on it."""

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """True per tag that is on the list."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value of the sample whose probe tag is on the watch-list; a hit only once its confirm digest agrees.

    Attributes:
        kind: which normal form `value` is. tag: its probe tag. value: the normal form.
        offset: where the value begins in the sample's bytes, from 0.
    """

    kind: Kind
    tag: int
    value: bytes = field(repr=False)
    offset: int


@dataclass(frozen=True, slots=True)
class _View:
    """Bytes to be scanned, low and high within them, and how places lead back to the view they were made from."""

    text: U8
    size: int
    low: int
    high: int
    marks_out: I64 | None = None
    marks_in: I64 | None = None
    parent: _View | None = None

    def origin(self, place: int) -> int:
        """The place in the raw bytes that a place of this view was read from."""
        view: _View | None = self
        while view is not None:
            if view.marks_out is not None and view.marks_in is not None:
                mark = int(np.searchsorted(view.marks_out, place, side="right")) - 1
                if mark >= 0:
                    place += int(view.marks_in[mark] - view.marks_out[mark])
            view = view.parent
        return place


class _Room:
    """Memory that one block needs while it is worked on; one per thread, grown to the largest block so far."""

    def __init__(self) -> None:
        self.size = 0
        self.tags = np.empty(_TAGS, np.uint64)
        self.metas = np.empty(_TAGS, np.int64)
        self.arena = np.empty(_ARENA, np.uint8)
        self.layers: list[tuple[U8, I64, I64]] = []

    def layer(self, depth: int, size: int) -> tuple[U8, I64, I64]:
        """Room for a view of `size` source bytes; `depth` counts the views that are in use at once."""
        if size > self.size:
            self.size, self.layers = max(size, 4096), []
        while len(self.layers) <= depth:
            # one byte of cp1252 folds to at most three, and so does a symbol
            self.layers.append(
                (
                    np.empty(3 * self.size + SLACK, np.uint8),
                    np.empty(self.size + 1, np.int64),
                    np.empty(self.size + 1, np.int64),
                )
            )
        return self.layers[depth]


_rooms = threading.local()


def _room() -> _Room:
    if not hasattr(_rooms, "room"):
        _rooms.room = _Room()
    room: _Room = _rooms.room
    return room


class ByteScanner:
    """One pass over the bytes of one sample; cheap to make, bounded in memory, indifferent to how chunks are cut."""

    def __init__(self, probe_key: bytes, watch: WatchProbe, *, collect: bool = False) -> None:
        if len(probe_key) != 16:
            raise InputError("a probe key has 16 bytes")
        k0, k1 = np.frombuffer(probe_key, "<u8")
        self._keys = np.uint64(k0), np.uint64(k1)
        self._watch = watch
        self._collect = collect
        self._collected: dict[int, list[U64]] = {}
        self._pending = np.empty(SLACK, np.uint8)
        self._size = 0
        # bytes of `_pending` that are there only to be looked back at, and the offset of the first of all
        self._behind = 0
        self._offset = 0

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Candidate]:
        """Take the next bytes; candidates come once enough of what follows them is known."""
        data = np.frombuffer(chunk, np.uint8) if len(chunk) else np.empty(0, np.uint8)
        found: list[Candidate] = []
        at = 0
        while at < len(data):
            take = min(len(data) - at, self._behind + BLOCK + AROUND - self._size)
            self._reserve(self._size + take)
            self._pending[self._size : self._size + take] = data[at : at + take]
            self._size += take
            at += take
            if self._size == self._behind + BLOCK + AROUND:
                found += self._block(self._behind + BLOCK)
                keep = self._behind + BLOCK - AROUND
                self._pending[: self._size - keep] = self._pending[keep : self._size].copy()
                self._size -= keep
                self._offset += keep
                self._behind = AROUND
        return found

    def finish(self) -> list[Candidate]:
        """The candidates of what was still held back; the scanner is then done."""
        found = self._block(self._size) if self._size > self._behind else []
        self._behind = self._size
        return found

    def values(self) -> dict[Kind, U64]:
        """Sorted distinct tags of all values found, per kind (`collect` only).

        Left out are tokens, for every long word is one, and readings that a number only might have.
        """
        return {Kind(kind): _distinct(parts) for kind, parts in sorted(self._collected.items())}

    def _reserve(self, size: int) -> None:
        if size + SLACK > len(self._pending):
            grown = np.zeros(min(max(2 * size, 4096), BLOCK + 2 * AROUND) + SLACK, np.uint8)
            grown[: self._size] = self._pending[: self._size]
            self._pending = grown

    def _block(self, high: int) -> list[Candidate]:
        """Everything that begins in the pending bytes from `_behind` to `high`, in every view."""
        found: dict[tuple[int, bytes, int], Candidate] = {}
        raw = _View(self._pending, self._size, self._behind, high)
        for view in _views(raw, _room()):
            for candidate in self._scan(view):
                found.setdefault((candidate.kind, candidate.value, candidate.offset), candidate)
        return sorted(found.values(), key=lambda candidate: candidate.offset)

    def _scan(self, view: _View) -> Iterator[Candidate]:
        room = _room()
        at = view.low
        while at < view.high:
            at, count = scan_kernels.scan(
                view.text, view.size, at, view.high, CLASSES, IBAN_LENGTHS, *self._keys, room.arena, room.tags, room.metas
            )
            tags = room.tags[:count]
            if self._collect:
                self._keep(tags, room.metas[:count])
            for index in np.flatnonzero(self._watch.lookup(tags)).tolist():
                meta = int(room.metas[index])
                start, length = meta >> 24 & 0xFFFFFF, meta >> 48 & 0xFF
                yield Candidate(
                    Kind(meta >> 56 & 127),
                    int(tags[index]),
                    room.arena[start : start + length].tobytes(),
                    self._offset + view.origin(meta & 0xFFFFFF),
                )

    def _keep(self, tags: U64, metas: I64) -> None:
        kinds = metas >> 56
        for kind in (Kind.EMAIL, Kind.PHONE, Kind.NIR, Kind.IBAN, Kind.PROFESSIONAL):
            chosen = tags[kinds == kind]
            if len(chosen):
                parts = self._collected.setdefault(int(kind), [])
                parts.append(chosen)
                if len(parts) > 1 and sum(map(len, parts[1:])) > max(_COLLECTED, len(parts[0])):
                    self._collected[int(kind)] = [_distinct(parts)]


def _distinct(parts: list[U64]) -> U64:
    # numpy.unique hashes since 2.3 and is 20 times slower than a sort on random 64-bit integers
    ordered = np.sort(np.concatenate(parts))
    keep = np.ones(len(ordered), bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return ordered[keep]


def _views(raw: _View, room: _Room) -> Iterator[_View]:
    """The folded text of every reading of the raw bytes; each is used up before the next is made."""
    seen = scan_kernels.look_over(raw.text, raw.size)
    yield _folded(raw, room, 0) if seen & 1 else raw
    bases = [raw]
    if seen & 2:
        wide = _read(scan_views.utf16, raw, room, 1)
        if wide is not None:
            bases.append(wide)
            yield _folded(wide, room, 0)
    for base in bases:
        if not seen & 4:
            continue
        view: _View | None = base
        for depth in range(_ROUNDS):
            assert view is not None  # noqa: S101 - the loop ends where it is
            view = _read(scan_views.escapes, view, room, 2 + depth, scan_views.ENTITIES)
            if view is None:
                break
            yield _folded(view, room, 0)


def _read(loop: Any, source: _View, room: _Room, depth: int, *tables: Any) -> _View | None:
    """Another reading of a view, or None where it says nothing new."""
    out, marks_out, marks_in = room.layer(depth, source.size)
    size, marks, low, high, changed = loop(
        source.text, source.size, source.low, source.high, *tables, out, marks_out, marks_in
    )
    return _View(out, size, low, high, marks_out[:marks], marks_in[:marks], source) if changed else None


def _folded(source: _View, room: _Room, depth: int) -> _View:
    out, marks_out, marks_in = room.layer(depth, source.size)
    size, marks, low, high = scan_kernels.fold_bytes(
        source.text, source.size, source.low, source.high, fold_table(), CP1252, out, marks_out, marks_in
    )
    return _View(out, size, low, high, marks_out[:marks], marks_in[:marks], source)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    raise NotImplementedError


def is_compiled() -> bool:
    """True if `warm_up` would find compiled kernels and take well under a second."""
    raise NotImplementedError
