"""Releases as they lie in the folder of a home: manifests, one writer at a time, retiring, removing.

A release that was cut short while it was written has a name that starts with a dot, and is not one. What a release
holds is `data.releases.release`; what is made of all of them is `data.releases.merged_sets`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from data.errors import InputError, StoreError, StoreFull
from data.identifiers.normalise import VERSION
from data.releases.merged_sets import write_union
from data.releases.release import Release
from data.tagsets.elias_fano import MIN_KEPT_BITS
from data.tagsets.tagset import KEPT_BITS

FORMAT = 3
# Format 1 had no share and no notes, and sets of another form; up to format 2 all sets were cut to the same bits: they
# are read as they are.
_READABLE = (1, 2, 3)
MANIFEST = "manifest.json"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def check_id(release: str) -> str:
    """The id itself, if it can be one: lower-case letters, digits and dashes; raises InputError."""
    if not _ID.fullmatch(release):
        raise InputError(
            "a release id is made of 1 to 64 lower-case letters, digits and dashes", hint="choose a name like part-1"
        )
    return release


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
            bits = manifest.get("cuts", [KEPT_BITS, KEPT_BITS])
            if len(bits) != 2 or not all(MIN_KEPT_BITS <= int(each) <= KEPT_BITS for each in bits):
                raise ValueError("tags of no length that is kept")
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
    with writing(folder), locked(folder):
        if manifest["retired"] is None:
            manifest["retired"] = now.isoformat()
            write_manifest(path, manifest)
        for file in path.rglob("*.tags"):
            file.unlink()
        sync(path)
        write_union(folder, active_in(folder))
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
    with writing(folder), locked(folder):
        # out of sight in one step: half a release must never be opened
        aside = folder / f".{release}.gone"
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
        sync(folder)
        write_union(folder, active_in(folder))


def active_in(folder: Path) -> dict[str, Release]:
    """The releases that samples are compared with, by id; raises as `read_manifests`."""
    return {
        manifest["id"]: Release(folder / manifest["id"], manifest)
        for manifest in read_manifests(folder)
        if manifest["retired"] is None and manifest["normaliser"] == VERSION
    }


def dump(manifest: Mapping[str, Any]) -> bytes:
    """As the file of it is written."""
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a release whole or not at all, and make sure that it is on the disk."""
    aside = folder / f".{MANIFEST}.new"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:  # noqa: PTH123 - its mode
        out.write(dump(manifest))
        out.flush()
        os.fsync(out.fileno())
    aside.replace(folder / MANIFEST)
    sync(folder)


def sync(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time, in whatever process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Errors of the file system become ours; what lies aside is deleted with the next write of that release."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull("no space is left for the release", hint="make room; nothing was changed") from error
        raise StoreError(f"the release cannot be written: {error.strerror}", hint=f"check {folder}") from error
