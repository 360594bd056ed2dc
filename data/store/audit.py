"""The audit chain: each digest covers the entry before it, so that changed or missing entries are noticed."""

from __future__ import annotations

import hashlib
from datetime import datetime

from data.store.database import Database, stamp

# The digest that the first entry covers in place of an entry before it.
_NO_ENTRY = "0" * 64


def _digest(before: str, seq: int, at: str, actor: str, action: str, detail: str) -> str:
    return hashlib.sha256("\0".join((before, str(seq), at, actor, action, detail)).encode()).hexdigest()


class AuditChain:
    """The chain in table `audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Append an entry: who did what to what. `detail` holds names and counts, never content."""
        with self._database.transaction():
            last = self._database.first_row("select seq, digest from audit order by seq desc limit 1")
            seq, before = (last["seq"] + 1, last["digest"]) if last else (1, _NO_ENTRY)
            at = stamp(now)
            self._database.insert(
                "audit",
                {
                    "seq": seq,
                    "at": at,
                    "actor": actor,
                    "action": action,
                    "detail": detail,
                    "digest": _digest(before, seq, at, actor, action, detail),
                },
            )

    def verify(self) -> list[str]:
        """One sentence about each break of the chain; empty if the chain is intact."""
        problems: list[str] = []
        before = _NO_ENTRY
        for expected, row in enumerate(self._database.rows("select * from audit order by seq"), 1):
            if row["seq"] != expected:
                return [*problems, f"entry {expected} is missing"]
            if row["digest"] != _digest(before, row["seq"], row["at"], row["actor"], row["action"], row["detail"]):
                problems.append(f"entry {expected} was changed")
            before = row["digest"]
        return problems
