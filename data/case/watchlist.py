"""The watch-list: all tags of all clients, memory-mapped, with the confirm digest that makes a hit certain.

Each version of the list, a *generation*, is a folder of arrays. `manifest.json` names the current generation and is
replaced atomically, so that after a `kill -9` either the old or the new list is in force.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from data.arrays.array_types import I64, U8, U64
from data.case.bundle import RECORD_DTYPE, BundleHeader
from data.errors import ConfigError, StoreError
from data.hashing.tags import VALUE_KINDS, Kind
from data.identifiers.normalise import VERSION as NORMALISER
from data.model import Client
from data.tagsets.tagset import TagSet

MANIFEST = "manifest.json"
_ARRAYS = ("tags", "digests", "canaries", "owners", "kinds")


def _read_manifest(folder: Path, case: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        return {"case": case, "normaliser": NORMALISER, "generation": "", "bundles": []}
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        wrong_case, wrong_normaliser = manifest["case"] != case, manifest["normaliser"] != NORMALISER
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged or cannot be read", hint="restore watchlist/ from a backup") from error
    if case and wrong_case:
        raise ConfigError(
            f"the watch-list belongs to case {manifest['case']}, but the match key to case {case}",
            hint="restore the match key of that case, or use another home",
        )
    if wrong_normaliser:
        raise ConfigError(
            f"the watch-list was made with normaliser version {manifest['normaliser']}; this Tocsin has {NORMALISER}",
            hint="have the clients enrol again with this version",
        )
    return manifest


def client_names(folder: Path) -> dict[str, str]:
    """The display names of all clients by id; no key is needed."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    return {bundle["client"]: bundle["name"] for bundle in _read_manifest(folder, "")["bundles"]}


def imported_bundles(folder: Path) -> list[dict[str, Any]]:
    """The manifest entries of all imported bundles, oldest first; no key is needed."""
    return [dict(bundle) for bundle in _read_manifest(folder, "")["bundles"]]


ENTRY_DTYPE = np.dtype(
    [("tags", "<u8"), ("digests", "u1", 16), ("canaries", "<u4"), ("owners", "<u4"), ("kinds", "u1")]
)
"""One entry of the list: a tag, its confirm digest, its canary (number of the bundle, number within it), its kind."""


def _are_values(kinds: U8) -> NDArray[np.bool_]:
    """Which entries are single values; the others are record keys."""
    return np.isin(kinds, [int(kind) for kind in VALUE_KINDS])


