"""Tags of a sample against the watch-list: which canaries of which clients it holds. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from data.arrays.array_types import I64, U8, U64
from data.arrays.packed import Packed
from data.case.canary_bitmaps import bitmaps_of_codes
from data.hashing.case_keys import Keys
from data.hashing.tags import Kind, confirm_digests, probe_tags
from data.model import Hit
from data.tagsets.tagset import TagSet, distinct

# Codes that are kept before those that stand there more than once are put together.
_LOOSE = 1 << 18


class Owners(Protocol):
    """Where a confirmed tag belongs: the watch-list."""

    @property
    def probe_values(self) -> TagSet:
        """Tags of values."""
        ...

    @property
    def probe_records(self) -> TagSet:
        """Tags of record keys."""
        ...

    def resolve(self, tags: U64, digests: U8, kinds: U8) -> tuple[I64, U64]:
        """As `data.case.watchlist.Watchlist.resolve`."""
        ...

    def client_of(self, bundle: int) -> str:
        """The client that a bundle belongs to."""
        ...

    def bundle_of(self, bundle: int) -> str:
        """The id of a bundle."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """Hits that are certain.

    Attributes:
        values: shape (m,), numbers of the values that hit. codes: shape (m,), bundle number << 32 | canary.
        kinds: shape (m,), kinds of the values.
    """

    values: I64
    codes: U64
    kinds: U8

    def __len__(self) -> int:
        return len(self.values)


def confirm(owners: Owners, keys: Keys, kinds: U8, values: Packed) -> Confirmed:
    """Which values of a sample are canaries: their tag is on the watch-list and their confirm digest agrees.

    Args:
        owners: the watch-list.
        keys: of its case.
        kinds: shape (n,).
        values: n normal forms, without the kind byte; empty ones are absent.
    """
    tags = probe_tags(keys.probe, kinds, values)
    suspects = np.flatnonzero((tags != 0) & (owners.probe_values.lookup(tags) | owners.probe_records.lookup(tags)))
    digests = confirm_digests(keys.confirm, kinds[suspects], values.take(suspects))
    found, codes = owners.resolve(tags[suspects], digests, kinds[suspects])
    return Confirmed(suspects[found], codes, kinds[suspects[found]])


class Matcher:
    """Collects the confirmed hits of one sample."""

    def __init__(self, owners: Owners, keys: Keys) -> None:
        self._owners, self._keys = owners, keys
        self._in_rows = _Codes()
        self._in_bytes = _Codes()
        self._rows: dict[str, int] = {}
        self._kinds: dict[str, set[Kind]] = {}

    def add_bytes(self, confirmed: Confirmed) -> None:
        """Take hits of the byte pass."""
        self._note_kinds(confirmed)
        self._in_bytes.add(confirmed.codes)

    def add_rows(self, confirmed: Confirmed, rows: I64) -> None:
        """Take hits of the record pass.

        Args:
            confirmed: m hits.
            rows: shape (m,), the row that each is in; no other call tells of the same rows.
        """
        self._note_kinds(confirmed)
        self._in_rows.add(confirmed.codes)
        bundles = (confirmed.codes >> np.uint64(32)).astype(np.int64)
        found: dict[str, list[I64]] = {}
        for bundle in distinct(bundles.astype(np.uint64)).tolist():
            found.setdefault(self._owners.client_of(bundle), []).append(rows[bundles == bundle])
        for client, parts in found.items():
            count = len(distinct(np.concatenate(parts).astype(np.uint64)))
            self._rows[client] = self._rows.get(client, 0) + count

    def _note_kinds(self, confirmed: Confirmed) -> None:
        pairs = distinct((confirmed.codes >> np.uint64(32)) << np.uint64(8) | confirmed.kinds)
        for pair in pairs.tolist():
            self._kinds.setdefault(self._owners.client_of(pair >> 8), set()).add(Kind(pair & 255))

    def hits(self) -> list[Hit]:
        """Hits per client, in order of client.

        `records` counts distinct rows, and a canary that no row showed as one record of its own.
        """
        if not self._kinds:
            # most samples: nothing hit
            return []
        in_rows, in_bytes = self._in_rows.codes(), self._in_bytes.codes()
        every = distinct(np.concatenate([in_rows, in_bytes]))
        canaries = self._count(every)
        alone = self._count(every[~np.isin(every, in_rows, assume_unique=True)])
        return [
            Hit(
                client,
                canaries[client],
                self._rows.get(client, 0) + alone.get(client, 0),
                tuple(kind.word for kind in sorted(self._kinds[client])),
            )
            for client in sorted(canaries)
        ]

    def sighted(self) -> dict[str, bytes]:
        """The canaries that hit, as bitmaps by bundle (`data.case.canary_bitmaps`)."""
        return bitmaps_of_codes(self._every(), self._owners.bundle_of)

    def _every(self) -> U64:
        return distinct(np.concatenate([self._in_rows.codes(), self._in_bytes.codes()]))

    def _count(self, codes: U64) -> dict[str, int]:
        counts: dict[str, int] = {}
        bundles, numbers = np.unique(codes >> np.uint64(32), return_counts=True)
        for bundle, number in zip(bundles.tolist(), numbers.tolist(), strict=True):
            client = self._owners.client_of(bundle)
            counts[client] = counts.get(client, 0) + number
        return counts

    def fingerprint(self) -> str:
        """Keyed hex digest of the set of canaries that hit, the same for the same dump in other clothes; '' without."""
        codes = self._every()
        if not len(codes):
            return ""
        return hmac.new(self._keys.post, b"fingerprint\0" + codes.tobytes(), hashlib.sha256).hexdigest()[:32]


class _Codes:
    """A set of codes that grows."""

    def __init__(self) -> None:
        self._parts: list[U64] = []
        self._loose = 0

    def add(self, codes: U64) -> None:
        self._parts.append(codes)
        self._loose += len(codes)
        if self._loose > _LOOSE + len(self._parts[0]):
            self.codes()

    def codes(self) -> U64:
        """Sorted, each once."""
        if len(self._parts) != 1 or self._loose:
            self._parts = [distinct(np.concatenate([np.zeros(0, np.uint64), *self._parts]))]
            self._loose = 0
        return self._parts[0]
