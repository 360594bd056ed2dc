"""The checksums of the manifests of all releases, so that a release that is lost or changed is noticed.

`releases/.checksums.json` holds for each release the SHA-256 of its manifest; two of them while it is being replaced.
Each set of tags has its own digest. A home of an earlier version gets the file with the next release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import orjson

from data.durable_files import file_errors_as_ours, read_file, replace_file
from data.errors import StoreError

CHECKSUMS = ".checksums.json"


def manifest_checksum(content: bytes) -> str:
    """The checksum of the bytes of a manifest."""
    return hashlib.sha256(content).hexdigest()


def read_checksums(folder: Path) -> dict[str, list[str]]:
    """The checksums that the manifest of each registered release may have; empty if none was written yet.

    Raises:
        StoreError: the file is damaged or cannot be read.
    """
    path = folder / CHECKSUMS
    try:
        value = orjson.loads(read_file(path))
        return {str(release): [str(each) for each in checksums] for release, checksums in value["releases"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path} is damaged or cannot be read", hint=f"restore {folder} from a backup, or compare it with one"
        ) from error


def write_checksums(folder: Path, checksums: Mapping[str, list[str]]) -> None:
    """Replace the checksums of all releases; raises StoreFull or StoreError if they cannot be written."""
    if not checksums:
        (folder / CHECKSUMS).unlink(missing_ok=True)
        return
    path = folder / CHECKSUMS
    with file_errors_as_ours(path.name, path.parent):
        replace_file(path, [orjson.dumps({"releases": dict(checksums)})])


def forget_release(folder: Path, release: str) -> None:
    """No longer expect a release, which is deleted or registered again."""
    checksums = read_checksums(folder)
    if checksums.pop(release, None) is not None:
        write_checksums(folder, checksums)


def require_registered(folder: Path, found: Mapping[str, str]) -> None:
    """Compare the releases of a folder with those that were registered.

    Args:
        folder: the `releases` folder of a home.
        found: by id the checksum of each manifest.

    Raises:
        StoreError: a release is missing, or its manifest was changed.
    """
    for release, checksums in read_checksums(folder).items():
        path = folder / release
        if release not in found:
            raise StoreError(
                f"the release {release} is lost: it was registered, and {path} is missing",
                hint=f"restore {path} from a backup; to go on without it:  tocsin release retire {release}",
            )
        if found[release] not in checksums:
            raise StoreError(
                f"the manifest of the release {release} does not match its checksum",
                hint=f"restore {path} from a backup, or delete it and {folder / CHECKSUMS} and register it again",
            )
