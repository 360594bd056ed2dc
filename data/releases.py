"""What is kept of each release: a manifest and tag sets. Verdicts about samples are made by `crawler.lineage`.

    releases/ID/manifest.json
    releases/ID/name+dob.tags …        one set for each record kind that occurred
    releases/ID/share.tags             a small share of all record keys, for `data.triage`
    releases/ID/values/nir.tags …      values; of a large release one in `VALUE_SAMPLE`
    releases/ID/notes.tags             prints of free texts (`crawler.notes`)

No row ids, no order, no counts for a key, no links between keys. A release that was cut short while it was written
has a name that starts with a dot, and is not one. The union of all releases is `data.union`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.errors import InputError, KeyFileError, StoreError, StoreFull
from data.normalise import VERSION
from data.people import any_key, group_people, shared_keys
from data.tags import RECORD_KINDS, VALUE_KINDS, Kind
from data.tagset import TagSet
from data.tightset import TightSet, open_set
from data.triage import Triage, share_bits, share_of
from data.union import Segment, Union, read_segments, write_union

U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

FORMAT = 2
# Format 1 had no share and no notes, and sets of another form: it is read as it is.
_READABLE = (1, 2)
MANIFEST = "manifest.json"
SHARE, NOTES = "share", "notes"
# So many releases are looked through whole for those that explain a sample, by what triage says of them.
LIKELY = 32
# Rows that no likely release explains are looked for in all releases, so many at a time and in so many rounds.
UNEXPLAINED, ROUNDS = 1000, 3
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
        with _writing(folder), _locked(folder):
            final = folder / self.release
            if final.exists():
                raise InputError(f"there is a release {self.release} already", hint="choose another name, or retire it")
            whole = self._write_aside(folder / f".{self.release}.new", keys, manifest)
            (folder / f".{self.release}.new").rename(final)
            _sync(folder)
            _renew_union(folder)
        result: dict[str, Any] = orjson.loads(_dump(whole))
        return result

    def _write_aside(self, aside: Path, keys: U64, manifest: Mapping[str, Any]) -> dict[str, Any]:
        step = 1 if len(keys) <= EXACT_VALUES else VALUE_SAMPLE
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        (aside / "values").mkdir(mode=0o700)
        sets: dict[str, int] = {}
        values: dict[str, int] = {}
        bits = share_bits(len(keys))
        for column, kind in enumerate(RECORD_KINDS):
            if keys[:, column].any():
                sets[kind.word] = _save(keys[:, column], aside / f"{kind.word}.tags")
        _save(share_of(keys.ravel(), bits), aside / f"{SHARE}.tags")
        for kind, parts in self._values.items():
            tags = sampled(np.concatenate(parts), step)
            if tags.any():
                values[kind.word] = _save(tags, aside / "values" / f"{kind.word}.tags")
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
            "values": values,
            "value_sample": step,
            "share_bits": bits,
            "notes": notes,
            "retired": None,
        }
        _write_manifest(aside, whole)
        return whole


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
        self.columns = tuple(kind for kind in RECORD_KINDS if kind.word in manifest["sets"])
        self.value_kinds: frozenset[str] = frozenset(manifest["values"])

    @cached_property
    def sets(self) -> Mapping[Kind, TagSet | TightSet]:
        """One set for each kind of record key."""
        return {kind: open_set(self.folder / f"{kind.word}.tags") for kind in self.columns}

    @cached_property
    def values(self) -> Mapping[Kind, TagSet | TightSet]:
        """Of values, or of a sample of them."""
        return {
            kind: open_set(self.folder / "values" / f"{kind.word}.tags")
            for kind in VALUE_KINDS
            if kind.word in self.value_kinds
        }

    @cached_property
    def notes(self) -> TagSet | TightSet | None:
        """Prints of free texts; None where it has none."""
        return open_set(self.folder / f"{NOTES}.tags") if self.manifest.get("notes") else None

    def share(self) -> U64:
        """The record keys that triage keeps, cut."""
        if self.manifest["format"] == 1:
            # its sets have lost the bits that choose a share: what is small is taken whole, the rest goes without
            small = self.records <= UNEXPLAINED
            return np.concatenate([each.to_array() for each in self.sets.values()]) if small else np.zeros(0, np.uint64)
        return open_set(self.folder / f"{SHARE}.tags").to_array()

    def hits(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) this release holds."""
        return _hits(keys, self.sets)

    def members(self, kind: Kind) -> int:
        """How many record keys of a kind it holds."""
        return int(self.manifest["sets"].get(kind.word, 0))

    def shared(self, kind: Kind) -> tuple[int, int, int]:
        """How often its people share a key of a kind: see `data.people.shared_keys`; zeros where that was not counted."""
        more, bearers, one_in = self.manifest.get("shared", {}).get(kind.word, (0, 0, 1))
        return int(more), int(bearers), int(one_in)

    def verify(self) -> None:
        """Read everything and compare digests; raises StoreError."""
        for tags in (*self.sets.values(), *self.values.values(), *([self.notes] if self.notes is not None else [])):
            tags.verify()


def _hits(keys: U64, sets: Mapping[Kind, TagSet | TightSet]) -> Bools:
    found = np.zeros(keys.shape, bool)
    for kind, tags in sets.items():
        tags.look_into(keys, RECORD_KINDS.index(kind), found)
    return found


