"""What was published in an incident, in the forms that other programs read: a MISP event, a STIX 2.1 bundle, or CSV.

Only counts, times, names of sources and masked addresses leave: no value that was matched. Names of clients leave only if
that is asked for, because such files are made to be shared. The ids are made of the incident and its events, so that a
second export updates what the first one made.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from crawler.alerts.headlines import best_estimate, headline_of, verdict_text
from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.phrases.catalogue import phrases_in
from crawler.alerts.plain_text import defang, visible_text
from data.model import Event, EventKind, Incident, Severity
from data.printable import spreadsheet_cell
from data.store.store import Store
from scheduler.reports.incident_scope import IncidentScope
from scheduler.reports.timeline import LEAK_KINDS, timeline

FORMATS = ("misp", "stix", "csv")
# Events of one export; an incident with more of them is told so.
MAX_EVENTS = 10_000
# Names of all ids that Tocsin makes for other programs (a fixed random id).
_NAMESPACE = uuid.UUID("6f1f6c1e-52f5-4d0e-9a52-6f6d0a1b7c55")
_THREAT_LEVEL = {Severity.CRITICAL: "1", Severity.WARNING: "2", Severity.NOTICE: "3", Severity.INFO: "4"}
CSV_COLUMNS = (
    "event", "time", "kind", "severity", "source", "address", "what", "clients", "canaries", "records", "verdict",
    "people", "known", "new", "new_low", "new_high", "sightings", "last_seen", "continues", "triage", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Told:
    """One event with what was decided about it, and how often and when it was last seen."""

    event: Event
    sightings: int
    last_seen: datetime
    triage: str
    reason: str


@dataclass(frozen=True, slots=True)
class IncidentExport:
    """The published data of one incident.

    Attributes:
        incident: itself. told: its events about published data, oldest first. total: how many there are.
        case: name of the case. names: display names of clients that may be told; {} for none.
    """

    incident: Incident
    told: Sequence[_Told]
    total: int
    case: str
    names: Mapping[str, str]

    def render(self, form: str, now: datetime) -> bytes:
        """The export as one of `FORMATS`; UTF-8."""
        if form == "csv":
            return self._csv()
        value = self._misp(now) if form == "misp" else self._stix(now)
        return orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n"

    # --- MISP: misp-standard.org, "MISP core format" (RFC draft-dulaunoy-misp-core-format) -------------------------------

    def _misp(self, now: datetime) -> dict[str, Any]:
        worst = max((each.event.severity for each in self.told), key=lambda each: each.rank, default=Severity.INFO)
        first = self.told[0].event.at if self.told else now
        return {
            "Event": {
                "uuid": self._id("event"),
                "info": visible_text(f"Published data: {self.incident.name}"),
                "date": f"{first:%Y-%m-%d}",
                "timestamp": str(int(now.timestamp())),
                "threat_level_id": _THREAT_LEVEL[worst],
                # ongoing; only your organisation, until a person decides otherwise
                "analysis": "1",
                "distribution": "0",
                "published": False,
                "Tag": [{"name": "tlp:amber"}, {"name": 'tocsin:source="keyed-hash match"'}],
                "Attribute": [self._misp_attribute(each, now) for each in self.told],
            }
        }

    def _misp_attribute(self, each: _Told, now: datetime) -> dict[str, Any]:
        event = each.event
        comment = [f"{event.kind.value}, {event.severity.value}, event {event.id[:12]}"]
        comment += [f"at {defang(event.address)}"] if event.address else []
        comment += [f"closed as {each.reason}"] if each.reason else []
        comment += [self._client_names(event)] if self.names and event.facts.get("clients") else []
        sightings = [(event.at, event.source)]
        if each.sightings > 1 and each.last_seen > event.at:
            sightings.append((each.last_seen, event.source))
        return {
            "uuid": self._id(event.id),
            "type": "text",
            "category": "External analysis",
            "value": self._what(event),
            "comment": visible_text("; ".join(comment)),
            "to_ids": False,
            "timestamp": str(int(now.timestamp())),
            "first_seen": event.at.astimezone(UTC).isoformat(timespec="seconds"),
            "last_seen": max(each.last_seen, event.at).astimezone(UTC).isoformat(timespec="seconds"),
            "Tag": [
                {"name": f'tocsin:kind="{event.kind.value}"'},
                {"name": f'tocsin:severity="{event.severity.value}"'},
            ],
            "Sighting": [
                {
                    "uuid": self._id(event.id, "sighting", str(number)),
                    # a closed false alarm is MISP's false positive
                    "type": "1" if each.reason == "false-alarm" else "0",
                    "source": visible_text(source) or "tocsin",
                    "date_sighting": str(int(at.timestamp())),
                }
                for number, (at, source) in enumerate(sightings)
            ],
        }

    # --- STIX: docs.oasis-open.org/cti/stix/v2.1 -------------------------------------------------------------------------

    def _stix(self, now: datetime) -> dict[str, Any]:
        made = _stix_time(now)
        maker = self._stix_object("identity", "maker", made, made, name="Tocsin", identity_class="system")
        first = _stix_time(self.told[0].event.at) if self.told else made
        incident = self._stix_object(
            "incident", "incident", first, made, by=maker["id"], name=visible_text(self.incident.name) or self.incident.id,
            description=f"Case {visible_text(self.case)}" if self.case else "Followed by Tocsin",
        )  # fmt: skip
        objects = [maker, incident]
        places: dict[str, dict[str, Any]] = {}
        for each in self.told:
            event = each.event
            at, last = _stix_time(event.at), _stix_time(max(each.last_seen, event.at))
            place = places.get(event.source)
            if place is None:
                place = places[event.source] = self._stix_object(
                    "identity", f"source {event.source}", first, made, by=maker["id"],
                    name=visible_text(event.source) or "tocsin", identity_class="system",
                )  # fmt: skip
                objects.append(place)
            described = [f"{event.kind.value}, {event.severity.value}"]
            described += [f"masked address: {defang(event.address)}"] if event.address else []
            described += [f"closed as {each.reason}"] if each.reason else []
            described += [self._client_names(event)] if self.names and event.facts.get("clients") else []
            report = self._stix_object(
                "report", event.id, at, made, by=maker["id"], name=self._what(event), published=at,
                description=visible_text("; ".join(described)), report_types=["observed-data"],
                object_refs=[incident["id"]], labels=[event.kind.value],
                external_references=[{"source_name": "tocsin", "external_id": event.id}],
            )  # fmt: skip
            sighting = self._stix_object(
                "sighting", f"{event.id} sighting", at, made, by=maker["id"], sighting_of_ref=incident["id"],
                first_seen=at, last_seen=last, count=max(1, each.sightings), where_sighted_refs=[place["id"]],
                description=f"event {event.id[:12]}",
            )  # fmt: skip
            objects += [report, sighting]
        return {"type": "bundle", "id": f"bundle--{self._id('bundle', made)}", "objects": objects}

    def _stix_object(
        self, kind: str, identity: str, created: str, modified: str, *, by: str = "", **fields: Any
    ) -> dict[str, Any]:
        return {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{self._id(kind, identity)}",
            "created": created,
            "modified": modified,
            **({"created_by_ref": by} if by else {}),
            **fields,
        }

    # --- CSV -------------------------------------------------------------------------------------------------------------

    def _csv(self) -> bytes:
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        columns = (*CSV_COLUMNS, "client_names") if self.names else CSV_COLUMNS
        writer.writerow(columns)
        for each in self.told:
            event, facts = each.event, each.event.facts
            totals, has_people = HitTotals.of_facts(facts, {}), "interval" in facts
            low, high = facts["interval"] if has_people else ("", "")
            row: list[Any] = [
                event.id, _iso(event.at), event.kind.value, event.severity.value, event.source, defang(event.address),
                self._what(event), len(totals.hits), totals.canaries, totals.records, facts.get("verdict", ""),
                facts.get("people", ""), facts.get("known", ""), best_estimate(facts) if has_people else "", low, high,
                each.sightings, _iso(each.last_seen), event.thread, each.triage, each.reason,
            ]  # fmt: skip
            row += [self._client_names(event)] if self.names else []
            writer.writerow([cell if isinstance(cell, int) else spreadsheet_cell(str(cell)) for cell in row])
        return out.getvalue().encode()

    # --- what all forms tell ---------------------------------------------------------------------------------------------

    def _id(self, *parts: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, "\0".join((self.case, self.incident.id, *parts))))

    def _what(self, event: Event) -> str:
        """The first line of the event's message, in which a client is named only if that is asked for."""
        facts = event.facts
        if not self.names and len(facts.get("clients", ())) == 1:
            # the headline names a client that is the only one
            event = _without_clients(event)
        phrases = phrases_in("en")
        text = headline_of(event, self.names, phrases)
        if "clients" not in event.facts and "clients" in facts:
            text = text.replace(phrases("title.no_canary"), "1 client")
        if event.kind in (EventKind.REPOST, EventKind.FURTHER_RELEASE) and "verdict" in facts:
            text += f" ({verdict_text(facts['verdict'], phrases)})"
        return visible_text(text)

    def _client_names(self, event: Event) -> str:
        hits = HitTotals.of_facts(event.facts, {}).hits
        return "clients: " + ", ".join(visible_text(self.names.get(hit["client"], "") or hit["client"]) for hit in hits)


def _without_clients(event: Event) -> Event:
    return replace(event, facts={name: value for name, value in event.facts.items() if name != "clients"})


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _stix_time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def read_export(
    store: Store, scope: IncidentScope, *, case: str, names: Mapping[str, str], now: datetime
) -> IncidentExport:
    """What was published in an incident.

    Args:
        store: of the home.
        scope: of the incident.
        case: name of the case.
        names: display names of the clients that may be told; {} tells none.
        now: aware UTC.
    """
    found = timeline(store, scope, kinds=LEAK_KINDS, limit=MAX_EVENTS)
    decided = store.triage.of([event.id for event in found.events], now)
    told = []
    for event in found.events:
        _, more = store.events.find(event.id) or (None, {"sightings": 1, "last_seen": event.at.isoformat()})
        triage = decided.get(event.id)
        told.append(
            _Told(
                event,
                int(more["sightings"]),
                datetime.fromisoformat(str(more["last_seen"])),
                triage.state.value if triage is not None else "new",
                triage.reason if triage is not None else "",
            )
        )
    return IncidentExport(scope.incident, told, found.total, case, names)
