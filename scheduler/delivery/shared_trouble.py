"""Sources that fail together: one event about Tocsin or its road to the sites, not one for each site.

Three sources of one platform that fail within an hour, and are half of that platform, have most likely not gone down
together: an upgrade, the network of this machine or Tor is more likely. The event of such a source rings nobody; one state
of the installation tells all of them. Once most of them work again it ends, and one that fails after that rings for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from crawler.alerts.events import build_event
from data.model import Event, EventKind, Severity
from data.store.events import Route
from data.store.states import LastingState
from data.store.store import Store
from scheduler.delivery.lasting_states import recovery_event

# So many sources, and at least this share of their group, within this time: more than a coincidence.
LEAST, SHARE, WITHIN = 3, 0.5, timedelta(hours=1)
# It ends when less than this share fails: sources are visited one after another.
SHARE_AT_END = 0.25
# States of a source that say that what it publishes is not seen.
KINDS = frozenset({EventKind.SOURCE_SILENT, EventKind.SOURCE_CHANGED})
SUBJECT = "many sources"
# Codes of what answers in place of a site, of which each asks something else of a person.
STAND_INS = frozenset({"seized", "parked", "placeholder", "challenge", "walled"})
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """Sources that have something in common: a `platform`, a `road` (`direct` or `tor`), or `all` of them."""

    kind: str
    value: str = ""

    @property
    def subject(self) -> str:
        """The subject of the state of this group."""
        return {"platform": f"{SUBJECT} of platform {self.value}", "road": f"{SUBJECT} over {self.value}"}.get(
            self.kind, SUBJECT
        )

    def members(self, groups: Mapping[str, tuple[str, str]]) -> set[str]:
        """Names of its enabled sources."""
        place = {"platform": 0, "road": 1}.get(self.kind)
        return {name for name, each in groups.items() if place is None or each[place] == self.value}


def begin_state(store: Store, event: Event, subject: str, route: Route, now: datetime) -> int:
    """Begin a state of a source with its event, quietly if many sources share the trouble; returns the number of events.

    Args:
        store: of the home.
        event: that begins the state; its source is enabled.
        subject: of the state.
        route: channels of an event.
        now: aware UTC.
    """
    if event.kind not in KINDS or event.severity.rank < Severity.WARNING.rank:
        return int(store.states.begin(event, subject, route, now))
    for own in store.states.lasting(event.source):
        if (own.kind, own.subject) == (event.kind, subject):
            told = _ring_alone(store, own, route, now) or _tell_stand_in(store, own, event, route, now)
            return told or int(store.states.begin(event, subject, route, now))
    group = _shared_by(store, event.source, now)
    if group is None:
        return int(store.states.begin(event, subject, route, now))
    groups = store.sources.groups()
    failing = sorted({*_troubled(store, group.members(groups), now - WITHIN), event.source})
    began = min(
        [now, *(each.began for each in store.states.lasting() if each.source in failing and each.kind in KINDS)]
    )
    quiet = build_event(
        event.kind,
        now,
        event.id,
        "shared",
        severity=Severity.NOTICE,
        source=event.source,
        incident=event.incident,
        facts={**event.facts, "shared": group.subject, "severity": event.severity.value},
    )
    facts = {
        "subject": group.subject,
        "reason": _reason(group, failing, len(group.members(groups))),
        "group": [group.kind, group.value],
        "began": began.isoformat(timespec="seconds"),
        "sources": failing[:_SHOWN],
    }
    shared = build_event(EventKind.SELFTEST_FAILED, now, group.subject, now.isoformat(), facts=facts)
    with store.together():
        events = int(store.states.begin(quiet, subject, route, now))
        return events + int(store.states.begin(shared, group.subject, route, now))


def review_shared_trouble(store: Store, route: Route, now: datetime) -> int:
    """End the state of each group most of which works again; returns the number of events."""
    events = 0
    for state in store.states.lasting(""):
        if state.kind is not EventKind.SELFTEST_FAILED or not state.subject.startswith(SUBJECT):
            continue
        known = store.events.find(state.event)
        kind, value = known[0].facts.get("group", ("all", "")) if known is not None else ("all", "")
        members = SourceGroup(kind, value).members(store.sources.groups())
        failing = _troubled(store, members, state.began - WITHIN)
        if len(failing) < LEAST or len(failing) < SHARE_AT_END * len(members):
            events += store.states.end("", state.kind, state.subject, recovery_event, route, now)
    return events


def _ring_alone(store: Store, own: LastingState, route: Route, now: datetime) -> int:
    """Let a state that began quietly ring, if the trouble that many sources shared has ended; returns the number of events."""
    known = store.events.find(own.event)
    if known is None or (shared := known[0].facts.get("shared")) is None:
        return 0
    if any(each.subject == shared for each in store.states.lasting("")):
        return 0
    facts: dict[str, Any] = dict(known[0].facts)
    del facts["shared"]
    severity = Severity(facts.pop("severity"))
    event = build_event(
        own.kind, now, own.event, "alone", severity=severity, source=own.source, incident=known[0].incident, facts=facts
    )
    store.states.renew(event, own.subject, route, now)
    return 1


def _tell_stand_in(store: Store, own: LastingState, event: Event, route: Route, now: datetime) -> int:
    """Tell, once in a state, that something else stands in place of the site by now; returns the number of events.

    Whoever heard of a site that does not answer waits for it; one that was seized since then does not come back.
    """
    known, code = store.events.find(own.event), event.facts.get("code")
    if known is None or code not in STAND_INS or "shared" in known[0].facts:
        return 0
    earlier = [*known[0].facts.get("earlier", []), known[0].facts.get("code")]
    if code in earlier:
        return 0
    store.states.renew(replace(event, facts={**event.facts, "earlier": earlier}), own.subject, route, now)
    return 1


def _shared_by(store: Store, source: str, now: datetime) -> SourceGroup | None:
    """The smallest group of a source, itself included, most of which began to fail within the last hour."""
    groups = store.sources.groups()
    if source not in groups:
        return None
    platform, road = groups[source]
    failing = {*_troubled(store, set(groups), now - WITHIN), source}
    for group in (SourceGroup("platform", platform), SourceGroup("road", road), SourceGroup("all")):
        members = group.members(groups)
        if group.value in ("", "declared") and group.kind == "platform":
            # what these files have in common is only that each has rules of its own
            continue
        if _is_shared(len(failing & members), len(members)):
            return group
    return None


def _is_shared(failing: int, members: int) -> bool:
    return failing >= LEAST and failing >= SHARE * members


def _troubled(store: Store, among: set[str], since: datetime) -> set[str]:
    """Those of the sources that have begun to fail since a time and still do."""
    return {
        state.source
        for state in store.states.lasting()
        if state.kind in KINDS and state.began >= since and state.source in among and _is_failure(store, state)
    }


def _is_failure(store: Store, state: LastingState) -> bool:
    """Whether a state is a failure, and not a notice, such as that a new board is empty."""
    event = store.events.get(state.event)
    return event is None or event.severity.rank >= Severity.WARNING.rank or "shared" in event.facts


def _reason(group: SourceGroup, failing: list[str], members: int) -> str:
    what = {"platform": f"sources of platform {group.value}", "road": f"sources over {group.value}"}.get(
        group.kind, "sources"
    )
    cause = {
        "platform": "an upgrade of Tocsin or of this site software is a likelier cause than so many sites",
        "road": "this machine, its network or Tor is a likelier cause than so many sites",
    }.get(group.kind, "Tocsin or the network of this machine is a likelier cause than so many sites")
    named = ", ".join(failing[:_SHOWN]) + (f" and {len(failing) - _SHOWN} more" if len(failing) > _SHOWN else "")
    return f"{len(failing)} of {members} {what} began to fail within an hour; {cause} ({named})"
