"""The audit chain: who did what, in an order that cannot be changed.

Each digest covers the entry before it. An entry made by a process that has the key of the chain also has a mac, which
covers its digest and so everything before it; and the head, of which there is one, says under such a key how far the
chain has come. An entry of a command without the key (`source add` where the match key comes by systemd credential) has
no mac of its own; the next keyed entry covers it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from data.hashing.chain_keys import ChainKey
from data.store.database import Database, stamp

# The digest that the first entry covers in place of an entry before it.
_NO_ENTRY = "0" * 64
# How evidence that was kept is recorded: that of a finding, and a page that shows why an event was made.
EVIDENCE_ACTOR, EVIDENCE_ACTION, PAGE_ACTION, PAGE_BEGUN = "evidence", "kept", "kept a page", "keeps a page"
# The place of the key of an entry without one.
_NO_KEY = -1
# A row that claims a key so far beyond its place is not checked: making the key would take too long.
_MAX_SKIPPED = 1_000_000


def _digest(before: str, row: dict[str, Any]) -> str:
    parts = [before, str(row["seq"]), row["at"], row["actor"], row["action"], row["detail"]]
    if row["key"] != _NO_KEY:
        # an entry without its mac is another entry
        parts.append(f"key {row['key']}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _head_content(seq: int, digest: str) -> bytes:
    return f"{seq}\0{digest}".encode()


@dataclass(slots=True)
class AuditCheck:
    """The result of checking the audit chain.

    Attributes:
        problems: one sentence each; empty if the chain is intact.
        entries, keyed: how many entries there are, and how many of them are keyed.
        digests: of the entries, in order.
    """

    problems: list[str] = field(default_factory=list)
    entries: int = 0
    keyed: int = 0
    digests: list[str] = field(default_factory=list)


class AuditChain:
    """The chain in table `audit`, and its head in table `audit_head`."""

    def __init__(self, database: Database, key: ChainKey | None = None) -> None:
        """For one database.

        Args:
            database: of the home.
            key: of the next entry or an earlier one; advanced with each entry. Without it entries are not keyed.
        """
        self._database, self._key = database, key

    def record(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Append an entry: who did what to what. `detail` holds names and counts, never content."""
        with self._database.transaction():
            if self._key is not None and self._keyed() == 0:
                self._append("audit", "keyed", "from here on", now)
            self._append(actor, action, detail, now)

    def record_once(self, actor: str, action: str, detail: str, now: datetime) -> None:
        """Append an entry unless there is one that says the same."""
        with self._database.transaction():
            known = self._database.first_row(
                "select 1 from audit where actor = ? and action = ? and detail = ?", actor, action, detail
            )
            if known is None:
                self.record(actor, action, detail, now)

    def record_evidence(self, finding: str, digest: str, now: datetime) -> None:
        """Record once that the evidence of a finding was kept, with the digest of the sealed file."""
        self.record_once(EVIDENCE_ACTOR, EVIDENCE_ACTION, f"{finding} {digest}", now)

    def record_page_begun(self, event: str, digest: str, now: datetime) -> None:
        """Record that such a page is about to be kept: whoever is killed then leaves a file that is known."""
        self.record_once(EVIDENCE_ACTOR, PAGE_BEGUN, f"{event} {digest}", now)

    def record_page(self, event: str, digest: str, now: datetime) -> None:
        """Record once that the page that shows why an event was made was kept, with the digest of the sealed file."""
        self.record_once(EVIDENCE_ACTOR, PAGE_ACTION, f"{event} {digest}", now)

    def evidence_kept(self) -> dict[str, str]:
        """Id of each finding whose evidence was recorded as kept -> digest of the sealed file."""
        return self._kept(EVIDENCE_ACTION)

    def pages_kept(self) -> dict[str, str]:
        """Id of each event whose page was recorded as kept -> digest of the sealed file."""
        return self._kept(PAGE_ACTION)

    def pages_begun(self) -> dict[str, str]:
        """Id of each event whose page was about to be kept -> digest of the sealed file."""
        return self._kept(PAGE_BEGUN)

    def _kept(self, action: str) -> dict[str, str]:
        rows = self._database.rows("select detail from audit where actor = ? and action = ?", EVIDENCE_ACTOR, action)
        return {name: digest for name, _, digest in (row["detail"].partition(" ") for row in rows)}

    def about(self, event: str) -> list[dict[str, Any]]:
        """What people decided about an event, oldest first: `at`, `actor`, `action`, `detail`; not what was kept as evidence."""
        return self._database.rows(
            "select at, actor, action, detail from audit where detail >= ?1 and detail < ?1 || char(0x10ffff)"
            " and actor <> ?2 order by seq",
            event,
            EVIDENCE_ACTOR,
        )

    def entries(self, action: str, begin: str) -> list[dict[str, Any]]:
        """The entries of an action whose detail begins with a text, oldest first: `at`, `actor`, `detail`."""
        return self._database.rows(
            "select at, actor, detail from audit where action = ? and detail >= ?2 and detail < ?2 || char(0x10ffff)"
            " order by seq",
            action,
            begin,
        )

    def head(self) -> tuple[int, str]:
        """Number of entries, and digest of the last one; 64 zeros if there is none."""
        last = self._database.first_row("select seq, digest from audit order by seq desc limit 1")
        return (last["seq"], last["digest"]) if last else (0, _NO_ENTRY)

    def verify(self, key: ChainKey | None = None) -> list[str]:
        """The problems that `check` finds, one sentence each; empty if the chain is intact."""
        return self.check(key).problems

    def check(self, key: ChainKey | None = None) -> AuditCheck:
        """Every break of the chain.

        Args:
            key: of the first entry; without it macs are not checked.
        """
        result = AuditCheck()
        key = key.copy() if key is not None else None
        before, covered = _NO_ENTRY, 0
        for expected, row in enumerate(self._database.rows("select * from audit order by seq"), 1):
            if row["seq"] != expected:
                result.problems.append(f"entry {expected} is missing")
                return result
            if row["digest"] != _digest(before, row):
                result.problems.append(f"entry {expected} was changed")
            elif row["key"] != _NO_KEY and key is not None and not self._mac_is_right(row, key):
                result.problems.append(f"entry {expected} was not made with the key of this case: it was forged")
            before = row["digest"]
            result.digests.append(before)
            if row["key"] != _NO_KEY:
                result.keyed, covered = result.keyed + 1, expected
                if row["key"] != expected:
                    result.problems.append(
                        f"entry {expected} was made as entry {row['key']}: entries before it were removed"
                    )
        result.entries = len(result.digests)
        self._check_head(result, covered, key)
        return result

    def _check_head(self, result: AuditCheck, covered: int, key: ChainKey | None) -> None:
        """Compare the keyed head with the last keyed entry; an older head cannot be made again, nor a newer one."""
        row = self._database.first_row("select * from audit_head")
        if row is None:
            if result.keyed:
                result.problems.append("the head of the chain is missing: its last entries may have been removed")
            return
        seq, digest = row["seq"], row["digest"]
        if seq > result.entries:
            result.problems.append(f"entries {result.entries + 1} to {seq} are missing at the end")
        elif seq != covered or result.digests[seq - 1 : seq] != [digest]:
            result.problems.append("the head of the chain does not match its last keyed entry: the end was replaced")
        if key is not None and not self._head_is_right(row, key):
            result.problems.append("the head of the chain was not made with the key of this case: it was forged")

    @staticmethod
    def _mac_is_right(row: dict[str, Any], key: ChainKey) -> bool:
        if not key.number <= row["key"] < row["seq"] + _MAX_SKIPPED:
            return False
        return hmac.compare_digest(key.advance(row["key"]).mac(b"audit", row["digest"].encode()), row["mac"])

    @staticmethod
    def _head_is_right(row: dict[str, Any], key: ChainKey) -> bool:
        if not key.number <= row["key"] < row["seq"] + _MAX_SKIPPED:
            return False
        expected = key.advance(row["key"]).mac(b"audit head", _head_content(row["seq"], row["digest"]))
        return hmac.compare_digest(expected, row["mac"])

    def _keyed(self) -> int:
        return int(self._database.rows("select count(*) as n from audit_head")[0]["n"])

    def _append(self, actor: str, action: str, detail: str, now: datetime) -> None:
        count, before = self.head()
        row: dict[str, Any] = {
            "seq": count + 1,
            "at": stamp(now),
            "actor": actor,
            "action": action,
            "detail": detail,
            "key": _NO_KEY,
            "mac": "",
        }
        key = self._key
        if key is not None:
            # if entries were removed behind the back of this process, its key is ahead of them, and the entry says so
            row["key"] = max(count + 1, key.number)
            key = key.copy().advance(row["key"])
        row["digest"] = _digest(before, row)
        if key is not None:
            row["mac"] = key.mac(b"audit", row["digest"].encode())
            self._database.execute("delete from audit_head")
            self._database.insert(
                "audit_head",
                {
                    "seq": row["seq"],
                    "key": row["key"],
                    "digest": row["digest"],
                    "mac": key.mac(b"audit head", _head_content(row["seq"], row["digest"])),
                },
            )
            self._database.when_committed(lambda: self._forget(row["key"] + 1))
        self._database.insert("audit", row)

    def _forget(self, number: int) -> None:
        if self._key is not None and self._key.number < number:
            self._key.advance(number)
