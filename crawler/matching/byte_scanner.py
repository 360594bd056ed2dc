"""Scans raw bytes of any format for values of the watch-list; the caller confirms the candidates.

The compiled loops are `scan_kernels` and `number_kernels` (find values), `fold_bytes` (to ASCII) and the `decode_…`
modules (other readings of the same bytes: UTF-16, escapes, markup, encodings of mail).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crawler.matching import (
    char_classes,
    decode_escapes,
    decode_mail,
    decode_markup,
    decode_utf16,
    fold_bytes,
    number_kernels,
    scan_kernels,
)
from crawler.matching.candidates import Candidates
from crawler.process.file_chunks import SCAN_AROUND as AROUND
from crawler.process.file_chunks import SCAN_BLOCK as BLOCK
from data.arrays.array_types import I64, U8, U64
from data.arrays.packed import Packed
from data.arrays.raw_memory import SLACK
from data.errors import InputError
from data.hashing.hash_kernels import candidate_tags, lane_buffer
from data.hashing.tags import Kind

# So many readings may be nested, as UTF-16 in base64 that is unescaped twice and freed from markup.
_MAX_DEPTH = 4
_ALL_SIGNS = scan_kernels.NUL | scan_kernels.EQUALS | scan_kernels.LONG | scan_kernels.ESCAPE | scan_kernels.MARKUP
_MAX_CANDIDATES = 8192
_ARENA_SIZE = 512 * 1024
# Which first bytes of candidates are kinds that are collected; an uncertain candidate has another bit in its kind.
_COLLECTED = np.zeros(256, np.bool_)
_COLLECTED[[Kind.EMAIL, Kind.PHONE, Kind.NIR, Kind.IBAN, Kind.PROFESSIONAL]] = True


class TagLookup(Protocol):
    """A watch-list, as the scanner uses it."""

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """Which of these probe tags are on the list."""
        ...


@dataclass(frozen=True, slots=True)
class _View:
    """Bytes to be scanned, which may be another reading (a decoded form) of another view.

    Attributes:
        text: the bytes, with slack after them.
        size: their number.
        low: candidates that begin before this place are not wanted.
        high: candidates that begin at or after this place are not wanted.
        marks_out: places in this view, rising.
        marks_in: the places in `parent` that those were read from.
        parent: the view that this one was read from; None for the raw bytes.
    """

    text: U8
    size: int
    low: int
    high: int
    marks_out: I64 | None = None
    marks_in: I64 | None = None
    parent: _View | None = None

    @property
    def address(self) -> int:
        """The memory address of the text."""
        return _address(self.text)

    def origins(self, places: I64) -> I64:
        """The places in the raw bytes from which places of this view were read; shape (n,) both."""
        view: _View | None = self
        while view is not None:
            if view.marks_out is not None and view.marks_in is not None and len(view.marks_out):
                marks = np.searchsorted(view.marks_out, places, side="right") - 1
                moved = view.marks_in[marks] - view.marks_out[marks]
                places = places + np.where(marks >= 0, moved, 0)
            view = view.parent
        return places


class _ScanBuffers:
    """Memory for scanning one block; there is one object per thread, grown to the largest block so far."""

    def __init__(self) -> None:
        self.size = 0
        self.tags = np.empty(_MAX_CANDIDATES, np.uint64)
        self.candidates = np.empty(_MAX_CANDIDATES, np.int64)
        self.arena = np.empty(_ARENA_SIZE, np.uint8)
        self.addresses = _address(self.arena), _ARENA_SIZE, _address(self.candidates), _MAX_CANDIDATES
        self.lanes = lane_buffer()
        self.layers: list[tuple[U8, I64, I64]] = []

    def layer(self, depth: int, size: int) -> tuple[U8, I64, I64]:
        """Buffers for a view of `size` source bytes: its text and marks. Views at different depths may coexist."""
        if size > self.size:
            self.size, self.layers = max(size, 4096), []
        while len(self.layers) <= depth:
            # one byte of cp1252 folds to at most three bytes, and so does a character of UTF-8
            self.layers.append(
                (
                    np.empty(3 * self.size + SLACK, np.uint8),
                    np.empty(self.size + 1, np.int64),
                    np.empty(self.size + 1, np.int64),
                )
            )
        return self.layers[depth]


_of_thread = threading.local()


def _thread_buffers() -> _ScanBuffers:
    if not hasattr(_of_thread, "buffers"):
        _of_thread.buffers = _ScanBuffers()
    buffers: _ScanBuffers = _of_thread.buffers
    return buffers


class ByteScanner:
    """One pass over the bytes of one sample: cheap to make, bounded in memory, and the same however chunks are cut."""

    def __init__(
        self, probe_key: bytes, watch: TagLookup, *, collect: Callable[[U64], None] | None = None, tokens: bool = True
    ) -> None:
        """Begin a sample.

        Args:
            probe_key: 16 bytes.
            watch: the watch-list in which candidates are looked up.
            collect: is called with the tags of all values that are found, some of them repeatedly. Tokens are left out,
                since every long word is one, and so are uncertain readings of numbers.
            tokens: whether to look for planted strings too. Every long word might be one, which doubles the work.
        """
        if len(probe_key) != 16:
            raise InputError("a probe key has 16 bytes")
        k0, k1 = np.frombuffer(probe_key, "<u8")
        self._keys = np.uint64(k0), np.uint64(k1)
        self._watch = watch
        self._tokens = tokens
        self._collect = collect
        self._pending = np.empty(SLACK, np.uint8)
        self._size = 0
        # the bytes at the beginning of `_pending` that are already scanned and only context
        self._behind = 0
        # the offset in the sample of the first byte of `_pending`
        self._offset = 0

    def begin_at(self, place: int) -> None:
        """Scan from this place of the sample on, where a block begins; the bytes before it that are context come first.

        Nothing may have been scanned yet. The first bytes that are fed are those from `place - AROUND` on.
        """
        self._offset, self._behind = place - AROUND, AROUND

    def feed(self, chunk: bytes | bytearray | memoryview) -> Candidates:
        """Scan the next bytes; a candidate is returned once enough bytes after it are known."""
        data = np.frombuffer(chunk, np.uint8) if len(chunk) else np.empty(0, np.uint8)
        found: list[Candidates] = []
        at = 0
        while at < len(data):
            take = min(len(data) - at, self._behind + BLOCK + AROUND - self._size)
            self._reserve(self._size + take)
            self._pending[self._size : self._size + take] = data[at : at + take]
            self._size += take
            at += take
            if self._size == self._behind + BLOCK + AROUND:
                found.append(self._scan_block(self._behind + BLOCK))
                keep = self._behind + BLOCK - AROUND
                self._pending[: self._size - keep] = self._pending[keep : self._size].copy()
                self._size -= keep
                self._offset += keep
                self._behind = AROUND
        return Candidates.concatenated(found)

    def finish(self) -> Candidates:
        """The candidates in the bytes that were still held back; the scanner cannot be used afterwards."""
        found = self._scan_block(self._size) if self._size > self._behind else Candidates.none()
        self._behind = self._size
        return found

    def _reserve(self, size: int) -> None:
        if size + SLACK > len(self._pending):
            grown = np.zeros(min(max(2 * size, 4096), BLOCK + 2 * AROUND) + SLACK, np.uint8)
            grown[: self._size] = self._pending[: self._size]
            self._pending = grown

    def _scan_block(self, high: int) -> Candidates:
        """The candidates that begin in the pending bytes from `_behind` to `high`, in all readings, by place."""
        found: list[Candidates] = []
        view = _View(self._pending, self._size, self._behind, high)
        if scan_kernels.is_high_entropy(view.address, view.size):
            # other readings of random bytes hold nothing, and would take eight times as long for a compressed file
            self._scan_view(view, found)
        else:
            self._scan_readings(view, _ALL_SIGNS, 0, found)
        return Candidates.concatenated(found).each_once() if found else Candidates.none()

    def _scan_readings(self, view: _View, allowed: int, depth: int, found: list[Candidates]) -> None:
        """Scan a view, then the other readings of which it shows signs.

        Args:
            view: its bytes are not folded yet.
            allowed: signs whose readings may be tried; each reading allows fewer of them to the next.
            depth: how many readings led to this view.
            found: gets the candidates.
        """
        signs = self._scan_view(_folded(view), found) & allowed
        if signs & scan_kernels.NUL and (wide := _decoded(decode_utf16.utf16, view, depth)):
            self._scan_readings(wide, allowed & ~scan_kernels.NUL, depth + 1, found)
        if signs & scan_kernels.EQUALS and (mail := _decoded(decode_mail.quoted_printable, view, depth)):
            self._scan_readings(mail, scan_kernels.ESCAPE | scan_kernels.MARKUP, depth + 1, found)
        if signs & scan_kernels.LONG:
            # in the middle of a sample, the run of base64 may have begun before the view
            for phase in range(4 if view.low else 1):
                if encoded := _decoded(decode_mail.base64, view, depth, phase):
                    allowed_inside = allowed & ~scan_kernels.LONG & ~scan_kernels.EQUALS
                    self._scan_readings(encoded, allowed_inside, depth + 1, found)
        if signs & scan_kernels.ESCAPE and (unescaped := _decoded(decode_escapes.escapes, view, depth, _ENTITIES)):
            again = scan_kernels.ESCAPE if depth + 1 < _MAX_DEPTH else 0
            self._scan_readings(unescaped, again | scan_kernels.MARKUP, depth + 1, found)
        elif signs & scan_kernels.MARKUP and (bare := _decoded(decode_markup.markup, view, depth, _INLINE_TAGS)):
            self._scan_readings(bare, 0, depth + 1, found)

    def _scan_view(self, text: _View, found: list[Candidates]) -> int:
        """Add the candidates of one view, whose text is folded to ASCII; returns the signs of other readings."""
        buffers = _thread_buffers()
        before = scan_kernels.find_signs(text.address, 0, text.low)
        signs = before | scan_kernels.find_signs(text.address, text.high, text.size)
        at = text.low
        while at < text.high:
            at, count, noted = scan_kernels.find_candidates(
                text.address, text.size, at, text.high, self._tokens, *_TABLES, *buffers.addresses
            )
            candidate_tags(*self._keys, buffers.addresses[0], buffers.candidates, buffers.tags, count, buffers.lanes)
            signs |= noted
            tags = buffers.tags[:count]
            if self._collect is not None and count:
                self._collect(tags[_COLLECTED[buffers.candidates[:count] >> 56 & 255]])
            listed = np.flatnonzero(self._watch.lookup(tags))
            if len(listed):
                words = buffers.candidates[listed]
                starts = (words >> 24 & 0xFFFFFF).astype(np.uint32)
                ends = starts + (words >> 48 & 0xFF).astype(np.uint32)
                values = Packed.from_cells(buffers.arena, starts[:, np.newaxis], ends[:, np.newaxis], 0)
                places = self._offset + text.origins(words & 0xFFFFFF)
                found.append(Candidates((words >> 56 & 127).astype(np.uint8), tags[listed], values, places))
        return signs


def _decoded(
    loop: Callable[..., tuple[int, int, int, int, int]], source: _View, depth: int, *more: int
) -> _View | None:
    """Another reading of a view, or None if the loop decoded nothing; `more` are further arguments of the loop."""
    layer = _thread_buffers().layer(depth + 1, source.size)
    size, marks, low, high, changed = loop(
        source.address, source.size, source.low, source.high, *(_address(part) for part in layer), *more
    )
    return _View(layer[0], size, low, high, layer[1][:marks], layer[2][:marks], source) if changed else None


def _folded(source: _View) -> _View:
    """The view folded to ASCII."""
    layer = _thread_buffers().layer(0, source.size)
    size, marks, low, high = fold_bytes.fold_bytes(
        source.address,
        source.size,
        source.low,
        source.high,
        _address(layer[0]),
        _address(layer[1]),
        _address(layer[2]),
        _address(fold_bytes.fold_table()),
        _address(fold_bytes.CP1252),
    )
    return _View(layer[0], size, low, high, layer[1][:marks], layer[2][:marks], source)


def _address(array: NDArray[Any]) -> int:
    # `array.ctypes` makes an object each time, and a small member asks for a dozen addresses
    return int(array.__array_interface__["data"][0])


_TABLES = _address(char_classes.CLASSES), _address(number_kernels.IBAN_LENGTHS)
_ENTITIES, _INLINE_TAGS = _address(decode_escapes.ENTITIES), _address(decode_markup.INLINE_TAGS)
