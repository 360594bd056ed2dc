"""All releases of a home together: which records any of them holds, and which releases explain a sample.

`crawler.lineage.verdict` makes the verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from data.arrays.array_types import U64, Bools
from data.errors import KeyFileError
from data.hashing.tags import RECORD_KINDS, Kind
from data.identifiers.normalise import VERSION
from data.releases.folder import read_manifests
from data.releases.merged_sets import MergedSets, Segment, read_segments
from data.releases.people import rows_with_key
from data.releases.stored_release import NOTES, StoredRelease, sample_tags
from data.releases.triage import TriageIndex
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import TagSet

# So many of the best candidates are compared with all rows: those with most known records, and as many with the largest
# part known.
MAX_CANDIDATES = 32
# Rows that no candidate explains are looked up in all releases: so many rows at a time, and so many times.
SEARCH_ROWS, MAX_SEARCHES = 1000, 3


class KnownReleases:
    """All releases of a home, memory-mapped. To see later additions or retirements, open them again."""

    def __init__(
        self,
        active: Mapping[str, StoredRelease],
        stale: tuple[str, ...] = (),
        segments: Sequence[Segment] = (),
        folder: Path | None = None,
    ) -> None:
        self.active = dict(active)
        self.stale = stale
        """Ids of releases that another version of the normaliser made: their tags cannot be compared with ours."""
        self.people = sum(release.people for release in self.active.values())
        self._segments, self._folder = tuple(segments), folder
        self._merged = MergedSets(self.active, segments)

    @classmethod
    def open(cls, folder: Path, case: str = "") -> KnownReleases:
        """Map the releases of a folder; a folder that does not exist has none.

        Args:
            folder: the `releases` folder of a home.
            case: the case of the key in use; '' to accept releases of any case.

        Raises:
            KeyFileError: a release was made with the key of another case: every sample would look new beside it.
            StoreError: a release is damaged. Nothing is opened, because without it known records would be called new.
        """
        active, stale = {}, []
        for manifest in read_manifests(folder):
            if manifest["retired"] is not None:
                continue
            if case and manifest.get("case", case) != case:
                raise KeyFileError(
                    f"the release {manifest['id']} belongs to another case than the match key",
                    hint="restore the keys/match.key of this case, or retire the release",
                )
            if manifest["normaliser"] != VERSION:
                stale.append(manifest["id"])
                continue
            active[manifest["id"]] = StoredRelease(folder / manifest["id"], manifest)
        return cls(active, tuple(stale), read_segments(folder, active), folder)

    def __len__(self) -> int:
        return len(self.active)

    def verify(self) -> None:
        """Read all files of the releases whole; raises StoreError if one is damaged or missing."""
        if self._folder is not None:
            read_manifests(self._folder)
            read_segments(self._folder, self.active)
        for release in self.active.values():
            release.verify()
        for segment in self._segments:
            segment.verify()

    def find_known_keys(self, keys: U64) -> Bools:
        """Shape (n, 6): which of the record keys, shape (n, 6), any release holds."""
        found = np.zeros(keys.shape, bool)
        for column, kind in enumerate(RECORD_KINDS):
            self._merged.look_up_column(kind.word, keys, column, found)
        return found

    def contains(self, kind: Kind, tags: U64) -> Bools:
        """Which record keys of one kind any release holds; shape of `tags`."""
        return self._merged.contains(kind.word, tags)

    def contains_note_prints(self, prints: U64) -> Bools:
        """Which prints of free texts any release holds; shape of `prints`."""
        return self._merged.contains(NOTES, prints)

    @cached_property
    def common_values(self) -> EliasFanoSet | None:
        """The values that many different people of any release have; None if there are none."""
        sets = [found for release in self.active.values() if (found := release.common) is not None]
        return EliasFanoSet.union(sets) if sets else None

    @cached_property
    def _marks(self) -> list[TagSet | EliasFanoSet]:
        own = [release for release in self.active.values() if not release.is_of_open_origin]
        return [found for release in own if (found := release.marks) is not None]

    def all_have_mark(self, tag: U64) -> bool:
        """Whether every release of our breach has a mark, shape (1,): a difference from them then tells something."""
        own = [release for release in self.active.values() if not release.is_of_open_origin]
        return bool(own) and len(self._marks) == len(own) and all(marks.lookup(tag).all() for marks in self._marks)

    def contains_marks(self, tags: U64) -> Bools:
        """Which marks of tables any release of our breach has; shape of `tags`."""
        found = np.zeros(len(tags), bool)
        for marks in self._marks:
            found |= marks.lookup(tags)
        return found

    def known_rows_by_release(self, keys: U64) -> dict[str, Bools]:
        """For each release, shape (n,): the rows of `keys`, shape (n, 6), of which it holds any key."""
        return {name: rows_with_key(release.find_known_keys(keys)) for name, release in self.active.items()}

    def known_rows(self, keys: U64) -> Bools:
        """Shape (n,): the rows of `keys`, shape (n, 6), of which any release holds any key."""
        return rows_with_key(self.find_known_keys(keys))

    @cached_property
    def _triage_index(self) -> TriageIndex:
        releases = list(self.active.values())
        return TriageIndex([each.triage_tags() for each in releases], [each.triage_bits for each in releases])

    def rank_candidates(self, keys: U64, known: Bools) -> list[tuple[StoredRelease, int]]:
        """Releases that may hold known keys of a sample, each with the estimated number of them, largest first.

        Args:
            keys: shape (n, 6).
            known: shape (n, 6), the result of `find_known_keys` for `keys`.
        """
        releases = list(self.active.values())
        estimate = self._triage_index.estimate(keys[known])
        return [(releases[at], int(estimate[at])) for at in np.argsort(-estimate, kind="stable") if estimate[at]]

    def find_explaining(self, keys: U64, known: Bools) -> list[StoredRelease]:
        """The releases that explain the known rows of a sample; some others may be among them.

        A few rows are looked up in all releases. For many rows the triage index names candidates: the releases that
        hold most of the rows, and those of which the largest part is in the sample. Rows that no candidate explains are
        then looked up in all other releases.

        Args:
            keys: shape (n, 6).
            known: shape (n, 6), the result of `find_known_keys` for `keys`.
        """
        releases = list(self.active.values())
        is_known = rows_with_key(known)
        if len(releases) <= 1:
            return releases if is_known.any() else []
        rows, known_keys = keys[is_known], known[is_known]
        if len(rows) <= SEARCH_ROWS:
            return [release for release in releases if release.find_known_keys(rows).any()]
        ranked = self.rank_candidates(rows, known_keys)
        candidates = ranked[:MAX_CANDIDATES]
        candidates += sorted(ranked[MAX_CANDIDATES:], key=lambda each: each[1] / each[0].records, reverse=True)[
            :MAX_CANDIDATES
        ]
        found, unexplained = [release for release, _ in candidates], rows
        for release in found:
            unexplained = _not_held(release, unexplained)
        others = [release for release in releases if release not in found]
        for _ in range(MAX_SEARCHES):
            if not len(unexplained):
                break
            more = [release for release in others if release.find_known_keys(unexplained[:SEARCH_ROWS]).any()]
            found += more
            others = [release for release in others if release not in more]
            for release in more:
                unexplained = _not_held(release, unexplained)
        return found

    @property
    def value_sample(self) -> int:
        """One value in so many is compared: the largest such number of all releases."""
        return max((release.value_sample for release in self.active.values()), default=1)

    def count_new_values(self, kind: Kind, tags: U64) -> tuple[int, int]:
        """How many of the distinct value tags no release holds, and how many were compared (the sample of values)."""
        compared = sample_tags(tags, self.value_sample)
        return int((~self._merged.contains(f"values/{kind.word}", compared)).sum()), len(compared)

    def find_known_values(self, kind: Kind, tags: U64) -> tuple[Bools, Bools]:
        """Which value tags could be looked up (those of the sample of values that the releases keep), and which are known.

        Args:
            kind: of the values.
            tags: shape (n,), 0 for absent.
        """
        compared = (tags != 0) & ((tags & np.uint64(self.value_sample - 1)) == 0)
        compared &= any(kind.word in release.value_kinds for release in self.active.values())
        return compared, compared & self._merged.contains(f"values/{kind.word}", tags)


def _not_held(release: StoredRelease, rows: U64) -> U64:
    """The rows, shape (n, 6), of which a release holds no key."""
    return rows[~rows_with_key(release.find_known_keys(rows))] if len(rows) else rows
