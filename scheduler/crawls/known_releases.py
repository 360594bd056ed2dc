"""Compares the folder of releases with the releases that the store expects: a lost one is an error, not an absent one.

Without a release its people count as new, and a re-post of it as a further release. The checksums in `releases/` notice
one lost release, but not the loss of the whole folder.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from data.errors import ConfigError, StoreError
from data.plural import counted
from data.releases.folder import forget_lost_release, read_manifests
from data.settings.home import Home
from data.store.expected_sets import expected_releases

_NAMED = 5


def check_releases(home: Home) -> None:
    """Return if no release of a home is lost; those that the store does not know yet are recorded in it.

    Raises:
        StoreError: a release is lost or damaged, or the store cannot be read.
    """
    known = expected_releases(home.db_path)
    found = {manifest["id"] for manifest in read_manifests(home.releases_dir)}
    if lost := sorted(known - found):
        named = ", ".join(lost[:_NAMED]) + (f" and {len(lost) - _NAMED:,} others" if len(lost) > _NAMED else "")
        raise StoreError(
            f"{counted(len(lost), 'release')} that should be in {home.releases_dir} {'are' if len(lost) > 1 else 'is'}"
            f" lost: {named}",
            hint="restore releases/ from a backup; to go on without a release:  tocsin release retire NAME",
        )
    if found - known and home.db_path.exists():
        from data.store.store import Store

        with contextlib.closing(Store.open(home.db_path)) as store:
            store.expected_releases.add(found - known)


def release_faults(home: Home) -> list[str]:
    """The sentence of the error that `check_releases` raises, if it raises one."""
    try:
        check_releases(home)
    except (StoreError, ConfigError) as error:
        return [str(error)]
    return []


def give_up_lost_release(home: Home, release: str) -> bool:
    """No longer expect a release of which nothing is left; False if it is there, or was never registered."""
    from data.store.store import Store

    registered = forget_lost_release(home.releases_dir, release)
    if registered is None:
        return False
    with contextlib.closing(Store.open(home.db_path)) as store:
        expected = store.expected_releases.forget(release)
        if not (registered or expected):
            return False
        store.audit.record("operator", "lost release given up", release, datetime.now(UTC))
    return True
