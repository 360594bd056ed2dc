"""The manifest of the watch-list: which bundles were imported, and which segments hold their tags.

`manifest.json` has a checksum of its own content and one of each file of each segment. It is replaced atomically, so
that after a `kill -9` either the old or the new watch-list is in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from data.durable_files import file_errors_as_ours, locked_folder, read_file, replace_file
from data.errors import ConfigError, StoreError, StoreVersion
from data.identifiers.normalise import VERSION as NORMALISER

MANIFEST = "manifest.json"
RESTORE_HINT = "restore watchlist/ from a backup, or import all bundles again:  tocsin canary import --anew BUNDLE…"
FORMAT = 2
# In place of the generation that a version without segments looks for, so that such a version reports a damaged list.
_NO_GENERATION = "stored in segments by a newer Tocsin"


@dataclass(frozen=True)
class WrittenSegment:
    """What the manifest states of a segment.

    Attributes:
        id: name of its folder. tags: number of its entries. people: how many people it numbers.
        numbers, firsts: its bundles, as in `WatchlistSegment`.
        digests: the SHA-256 of each part, as hex digits.
        shared: values and record keys with more than `MAX_SHARING` entries, which recognise nobody; None if an earlier
            version wrote the segment, which did not count them.
    """

    id: str
    tags: int
    people: int
    numbers: tuple[int, ...]
    firsts: tuple[int, ...]
    digests: tuple[str, ...]
    shared: int | None = None


@dataclass
class Manifest:
    """What the manifest states.

    Attributes:
        case: the watch-list's case; '' before the first import.
        bundles: one entry for each bundle that was ever imported, in the order of their numbers.
        segments: hold the tags, in any order.
        generation: name of the folder of a watch-list that an earlier version wrote; '' if there is none.
        checksum: of the manifest file; '' if an earlier version wrote it, or if there is none.
    """

    case: str
    bundles: list[dict[str, Any]] = field(default_factory=list)
    segments: list[WrittenSegment] = field(default_factory=list)
    generation: str = ""
    checksum: str = ""

    @property
    def retired(self) -> frozenset[int]:
        """The numbers of retired bundles."""
        return frozenset(number for number, bundle in enumerate(self.bundles) if bundle["retired"])

    @property
    def shared(self) -> int | None:
        """Values and record keys that recognise nobody, as too many entries have them; None if they were not counted.

        Entries of retired bundles count until their segment is next merged.
        """
        counts = [each.shared for each in self.segments if each.shared is not None]
        return sum(counts) if len(counts) == len(self.segments) and not self.generation else None


def read_manifest(folder: Path, case: str = "") -> Manifest:
    """The manifest of a `watchlist` folder; it names no bundle if nothing was imported.

    Args:
        folder: the `watchlist` folder of a home.
        case: the case that the list must belong to; '' for any.

    Raises:
        ConfigError: the list belongs to another case or another version of the normaliser.
        StoreVersion: a newer Tocsin wrote it.
        StoreError: it is damaged, or missing although segments are there.
    """
    path = folder / MANIFEST
    try:
        text = read_file(path)
    except FileNotFoundError as error:
        if _has_tags(folder):
            raise StoreError(
                f"the manifest of the watch-list is missing, but its tags are there: {path}", hint=RESTORE_HINT
            ) from error
        return Manifest(case)
    except OSError as error:
        raise StoreError(
            f"the manifest of the watch-list cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    try:
        value = orjson.loads(text)
        version = int(value.get("format", 1))
        if version > FORMAT:
            raise StoreVersion("the watch-list was written by a newer Tocsin", hint="update Tocsin")
        checksum = "" if version == 1 else str(value.pop("checksum"))
        normaliser = value["normaliser"]
        if version > 1 and checksum != _checksum(value) and normaliser == NORMALISER:
            raise ValueError("another checksum")
        manifest = Manifest(
            str(value["case"]),
            [dict(bundle) for bundle in value["bundles"]],
            [
                WrittenSegment(
                    str(each["id"]), int(each["tags"]), int(each["people"]),
                    tuple(each["numbers"]), tuple(each["firsts"]), tuple(each["sha256"]),
                    None if each.get("shared") is None else int(each["shared"]),
                )
                for each in value.get("segments", ())
            ],
            str(value["generation"]) if version == 1 else "",
            checksum,
        )  # fmt: skip
        for bundle in manifest.bundles:
            _ = bundle["id"], bundle["client"], bundle["name"], int(bundle["canaries"]), bundle["retired"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"the manifest of the watch-list is damaged: {path}", hint=RESTORE_HINT) from error
    if case and manifest.case != case:
        raise ConfigError(
            f"the watch-list belongs to case {manifest.case}, but the match key to case {case}",
            hint="restore the match key of that case, or use another home",
        )
    if normaliser != NORMALISER:
        raise ConfigError(
            f"the watch-list was made with normaliser version {normaliser}; this Tocsin has {NORMALISER}",
            hint="have the clients enrol again with this version",
        )
    return manifest


def _has_tags(folder: Path) -> bool:
    return any(
        path.is_dir() and any(path.iterdir())
        for pattern in ("segment-*", "generation-*")
        for path in folder.glob(pattern)
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest atomically and flush it to the disk; its checksum is set.

    Raises:
        OSError: it cannot be written.
    """
    value: dict[str, Any] = {
        "format": FORMAT,
        "case": manifest.case,
        "normaliser": NORMALISER,
        "generation": _NO_GENERATION,
        "bundles": manifest.bundles,
        "segments": [
            {
                "id": each.id,
                "tags": each.tags,
                "people": each.people,
                "numbers": each.numbers,
                "firsts": each.firsts,
                "sha256": each.digests,
                "shared": each.shared,
            }
            for each in manifest.segments
        ],
    }
    value["checksum"] = manifest.checksum = _checksum(value)
    encoded = orjson.dumps(value, option=orjson.OPT_INDENT_2 if len(manifest.bundles) < 100 else 0)
    replace_file(folder / MANIFEST, [encoded])


def _checksum(value: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other writers out of the folder of the watch-list, which is made if it is absent.

    Raises:
        StoreFull: no space is left.
        StoreError: the folder cannot be written.
    """
    with file_errors_as_ours("the watch-list", folder, "the old list is still in force"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked_folder(folder):
            yield


def client_names(folder: Path) -> dict[str, str]:
    """The display names of all clients by id; no key is needed."""
    return {bundle["client"]: bundle["name"] for bundle in read_manifest(folder).bundles}


def imported_bundles(folder: Path) -> list[dict[str, Any]]:
    """The manifest entries of all imported bundles, oldest first; no key is needed."""
    return read_manifest(folder).bundles
