"""What findings and changes of posts mean as events: pure rules that give the kind, severity and id of each event."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from data.model import Event, EventKind, Finding, Lineage, Severity
from data.store.post_changes import SIGNIFICANT_FIELDS

# With these verdicts every record of a sample was known before.
KNOWN_VERDICTS = frozenset({"re-post", "re-packaged", "subset"})
# Unmatched people of a known dump are reported if they exceed the number that typing errors explain by more than this
# many standard deviations.
TYPING_ERROR_SIGMAS = 3
# The message about a sample of at most so many people tells whether it is genuine.
SMALL_SAMPLE = 1000
SEVERITY = {
    EventKind.FURTHER_RELEASE: Severity.CRITICAL,
    EventKind.CANARY_HIT: Severity.CRITICAL,
    EventKind.SHARED_PEOPLE: Severity.WARNING,
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
    EventKind.UNACKNOWLEDGED: Severity.WARNING,
    EventKind.DIGEST: Severity.WARNING,
    EventKind.RECOVERED: Severity.NOTICE,
    EventKind.HEARTBEAT: Severity.INFO,
}
"""Severity of each kind of event, unless its builder gives another one."""


def event_id(kind: EventKind, *parts: object) -> str:
    """32 hex digits. The same kind and parts give the same id, so that a repeated event is stored once."""
    canonical = json.dumps([kind.value, *parts], separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def build_event(
    kind: EventKind, at: datetime, *id_parts: object, severity: Severity | None = None, **fields: Any
) -> Event:
    """An event of a kind with its usual severity; `id_parts` give its id, `fields` are those of `Event`."""
    return Event(event_id(kind, *id_parts), kind, severity or SEVERITY[kind], at, **fields)


@dataclass(frozen=True, slots=True)
class PostContext:
    """The post that events are about.

    Attributes:
        source: name of the source. post: keyed id of the post. address: its masked address, '' for a local file.
        incident: id of the incident that the post belongs to, '' for none.
        at: when the events happened, aware UTC.
    """

    source: str
    post: str
    address: str
    incident: str
    at: datetime

    def event(
        self, kind: EventKind, *id_parts: object, facts: Mapping[str, Any], severity: Severity | None = None
    ) -> Event:
        """An event about this post; `id_parts` give its id."""
        return build_event(
            kind,
            self.at,
            *id_parts,
            severity=severity,
            source=self.source,
            post=self.post,
            address=self.address,
            incident=self.incident,
            facts=facts,
        )


def events_of_post(context: PostContext, findings: Sequence[Finding]) -> list[Event]:
    """The events of a post whose samples were examined.

    Args:
        context: the post.
        findings: one per sample, at least one.

    Returns:
        At most one event about a leak, and `unexamined` if a sample was not examined to its end. A finding with hits
        always gives an event.
    """
    events: list[Event] = []
    finding = most_important(findings)
    facts = _facts(finding, findings)
    if finding.hits or (finding.lineage is not None and finding.lineage.parents):
        severity, whose = _severity_of_further_release(finding), _origin(finding)
        if severity and whose == "ours":
            # The same people released at two places give one event: hits and numbers of people identify the release.
            identity = (finding.fingerprint or context.post, facts["new"], facts["people"], *facts["added"])
            events.append(context.event(EventKind.FURTHER_RELEASE, *identity, severity=severity, facts=facts))
        elif (facts.get("new") or facts.get("added")) and (
            whose == "another's" or (whose == "open" and not finding.hits)
        ):
            identity = (finding.fingerprint or context.post, facts["new"], facts["people"], *facts["added"])
            events.append(context.event(EventKind.SHARED_PEOPLE, *identity, facts=facts))
        elif finding.hits and not _all_known(finding):
            events.append(context.event(EventKind.CANARY_HIT, finding.fingerprint, facts=facts))
        else:
            # all of it is known: new people in a mostly known dump have given a further release above
            events.append(context.event(EventKind.REPOST, context.source, context.post, finding.sha256, facts=facts))
    if incomplete := [each for each in findings if not each.complete]:
        facts = {
            "samples": len(incomplete),
            "problems": _problem_codes(incomplete),
            "bytes": sum(each.bytes for each in incomplete),
        }
        digests = [each.sha256 for each in incomplete]
        events.append(context.event(EventKind.UNEXAMINED, context.source, context.post, *digests, facts=facts))
    return events


def most_important(findings: Sequence[Finding]) -> Finding:
    """The finding that a post's event is about.

    Findings with hits come first, then those with more new people, then those with new data about known people, then
    the larger ones.
    """

    def importance(each: Finding) -> tuple[bool, int, bool, int, int]:
        lineage = each.lineage
        new, added = (lineage.new, bool(lineage.added)) if lineage else (0, False)
        return bool(each.hits), new, added, each.records, each.bytes

    return max(findings, key=importance)


def _facts(finding: Finding, findings: Sequence[Finding]) -> dict[str, Any]:
    """The facts of an event about a leak: counts of one finding, hits and problems of all findings of the post."""
    facts: dict[str, Any] = {
        "clients": _merged_hits(findings),
        "format": finding.format,
        "bytes": finding.bytes,
        "rows": finding.rows,
        "complete": finding.complete,
        "problems": _problem_codes(findings),
    }
    if finding.release:
        facts["release"] = finding.release
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
        if lineage.origin is not None:
            facts["origin"] = {"answer": lineage.origin.answer, "likelihood": lineage.origin.likelihood}
        if (authentic := lineage.authentic) is not None and authentic.answer != "open" and _is_small(lineage):
            columns = [each.column for each in authentic.columns if each.answer in {"recombined", "invented"}]
            facts["authentic"] = {
                "answer": authentic.answer,
                "likelihood": authentic.likelihood,
                "rows": authentic.rows,
                "columns": columns,
            }
    return facts


def _is_small(lineage: Lineage) -> bool:
    """Whether the message about a sample tells if it is genuine: of a large one the numbers matter more."""
    return lineage.records <= SMALL_SAMPLE


def _merged_hits(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The hits of a post by client; each number is the largest of any finding, because samples may overlap."""
    clients: dict[str, dict[str, Any]] = {}
    for finding in findings:
        for hit in finding.hits:
            row = clients.setdefault(hit.client, {"client": hit.client, "canaries": 0, "records": 0, "kinds": []})
            row["canaries"] = max(row["canaries"], hit.canaries)
            row["records"] = max(row["records"], hit.records)
            row["kinds"] = sorted({*row["kinds"], *hit.kinds})
    return [clients[client] for client in sorted(clients)]


