"""Matches values of a sample with the watch-list: which canaries of which clients the sample holds. Pure."""

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

# So many codes may be collected before repeated ones are dropped.
_MAX_UNSORTED = 1 << 18


class CanaryOwners(Protocol):
    """The watch-list, as matching uses it: the tags, and the clients to which confirmed tags belong."""

    @property
    def probe_values(self) -> TagSet:
        """Probe tags of values."""
        ...

    @property
    def probe_records(self) -> TagSet:
        """Probe tags of record keys."""
        ...

    def resolve(self, tags: U64, digests: U8, kinds: U8) -> tuple[I64, U64]:
        """See `data.case.watchlist.Watchlist.resolve`."""
        ...

    def client_of(self, bundle: int) -> str:
        """The client that a bundle belongs to."""
        ...

    def bundle_of(self, bundle: int) -> str:
        """The id of a bundle."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ConfirmedHits:
    """Hits whose confirm digest agrees.

    Attributes:
        values: shape (m,), the number of each value that hit.
        codes: shape (m,), the canary of each hit: bundle number << 32 | canary number.
        kinds: shape (m,), the kind of each value.
    """

    values: I64
    codes: U64
    kinds: U8

    def __len__(self) -> int:
        return len(self.values)


def confirm_hits(owners: CanaryOwners, keys: Keys, kinds: U8, values: Packed) -> ConfirmedHits:
    """The values that are canaries: their probe tag is on the watch-list and their confirm digest agrees.

    Args:
        owners: the watch-list.
        keys: of its case.
        kinds: shape (n,), the kind of each value.
        values: n normal forms, without the kind byte; an empty one is absent.
    """
    tags = probe_tags(keys.probe, kinds, values)
    suspects = np.flatnonzero((tags != 0) & (owners.probe_values.lookup(tags) | owners.probe_records.lookup(tags)))
    digests = confirm_digests(keys.confirm, kinds[suspects], values.take(suspects))
    found, codes = owners.resolve(tags[suspects], digests, kinds[suspects])
    return ConfirmedHits(suspects[found], codes, kinds[suspects[found]])


class HitCollector:
    """Collects the confirmed hits of one sample or member, and counts them by client."""

    def __init__(self, owners: CanaryOwners, keys: Keys) -> None:
        self._owners, self._keys = owners, keys
        self._in_rows = _CodeSet()
        self._in_bytes = _CodeSet()
        # by client: rows with a hit, and kinds of the values that hit
        self._rows: dict[str, int] = {}
        self._kinds: dict[str, set[Kind]] = {}

    def add_bytes(self, confirmed: ConfirmedHits) -> None:
        """Add hits of the byte pass."""
        self._add_kinds(confirmed)
        self._in_bytes.add(confirmed.codes)

    def add_rows(self, confirmed: ConfirmedHits, rows: I64) -> None:
        """Add hits of the record pass.

        Args:
            confirmed: m hits.
            rows: shape (m,), the row of each hit; all hits of a row must come in one call.
        """
        self._add_kinds(confirmed)
        self._in_rows.add(confirmed.codes)
        bundles = (confirmed.codes >> np.uint64(32)).astype(np.int64)
        found: dict[str, list[I64]] = {}
        for bundle in distinct(bundles.astype(np.uint64)).tolist():
            found.setdefault(self._owners.client_of(bundle), []).append(rows[bundles == bundle])
        for client, parts in found.items():
            count = len(distinct(np.concatenate(parts).astype(np.uint64)))
            self._rows[client] = self._rows.get(client, 0) + count

    def _add_kinds(self, confirmed: ConfirmedHits) -> None:
        pairs = distinct((confirmed.codes >> np.uint64(32)) << np.uint64(8) | confirmed.kinds)
        for pair in pairs.tolist():
            self._kinds.setdefault(self._owners.client_of(pair >> 8), set()).add(Kind(pair & 255))

    def hits(self) -> list[Hit]:
        """The hits of each client, in order of client.

        `records` counts the distinct rows with a hit, and one record for each canary that only the byte pass found.
        """
        if not self._kinds:
            # the usual case, which needs no sorting
            return []
        in_rows, in_bytes = self._in_rows.codes(), self._in_bytes.codes()
        every = distinct(np.concatenate([in_rows, in_bytes]))
        canaries = self._count_by_client(every)
        only_in_bytes = self._count_by_client(every[~np.isin(every, in_rows, assume_unique=True)])
        return [
            Hit(
                client,
                canaries[client],
                self._rows.get(client, 0) + only_in_bytes.get(client, 0),
                tuple(kind.word for kind in sorted(self._kinds[client])),
            )
            for client in sorted(canaries)
        ]

    def sighted(self) -> dict[str, bytes]:
        """The canaries that hit, as bitmaps by bundle (`data.case.canary_bitmaps`)."""
        return bitmaps_of_codes(self._all_codes(), self._owners.bundle_of)

    def _all_codes(self) -> U64:
        return distinct(np.concatenate([self._in_rows.codes(), self._in_bytes.codes()]))

    def _count_by_client(self, codes: U64) -> dict[str, int]:
        counts: dict[str, int] = {}
        bundles, numbers = np.unique(codes >> np.uint64(32), return_counts=True)
        for bundle, number in zip(bundles.tolist(), numbers.tolist(), strict=True):
            client = self._owners.client_of(bundle)
            counts[client] = counts.get(client, 0) + number
        return counts

    def fingerprint(self) -> str:
        """A keyed hex digest of the canaries that hit, '' without hits; the same for the same dump in another format."""
        codes = self._all_codes()
        if not len(codes):
            return ""
        return hmac.new(self._keys.post, b"fingerprint\0" + codes.tobytes(), hashlib.sha256).hexdigest()[:32]


class _CodeSet:
    """A growing set of canary codes."""

    def __init__(self) -> None:
        self._parts: list[U64] = []
        self._unsorted = 0

    def add(self, codes: U64) -> None:
        self._parts.append(codes)
        self._unsorted += len(codes)
        if self._unsorted > _MAX_UNSORTED + len(self._parts[0]):
            self.codes()

    def codes(self) -> U64:
        """The sorted distinct codes."""
        if len(self._parts) != 1 or self._unsorted:
            self._parts = [distinct(np.concatenate([np.zeros(0, np.uint64), *self._parts]))]
            self._unsorted = 0
        return self._parts[0]
