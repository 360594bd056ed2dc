"""Imports bundle files into the watch-list of a home: all of them or, after an error, none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from data.case.bundle import BundleHeader, read_bundles
from data.case.watchlist_import import import_bundles
from data.errors import BundleError
from data.hashing.case_keys import Keys
from data.settings.home import Home
from scheduler.canaries.known_watchlist import after_change, check_watchlist, record_watchlist

BUNDLE_SUFFIX = ".bundle"
REPEAT = "import the same bundles once more, so that they are compared with earlier data"
"""What is left to do if the list was changed and the store could not be written."""


@dataclass(frozen=True, slots=True)
class ImportedBundle:
    """One bundle of a file. `added` is False if it was imported before."""

    path: Path
    header: BundleHeader
    added: bool


def expand_folders(paths: Sequence[Path]) -> list[Path]:
    """The files to import: those named, and all `*.bundle` files of folders that are named.

    Raises:
        BundleError: a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.glob(f"*{BUNDLE_SUFFIX}"))
        if not inside:
            raise BundleError(f"the folder {path} has no *{BUNDLE_SUFFIX} file", hint="name the bundles themselves")
        found += inside
    return found


def import_files(
    home: Home, keys: Keys, paths: Sequence[Path], *, anew: bool = False, done: Callable[[int], None] = lambda _: None
) -> list[ImportedBundle]:
    """Import all bundles of some files in one pass.

    Every byte is authenticated before the first bundle is added, so that a bad one leaves no part of a delivery, and
    again while it is added.

    Args:
        home: whose watch-list gets the bundles.
        keys: of its case.
        paths: the files.
        anew: begin a new list in place of one that is lost or damaged.
        done: is called with the number of bytes that were read, each of them twice.

    Raises:
        BundleError: a file cannot be read, is altered, or belongs to another case.
        ConfigError, StoreError: as `import_bundles` and `check_watchlist`; if the list was changed, the sentence says so.
    """
    if not anew:
        check_watchlist(home, changing=True)
    headers: list[tuple[Path, BundleHeader]] = []
    for path in paths:
        for header, records in read_bundles(path, keys.case, keys.bundle):
            headers.append((path, header))
            done(records.nbytes)

    def bundles() -> Iterator[tuple[BundleHeader, NDArray[Any]]]:
        for path in paths:
            for header, records in read_bundles(path, keys.case, keys.bundle):
                yield header, records
                done(records.nbytes)

    added = set(import_bundles(home.watchlist_dir, keys.case, bundles(), anew=anew))
    with after_change(REPEAT):
        record_watchlist(home, "operator, with --anew" if anew else "operator")
    found = []
    for path, header in headers:
        found.append(ImportedBundle(path, header, header.bundle in added))
        added.discard(header.bundle)
    return found
