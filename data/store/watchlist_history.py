"""What the watch-list of a home held when it last changed, so that a lost list is not taken for an empty one.

The entries are part of the audit chain. They hold counts only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data.errors import StoreError

if TYPE_CHECKING:
    from data.store.audit import AuditChain

ACTION = "watch-list changed"
_LATEST = "select detail from audit where action = ? order by seq desc limit 1"


@dataclass(frozen=True, slots=True)
class WatchlistCounts:
    """What a watch-list holds.

    Attributes:
        bundles: how many were ever imported. retired: how many of them are retired.
        clients: how many have active canaries. canaries: active ones. tags: of active canaries.
    """

    bundles: int
    retired: int
    clients: int
    canaries: int
    tags: int

    @classmethod
    def of(cls, bundles: Sequence[Mapping[str, Any]]) -> Self:
        """Count the entries of a watch-list's manifest."""
        active = [bundle for bundle in bundles if not bundle["retired"]]
        return cls(
            len(bundles),
            len(bundles) - len(active),
            len({bundle["client"] for bundle in active if bundle["canaries"]}),
            sum(int(bundle["canaries"]) for bundle in active),
            sum(int(bundle.get("tags", 0)) for bundle in active),
        )

    @classmethod
    def _parse(cls, detail: str) -> Self:
        value = json.loads(detail)
        return cls(**{name: int(value[name]) for name in cls.__slots__})


class WatchlistHistory:
    """The entries about the watch-list in the audit chain."""

    def __init__(self, audit: AuditChain) -> None:
        self._audit = audit

    def record(self, actor: str, counts: WatchlistCounts, now: datetime) -> None:
        """Record what the watch-list holds from now on."""
        self._audit.record(actor, ACTION, json.dumps(asdict(counts)), now)


def latest_watchlist_counts(path: Path) -> WatchlistCounts | None:
    """What the watch-list held when it last changed; None if nothing was ever recorded, or without a database.

    Only reads, and loads nothing that a command without a store does not need.

    Args:
        path: of the database.

    Raises:
        StoreError: the database cannot be read.
    """
    if not path.exists():
        return None
    try:
        # a connection that may only read would leave the files of the write-ahead log behind
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=10)) as opened:
            opened.execute("pragma query_only = on")
            row = opened.execute(_LATEST, (ACTION,)).fetchone()
            return WatchlistCounts._parse(row[0]) if row else None
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise StoreError(f"{path.name} cannot be read: {error}", hint="run: tocsin doctor") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"an entry about the watch-list in {path.name} is damaged", hint="restore tocsin.db from a backup"
        ) from error
