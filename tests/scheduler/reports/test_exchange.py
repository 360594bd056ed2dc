"""What leaves for MISP, STIX and spreadsheets is what their own libraries accept, and names nobody unless asked to."""

from __future__ import annotations

import csv
import io
import json
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from crawler.alerts.events import build_event
from data.model import EventKind, TriageState
from data.store.store import Store
from data.store.triage import Decision
from scheduler.reports.exchange import CSV_COLUMNS, read_export
from scheduler.reports.incident_scope import IncidentScope
from tests.inside import fine, refused, run
from tests.synth.breach import HOSTILE_NAMES, events_of_every_kind

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HIT = {"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email"]}


@pytest.fixture
def home(tmp_path):
    fine(None, "init", tmp_path / "home")
    fine(tmp_path / "home", "incident", "add", "Vendor 2026")
    return tmp_path / "home"


def export(home, names=None):
    store = Store.open(home / "tocsin.db")
    try:
        hostile = events_of_every_kind(3, source=HOSTILE_NAMES[0], text=" ".join(HOSTILE_NAMES))
        one = build_event(EventKind.CANARY_HIT, NOW, 1, source="=cmd()", post="a" * 32, address="https://x.example/[1]",
                          incident="vendor-2026", facts={"clients": [HIT]})  # fmt: skip
        store.events.add([*hostile, one, one], lambda _: (), NOW + timedelta(hours=1))
        store.triage.decide([one.id], Decision(TriageState.CLOSED, reason="false-alarm"), "ana", NOW)
        return read_export(
            store, IncidentScope.of_home(home, "Vendor 2026"), case="case", names=names or {}, now=NOW
        ), one
    finally:
        store.close()


def test_misp_reads_the_event_with_its_sightings(home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymisp import MISPAttribute, MISPEvent

    found, one = export(home)
    read = MISPEvent()
    read.from_json(found.render("misp", NOW).decode())
    assert (read.info, read.threat_level_id, read.distribution) == ("Published data: Vendor 2026", 1, 0)
    assert len(read.attributes) == len(found.told)
    for attribute in read.attributes:
        # the library checks type and category when they are given to it
        MISPAttribute(strict=True).from_dict(type=attribute.type, category=attribute.category, value=attribute.value)
    [told] = [each for each in read.attributes if one.id[:12] in each.comment]
    assert {sighting["type"] for sighting in told.Sighting} == {"1"}, "a closed false alarm is a false positive"
    assert len(told.Sighting) == 2
    assert told.first_seen == NOW
    assert "practice-1" not in read.to_json()
    again = json.loads(export(home)[0].render("misp", NOW))
    assert again["Event"]["uuid"] == read.uuid, "a second export updates the event"


def test_stix_2_1_parses_strictly_and_every_reference_leads_to_an_object(home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import stix2

    found, _ = export(home)
    bundle = stix2.parse(found.render("stix", NOW).decode(), allow_custom=False, version="2.1")
    ids = {each.id for each in bundle.objects}
    assert len(ids) == len(bundle.objects)
    for each in bundle.objects:
        refs = [value for name, value in each.items() if name.endswith("_ref")]
        refs += [ref for name, value in each.items() if name.endswith("_refs") for ref in value]
        assert set(refs) <= ids
    assert sum(each.type == "sighting" for each in bundle.objects) == len(found.told)
    assert "practice-1" not in bundle.serialize()


def test_a_spreadsheet_gets_one_line_for_each_event_and_runs_no_formula(home):
    found, one = export(home)
    rows = list(csv.DictReader(io.StringIO(found.render("csv", NOW).decode())))
    assert tuple(rows[0]) == CSV_COLUMNS
    [row] = [each for each in rows if each["event"] == one.id]
    assert row["source"] == "'=cmd()"
    assert (row["clients"], row["canaries"], row["triage"], row["reason"]) == ("1", "3", "closed", "false-alarm")
    assert "practice-1" not in "".join(row.values())
    named, _ = export(home, {"practice-1": "Cabinet des Lilas"})
    assert b"Cabinet des Lilas" in named.render("csv", NOW)


@pytest.mark.slow
def test_the_command_writes_a_new_file_or_prints(home):
    export(home)
    out = home.parent / "incident.json"
    assert fine(home, "incident", "export", "Vendor 2026", "--format", "stix", "--out", out).stdout.endswith("events\n")
    assert json.loads(out.read_text())["type"] == "bundle"
    refused(run(home, "incident", "export", "Vendor 2026", "--format", "misp", "--out", out), "not overwritten")
    assert json.loads(fine(home, "incident", "export", "Vendor 2026", "--format", "misp").stdout)["Event"]["uuid"]
    refused(run(home, "incident", "export", "another", "--format", "csv"), "there is no incident")
