"""What is kept of each release: a manifest and tag sets. Verdicts about samples are made by `crawler.lineage`.

    releases/ID/manifest.json
    releases/ID/name+dob.tags …        one set for each record kind that occurred
    releases/ID/values/nir.tags …      values; of a large release one in `VALUE_SAMPLE`

No row ids, no order, no counts for a key, no links between keys. A release that was cut short while it was written
has a name that starts with a dot, and is not one.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.errors import InputError, KeyFileError, StoreError, StoreFull
from data.normalise import VERSION
from data.people import count_people
from data.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.tagset import TagSet

U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

FORMAT = 1
MANIFEST = "manifest.json"
# Values serve to see that known people came with new numbers: a sample is enough where there are many, and more
# would be a second hoard of single values (privacy) and bytes (at most 16 a record, of which the keys take most).
EXACT_VALUES = 1_000_000
VALUE_SAMPLE = 16
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def check_id(release: str) -> str:
    """The id itself, if it can be one: lower-case letters, digits and dashes; raises InputError."""
    if not _ID.fullmatch(release):
        raise InputError(
            "a release id is made of 1 to 64 lower-case letters, digits and dashes", hint="choose a name like part-1"
        )
    return release


def sampled(tags: U64, one_in: int) -> U64:
    """The part of tags that a sample of one in `one_in` (a power of two) holds; the same for every release."""
    # by the low bits, which the cut of a tag set drops: within the sample nothing is lost of its exactness
    part: U64 = tags[(tags & np.uint64(one_in - 1)) == 0]
    return part


class ReleaseBuilder:
    """Collects the records of one release, file after file."""

    def __init__(self, release: str) -> None:
        self.release = check_id(release)
        self._keys: list[U64] = []
        self._values: dict[Kind, list[U64]] = {}

    def add(self, keys: U64, values: Mapping[Kind, U64]) -> None:
        """Add rows.

        Args:
            keys: shape (n, 6), columns as `RECORD_KINDS`, 0 for absent.
            values: per kind tags of single values, shape (m,), any order, repeated or not.
        """
        if keys.ndim != 2 or keys.shape[1] != len(RECORD_KINDS):
            raise ValueError(f"record keys come in {len(RECORD_KINDS)} columns")
        self._keys.append(keys[keys.any(axis=1)])
        for kind, tags in values.items():
            self._values.setdefault(kind, []).append(tags)

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
        final = folder / self.release
        if final.exists():
            raise InputError(f"there is a release {self.release} already", hint="choose another name, or retire it")
        aside = folder / f".{self.release}.new"
        step = 1 if len(keys) <= EXACT_VALUES else VALUE_SAMPLE
        with _writing(folder):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(mode=0o700)
            (aside / "values").mkdir(mode=0o700)
            sets: dict[str, int] = {}
            values: dict[str, int] = {}
            for column, kind in enumerate(RECORD_KINDS):
                if keys[:, column].any():
                    sets[kind.word] = _save(keys[:, column], aside / f"{kind.word}.tags")
            for kind, parts in self._values.items():
                tags = sampled(np.concatenate(parts), step)
                if tags.any():
                    values[kind.word] = _save(tags, aside / "values" / f"{kind.word}.tags")
            whole = {
                **manifest,
                "id": self.release,
                "format": FORMAT,
                "normaliser": VERSION,
                "records": len(keys),
                "people": count_people(keys),
                "sets": sets,
                "values": values,
                "value_sample": step,
                "retired": None,
            }
            _write_manifest(aside, whole)
            aside.rename(final)
            _sync(folder)
        result: dict[str, Any] = orjson.loads(_dump(whole))
        return result


class Release:
    """One release, open for look-ups; threads may share it."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.id: str = folder.name
        self.folder = folder
        self.manifest = manifest
        self.people = int(manifest["people"])
        self.value_sample = int(manifest["value_sample"])
        self.columns = tuple(kind for kind in RECORD_KINDS if kind.word in manifest["sets"])
        self._sets = {kind: TagSet.open(folder / f"{kind.word}.tags") for kind in self.columns}
        self._values = {
            kind: TagSet.open(folder / "values" / f"{kind.word}.tags")
            for kind in VALUE_KINDS
            if kind.word in manifest["values"]
        }

    def hits(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) this release holds."""
        found = np.zeros(keys.shape, bool)
        for kind, tags in self._sets.items():
            column = RECORD_KINDS.index(kind)
            present = np.flatnonzero(keys[:, column])
            found[present, column] = tags.lookup(keys[present, column])
        return found

    def members(self, kind: Kind) -> int:
        """How many record keys of a kind it holds."""
        return len(self._sets[kind]) if kind in self._sets else 0

    def holds_values(self, kind: Kind, tags: U64) -> Bools:
        """Shape of `tags`: which this release holds; meaningful only within its sample."""
        held = self._values.get(kind)
        return held.lookup(tags) if held is not None else np.zeros(tags.shape, bool)

    def verify(self) -> None:
        """Read everything and compare digests; raises StoreError."""
        for tags in (*self._sets.values(), *self._values.values()):
            tags.verify()


class Releases:
    """All releases of a home, mapped and not read: open them again to see what was added or retired since."""

    def __init__(self, active: Mapping[str, Release], stale: tuple[str, ...] = ()) -> None:
        self.active = dict(active)
        self.stale = stale
        """Ids of releases made by another version of the normaliser: their tags meet none of ours."""

    @classmethod
    def open(cls, folder: Path, case: str = "") -> Releases:
        """Map the releases of a folder; none where there is no folder.

        Args:
            folder: the `releases` folder of a home.
            case: of the key in use; '' to take releases of any case.

        Raises:
            KeyFileError: a release was made with the key of another case: everything would look new beside it.
            StoreError: a release is damaged. Leaving it out would call what it holds new, so nothing is opened.
        """
        active, stale = {}, []
        for manifest in read_manifests(folder):
            if manifest["retired"] is not None:
                continue
            if case and manifest.get("case", case) != case:
                raise KeyFileError(
                    f"the release {manifest['id']} belongs to another case than the match key",
                    hint="restore this case's keys/match.key, or retire the release",
                )
            if manifest["normaliser"] != VERSION:
                stale.append(manifest["id"])
                continue
            active[manifest["id"]] = Release(folder / manifest["id"], manifest)
        return cls(active, tuple(stale))

    def __len__(self) -> int:
        return len(self.active)

    def per_release(self, keys: U64) -> dict[str, Bools]:
        """Per release, shape (n,): the rows of (n, 6) it knows by any key."""
        return {name: np.any(release.hits(keys), axis=1) for name, release in self.active.items()}

    def held(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) any release holds."""
        held = np.zeros(keys.shape, bool)
        for release in self.active.values():
            held |= release.hits(keys)
        return held

    def known_any(self, keys: U64) -> Bools:
        """Shape (n,): the rows of (n, 6) that any release knows by any key."""
        known: Bools = np.any(self.held(keys), axis=1)
        return known

    @property
    def value_sample(self) -> int:
        """Values are compared one in so many: the widest step of all releases."""
        return max((release.value_sample for release in self.active.values()), default=1)

    def new_values(self, kind: Kind, tags: U64) -> tuple[int, int]:
        """Of distinct value tags: how many no release holds, and how many were compared (within the sample)."""
        compared = sampled(tags, self.value_sample)
        known = np.zeros(len(compared), bool)
        for release in self.active.values():
            known |= release.holds_values(kind, compared)
        return int((~known).sum()), len(compared)


