"""The audit chain: each entry's digest covers the one before, so that a changed or missing entry shows."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlite_utils import Database

FIRST = "0" * 64


def _digest(before: str, seq: int, at: str, actor: str, action: str, detail: str) -> str:
    return hashlib.sha256("\0".join((before, str(seq), at, actor, action, detail)).encode()).hexdigest()


class Audit:
    """The chain in table `audit`; appended to inside the caller's transaction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def _all(self, order: str) -> list[dict[str, Any]]:
        return list(self._db.query(f"select * from audit order by seq {order}"))  # noqa: S608 - fixed texts below

    def append(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Add an entry: who, what, about what (names and counts, never content)."""
        last = next(self._db.query("select seq, digest from audit order by seq desc limit 1"), None)
        seq, before = (last["seq"] + 1, last["digest"]) if last else (1, FIRST)
        at = now.astimezone(UTC).isoformat(timespec="microseconds")
        self._db.table("audit").insert(
            {
                "seq": seq,
                "at": at,
                "actor": actor,
                "action": action,
                "detail": detail,
                "digest": _digest(before, seq, at, actor, action, detail),
            }
        )

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return self._all("asc")

    def verify(self) -> list[str]:
        """Sentences about every break; empty when the chain is whole."""
        problems: list[str] = []
        before = FIRST
        for expected, row in enumerate(self._all("asc"), 1):
            if row["seq"] != expected:
                return [*problems, f"entry {expected} is missing"]
            if row["digest"] != _digest(before, row["seq"], row["at"], row["actor"], row["action"], row["detail"]):
                problems.append(f"entry {expected} was changed")
            before = row["digest"]
        return problems