def _problem_codes(findings: Sequence[Finding]) -> list[str]:
    """The codes of the findings, and of what was not examined in them: a container does not repeat what its members say."""
    codes: set[str] = set()
    waiting = list(findings)
    while waiting:
        each = waiting.pop()
        codes.update(problem.partition(":")[0] for problem in each.problems)
        waiting += [member for member in each.members if not member.complete]
    return sorted(codes)


def _all_known(finding: Finding) -> bool:
    return finding.lineage is not None and finding.lineage.verdict in KNOWN_VERDICTS


def _origin(finding: Finding) -> str:
    """Whose breach the sample is from, as `data.model.ORIGINS`; of an older finding, or of one all known, ours."""
    lineage = finding.lineage
    if lineage is None:
        return "ours" if finding.hits else "open"
    return "ours" if lineage.origin is None or _all_known(finding) else lineage.origin.answer


def _severity_of_further_release(finding: Finding) -> Severity | None:
    """The severity of a sample that is a further release; None if it is not one.

    It is one if it shares people with a registered release, or is of the same breach (planted canaries hit), and has new
    people or new data about known people. Unmatched people of a known dump count as new unless the typing errors of the
    sample explain them.
    """
    lineage = finding.lineage
    if lineage is None or not (lineage.parents or (lineage.origin is not None and lineage.origin.answer == "ours")):
        return None
    if lineage.added or (lineage.new and lineage.verdict in {"superset", "overlap", "padded", "recombined", "new"}):
        return Severity.CRITICAL
    if lineage.new > lineage.mistyped + TYPING_ERROR_SIGMAS * math.sqrt(lineage.mistyped):
        return Severity.CRITICAL if finding.hits else Severity.WARNING
    return None


def event_of_change(
    context: PostContext, changed: Mapping[str, str], fields: Mapping[str, Any], *, quiet: bool = False
) -> Event:
    """The event of a known post that changed.

    Args:
        context: the post.
        changed: field -> a phrase about its change, from `data.store.post_changes`; at least one.
        fields: all present fields of the post. They give the id, so that a change that is observed again before the
            post is committed is the same event.
        quiet: another event about the same post rings already.
    """
    significant = set(changed) & SIGNIFICANT_FIELDS and not quiet
    return context.event(
        EventKind.LISTING_CHANGED,
        context.source,
        context.post,
        json.dumps(fields, sort_keys=True),
        severity=Severity.WARNING if significant else None,
        facts={"fields": sorted(changed), "changed": [changed[field] for field in sorted(changed)]},
    )


def event_of_gone_post(context: PostContext) -> Event:
    """The event of a post that had hits and that the site no longer has."""
    facts = {"fields": ["gone"], "changed": ["the post, which had hits, is gone from the site"]}
    return context.event(
        EventKind.LISTING_CHANGED, context.source, context.post, "gone", severity=Severity.WARNING, facts=facts
    )


def event_of_announcement(
    context: PostContext, rules: Sequence[str], deadlines: Sequence[tuple[datetime, int, datetime | None]]
) -> Event:
    """The event of a post that matches rules of its incident, or that announces a time.

    Args:
        context: the post.
        rules: names of the rules that matched.
        deadlines: from `data.store.deadlines.Deadlines.note`.
    """
    times = [
        {
            "at": when.isoformat(timespec="minutes"),
            "exact_minutes": exact,
            "before": before and before.isoformat(timespec="minutes"),
        }
        for when, exact, before in sorted(deadlines)
    ]
    return context.event(
        EventKind.ANNOUNCEMENT,
        context.source,
        context.post,
        sorted(rules),
        [each["at"] for each in times],
        facts={"rules": sorted(rules), "deadlines": times},
    )
