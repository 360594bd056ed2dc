"""One release as it is stored: a manifest and tag sets. `data.releases.known_releases` has all releases together.

    releases/ID/manifest.json
    releases/ID/name+dob.tags …        one set for each kind of record key that occurred
    releases/ID/share.tags             a small part of all record keys, for `data.releases.triage`
    releases/ID/values/nir.tags …      single values; of a large release one in `data.releases.builder.VALUE_SAMPLE`
    releases/ID/notes.tags             prints of free texts (`crawler.records.note_prints`)
    releases/ID/common.tags            values of many different people (`crawler.records.placeholders`)
    releases/ID/marks.tags             what tells the software that made its tables (`crawler.examiner.table_marks`)

A release stores no row ids, no order of rows, no count for a key and no links between keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.arrays.array_types import U64, Bools
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.releases.triage import triage_bits
from data.tagsets.elias_fano import EliasFanoSet, open_tag_set, open_verified_sets
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import TagSet

TRIAGE_FILE, NOTES, COMMON, MARKS = "share", "notes", "common", "marks"
"""Names, without `.tags`, of the files of triage tags, note prints, common values and marks of tables."""
# Releases of format 1 have no triage tags: all keys of those with at most so many records serve instead.
_MAX_WHOLE_RECORDS = 1000


def sample_tags(tags: U64, one_in: int) -> U64:
    """About one tag in `one_in` (a power of two), chosen by the tags themselves, so that all releases choose alike."""
    # chosen by the low bits, which truncated tags drop, so that the tags of the sample remain as exact as all others
    part: U64 = tags[(tags & np.uint64(one_in - 1)) == 0]
    return part


class StoredRelease:
    """One release. Its sets are opened on first use; threads may share it."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.id: str = folder.name
        self.folder = folder
        self.manifest = manifest
        self.people = int(manifest["people"])
        self.records = int(manifest["records"])
        self.value_sample = int(manifest["value_sample"])
        self.triage_bits = int(manifest.get("share_bits", triage_bits(self.records)))
        # all releases of earlier formats keep the same number of bits
        self.kept_bits: tuple[int, int] = tuple(manifest.get("cuts", (KEPT_BITS, KEPT_BITS)))
        """How many bits are kept of a record key, and of a value."""
        self.columns = tuple(kind for kind in RECORD_KINDS if kind.word in manifest["sets"])
        self.value_kinds: frozenset[str] = frozenset(manifest["values"])

    @cached_property
    def sets(self) -> Mapping[Kind, TagSet | EliasFanoSet]:
        """The record keys, one set for each kind."""
        sets = open_verified_sets(self.folder, [kind.word for kind in self.columns])
        return {kind: sets[kind.word] for kind in self.columns}

    @cached_property
    def values(self) -> Mapping[Kind, TagSet | EliasFanoSet]:
        """The single values, or a sample of them, one set for each kind."""
        kinds = [kind for kind in VALUE_KINDS if kind.word in self.value_kinds]
        sets = open_verified_sets(self.folder / "values", [kind.word for kind in kinds])
        return {kind: sets[kind.word] for kind in kinds}

    @cached_property
    def notes(self) -> TagSet | EliasFanoSet | None:
        """The prints of free texts; None if the release has none."""
        return open_verified_sets(self.folder, [NOTES])[NOTES] if self.manifest.get("notes") else None

    @cached_property
    def common(self) -> TagSet | EliasFanoSet | None:
        """The values of many different people; None if the release has none, or none were stored when it was written."""
        return open_verified_sets(self.folder, [COMMON])[COMMON] if self.manifest.get("common") else None

    @cached_property
    def marks(self) -> TagSet | EliasFanoSet | None:
        """The marks of its tables; None if the release has none, or none were stored when it was written."""
        return open_verified_sets(self.folder, [MARKS])[MARKS] if self.manifest.get("marks") else None

    @property
    def is_of_open_origin(self) -> bool:
        """Whether it is a sighted sample that nothing showed to be of our breach: its people prove no origin either."""
        return self.manifest.get("breach") == "open"

    def triage_tags(self) -> U64:
        """The truncated record keys that represent this release in `data.releases.triage`."""
        if self.manifest["format"] == 1:
            # The sets of format 1 have lost the bits that choose the triage tags: a small release gives all its keys, a
            # large one gives none.
            small = self.records <= _MAX_WHOLE_RECORDS
            return np.concatenate([each.to_array() for each in self.sets.values()]) if small else np.zeros(0, np.uint64)
        return open_verified_sets(self.folder, [TRIAGE_FILE])[TRIAGE_FILE].to_array()

    def find_known_keys(self, keys: U64) -> Bools:
        """Shape (n, 6): which of the record keys, shape (n, 6), this release holds."""
        found = np.zeros(keys.shape, bool)
        for kind, tags in self.sets.items():
            tags.look_up_column(keys, RECORD_KINDS.index(kind), found)
        return found

    def key_count(self, kind: Kind) -> int:
        """How many record keys of a kind the release holds."""
        return int(self.manifest["sets"].get(kind.word, 0))

    def false_positive_rate(self, kind: Kind) -> float:
        """The probability that a foreign record key is taken for one of the release, because tags are truncated."""
        return self.key_count(kind) / (1 << self.kept_bits[0])

    def shared_key_counts(self, kind: Kind) -> tuple[int, int, int]:
        """How often people of the release share a key of a kind, as `data.releases.people.count_shared_keys` counts it.

        (0, 0, 1) if this was not counted when the release was written.
        """
        more, bearers, one_in = self.manifest.get("shared", {}).get(kind.word, (0, 0, 1))
        return int(more), int(bearers), int(one_in)

    def verify(self) -> None:
        """Read all sets whole, as they are on the disk now; raises StoreError if one is damaged or missing."""
        words = [kind.word for kind in self.columns]
        words += [f"values/{kind.word}" for kind in VALUE_KINDS if kind.word in self.value_kinds]
        words += [NOTES] if self.manifest.get("notes") else []
        words += [name for name in (COMMON, MARKS) if self.manifest.get(name)]
        words += [TRIAGE_FILE] if self.manifest["format"] > 1 else []
        for word in words:
            open_tag_set(self.folder / f"{word}.tags").verify()
