"""What a finding means as an event: pure rules from findings and crawl counts to kinds, severities and ids."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from data.model import Event, EventKind, Finding, Severity
from data.store.post_changes import SIGNIFICANT_FIELDS

# Verdicts that say that every record of a sample was known before.
KNOWN_VERDICTS = frozenset({"re-post", "re-packaged", "subset"})
# Unmatched people are told from these standard deviations above what typing errors are likely to hide.
SIGMAS = 3
SEVERITY = {
    EventKind.FURTHER_RELEASE: Severity.CRITICAL,
    EventKind.CANARY_HIT: Severity.CRITICAL,
    EventKind.REPOST: Severity.INFO,
    EventKind.EARLY_LOOK: Severity.NOTICE,
    EventKind.LISTING_CHANGED: Severity.NOTICE,
    EventKind.ANNOUNCEMENT: Severity.WARNING,
    EventKind.UNEXAMINED: Severity.WARNING,
    EventKind.GAP: Severity.WARNING,
    EventKind.SOURCE_SILENT: Severity.WARNING,
    EventKind.SOURCE_CHANGED: Severity.WARNING,
    EventKind.TOR_DOWN: Severity.WARNING,
    EventKind.DELIVERY_FAILED: Severity.WARNING,
    EventKind.SELFTEST_FAILED: Severity.WARNING,
    EventKind.RECOVERED: Severity.NOTICE,
}


def event_id(kind: EventKind, *parts: object) -> str:
    """32 hex digits; the same happening gives the same id, so that it is stored and told once."""
    canonical = json.dumps([kind.value, *parts], separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def make(kind: EventKind, at: datetime, *parts: object, severity: Severity | None = None, **fields: Any) -> Event:
    """An event of a kind with its usual severity; `parts` make its id, `fields` are those of `Event`."""
    return Event(event_id(kind, *parts), kind, severity or SEVERITY[kind], at, **fields)


def _merged_hits(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Hits of several samples of one post per client; the same canary in two samples counts in the larger of them."""
    clients: dict[str, dict[str, Any]] = {}
    for finding in findings:
        for hit in finding.hits:
            row = clients.setdefault(hit.client, {"client": hit.client, "canaries": 0, "records": 0, "kinds": []})
            row["canaries"] = max(row["canaries"], hit.canaries)
            row["records"] = max(row["records"], hit.records)
            row["kinds"] = sorted({*row["kinds"], *hit.kinds})
    return [clients[client] for client in sorted(clients)]


def _facts(finding: Finding, findings: Sequence[Finding]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "clients": _merged_hits(findings),
        "format": finding.format,
        "bytes": finding.bytes,
        "rows": finding.rows,
        "complete": finding.complete,
        "problems": sorted({problem.partition(":")[0] for each in findings for problem in each.problems}),
    }
    if finding.lineage is not None:
        lineage = finding.lineage
        facts |= {
            "verdict": lineage.verdict,
            "people": lineage.records,
            "known": lineage.known,
            "new": lineage.new,
            "interval": list(lineage.interval),
            "mistyped": lineage.mistyped,
            "added": dict(sorted(lineage.added.items())),
            "confidence": lineage.confidence,
            "new_values": dict(lineage.new_values),
            "parents": [{"release": parent.release, "share": parent.share} for parent in lineage.parents],
        }
    return facts


def leading(findings: Sequence[Finding]) -> Finding:
    """The finding of a post that says most: hits before none, more new people before fewer, larger before smaller."""

    def says(each: Finding) -> tuple[bool, int, bool, int, int]:
        found = each.lineage
        return bool(each.hits), found.new if found else 0, bool(found and found.added), each.records, each.bytes

    return max(findings, key=says)


def _all_known(finding: Finding) -> bool:
    return finding.lineage is not None and finding.lineage.verdict in KNOWN_VERDICTS


def _further(finding: Finding) -> Severity | None:
    """How loud new harm beside a registered release is, something tying the sample to it; None where there is none.

    Known people who come with what was not known of them are new harm too. The unmatched rest of a known dump is told
    unless the sample's own typing errors account for it.
    """
    lineage = finding.lineage
    if lineage is None or not lineage.parents:
        return None
    if lineage.added or (lineage.new and lineage.verdict in {"superset", "overlap", "padded", "new"}):
        return Severity.CRITICAL
    if lineage.new > lineage.mistyped + SIGMAS * math.sqrt(lineage.mistyped):
        return Severity.CRITICAL if finding.hits else Severity.WARNING
    return None


