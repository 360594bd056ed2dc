"""The folder of releases of a home: reading manifests, retiring and removing releases, and the lock for writers.

A folder whose name starts with a dot is no release: a writer that was interrupted leaves such folders. The files of one
release are described in `data.releases.stored_release`, those of all releases together in `data.releases.merged_sets`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from data.durable_files import file_errors_as_ours, locked_folder, read_file, replace_file, sync_folder
from data.errors import InputError, StoreError
from data.identifiers.normalise import VERSION
from data.releases.registered import (
    forget_release,
    manifest_checksum,
    read_checksums,
    require_registered,
    write_checksums,
)
from data.tagsets.tag_bits import KEPT_BITS, MIN_KEPT_BITS

if TYPE_CHECKING:
    from data.releases.stored_release import StoredRelease

FORMAT = 3
# Format 1 has no triage tags and no notes, and its sets are encoded differently. Up to format 2 all sets keep the same
# number of bits. Both are read without conversion.
_READABLE_FORMATS = (1, 2, 3)
MANIFEST = "manifest.json"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def check_id(release: str) -> str:
    """The id itself, if it is valid (lower-case letters, digits and dashes); otherwise raises InputError."""
    if not _ID.fullmatch(release):
        raise InputError(
            "a release id has 1 to 64 lower-case letters, digits and dashes, and does not start with a dash",
            hint="choose a name like part-1",
        )
    return release


def read_manifests(folder: Path) -> list[dict[str, Any]]:
    """The manifests of all releases, including retired ones, in the order of their ids.

    Raises:
        StoreError: a manifest is damaged or cannot be read, or a release that was registered is missing.
    """
    return [manifest for manifest, _ in _manifests_with_checksums(folder)]


def _manifests_with_checksums(folder: Path) -> list[tuple[dict[str, Any], str]]:
    if not folder.is_dir():
        return []
    found: list[tuple[dict[str, Any], str]] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            content = read_file(path / MANIFEST)
            manifest = orjson.loads(content)
            if manifest["format"] not in _READABLE_FORMATS:
                raise StoreError(f"the release {path.name} was written by a newer Tocsin", hint="update Tocsin")
            for name in ("people", "records", "value_sample", "normaliser"):
                int(manifest[name])
            if manifest["id"] != path.name or not {"sets", "values", "retired"} <= manifest.keys():
                raise ValueError("another id, or a missing field")
            bits = manifest.get("cuts", [KEPT_BITS, KEPT_BITS])
            if len(bits) != 2 or not all(MIN_KEPT_BITS <= int(each) <= KEPT_BITS for each in bits):
                raise ValueError("invalid number of kept bits")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the manifest of the release {path.name} is damaged or cannot be read",
                hint=f"restore {path} from a backup, or delete it and register the release again",
            ) from error
        found.append((manifest, manifest_checksum(content)))
    require_registered(folder, {manifest["id"]: checksum for manifest, checksum in found})
    return found


def register_releases(folder: Path) -> None:
    """Write the checksums of all releases as they are now; the caller must make sure that nobody else writes."""
    write_checksums(folder, {manifest["id"]: [checksum] for manifest, checksum in _manifests_with_checksums(folder)})


def retire_release(folder: Path, release: str, now: datetime) -> dict[str, Any]:
    """Delete the tag sets of a release and return its manifest, which is kept; no sample is compared with it any more.

    A call that is killed half-way has retired the release all the same; the next call deletes the remaining sets.

    Raises:
        InputError: there is no such release.
        StoreFull: no space is left.
        StoreError: the files cannot be written.
    """
    path = folder / check_id(release)
    manifest = next((each for each in read_manifests(folder) if each["id"] == release), None)
    if manifest is None:
        raise InputError(f"there is no release {release}", hint="see: tocsin release list")
    with writing(folder):
        if manifest["retired"] is None:
            manifest["retired"] = now.isoformat()
            checksums = read_checksums(folder)
            # whichever manifest a killed call leaves is the right one
            if release in checksums:
                checksums[release].append(manifest_checksum(encode_manifest(manifest)))
                write_checksums(folder, checksums)
            write_manifest(path, manifest)
            register_releases(folder)
        for file in path.rglob("*.tags"):
            file.unlink()
        sync_folder(path)
        _write_merged_sets(folder)
    return manifest


def remove_release(folder: Path, release: str) -> None:
    """Delete a release with its manifest; its id may be used again.

    Raises:
        InputError: there is no such release.
        StoreError: it cannot be deleted.
    """
    path = folder / check_id(release)
    if not path.is_dir():
        raise InputError(f"there is no release {release}", hint="see: tocsin release list")
    with writing(folder):
        # renamed before it is deleted, so that nobody opens a release of which a part is gone
        forget_release(folder, release)
        deleted = folder / f".{release}.gone"
        shutil.rmtree(deleted, ignore_errors=True)
        path.rename(deleted)
        shutil.rmtree(deleted)
        sync_folder(folder)
        _write_merged_sets(folder)


def forget_lost_release(folder: Path, release: str) -> bool | None:
    """No longer expect a release whose folder is gone.

    Returns:
        Whether its checksum was registered; None if the folder of the release is there.
    """
    if not _ID.fullmatch(release) or (folder / release).exists():
        return None
    if not folder.is_dir():
        return False
    with writing(folder):
        registered = release in read_checksums(folder)
        forget_release(folder, release)
    return registered


def _write_merged_sets(folder: Path) -> None:
    # not imported above: a command that only reads manifests loads no numpy
    from data.releases.merged_sets import write_merged_sets

    write_merged_sets(folder, active_releases(folder))


def active_releases(folder: Path) -> dict[str, StoredRelease]:
    """The releases that samples are compared with, by id; raises what `read_manifests` raises."""
    from data.releases.stored_release import StoredRelease

    return {
        manifest["id"]: StoredRelease(folder / manifest["id"], manifest)
        for manifest in read_manifests(folder)
        if manifest["retired"] is None and manifest["normaliser"] == VERSION
    }


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of the manifest file."""
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a release atomically and flush it to the disk."""
    replace_file(folder / MANIFEST, [encode_manifest(manifest)])


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other writers out of the folder of releases, which is made if it is absent.

    An interrupted writer leaves a temporary folder; the next write of the same release deletes it.

    Raises:
        StoreFull: no space is left.
        StoreError: the folder cannot be written.
    """
    with file_errors_as_ours("the release", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked_folder(folder):
            yield
