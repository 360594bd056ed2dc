"""One release as it is kept: a manifest and tag sets. All releases at once are `data.releases.releases`.

    releases/ID/manifest.json
    releases/ID/name+dob.tags …        one set for each record kind that occurred
    releases/ID/share.tags             a small share of all record keys, for `data.releases.candidates`
    releases/ID/values/nir.tags …      values; of a large release one in `VALUE_SAMPLE`
    releases/ID/notes.tags             prints of free texts (`crawler.records.note_prints`)

No row ids, no order, no counts for a key, no links between keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.arrays.array_types import U64, Bools
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.releases.candidates import share_bits
from data.tagsets.elias_fano import EliasFanoSet, open_tag_set
from data.tagsets.tagset import KEPT_BITS, TagSet

SHARE, NOTES = "share", "notes"
# A release of the first format had no share: one of so few records is taken whole.
_SMALL = 1000


def sampled(tags: U64, one_in: int) -> U64:
    """The part of tags that a sample of one in `one_in` (a power of two) holds; the same for every release."""
    # by the low bits, which the cut of a tag set drops: within the sample nothing is lost of its exactness
    part: U64 = tags[(tags & np.uint64(one_in - 1)) == 0]
    return part


class Release:
    """One release; its sets are opened when they are first asked for. Threads may share it."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.id: str = folder.name
        self.folder = folder
        self.manifest = manifest
        self.people = int(manifest["people"])
        self.records = int(manifest["records"])
        self.value_sample = int(manifest["value_sample"])
        self.share_bits = int(manifest.get("share_bits", share_bits(self.records)))
        # releases of earlier formats were cut alike
        self.cuts: tuple[int, int] = tuple(manifest.get("cuts", (KEPT_BITS, KEPT_BITS)))
        """Bits that are kept of a record key, and of a value."""
        self.columns = tuple(kind for kind in RECORD_KINDS if kind.word in manifest["sets"])
        self.value_kinds: frozenset[str] = frozenset(manifest["values"])

    @cached_property
    def sets(self) -> Mapping[Kind, TagSet | EliasFanoSet]:
        """One set for each kind of record key."""
        return {kind: open_tag_set(self.folder / f"{kind.word}.tags") for kind in self.columns}

    @cached_property
    def values(self) -> Mapping[Kind, TagSet | EliasFanoSet]:
        """Of values, or of a sample of them."""
        return {
            kind: open_tag_set(self.folder / "values" / f"{kind.word}.tags")
            for kind in VALUE_KINDS
            if kind.word in self.value_kinds
        }

    @cached_property
    def notes(self) -> TagSet | EliasFanoSet | None:
        """Prints of free texts; None where it has none."""
        return open_tag_set(self.folder / f"{NOTES}.tags") if self.manifest.get("notes") else None

    def share(self) -> U64:
        """The record keys that triage keeps, cut."""
        if self.manifest["format"] == 1:
            # its sets have lost the bits that choose a share: what is small is taken whole, the rest goes without
            small = self.records <= _SMALL
            return np.concatenate([each.to_array() for each in self.sets.values()]) if small else np.zeros(0, np.uint64)
        return open_tag_set(self.folder / f"{SHARE}.tags").to_array()

    def hits(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) this release holds."""
        found = np.zeros(keys.shape, bool)
        for kind, tags in self.sets.items():
            tags.look_up_column(keys, RECORD_KINDS.index(kind), found)
        return found

    def members(self, kind: Kind) -> int:
        """How many record keys of a kind it holds."""
        return int(self.manifest["sets"].get(kind.word, 0))

    def mistaken(self, kind: Kind) -> float:
        """Probability that a record key of a kind is taken for one that it holds, being another one, for its cut."""
        return self.members(kind) / (1 << self.cuts[0])

    def shared(self, kind: Kind) -> tuple[int, int, int]:
        """How often its people share a key of a kind: see `data.releases.people.shared_keys`; zeros where that was not counted."""
        more, bearers, one_in = self.manifest.get("shared", {}).get(kind.word, (0, 0, 1))
        return int(more), int(bearers), int(one_in)

    def verify(self) -> None:
        """Read everything and compare digests; raises StoreError."""
        for tags in (*self.sets.values(), *self.values.values(), *([self.notes] if self.notes is not None else [])):
            tags.verify()
