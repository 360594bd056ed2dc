"""Reads a watch-list that a version without segments wrote: one folder of arrays without checksums.

    watchlist/generation-ID/{tags,digests,canaries,owners,kinds}.npy, values.set, records.set

The next import or retirement converts it (`data.case.watchlist_import`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import StoreError
from data.tagsets.tagset import TagSet
from data.watchlist.manifest import RESTORE_HINT, Manifest
from data.watchlist.segment import WatchlistSegment
from data.watchlist.segment_writer import NewEntries

_ARRAYS = {"tags": np.uint64, "digests": np.uint8, "canaries": np.uint32, "owners": np.uint32, "kinds": np.uint8}


def read_generation(folder: Path, manifest: Manifest) -> WatchlistSegment:
    """The entries of a generation, as a segment in memory.

    Raises:
        StoreError: files are missing or damaged, as far as that can be noticed.
    """
    new = collect_generation(folder, manifest, folder.parent)
    return new.in_memory(manifest.retired)


def collect_generation(folder: Path, manifest: Manifest, spill: Path) -> NewEntries:
    """The entries of a generation, to be written as a segment; `spill` is the folder for temporary files.

    Raises:
        StoreError: files are missing or damaged, as far as that can be noticed.
    """
    damaged = StoreError(f"the watch-list in {folder} is damaged", hint=RESTORE_HINT)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for name, dtype in _ARRAYS.items():
            if not (folder / f"{name}.npy").is_file():
                raise damaged
            arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            if arrays[name].dtype != dtype:
                raise damaged
        for name in ("values", "records"):
            TagSet.open(folder / f"{name}.set").verify()
    except (OSError, ValueError) as error:
        raise damaged from error
    owners, canaries = np.asarray(arrays["owners"]), np.asarray(arrays["canaries"])
    if len({len(array) for array in arrays.values()}) != 1 or arrays["digests"].shape[1:] != (16,):
        raise damaged
    if len(owners) and int(owners.max()) >= len(manifest.bundles):
        raise damaged
    order = np.argsort(owners, kind="stable")
    borders = np.searchsorted(owners[order], np.arange(len(manifest.bundles) + 1))
    new = NewEntries(spill)
    for number, bundle in enumerate(manifest.bundles):
        rows = np.sort(order[borders[number] : borders[number + 1]])
        if bundle["retired"] or not len(rows):
            continue
        if int(canaries[rows].max()) >= int(bundle["canaries"]):
            raise damaged
        new.add_bundle(
            number,
            int(bundle["canaries"]),
            np.asarray(arrays["tags"][rows]),
            np.ascontiguousarray(arrays["digests"][rows][:, :8]).view("<u8").reshape(-1),
            canaries[rows],
            np.asarray(arrays["kinds"][rows]),
        )
    return new
