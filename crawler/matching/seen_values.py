"""Collects the values of a sample that later canaries are compared with, as keyed tags.

They are all values that the byte pass reads, and who the people of its rows are. `data.case.seen_tags` seals them.
"""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

from data.case.seen_tags import MAX_TAGS, NUMBER
from data.hashing.tags import RECORD_KINDS, Kind

if TYPE_CHECKING:
    from data.arrays.array_types import U64

# The six record keys of a person hold the same values again, except this one.
_KEPT_KEY = Kind.NAME_DOB


class SeenValues:
    """Collects the tags of one sample, of which it holds the smallest: tags are keyed hashes, so that is a fair draw."""

    def __init__(self) -> None:
        self._parts: list[U64] = []
        self._waiting = 0
        # tags from here on are not among the smallest
        self._limit = 2**64
        # the byte pass of a large sample runs in a thread of its own
        self._lock = threading.Lock()

    def add(self, tags: U64) -> None:
        """Add tags, shape (n,), in any order, with or without duplicates; 0 stands for none. They are not copied."""
        import numpy as np

        with self._lock:
            chosen = tags if self._limit == 2**64 else tags[tags < np.uint64(self._limit)]
            if not len(chosen):
                return
            self._parts.append(chosen)
            self._waiting += len(chosen)
            if self._waiting > 4 * MAX_TAGS:
                self._shrink()

    def encode(self, keys: U64) -> str:
        """All tags as base64, '' for none; nothing may be added afterwards.

        Args:
            keys: shape (n, 6), record keys of the sample, columns as `RECORD_KINDS`, 0 for none.
        """
        self.add(keys[:, RECORD_KINDS.index(_KEPT_KEY)])
        with self._lock:
            kept = self._shrink()
        if not len(kept):
            return ""
        # of a larger sample the number follows from the part of all tags that the smallest ones take
        total = len(kept) if self._limit == 2**64 else round(MAX_TAGS * 2**64 / self._limit)
        return base64.b64encode(NUMBER.pack(total) + kept.astype("<u8").tobytes()).decode()

    def _shrink(self) -> U64:
        import numpy as np

        from data.tagsets.tagset import distinct

        every: U64 = distinct(np.concatenate(self._parts)) if self._parts else np.zeros(0, np.uint64)
        kept: U64 = every[every != 0]
        if len(kept) > MAX_TAGS:
            kept = kept[:MAX_TAGS]
            self._limit = int(kept[-1]) + 1
        self._parts, self._waiting = [kept], len(kept)
        return kept