class Watchlist:
    """One generation of the watch-list, memory-mapped: a look-up reads only the pages that it needs."""

    def __init__(
        self, manifest: Mapping[str, Any], arrays: Sequence[NDArray[Any]], values: TagSet, records: TagSet
    ) -> None:
        self._manifest = manifest
        self._tags, self._digests, self._canaries, self._owners, self._kinds = arrays
        self.probe_values, self.probe_records = values, records

    @classmethod
    def open(cls, folder: Path, *, case: str) -> Self:
        """Open the watch-list of a home; it is empty if nothing was imported.

        Raises:
            ConfigError: the list belongs to another case or another version of the normaliser.
            StoreError: the list is damaged.
        """
        manifest = _read_manifest(folder, case)
        if not manifest["generation"]:
            return cls._from_records(manifest, np.zeros(0, ENTRY_DTYPE))
        generation = folder / manifest["generation"]
        try:
            arrays = [np.load(generation / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS]
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the watch-list in {generation} is damaged", hint="restore it, or import the bundles again"
            ) from error
        if len({len(array) for array in arrays}) != 1:
            raise StoreError(
                f"the watch-list in {generation} is damaged", hint="restore it, or import the bundles again"
            )
        # nearly all tags of a dump are on no list: with a Bloom filter before the sets, matching rows takes a fifth
        # less time (measured with 1,000 canaries)
        sets = [TagSet.open(generation / f"{name}.set", use_bloom_filter=True) for name in ("values", "records")]
        return cls(manifest, arrays, *sets)

    @classmethod
    def in_memory(cls, records: NDArray[Any], client: str) -> Self:
        """A watch-list of one client that is held in memory only.

        Args:
            records: of dtype `ENTRY_DTYPE`, with 0 for all `owners`.
            client: id of the client.
        """
        bundle = {
            "id": client, "client": client, "name": client, "canaries": len(np.unique(records["canaries"])),
            "kinds": {Kind(kind).word: 1 for kind in set(records["kinds"].tolist())}, "retired": None,
        }  # fmt: skip
        return cls._from_records({"bundles": [bundle]}, records)

    @classmethod
    def _from_records(cls, manifest: Mapping[str, Any], records: NDArray[Any]) -> Self:
        records = records[np.argsort(records["tags"], kind="stable")]
        is_value = _are_values(records["kinds"])
        sets = [TagSet.build(np.ascontiguousarray(records["tags"][which])) for which in (is_value, ~is_value)]
        return cls(manifest, [np.ascontiguousarray(records[name]) for name in _ARRAYS], *sets)

    def count_unreachable(self, sample_size: int) -> int:
        """How many of at most `sample_size` evenly drawn entries their own tag does not find; 0 in an intact list."""
        drawn = np.linspace(0, len(self) - 1, min(sample_size, len(self))).astype(np.int64)
        tags, kinds = np.asarray(self._tags[drawn]), np.asarray(self._kinds[drawn])
        is_value = _are_values(kinds)
        seen = np.where(is_value, self.probe_values.lookup(tags), self.probe_records.lookup(tags))
        found, _ = self.resolve(tags, np.asarray(self._digests[drawn]), kinds)
        seen[np.setdiff1d(np.arange(len(drawn)), found)] = False
        return int((~seen).sum())

    def __len__(self) -> int:
        """Number of tags."""
        return len(self._tags)

    def resolve(self, tags: U64, digests: U8, kinds: U8) -> tuple[I64, U64]:
        """The entries whose tag, kind and confirm digest equal those of n values.

        Args:
            tags: shape (n,).
            digests: shape (n, 16).
            kinds: shape (n,).

        Returns:
            For each such entry the index of the value, and its canary (bundle number << 32 | number of the canary);
            both of shape (m,).
        """
        low = np.searchsorted(self._tags, tags, "left")
        count = np.searchsorted(self._tags, tags, "right") - low
        found: list[I64] = [np.zeros(0, np.int64)]
        codes: list[U64] = [np.zeros(0, np.uint64)]
        for further in range(int(count.max(initial=0))):
            here = np.flatnonzero(count > further)
            places = low[here] + further
            agrees = (self._kinds[places] == kinds[here]) & (self._digests[places] == digests[here]).all(axis=1)
            here, places = here[agrees], places[agrees]
            found.append(here)
            codes.append(self._owners[places].astype(np.uint64) << np.uint64(32) | self._canaries[places])
        return np.concatenate(found), np.concatenate(codes)

    def client_of(self, bundle: int) -> str:
        """The id of the client that a bundle, given by its number, belongs to."""
        return str(self._manifest["bundles"][bundle]["client"])

    def bundle_of(self, bundle: int) -> str:
        """The id of a bundle, given by its number."""
        return str(self._manifest["bundles"][bundle]["id"])

    @property
    def has_tokens(self) -> bool:
        """Whether any active canary is a planted string."""
        return any(
            bundle["kinds"].get(Kind.TOKEN.word) for bundle in self._manifest["bundles"] if not bundle["retired"]
        )

    def clients(self) -> list[Client]:
        """All clients in the order of their ids, each with its numbers of active and retired canaries."""
        found: dict[str, Client] = {}
        for bundle in self._manifest["bundles"]:
            old = found.get(bundle["client"], Client(bundle["client"], bundle["name"]))
            active, retired = (0, bundle["canaries"]) if bundle["retired"] else (bundle["canaries"], 0)
            found[old.id] = Client(old.id, bundle["name"] or old.name, old.active + active, old.retired + retired)
        return [found[client] for client in sorted(found)]

    def bundles(self) -> list[dict[str, Any]]:
        """The manifest entries of all imported bundles, oldest first."""
        return [dict(bundle) for bundle in self._manifest["bundles"]]

    def _records(self) -> NDArray[Any]:
        records = np.zeros(len(self._tags), ENTRY_DTYPE)
        for name, array in zip(
            _ARRAYS, (self._tags, self._digests, self._canaries, self._owners, self._kinds), strict=True
        ):
            records[name] = array
        return records


