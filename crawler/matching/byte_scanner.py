"""The format-blind pass over raw bytes: which values of the watch-list they hold; confirming them is the caller's part.

The compiled loops are `scan_kernels.py` (finding), `scan_fold.py` (to ASCII) and `scan_views.py` (escapes, UTF-16).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crawler.matching import char_classes, decode_mail, decode_views, fold_bytes, number_kernels, scan_kernels
from data.arrays.array_types import I64, U8, U64
from data.arrays.raw_memory import SLACK
from data.errors import InputError
from data.hashing.hash_kernels import candidate_tags, lane_buffer
from data.hashing.tags import Kind
from data.tagsets.tagset import distinct

# Blocks begin at multiples of this; small enough that the block and its views stay in a core's own cache.
BLOCK = 256 * 1024
# What is looked at on both sides of a block: the longest candidate, each of its characters escaped twice over.
AROUND = 4096
# Readings of readings: UTF-16 in base64, unescaped twice, without markup.
_DEPTH = 4
_ALL = scan_kernels.NUL | scan_kernels.EQUALS | scan_kernels.LONG | scan_kernels.ESCAPE | scan_kernels.MARKUP
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

    @property
    def address(self) -> int:
        """Where the text begins in memory."""
        return _address(self.text)

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
        self.addresses = _address(self.arena), _ARENA, _address(self.metas), _TAGS
        self.lanes = lane_buffer()
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

    def __init__(self, probe_key: bytes, watch: WatchProbe, *, collect: bool = False, tokens: bool = True) -> None:
        """For one sample.

        Args:
            probe_key: 16 bytes.
            watch: what candidates are looked up in.
            collect: keep all values for `values`.
            tokens: look for planted strings too, which every long word might be: half of all work.
        """
        if len(probe_key) != 16:
            raise InputError("a probe key has 16 bytes")
        k0, k1 = np.frombuffer(probe_key, "<u8")
        self._keys = np.uint64(k0), np.uint64(k1)
        self._watch = watch
        self._tokens = tokens
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
        return {Kind(kind): distinct(np.concatenate(parts)) for kind, parts in sorted(self._collected.items())}

    def _reserve(self, size: int) -> None:
        if size + SLACK > len(self._pending):
            grown = np.zeros(min(max(2 * size, 4096), BLOCK + 2 * AROUND) + SLACK, np.uint8)
            grown[: self._size] = self._pending[: self._size]
            self._pending = grown

    def _block(self, high: int) -> list[Candidate]:
        """Everything that begins in the pending bytes from `_behind` to `high`, in every reading of them."""
        found: dict[tuple[int, bytes, int], Candidate] = {}
        view = _View(self._pending, self._size, self._behind, high)
        if scan_kernels.is_noise(view.address, view.size):
            # a compressed file would else be read eight times over, and no reading of noise says anything
            self._look(view, found)
        else:
            self._explore(view, _ALL, 0, found)
        return sorted(found.values(), key=lambda candidate: candidate.offset)

    def _explore(self, view: _View, allowed: int, depth: int, found: dict[tuple[int, bytes, int], Candidate]) -> None:
        """Look at a view, then at the readings that it shows signs of, each with fewer further ones `allowed`."""
        seen = self._look(_folded(view), found) & allowed
        if seen & scan_kernels.NUL and (wide := _read(decode_views.utf16, view, depth)):
            self._explore(wide, allowed & ~scan_kernels.NUL, depth + 1, found)
        if seen & scan_kernels.EQUALS and (mail := _read(decode_mail.quoted_printable, view, depth)):
            self._explore(mail, scan_kernels.ESCAPE | scan_kernels.MARKUP, depth + 1, found)
        if seen & scan_kernels.LONG:
            # in the middle of a sample the run may have begun before the view
            for phase in range(4 if view.low else 1):
                if packed := _read(decode_mail.base64, view, depth, phase):
                    self._explore(packed, allowed & ~scan_kernels.LONG & ~scan_kernels.EQUALS, depth + 1, found)
        if seen & scan_kernels.ESCAPE and (plain := _read(decode_views.escapes, view, depth, _ENTITIES)):
            again = scan_kernels.ESCAPE if depth + 1 < _DEPTH else 0
            self._explore(plain, again | scan_kernels.MARKUP, depth + 1, found)
        elif seen & scan_kernels.MARKUP and (bare := _read(decode_views.markup, view, depth, _INLINE)):
            self._explore(bare, 0, depth + 1, found)

    def _look(self, text: _View, found: dict[tuple[int, bytes, int], Candidate]) -> int:
        """Add the candidates of one view in its ASCII reading; gives back what it shows signs of."""
        room = _room()
        seen = scan_kernels.signs(text.address, 0, text.low) | scan_kernels.signs(text.address, text.high, text.size)
        at = text.low
        while at < text.high:
            at, count, noted = scan_kernels.scan(
                text.address, text.size, at, text.high, self._tokens, *_TABLES, *room.addresses
            )
            candidate_tags(*self._keys, room.addresses[0], room.metas, room.tags, count, room.lanes)
            seen |= noted
            tags = room.tags[:count]
            if self._collect:
                self._keep(tags, room.metas[:count])
            for index in np.flatnonzero(self._watch.lookup(tags)).tolist():
                meta = int(room.metas[index])
                start, length = meta >> 24 & 0xFFFFFF, meta >> 48 & 0xFF
                kind, value = Kind(meta >> 56 & 127), room.arena[start : start + length].tobytes()
                offset = self._offset + text.origin(meta & 0xFFFFFF)
                found.setdefault((kind, value, offset), Candidate(kind, int(tags[index]), value, offset))
        return seen

    def _keep(self, tags: U64, metas: I64) -> None:
        kinds = metas >> 56
        for kind in (Kind.EMAIL, Kind.PHONE, Kind.NIR, Kind.IBAN, Kind.PROFESSIONAL):
            chosen = tags[kinds == kind]
            if len(chosen):
                parts = self._collected.setdefault(int(kind), [])
                parts.append(chosen)
                if len(parts) > 1 and sum(map(len, parts[1:])) > max(_COLLECTED, len(parts[0])):
                    self._collected[int(kind)] = [distinct(np.concatenate(parts))]


def _read(loop: Callable[..., tuple[int, int, int, int, int]], source: _View, depth: int, *more: int) -> _View | None:
    """Another reading of a view, or None where it says nothing new."""
    room = _room().layer(depth + 1, source.size)
    size, marks, low, high, changed = loop(
        source.address, source.size, source.low, source.high, *(_address(part) for part in room), *more
    )
    return _View(room[0], size, low, high, room[1][:marks], room[2][:marks], source) if changed else None


def _folded(source: _View) -> _View:
    room = _room().layer(0, source.size)
    size, marks, low, high = fold_bytes.fold_bytes(
        source.address,
        source.size,
        source.low,
        source.high,
        _address(room[0]),
        _address(room[1]),
        _address(room[2]),
        _address(fold_bytes.fold_table()),
        _address(fold_bytes.CP1252),
    )
    return _View(room[0], size, low, high, room[1][:marks], room[2][:marks], source)


def _address(array: NDArray[Any]) -> int:
    return int(array.ctypes.data)


_TABLES = _address(char_classes.CLASSES), _address(number_kernels.IBAN_LENGTHS)
_ENTITIES, _INLINE = _address(decode_views.ENTITIES), _address(decode_views.INLINE)
