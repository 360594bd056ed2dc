"""Collects the records of one release and writes it as the files that `data.releases.stored_release` reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data.arrays.array_types import U64
from data.durable_files import sync_folder
from data.errors import InputError
from data.hashing.tags import RECORD_KINDS, Kind
from data.identifiers.normalise import VERSION
from data.releases.folder import (
    FORMAT,
    active_releases,
    check_id,
    encode_manifest,
    register_releases,
    write_manifest,
    writing,
)
from data.releases.kept_bits import KEY_BITS, VALUE_BITS, kept_bits_for
from data.releases.merged_sets import write_merged_sets
from data.releases.people import count_shared_keys, group_people, rows_with_key
from data.releases.registered import forget_release
from data.releases.stored_release import COMMON, MARKS, NOTES, TRIAGE_FILE, StoredRelease, sample_tags
from data.releases.triage import select_triage_tags, triage_bits
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tag_bits import KEPT_BITS
from data.tagsets.tagset import distinct

# Values show whether known people came with new numbers. A sample of them suffices for a large release. Storing all of
# them would be a second hoard of single values (privacy), and exceed 16 bytes per record, of which the keys take most.
MAX_EXACT_VALUES = 1_000_000
"""The number of records up to which all values of a release are stored."""
VALUE_SAMPLE = 16
"""Of a larger release one value in so many is stored."""


class ReleaseBuilder:
    """Collects the records of one release, file after file."""

    def __init__(self, release: str) -> None:
        self.release = check_id(release)
        self._keys: list[U64] = []
        self._values: dict[Kind, list[U64]] = {}
        self._notes: list[U64] = []
        self._common: list[U64] = []
        self._marks: list[U64] = []

    @property
    def rows(self) -> int:
        """How many rows with at least one key were added."""
        return sum(map(len, self._keys))

    def add(
        self,
        keys: U64,
        values: Mapping[Kind, U64],
        notes: U64 | None = None,
        common: U64 | None = None,
        marks: U64 | None = None,
    ) -> None:
        """Add rows.

        Args:
            keys: shape (n, 6), columns as `RECORD_KINDS`, 0 where a row has no such key.
            values: for each kind the tags of single values, shape (m,), in any order, with or without duplicates. Under a
                kind of record key: further keys by which people of these rows are known, who have another row already.
            notes: prints of free texts, shape (p,), in any order, with or without duplicates.
            common: tags of values of many different people, shape (c,), in any order, with or without duplicates.
            marks: tags of what tells the software that made the tables (`crawler.examiner.table_marks`), likewise.
        """
        if keys.ndim != 2 or keys.shape[1] != len(RECORD_KINDS):
            raise ValueError(f"record keys come in {len(RECORD_KINDS)} columns")
        self._keys.append(keys[rows_with_key(keys)])
        for kind, tags in values.items():
            self._values.setdefault(kind, []).append(tags)
        if notes is not None and len(notes):
            self._notes.append(notes)
        if common is not None and len(common):
            self._common.append(common)
        if marks is not None and len(marks):
            self._marks.append(marks)

    def parts(self) -> Iterator[tuple[U64, dict[Kind, U64], U64, U64, U64]]:
        """What was added, in parts that `add` accepts: rows, value tags, prints, common values, marks of tables."""
        no_rows, none = np.zeros((0, len(RECORD_KINDS)), np.uint64), np.zeros(0, np.uint64)
        for keys in self._keys:
            yield keys, {}, none, none, none
        for kind, tags in self._values.items():
            for part in tags:
                yield no_rows, {kind: part}, none, none, none
        for prints in self._notes:
            yield no_rows, {}, prints, none, none
        for values in self._common:
            yield no_rows, {}, none, values, none
        for marks in self._marks:
            yield no_rows, {}, none, none, marks

    def write(self, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the release atomically and return its manifest.

        Args:
            folder: the `releases` folder of a home.
            manifest: the caller's part (name, incident, kind, created, case, digests…); the counts, the version of the
                normaliser and the format are added here.

        Raises:
            InputError: no record was collected, or a release with this id exists.
            StoreFull: no space is left.
            StoreError: the files cannot be written.
        """
        keys = np.concatenate(self._keys) if self._keys else np.zeros((0, len(RECORD_KINDS)), np.uint64)
        if not len(keys):
            raise InputError(
                "the files contain no record, so there is nothing to compare later data with",
                hint="see what Tocsin reads in them:  tocsin scan PATH",
            )
        with writing(folder):
            final = folder / self.release
            if final.exists():
                raise InputError(f"a release {self.release} exists already", hint="choose another name")
            # a release that was lost is registered again
            forget_release(folder, self.release)
            active = active_releases(folder)
            temporary = folder / f".{self.release}.new"
            complete = self._write_files(temporary, keys, manifest, len(active))
            temporary.rename(final)
            sync_folder(folder)
            register_releases(folder)
            result: dict[str, Any] = orjson.loads(encode_manifest(complete))
            write_merged_sets(folder, active | {self.release: StoredRelease(final, result)})
        return result

    def _write_files(self, folder: Path, keys: U64, manifest: Mapping[str, Any], earlier: int) -> dict[str, Any]:
        """Write all files of the release into a new folder, and return the complete manifest."""
        step = 1 if len(keys) <= MAX_EXACT_VALUES else VALUE_SAMPLE
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        (folder / "values").mkdir(mode=0o700)
        # the sets of all kinds keep the same number of bits: one number then decides which releases may be merged
        sizes = np.count_nonzero(keys, axis=0) + [sum(map(len, self._values.get(kind, ()))) for kind in RECORD_KINDS]
        key_bits = kept_bits_for(int(sizes.max()), KEY_BITS, earlier)
        sets: dict[str, int] = {}
        bits = triage_bits(len(keys))
        for column, kind in enumerate(RECORD_KINDS):
            tags = keys[:, column]
            if kind in self._values:
                tags = np.concatenate([tags, *self._values[kind]])
            if tags.any():
                sets[kind.word] = _save_tags(tags, folder / f"{kind.word}.tags", key_bits)
        _save_tags(select_triage_tags(keys.ravel(), bits), folder / f"{TRIAGE_FILE}.tags")
        values = {
            kind: distinct(sample_tags(np.concatenate(parts), step))
            for kind, parts in self._values.items()
            if kind not in RECORD_KINDS
        }
        value_bits = kept_bits_for(max(map(len, values.values()), default=1), VALUE_BITS, earlier)
        counts = {
            kind.word: _save_tags(tags, folder / "values" / f"{kind.word}.tags", value_bits)
            for kind, tags in values.items()
            if tags.any()
        }
        notes = _save_tags(np.concatenate(self._notes), folder / f"{NOTES}.tags") if self._notes else 0
        common = _save_tags(np.concatenate(self._common), folder / f"{COMMON}.tags") if self._common else 0
        marks = _save_tags(np.concatenate(self._marks), folder / f"{MARKS}.tags") if self._marks else 0
        people = group_people(keys)
        complete = {
            **manifest,
            "id": self.release,
            "format": FORMAT,
            "normaliser": VERSION,
            "records": len(keys),
            "people": int(people.max()) + 1,
            "shared": {kind.word: counts for kind, counts in count_shared_keys(keys, people).items()},
            "sets": sets,
            "values": counts,
            "cuts": (key_bits, value_bits),
            "value_sample": step,
            "share_bits": bits,
            "notes": notes,
            "common": common,
            "marks": marks,
            "retired": None,
        }
        write_manifest(folder, complete)
        return complete


def _save_tags(tags: U64, path: Path, kept_bits: int = KEPT_BITS) -> int:
    """Save a set of tags; returns how many distinct ones it has."""
    tag_set = EliasFanoSet.build(tags, kept_bits)
    tag_set.save(path)
    return len(tag_set)