def import_bundle(folder: Path, case: str, header: BundleHeader, records: NDArray[Any]) -> bool:
    """Add a bundle that `read_bundle` accepted; returns False, and changes nothing, if it was imported before.

    Args:
        folder: the `watchlist` folder of a home.
        case: the case of the home.
        header: header of the bundle.
        records: its records, of dtype `bundle.RECORD_DTYPE`.
    """
    manifest = _read_manifest(folder, case)
    if any(bundle["id"] == header.bundle for bundle in manifest["bundles"]):
        return False
    old = Watchlist.open(folder, case=case)._records()
    new = np.zeros(len(records), ENTRY_DTYPE)
    if records.dtype != RECORD_DTYPE:
        raise StoreError("the records do not have the format of a bundle")
    for ours, theirs in (("tags", "tag"), ("digests", "digest"), ("canaries", "canary"), ("kinds", "kind")):
        new[ours] = records[theirs]
    new["owners"] = len(manifest["bundles"])
    manifest["bundles"].append(
        {
            "id": header.bundle,
            "client": header.client,
            "name": header.name,
            "created": header.created,
            "canaries": header.canaries,
            "tags": header.tags,
            "kinds": dict(header.kinds),
            "planted": header.planted,
            "retired": None,
        }
    )
    _replace(folder, manifest, np.concatenate([old, new]))
    return True


def retire_canaries(folder: Path, case: str, client: str, *, bundle: str = "", now: datetime | None = None) -> int:
    """Remove a client's canaries, or those of one bundle, from the list; returns how many canaries were removed.

    `bundle` is the beginning of a bundle id; '' stands for all bundles of the client.
    """
    manifest = _read_manifest(folder, case)
    retired = [
        number
        for number, each in enumerate(manifest["bundles"])
        if each["client"] == client and each["id"].startswith(bundle) and not each["retired"]
    ]
    if not retired:
        return 0
    records = Watchlist.open(folder, case=case)._records()
    for number in retired:
        manifest["bundles"][number]["retired"] = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    _replace(folder, manifest, records[~np.isin(records["owners"], retired)])
    return sum(manifest["bundles"][number]["canaries"] for number in retired)


def _replace(folder: Path, manifest: dict[str, Any], records: NDArray[Any]) -> None:
    """Write a new generation, then the manifest that names it, then delete all other generations."""
    folder.mkdir(mode=0o700, exist_ok=True)
    order = np.argsort(records["tags"], kind="stable")
    records = records[order]
    generation = f"generation-{secrets.token_hex(6)}"
    path = folder / generation
    try:
        path.mkdir(mode=0o700)
        for name in _ARRAYS:
            target = path / f"{name}.npy"
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123
                np.save(stream, np.ascontiguousarray(records[name]), allow_pickle=False)
                stream.flush()
                os.fsync(stream.fileno())
        is_value = _are_values(records["kinds"])
        TagSet.build(np.ascontiguousarray(records["tags"][is_value])).save(path / "values.set")
        TagSet.build(np.ascontiguousarray(records["tags"][~is_value])).save(path / "records.set")
        manifest["generation"] = generation
        temporary = folder / f".{MANIFEST}.{secrets.token_hex(4)}"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:  # noqa: PTH123
            json.dump(manifest, text, indent=1)
            text.flush()
            os.fsync(text.fileno())
        temporary.rename(folder / MANIFEST)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        raise StoreError(
            f"the watch-list cannot be written: {error.strerror}",
            hint="free some space and try again; the old list is still in force",
        ) from error
    for other in folder.glob("generation-*"):
        if other.name != generation:
            shutil.rmtree(other, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