def read_manifests(folder: Path) -> list[dict[str, Any]]:
    """The manifests of all releases, retired ones too, by id.

    Raises:
        StoreError: one cannot be read.
    """
    if not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            manifest = orjson.loads((path / MANIFEST).read_bytes())
            if manifest["format"] != FORMAT:
                raise StoreError(
                    f"the release {path.name} was written by another version of Tocsin", hint="update Tocsin"
                )
            for name in ("people", "records", "value_sample", "normaliser"):
                int(manifest[name])
            if manifest["id"] != path.name or not {"sets", "values", "retired"} <= manifest.keys():
                raise ValueError("another id, or no sets")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the manifest of the release {path.name} cannot be used",
                hint=f"restore {path} from a backup, or delete it and register the release again",
            ) from error
        found.append(manifest)
    return found


def retire(folder: Path, release: str, now: datetime) -> dict[str, Any]:
    """Delete the tag sets of a release and keep its manifest: it is compared with no more. Returns the manifest.

    Killed half-way it is retired all the same; the next call deletes the sets that were left.

    Raises:
        InputError: there is no such release.
        StoreFull, StoreError: it cannot be written.
    """
    path = folder / check_id(release)
    manifest = next((each for each in read_manifests(folder) if each["id"] == release), None)
    if manifest is None:
        raise InputError(f"there is no release {release}", hint="see: tocsin release list")
    with _writing(folder):
        if manifest["retired"] is None:
            manifest["retired"] = now.isoformat()
            _write_manifest(path, manifest)
        for file in path.rglob("*.tags"):
            file.unlink()
        _sync(path)
    return manifest


def remove(folder: Path, release: str) -> None:
    """Delete a release whole; its id may be used again.

    Raises:
        InputError: there is no such release.
        StoreError: it cannot be deleted.
    """
    path = folder / check_id(release)
    if not path.is_dir():
        raise InputError(f"there is no release {release}", hint="see: tocsin release list")
    with _writing(folder):
        # out of sight in one step: half a release must never be opened
        aside = folder / f".{release}.gone"
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
        _sync(folder)


def _save(tags: U64, path: Path) -> int:
    held = TagSet.build(tags)
    held.save(path)
    return len(held)


def _dump(manifest: Mapping[str, Any]) -> bytes:
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    aside = folder / f".{MANIFEST}.new"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:  # noqa: PTH123 - its mode
        out.write(_dump(manifest))
        out.flush()
        os.fsync(out.fileno())
    aside.replace(folder / MANIFEST)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Errors of the file system become ours; what lies aside is deleted with the next write of that release."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull("no space is left for the release", hint="make room; nothing was changed") from error
        raise StoreError(f"the release cannot be written: {error.strerror}", hint=f"check {folder}") from error