class Releases:
    """All releases of a home, mapped and not read: open them again to see what was added or retired since."""

    def __init__(
        self, active: Mapping[str, Release], stale: tuple[str, ...] = (), segments: Sequence[Segment] = ()
    ) -> None:
        self.active = dict(active)
        self.stale = stale
        """Ids of releases made by another version of the normaliser: their tags meet none of ours."""
        self.people = sum(release.people for release in self.active.values())
        self._union = Union(self.active, segments)

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
        return cls(active, tuple(stale), read_segments(folder, active))

    def __len__(self) -> int:
        return len(self.active)

    def members(self, kind: Kind) -> int:
        """How many record keys of a kind all releases hold; those of several are counted for each."""
        return sum(release.members(kind) for release in self.active.values())

    def held(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) any release holds."""
        found = np.zeros(keys.shape, bool)
        for column, kind in enumerate(RECORD_KINDS):
            self._union.look_into(kind.word, keys, column, found)
        return found

    def holds(self, kind: Kind, tags: U64) -> Bools:
        """Shape of `tags`: which record keys of one kind any release holds."""
        return self._union.holds(kind.word, tags)

    def known_notes(self, prints: U64) -> Bools:
        """Shape of `prints`: which prints of free texts any release holds."""
        return self._union.holds(NOTES, prints)

    def per_release(self, keys: U64) -> dict[str, Bools]:
        """Per release, shape (n,): the rows of (n, 6) it knows by any key."""
        return {name: any_key(release.hits(keys)) for name, release in self.active.items()}

    def known_any(self, keys: U64) -> Bools:
        """Shape (n,): the rows of (n, 6) that any release knows by any key."""
        return any_key(self.held(keys))

    @cached_property
    def _triage(self) -> Triage:
        everything = list(self.active.values())
        return Triage([release.share() for release in everything], [release.share_bits for release in everything])

    def triage(self, keys: U64, seen: Bools) -> list[tuple[Release, int]]:
        """Releases that may hold some of the known keys of a sample, with an estimate of how many, the most first.

        Args:
            keys: shape (n, 6).
            seen: as `held` gives it for them.
        """
        everything = list(self.active.values())
        estimate = self._triage.estimate(keys[seen])
        return [(everything[at], int(estimate[at])) for at in np.argsort(-estimate, kind="stable") if estimate[at]]

    def explaining(self, keys: U64, seen: Bools) -> list[Release]:
        """The releases that explain the known rows of a sample, and others that may.

        Few rows are looked for in all releases; of many, triage names the releases that hold most of them or are
        held to the greatest part, and what these leave unexplained is looked for in all others.

        Args:
            keys: shape (n, 6).
            seen: as `held` gives it for them.
        """
        everything = list(self.active.values())
        known = any_key(seen)
        if len(everything) <= 1:
            return everything if known.any() else []
        rows, hits = keys[known], seen[known]
        if len(rows) <= UNEXPLAINED:
            return [release for release in everything if release.hits(rows).any()]
        ranked = self.triage(rows, hits)
        likely = ranked[:LIKELY]
        likely += sorted(ranked[LIKELY:], key=lambda each: each[1] / each[0].records, reverse=True)[:LIKELY]
        found, left = [release for release, _ in likely], rows
        for release in found:
            left = left[~any_key(release.hits(left))] if len(left) else left
        others = [release for release in everything if release not in found]
        for _ in range(ROUNDS):
            if not len(left):
                break
            more = [release for release in others if release.hits(left[:UNEXPLAINED]).any()]
            found += more
            others = [release for release in others if release not in more]
            for release in more:
                left = left[~any_key(release.hits(left))]
        return found

    @property
    def value_sample(self) -> int:
        """Values are compared one in so many: the widest step of all releases."""
        return max((release.value_sample for release in self.active.values()), default=1)

    def new_values(self, kind: Kind, tags: U64) -> tuple[int, int]:
        """Of distinct value tags: how many no release holds, and how many were compared (within the sample)."""
        compared = sampled(tags, self.value_sample)
        return int((~self._union.holds(f"values/{kind.word}", compared)).sum()), len(compared)


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
            if manifest["format"] not in _READABLE:
                raise StoreError(f"the release {path.name} was written by a newer Tocsin", hint="update Tocsin")
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
    with _writing(folder), _locked(folder):
        if manifest["retired"] is None:
            manifest["retired"] = now.isoformat()
            _write_manifest(path, manifest)
        for file in path.rglob("*.tags"):
            file.unlink()
        _sync(path)
        _renew_union(folder)
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
    with _writing(folder), _locked(folder):
        # out of sight in one step: half a release must never be opened
        aside = folder / f".{release}.gone"
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
        _sync(folder)
        _renew_union(folder)


def _renew_union(folder: Path) -> None:
    """Bring the union in step with the releases; a reader finds the releases themselves until it is."""
    active = {
        manifest["id"]: Release(folder / manifest["id"], manifest)
        for manifest in read_manifests(folder)
        if manifest["retired"] is None and manifest["normaliser"] == VERSION
    }
    write_union(folder, active)


def _save(tags: U64, path: Path) -> int:
    held = TightSet.build(tags)
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
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, in whatever process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
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
