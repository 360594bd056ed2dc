"""Which events a finding or a changed post gives, and that the same happening gives the same event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from crawler.alerts.events import PostContext, event_id, event_of_change, events_of_post, most_important
from data.model import Event, EventKind, Finding, Hit, Lineage, Origin, Parent, Severity

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HIT = Hit("c", 2, 3, ("email",))
PLAIN = Finding("x", "ab" * 32, 10, "text")
HITS = replace(PLAIN, hits=(HIT,), fingerprint="f" * 32, records=3)


def lineage(verdict: str, known: int, new: int, *parents: str) -> Lineage:
    return Lineage(verdict, known + new, known, new, (new, new), tuple(Parent(each, 0.5, 0.5) for each in parents), {})


def of_origin(answer: str, found: Lineage) -> Lineage:
    return replace(found, origin=Origin(answer, 0.5))


def context(post: str = "p") -> PostContext:
    return PostContext("s", post, "http://x/", "", NOW)


def events(*findings: Finding, post: str = "p") -> list[Event]:
    return events_of_post(context(post), findings)


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (PLAIN, []),
        (HITS, [EventKind.CANARY_HIT]),
        (replace(HITS, lineage=lineage("re-post", 9, 0, "r")), [EventKind.REPOST]),
        (replace(HITS, lineage=lineage("overlap", 9, 1, "r")), [EventKind.FURTHER_RELEASE]),
        (replace(HITS, lineage=lineage("new", 0, 9)), [EventKind.CANARY_HIT]),
        (replace(PLAIN, lineage=lineage("superset", 9, 4, "r")), [EventKind.FURTHER_RELEASE]),
        (replace(PLAIN, lineage=lineage("unrelated", 0, 9)), []),
        (replace(PLAIN, lineage=lineage("undecided", 9, 2, "r")), [EventKind.FURTHER_RELEASE]),
        (replace(PLAIN, lineage=replace(lineage("subset", 99, 2, "r"), mistyped=2)), [EventKind.REPOST]),
        (replace(PLAIN, lineage=lineage("subset", 99, 2, "r")), [EventKind.FURTHER_RELEASE]),
        (
            replace(PLAIN, lineage=replace(lineage("re-post", 9, 0, "r"), added={"note": 5})),
            [EventKind.FURTHER_RELEASE],
        ),
        (replace(PLAIN, complete=False, problems=("reader: it crashed",)), [EventKind.UNEXAMINED]),
        # shared patients prove no origin, planted canaries do
        (replace(PLAIN, lineage=of_origin("open", lineage("overlap", 9, 90, "r"))), [EventKind.SHARED_PEOPLE]),
        (replace(HITS, lineage=of_origin("another's", lineage("overlap", 9, 90, "r"))), [EventKind.SHARED_PEOPLE]),
        (replace(HITS, lineage=of_origin("open", lineage("undecided", 9, 90, "r"))), [EventKind.CANARY_HIT]),
        (replace(HITS, lineage=of_origin("ours", lineage("new", 0, 90))), [EventKind.FURTHER_RELEASE]),
        (replace(PLAIN, lineage=of_origin("open", lineage("subset", 3, 0, "r"))), [EventKind.REPOST]),
        # new notes about the one known person of a teaser
        (
            replace(PLAIN, lineage=replace(of_origin("open", lineage("undecided", 1, 0, "r")), added={"note": 1})),
            [EventKind.SHARED_PEOPLE],
        ),
    ],
)
def test_a_finding_gives_the_right_kind_of_event(finding, expected):
    assert [event.kind for event in events(finding)] == expected


@pytest.mark.parametrize(
    ("changed", "severity"),
    [
        ({"title": "title changed"}, Severity.NOTICE),
        ({"title": "title changed", "part": "part (new: part 2)"}, Severity.WARNING),
        ({"links": "links (1 new)"}, Severity.WARNING),
    ],
)
def test_a_change_of_a_significant_field_is_a_warning(changed, severity):
    event = event_of_change(context(), changed, {"part": ["part 2"]})
    assert (event.kind, event.severity) == (EventKind.LISTING_CHANGED, severity)
    assert event.facts["changed"] == [changed[field] for field in sorted(changed)]
    again = event_of_change(context(), changed, {"part": ["part 2"]})
    later = event_of_change(context(), changed, {"part": ["part 3"]})
    assert event.id == again.id != later.id


def test_the_same_canaries_at_two_places_are_one_event():
    assert events(HITS, post="p")[0].id == events(HITS, post="q")[0].id
    assert events(replace(HITS, fingerprint="e" * 32))[0].id != events(HITS)[0].id


def test_hits_of_several_samples_of_a_post_are_merged_by_client():
    second = replace(HITS, hits=(Hit("c", 5, 5, ("phone",)), Hit("d", 1, 1, ("nir",))), records=9)
    [event] = events(HITS, second)
    assert event.facts["clients"] == [
        {"client": "c", "canaries": 5, "records": 5, "kinds": ["email", "phone"]},
        {"client": "d", "canaries": 1, "records": 1, "kinds": ["nir"]},
    ]
    assert event.severity is Severity.CRITICAL
    assert most_important([PLAIN, HITS]) is HITS


def test_why_a_member_was_not_examined_is_told_of_its_container():
    cut = replace(PLAIN, complete=False, problems=("cut: the compressed data ends too early",))
    whole = replace(PLAIN, problems=("picture: its text was recognised",))
    container = replace(HITS, complete=False, members=(whole, replace(PLAIN, complete=False, members=(cut,))))
    assert [each.facts["problems"] for each in events(container)] == [["cut"], ["cut"]]


def test_equal_parts_give_equal_ids_and_different_parts_different_ids():
    assert event_id(EventKind.GAP, "a", 1) == event_id(EventKind.GAP, "a", 1)
    assert (
        len({event_id(EventKind.GAP, "a", "b"), event_id(EventKind.GAP, "ab"), event_id(EventKind.REPOST, "a", "b")})
        == 3
    )
