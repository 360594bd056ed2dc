"""All releases of a home at once: what any of them holds, and which explain a sample. Verdicts are made by `crawler.lineage.lineage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from data.arrays.array_types import U64, Bools
from data.errors import KeyFileError
from data.hashing.tags import RECORD_KINDS, Kind
from data.identifiers.normalise import VERSION
from data.releases.candidates import Triage
from data.releases.folder import read_manifests
from data.releases.merged_sets import Segment, Union, read_segments
from data.releases.people import any_key
from data.releases.release import NOTES, Release, sampled

# So many releases are looked through whole for those that explain a sample, by what triage says of them.
LIKELY = 32
# Rows that no likely release explains are looked for in all releases, so many at a time and in so many rounds.
UNEXPLAINED, ROUNDS = 1000, 3


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

    def held(self, keys: U64) -> Bools:
        """Shape (n, 6): which keys of (n, 6) any release holds."""
        found = np.zeros(keys.shape, bool)
        for column, kind in enumerate(RECORD_KINDS):
            self._union.look_up_column(kind.word, keys, column, found)
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
