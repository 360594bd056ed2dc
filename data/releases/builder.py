"""Collects the records of one release and writes it; what lies there then is `data.releases.release`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data.arrays.array_types import U64
from data.errors import InputError
from data.hashing.tags import RECORD_KINDS, Kind
from data.identifiers.normalise import VERSION
from data.releases.candidates import share_bits, share_of
from data.releases.cut_bits import KEY_BITS, VALUE_BITS, cut_bits
from data.releases.folder import FORMAT, active_in, check_id, dump, locked, sync, write_manifest, writing
from data.releases.merged_sets import write_union
from data.releases.people import any_key, group_people, shared_keys
from data.releases.release import NOTES, SHARE, Release, sampled
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import KEPT_BITS, distinct

# Values serve to see that known people came with new numbers: a sample is enough where there are many, and more
# would be a second hoard of single values (privacy) and bytes (at most 16 a record, of which the keys take most).
EXACT_VALUES = 1_000_000
VALUE_SAMPLE = 16


class ReleaseBuilder:
    """Collects the records of one release, file after file."""

    def __init__(self, release: str) -> None:
        self.release = check_id(release)
        self._keys: list[U64] = []
        self._values: dict[Kind, list[U64]] = {}
        self._notes: list[U64] = []

    @property
    def rows(self) -> int:
        """How many were added that have a key."""
        return sum(map(len, self._keys))

    def add(self, keys: U64, values: Mapping[Kind, U64], notes: U64 | None = None) -> None:
        """Add rows.

        Args:
            keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent.
            values: per kind tags of single values, shape (m,), any order, repeated or not.
            notes: prints of free texts, shape (p,), likewise.
        """
        if keys.ndim != 2 or keys.shape[1] != len(RECORD_KINDS):
            raise ValueError(f"record keys come in {len(RECORD_KINDS)} columns")
        self._keys.append(keys[any_key(keys)])
        for kind, tags in values.items():
            self._values.setdefault(kind, []).append(tags)
        if notes is not None and len(notes):
            self._notes.append(notes)

    def parts(self) -> Iterator[tuple[U64, dict[Kind, U64], U64]]:
        """What was added, in pieces that `add` takes: rows, value tags and prints one after another."""
        no_rows, none = np.zeros((0, len(RECORD_KINDS)), np.uint64), np.zeros(0, np.uint64)
        for keys in self._keys:
            yield keys, {}, none
        for kind, tags in self._values.items():
            for part in tags:
                yield no_rows, {kind: part}, none
        for prints in self._notes:
            yield no_rows, {}, prints

    def write(self, folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write the release whole or not at all, and return its manifest.

        Args:
            folder: the `releases` folder of a home.
            manifest: what the caller knows (name, incident, kind, created, case, digests…); the counts, the
                normaliser's version and the format are added here.

        Raises:
            InputError: no record was collected, or there is a release of this id.
            StoreFull, StoreError: it cannot be written.
        """
        keys = np.concatenate(self._keys) if self._keys else np.zeros((0, len(RECORD_KINDS)), np.uint64)
        if not len(keys):
            raise InputError(
                "no record was found in what was given, so there is nothing to compare with later",
                hint="look at what is understood of it:  tocsin scan PATH",
            )
        with writing(folder), locked(folder):
            final = folder / self.release
            if final.exists():
                raise InputError(f"there is a release {self.release} already", hint="choose another name, or retire it")
            active = active_in(folder)
            whole = self._write_aside(folder / f".{self.release}.new", keys, manifest, len(active))
            (folder / f".{self.release}.new").rename(final)
            sync(folder)
            result: dict[str, Any] = orjson.loads(dump(whole))
            write_union(folder, active | {self.release: Release(final, result)})
        return result

    def _write_aside(self, aside: Path, keys: U64, manifest: Mapping[str, Any], earlier: int) -> dict[str, Any]:
        step = 1 if len(keys) <= EXACT_VALUES else VALUE_SAMPLE
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        (aside / "values").mkdir(mode=0o700)
        # one number of bits for the sets of all kinds, by which the union can tell what may be merged
        key_bits = cut_bits(max(np.count_nonzero(keys, axis=0).tolist()), KEY_BITS, earlier)
        sets: dict[str, int] = {}
        bits = share_bits(len(keys))
        for column, kind in enumerate(RECORD_KINDS):
            if keys[:, column].any():
                sets[kind.word] = _save(keys[:, column], aside / f"{kind.word}.tags", key_bits)
        _save(share_of(keys.ravel(), bits), aside / f"{SHARE}.tags")
        values = {kind: distinct(sampled(np.concatenate(parts), step)) for kind, parts in self._values.items()}
        value_bits = cut_bits(max(map(len, values.values()), default=1), VALUE_BITS, earlier)
        counts = {
            kind.word: _save(tags, aside / "values" / f"{kind.word}.tags", value_bits)
            for kind, tags in values.items()
            if tags.any()
        }
        notes = _save(np.concatenate(self._notes), aside / f"{NOTES}.tags") if self._notes else 0
        people = group_people(keys)
        whole = {
            **manifest,
            "id": self.release,
            "format": FORMAT,
            "normaliser": VERSION,
            "records": len(keys),
            "people": int(people.max()) + 1,
            "shared": {kind.word: counts for kind, counts in shared_keys(keys, people).items()},
            "sets": sets,
            "values": counts,
            "cuts": (key_bits, value_bits),
            "value_sample": step,
            "share_bits": bits,
            "notes": notes,
            "retired": None,
        }
        write_manifest(aside, whole)
        return whole


def _save(tags: U64, path: Path, bits: int = KEPT_BITS) -> int:
    held = EliasFanoSet.build(tags, bits)
    held.save(path)
    return len(held)
