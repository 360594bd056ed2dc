"""Adds bundles to the watch-list of a home, and retires them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.case.bundle import RECORD_DTYPE, BundleHeader
from data.case.watchlist import open_segments
from data.errors import BundleError, StoreError
from data.tagsets.verified_files import note_verified
from data.watchlist.generation import collect_generation
from data.watchlist.manifest import Manifest, WrittenSegment, read_manifest, write_manifest, writing
from data.watchlist.segment import PARTS, damaged_error
from data.watchlist.segment_writer import NewEntries, remove_other_segments, write_segment

# Segments of at most so many tags are always merged: that takes less than a tenth of a second.
SMALL_SEGMENT = 250_000


def import_bundle(folder: Path, case: str, header: BundleHeader, records: NDArray[Any]) -> bool:
    """Add one bundle; as `import_bundles`. Returns False, and adds nothing, if it was imported before."""
    return bool(import_bundles(folder, case, [(header, records)]))


def import_bundles(
    folder: Path,
    case: str,
    bundles: Iterable[tuple[BundleHeader, NDArray[Any]]],
    *,
    anew: bool = False,
) -> list[str]:
    """Add bundles that `read_bundle` accepted, all of them or, after an error, none.

    Args:
        folder: the `watchlist` folder of a home.
        case: the case of the home.
        bundles: header and records, of dtype `bundle.RECORD_DTYPE`, of each; read once. Those that were imported before
            are passed over.
        anew: begin a new list in place of one that is lost or damaged.

    Returns:
        The ids of the bundles that were added.

    Raises:
        BundleError: a bundle has a canary that its header does not count.
        ConfigError: the list belongs to another case or another version of the normaliser.
        StoreFull: no space is left.
        StoreError: the list is damaged or cannot be written.
    """
    with writing(folder):
        manifest = Manifest(case) if anew else read_manifest(folder, case)
        manifest.case = case
        new = _converted(folder, manifest)
        try:
            known = {bundle["id"] for bundle in manifest.bundles}
            added: list[str] = []
            for header, records in bundles:
                if header.bundle in known:
                    continue
                known.add(header.bundle)
                added.append(header.bundle)
                _add(new, len(manifest.bundles), header, records)
                manifest.bundles.append(_manifest_entry(header))
            if not added and not manifest.generation and not anew:
                return []
            _commit(folder, manifest, new)
        finally:
            new.close()
    return added


def retire_canaries(
    folder: Path,
    case: str,
    client: str,
    *,
    bundle: str = "",
    now: datetime | None = None,
) -> int:
    """Retire a client's canaries, or those of one bundle; returns how many canaries were retired.

    Their tags are left out of all look-ups at once, and of the files when their segment is next merged.

    Args:
        folder: the `watchlist` folder of a home.
        case: the case of the home.
        client: id of the client.
        bundle: the beginning of a bundle id; '' stands for all bundles of the client.
        now: the current time by default.
    """
    with writing(folder):
        manifest = read_manifest(folder, case)
        retired = [
            each
            for each in manifest.bundles
            if each["client"] == client and each["id"].startswith(bundle) and not each["retired"]
        ]
        if not retired:
            return 0
        new = _converted(folder, manifest)
        try:
            for each in retired:
                each["retired"] = (now or datetime.now(UTC)).isoformat(timespec="seconds")
            _commit(folder, manifest, new)
        finally:
            new.close()
    return sum(int(each["canaries"]) for each in retired)


def _converted(folder: Path, manifest: Manifest) -> NewEntries:
    """The entries of a list that an earlier version wrote, to be written as a segment; else nothing."""
    if not manifest.generation:
        return NewEntries(folder)
    return collect_generation(folder / manifest.generation, manifest, folder)


def _add(new: NewEntries, number: int, header: BundleHeader, records: NDArray[Any]) -> None:
    if records.dtype != RECORD_DTYPE:
        raise StoreError("the records do not have the format of a bundle")
    if len(records) and int(records["canary"].max()) >= header.canaries:
        raise BundleError(
            f"the bundle {header.bundle} of {header.client} has a canary that its header does not count",
            hint="ask the client to enrol again",
        )
    digests = np.ascontiguousarray(records["digest"][:, :8]).view("<u8").reshape(-1)
    new.add_bundle(
        number, header.canaries, np.ascontiguousarray(records["tag"]), digests, records["canary"], records["kind"]
    )


def _manifest_entry(header: BundleHeader) -> dict[str, Any]:
    return {
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


def _commit(folder: Path, manifest: Manifest, new: NewEntries) -> None:
    """Write new entries, merged with older segments where that is due, then the manifest; delete what it replaces."""
    kept = _without_retired(manifest)
    written: list[WrittenSegment] = []
    if new.tags:
        kept.sort(key=lambda each: each.tags)
        to_merge = _count_to_merge(new.tags, [each.tags for each in kept])
        merged, kept = kept[:to_merge], kept[to_merge:]
        older = _open_for_merge(folder, manifest, merged)
        written = [write_segment(folder, new, older, manifest.retired)]
    old = manifest.segments
    manifest.segments, manifest.generation = [*kept, *written], ""
    try:
        write_manifest(folder, manifest)
    except BaseException:
        remove_other_segments(folder, [*(each.id for each in old), *_generations(folder)])
        raise
    # what was just written need not be read again before the next opening
    note_verified(folder, [folder / each.id / f"{name}.part" for each in written for name in PARTS])
    remove_other_segments(folder, [each.id for each in manifest.segments])


def _generations(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("generation-*")]


def _without_retired(manifest: Manifest) -> list[WrittenSegment]:
    """The segments that hold an active bundle."""
    retired = manifest.retired
    return [each for each in manifest.segments if not retired.issuperset(each.numbers)]


def _open_for_merge(folder: Path, manifest: Manifest, merged: Sequence[WrittenSegment]) -> list[tuple[Any, int]]:
    """The segments to merge, each with its number of people; all of their bytes are verified."""
    part = Manifest(manifest.case, manifest.bundles, list(merged))
    try:
        opened = open_segments(folder, part, verify_all=True)
    except FileNotFoundError as error:
        raise damaged_error(Path(os.fsdecode(error.filename)), "the file is missing") from error
    people = {each.id: each.people for each in merged}
    return [(segment, people[segment.id]) for segment in opened]


def _count_to_merge(new: int, tags: Sequence[int]) -> int:
    """How many of the smallest segments are merged with new entries; `tags` are their sizes in ascending order.

    The last segment that is merged is the largest one that is small, or at most twice as large as the new entries and
    all smaller segments together. So the number of segments grows with the logarithm of the size, and an entry is
    rewritten as often.
    """
    count, before = 0, new
    for number, size in enumerate(tags, 1):
        if 2 * before >= size or size <= SMALL_SEGMENT:
            count = number
        before += size
    return count
