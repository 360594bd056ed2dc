"""Checks the record of a home: the sealed evidence, the audit chain, the database, and a head noted elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from data.case import evidence, evidence_check
from data.errors import ConfigError
from data.hashing.chain_keys import HEAD_DIGITS, ChainHead
from data.plural import counted
from data.settings.home import Home
from data.store.store import Store
from scheduler.crawls.keyed_store import chain_keys_here, unusable_key
from scheduler.delivery.time_stamps import problem_of, stamps, time_of_stamp

# Problems of the audit chain begin with this.
AUDIT = "audit: "


@dataclass(slots=True)
class RecordCheck:
    """The result of a check of the record.

    Attributes:
        evidence: how many sealed files were ever kept.
        problems, notes: one sentence each; notes are what a person should know, but nothing is wrong.
        head: of the record now.
        keys: `checked`, `not available` if the match key is not here, or `none` if nothing in the record is keyed.
        stamps: the time stamps of the record that are right, oldest first: `head`, and `at`, when the authority saw it.
        contains_head: whether the record holds the head that was asked for; None if none was.
    """

    evidence: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    head: str = ""
    keys: str = "none"
    contains_head: bool | None = None
    stamps: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The object of `evidence verify --json`."""
        value: dict[str, Any] = {
            "evidence": self.evidence,
            "problems": self.problems,
            "notes": self.notes,
            "head": self.head,
            "keys": self.keys,
            "stamps": self.stamps,
        }
        return value if self.contains_head is None else {**value, "contains_head": self.contains_head}


def check_record(home: Home, now: datetime, noted: ChainHead | None = None, *, with_keys: bool = True) -> RecordCheck:
    """Check the evidence and the audit chain of a home, and that they agree with each other and with the findings.

    Args:
        home: whose record it is.
        now: aware UTC.
        noted: a head of this record that was noted elsewhere.
        with_keys: read the match key, if it is available, and check the macs with it.
    """
    result = RecordCheck(evidence=len(evidence.entries(home.evidence_dir)))
    keys = chain_keys_here(home) if with_keys else None
    if with_keys and keys is None and (reason := unusable_key(home)):
        result.problems.append(reason)
    evidence_key = keys.evidence if keys is not None else None
    stamped: Sequence[tuple[str, bytes]] = ()
    if not home.db_path.exists():
        files = evidence_check.check(home.evidence_dir, evidence_key)
        result.problems += files.problems
        if files.lines:
            result.problems.append("tocsin.db is missing: the evidence cannot be compared with its findings")
        kept, recorded, keyed = files.digests, [], files.keyed
    else:
        # the database is read before the chain: what it names was kept already
        with contextlib.closing(Store.open(home.db_path)) as store:
            known = evidence_check.Known(
                store.findings.evidence(),
                store.audit.evidence_kept(),
                store.audit.pages_kept(),
                store.audit.pages_begun(),
            )
            audit = store.audit.check(keys.audit if keys is not None else None)
            stamped = stamps(store)
        files = evidence_check.check(home.evidence_dir, evidence_key, known, now)
        result.problems += [*files.problems, *(AUDIT + problem for problem in audit.problems)]
        if files.keyed and not audit.keyed:
            result.problems.append(AUDIT + "no entry is keyed, although the evidence is: the chain was replaced")
        kept, recorded, keyed = files.digests, audit.digests, files.keyed + audit.keyed
        if audit.keyed and (left := audit.entries - audit.keyed):
            result.notes.append(
                f"{counted(left, 'audit entry has', 'audit entries have')} no key of their own:"
                " commands without the match key, or an older version, made them"
            )
    result.keys = "none" if not keyed else "checked" if keys is not None else "not available"
    if keyed and keys is None:
        result.notes.append("the match key is not available here, so only digests were checked, not keys")
    if not keyed and (kept or recorded):
        result.notes.append(
            "nothing in this record is keyed yet: an older version made it, or the keys were removed;"
            " compare it with the head in an alert (--head)"
        )
    result.head = str(ChainHead(_head(kept), _head(recorded)))
    _check_stamps(home, stamped, kept, recorded, result)
    if noted is not None:
        missing = [*_lost("evidence chain", noted.evidence, kept), *_lost("audit chain", noted.audit, recorded)]
        result.problems += missing
        result.contains_head = not missing
    return result


def _check_stamps(
    home: Home, stamped: Sequence[tuple[str, bytes]], kept: list[str], recorded: list[str], result: RecordCheck
) -> None:
    """Verify each time stamp, and that the record holds the head that it is of."""
    certificates = home.path / home.settings().timestamps.certificates if stamped else home.path
    for head, token in stamped:
        try:
            problem = problem_of(head, token, certificates)
        except ConfigError as error:
            result.notes.append(f"{counted(len(stamped), 'time stamp')} not verified: {error}")
            return
        noted = ChainHead.parse(head)
        missing = [*_lost("evidence chain", noted.evidence, kept), *_lost("audit chain", noted.audit, recorded)]
        result.problems += [f"time stamp of {head}: {each}" for each in [*([problem] if problem else []), *missing]]
        if not problem and not missing:
            at = time_of_stamp(token)
            result.stamps.append({"head": head, "at": at.isoformat() if at is not None else ""})


def _head(digests: list[str]) -> tuple[int, str]:
    return len(digests), digests[-1] if digests else "0" * 64


def _lost(name: str, noted: tuple[int, str], digests: list[str]) -> list[str]:
    count, digest = noted
    if count > len(digests):
        return [
            f"the {name} had {count} entries when this head was noted, and now has {len(digests)}: entries are gone"
        ]
    if count and not digests[count - 1].startswith(digest[:HEAD_DIGITS]):
        return [f"entry {count} of the {name} is not the one that this head names: the chain was rewritten"]
    return []