def events_of_post(
    source: str,
    post: str,
    address: str,
    findings: Sequence[Finding],
    *,
    incident: str,
    at: datetime,
) -> list[Event]:
    """The events of one post whose samples were examined.

    Args:
        source: name of the source.
        post: keyed id of the post.
        address: masked address of the post.
        findings: one per sample, at least one.
        incident: id of the incident that it belongs to, or ''.
        at: aware UTC.

    Returns:
        At most one event about leaks, and `unexamined` where a sample was not examined to its end. A finding with hits always gives an event; ids repeat for repeated happenings.
    """
    common: dict[str, Any] = {"source": source, "post": post, "address": address, "incident": incident}
    events: list[Event] = []
    best = leading(findings)
    told = _facts(best, findings)
    if best.hits or (best.lineage is not None and best.lineage.parents):
        if loud := _further(best):
            # the same people further released at two places ring once: hits and count of new people name the release
            subject: tuple[object, ...] = (best.fingerprint or post, told["new"], told["people"], *told["added"])
            events.append(make(EventKind.FURTHER_RELEASE, at, *subject, severity=loud, facts=told, **common))
        elif best.hits and not _all_known(best):
            events.append(make(EventKind.CANARY_HIT, at, best.fingerprint, facts=told, **common))
        else:
            # what is known in full does not ring; the rest of a mostly known dump did so above
            events.append(make(EventKind.REPOST, at, source, post, best.sha256, facts=told, **common))
    if incomplete := [each for each in findings if not each.complete]:
        codes = sorted({problem.partition(":")[0] for each in incomplete for problem in each.problems})
        events.append(
            make(
                EventKind.UNEXAMINED, at, source, post, *[each.sha256 for each in incomplete],
                facts={"samples": len(incomplete), "problems": codes, "bytes": sum(each.bytes for each in incomplete)},
                **common,
            )
        )  # fmt: skip
    return events


def event_of_change(
    source: str,
    post: str,
    address: str,
    changed: Mapping[str, str],
    seen: Mapping[str, Any],
    incident: str,
    at: datetime,
) -> Event:
    """The event of a known post that changed.

    Args:
        source: name of the source.
        post: keyed id of the post.
        address: masked address of the post.
        changed: field -> a phrase about it, from `data.store.post_changes`; at least one.
        seen: the fields as they are now: the same change is told once, however often it is seen before its commit.
        incident: id of the incident that it belongs to, or ''.
        at: aware UTC.
    """
    telling = sorted(set(changed) & SIGNIFICANT_FIELDS)
    return make(
        EventKind.LISTING_CHANGED, at, source, post, json.dumps(seen, sort_keys=True),
        severity=Severity.WARNING if telling else None,
        source=source, post=post, address=address, incident=incident,
        facts={"fields": sorted(changed), "changed": [changed[field] for field in sorted(changed)]},
    )  # fmt: skip


def event_of_announcement(
    source: str,
    post: str,
    address: str,
    rules: Sequence[str],
    deadlines: Sequence[tuple[datetime, int, datetime | None]],
    incident: str,
    at: datetime,
) -> Event:
    """The event of a post that an incident's rules match, or that announces times to come.

    Args:
        source: name of the source.
        post: keyed id of the post.
        address: masked address of the post.
        rules: names of the rules that matched.
        deadlines: from `Store.note_deadlines`.
        incident: id of the incident.
        at: aware UTC.
    """
    told = [
        {"at": when.isoformat(timespec="minutes"), "exact_minutes": exact, "before": before and before.isoformat(timespec="minutes")}
        for when, exact, before in sorted(deadlines)
    ]  # fmt: skip
    return make(
        EventKind.ANNOUNCEMENT, at, source, post, sorted(rules), [each["at"] for each in told],
        source=source, post=post, address=address, incident=incident,
        facts={"rules": sorted(rules), "deadlines": told},
    )  # fmt: skip
