"""Tags of a sample against the watch-list: which canaries of which clients it holds. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Hashable
from typing import Protocol

from data.model import Hit
from data.tags import Keys, Kind, confirm_digest, probe_tag


class Owners(Protocol):
    """Where a confirmed tag belongs: the watch-list."""

    def resolve(self, tag: int, digest: bytes, kind: int) -> list[tuple[str, int]]:
        """(client, canary) pairs whose tag and confirm digest both agree; empty for a chance hit."""
        ...


class Matcher:
    """Collects the confirmed hits of one sample."""

    def __init__(self, owners: Owners, keys: Keys) -> None:
        self._owners, self._keys = owners, keys
        self._seen: dict[tuple[int, bytes], list[tuple[str, int]]] = {}
        self._rows: dict[str, dict[Hashable, None]] = {}
        self._canaries: dict[str, dict[int, bool]] = {}
        self._kinds: dict[str, set[Kind]] = {}

    def add_value(self, kind: Kind, value: bytes, row: Hashable | None) -> bool:
        """Take one normal form of the sample; True if it is a canary's.

        Args:
            kind: of the tag.
            value: its input, without the kind byte.
            row: identity of the row that holds it; None where only the byte pass saw it.
        """
        owners = self._seen.get((kind, value))
        if owners is None:
            tag = probe_tag(self._keys.probe, kind, value)
            owners = self._owners.resolve(tag, confirm_digest(self._keys.confirm, kind, value), kind)
            self._seen[kind, value] = owners
        for client, canary in owners:
            canaries = self._canaries.setdefault(client, {})
            canaries[canary] = canaries.get(canary, False) or row is not None
            self._kinds.setdefault(client, set()).add(kind)
            if row is not None:
                self._rows.setdefault(client, {})[row] = None
        return bool(owners)

    def hits(self) -> list[Hit]:
        """Hits per client, in order of client.

        `records` counts distinct rows, and a canary that no row showed as one record of its own.
        """
        return [
            Hit(
                client,
                len(canaries),
                len(self._rows.get(client, ())) + sum(not in_row for in_row in canaries.values()),
                tuple(kind.word for kind in sorted(self._kinds[client])),
            )
            for client, canaries in sorted(self._canaries.items())
        ]

    def fingerprint(self) -> str:
        """Keyed hex digest of the set of canaries that hit, the same for the same dump in other clothes; '' without."""
        pairs = sorted((client, canary) for client, canaries in self._canaries.items() for canary in canaries)
        if not pairs:
            return ""
        text = "\0".join(f"{client}\0{canary}" for client, canary in pairs)
        return hmac.new(self._keys.post, b"fingerprint\0" + text.encode(), hashlib.sha256).hexdigest()[:32]
