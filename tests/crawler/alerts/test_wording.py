"""The text of alerts: ordinary sentences with the numbers that matter."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from crawler.pages.incident_rules import Rules
from data.model import EventKind
from scheduler.canaries.known_watchlist import OTHER_DATABASE, OTHER_DATABASE_REASON
from tests.synth.breach import client_names, events_of_every_kind

NOW = datetime(2026, 11, 1, 3, tzinfo=UTC)
LEAK = {"format": "csv", "bytes": 1, "rows": 2000, "problems": [], "complete": True}
PEOPLE = {"verdict": "overlap", "people": 390, "known": 150, "new": 240, "interval": [230, 250]}
PREVIEW = {
    "early": True, "verdict": "overlap", "how": "zip", "complete": True, "files": 2, "files_known": 1, "bytes": 3000,
    "bytes_known": 1000, "by_name": 1, "parents": [{"kind": "release", "ref": "part-1", "files": 1}], "outcome": "open",
}  # fmt: skip


def lines(kind: EventKind, **facts) -> list[str]:
    return message_of(build_event(kind, NOW, "x", facts=facts), clients={"c": "Cabinet"}).text.splitlines()


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (PEOPLE, "People: 390 in this data; 240 not seen before (between 230 and 250); 150 known"),
        (
            PEOPLE | {"people": 1, "known": 1, "new": 0, "interval": [0, 0]},
            "People: 1 in this data; 0 not seen before; 1 known",
        ),
        (PEOPLE | {"added": {"note": 1200}}, "New data about known people: medical notes or other free text (1,200)"),
        (
            PEOPLE
            | {"authentic": {"answer": "recombined", "likelihood": "very likely", "rows": 50, "columns": ["phone"]}},
            "Genuine: recombined: known values of different people in one row (very likely, 50 rows; telephone numbers)",
        ),
        (LEAK, "Sample: csv, 1 byte, 2,000 rows"),
        (
            PEOPLE | {"mistyped": 15, "known": 5},
            (
                "People: 390 in this data; 230 not seen before (between 230 and 250); 5 known;"
                " 10 probably known with typing errors"
            ),
        ),
        (PEOPLE | {"confidence": 0.987}, "Verdict: partly known, partly new, 98.7 % sure"),
        (PEOPLE | {"confidence": 0.9999}, "Verdict: partly known, partly new, more than 99.9 % sure"),
        (PEOPLE | {"verdict": "undecided", "confidence": 0.9}, "Verdict: not decided"),
        (
            LEAK | {"complete": False},
            "Not examined to its end: no reason was reported; all numbers may be higher",
        ),
        (
            {"clients": [{"client": "c", "canaries": 1, "records": 2, "kinds": ["email", "nir"]}]},
            "Hit worst: Cabinet (c): 2 records with 1 canary",
        ),
        (
            {"early_looks": [{"verdict": "overlap", "outcome": "confirmed"}]},
            "Earlier preview: partly known, partly new (confirmed)",
        ),
    ],
)
def test_a_leak_is_described_with_its_numbers(facts, line):
    assert line in lines(EventKind.FURTHER_RELEASE, **facts)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {},
            {
                "Files: 1 of 2 files known (1,000 of 3,000 bytes); 1 of the known files by name and size alone",
                "Known from: release part-1",
                "Outcome: not decided by a full examination",
            },
        ),
        ({"how": "7z, locked"}, {"Files: unknown: the archive encrypts its file names"}),
        (
            {"complete": False, "by_name": 0},
            {"Files: 1 of 2 files known (1,000 of 3,000 bytes); the list is incomplete"},
        ),
        (
            {"how": "torrent"},
            {
                "Outcome: stays open: Tocsin does not join torrents, so their content is never examined",
                "What to do: Wait for a source that has the data itself: the content of a torrent is never downloaded.",
            },
        ),
        (
            {"outcome": "corrected", "full_verdict": "no records"},
            {"Outcome: corrected by the full examination: the data holds no records"},
        ),
    ],
)
def test_a_preview_says_what_it_is_based_on_and_how_it_turned_out(facts, expected):
    assert expected <= set(lines(EventKind.EARLY_LOOK, **PREVIEW | facts))


@pytest.mark.parametrize(
    ("exact", "line"),
    [
        (60, "Announced for: 2026-11-05 12:00 UTC, before: 2026-11-03 12:00"),
        (1440, "Announced for: 2026-11-05 (exact to the day), before: 2026-11-03 12:00"),
        (2880, "Announced for: 2026-11-05 (exact to 2 days), before: 2026-11-03 12:00"),
    ],
)
def test_an_announced_time_is_shown_as_exactly_as_it_is_known(exact, line):
    deadline = {"at": "2026-11-05T12:00+00:00", "exact_minutes": exact, "before": "2026-11-03T12:00+00:00"}
    assert line in lines(EventKind.ANNOUNCEMENT, deadlines=[deadline])


def test_a_reminder_says_that_it_is_one():
    first = lines(EventKind.GAP, reminder=True, began="2026-10-31T03:00:00+00:00")[0]
    assert first.startswith("🟠 Still so since 2026-10-31 03:00 UTC: Posts of a source may have been missed")


def test_posts_that_could_not_be_examined_are_named_by_their_problems():
    words = "Not examined: the site did not answer in time (2); the time of the crawl was over (1)"
    assert words in lines(EventKind.UNEXAMINED, codes={"timeout": 2, "wall": 1}, posts=3)
    # a code of another version stays as it is
    assert "Not examined: it is locked with a password or encrypted; newer" in lines(
        EventKind.UNEXAMINED, problems=["locked", "newer"], samples=1
    )


FEW = {"clients": [{"client": "c", "canaries": 1, "records": 1, "kinds": ["email"]}]}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, "each is confirmed by a second digest, which rules chance out; so few may come from another organisation"),
        # planted people are in no other organisation's data
        (
            {"origin": {"answer": "ours", "likelihood": 0.99}},
            "each is confirmed by a second digest, which rules chance out$",
        ),
        (
            {"retro": {"enrolled": NOW.isoformat(), "seen": NOW.isoformat()}},
            "a second digest cannot confirm it; so few",
        ),
    ],
)
def test_how_sure_hits_are_is_said_as_it_is(facts, said):
    [line] = [each for each in lines(EventKind.CANARY_HIT, **FEW, **facts) if each.startswith("Clients: ")]
    assert re.search(said, line)


def test_one_person_is_one_in_both_languages():
    one = PEOPLE | {"verdict": "new", "people": 1, "known": 0, "new": 1, "interval": [1, 1], **FEW}
    event = build_event(EventKind.FURTHER_RELEASE, NOW, "x", facts=one)
    first, _, people, *_ = message_of(event, clients={"c": "Cabinet"}, language="fr").text.splitlines()
    assert first.endswith("Données de clients publiées : 1 personne jamais vue, client Cabinet ; 0 connue")
    assert people == "Personnes : 1 dans ces données ; 1 jamais vue auparavant ; 0 connue"


NOBODY_KNOWN = PEOPLE | {"verdict": "new", "known": 0, "new": 390, "interval": [390, 390], **FEW}


@pytest.mark.parametrize(
    ("facts", "begin"),
    [
        # nothing needs to be registered for planted people to ring: what nobody is known of goes on with nothing
        (NOBODY_KNOWN, "Client data published: 390 people not seen before, client Cabinet"),
        (NOBODY_KNOWN | {"known": 1, "people": 391}, "Further release: 390 people"),
        (NOBODY_KNOWN | {"mistyped": 2, "interval": [380, 390]}, "Further release: 388 people"),
        (NOBODY_KNOWN | {"parents": [{"release": "part-1", "share": 0.5}]}, "Further release: 390 people"),
    ],
)
def test_a_further_release_goes_on_with_something(facts, begin):
    assert lines(EventKind.FURTHER_RELEASE, **facts)[0].startswith(f"🔴 {begin}")


def test_rules_are_shown_as_they_were_written():
    names = Rules.of([r"base\santé"], [r"base\.(sant|medi)\w+"], {}).matching(r"a base\santé or base.medilog")
    said = lines(EventKind.ANNOUNCEMENT, rules=names)
    assert r"word 'base\santé'" in said
    assert r"expression 'base\.(sant|medi)\w+'" in said
    assert not any(r"\\" in line for line in said)


@pytest.mark.parametrize("subject", ["trial", "coded"])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_subject_that_is_named_like_a_phrase_of_ours_keeps_its_reason(subject, language):
    event = build_event(EventKind.SOURCE_CHANGED, NOW, "x", facts={"subject": subject, "reason": "no rows"})
    assert "no rows" in message_of(event, clients={}, language=language).text


def test_a_lost_history_is_told_in_the_language_of_the_channel():
    facts = {"subject": OTHER_DATABASE, "reason": OTHER_DATABASE_REASON}
    event = build_event(EventKind.SELFTEST_FAILED, NOW, "x", facts=facts)
    said = message_of(event, clients={}).text.splitlines()
    assert said[0].endswith("Tocsin itself needs attention: its database is new, history is lost")
    # what the event stores and what the message says are one text
    assert f"Reason: {OTHER_DATABASE_REASON}" in [each.replace("\u2060", "") for each in said]
    french = message_of(event, clients={}, language="fr").text
    assert "la base est nouvelle, l'histoire perdue" in french
    assert "Raison : la base de données est nouvelle, alors que" in french
    assert "database" not in french


def test_several_posts_are_several_in_what_to_do():
    sealed = {"evidence": ["a" * 32], "codes": {"status": 2}}
    for posts, said in ((1, "The address of the post, "), (2, "The addresses of the posts, ")):
        [advice] = [
            each for each in lines(EventKind.UNEXAMINED, posts=posts, **sealed) if each.startswith("What to do")
        ]
        assert said in advice
        assert ("Check the posts by hand" in advice) == (posts == 2)


def test_a_sample_of_which_a_part_was_examined_is_not_said_to_be_unexamined():
    first = lines(EventKind.UNEXAMINED, samples=1, problems=["cut"], bytes=9)[0]
    assert "1 sample from a source could not be examined to its end" in first


def test_what_a_program_said_stands_behind_its_meaning_in_other_languages():
    facts = {"subject": "listing", "code": "blocked", "reason": "the site refused access (status 403)"}
    event = build_event(EventKind.SOURCE_SILENT, NOW, "x", source="board", facts=facts)
    assert "Reason: the site refused access (status 403)" in message_of(event, clients={}).text.splitlines()
    said = "Raison : le site a refusé l'accès (the site refused access (status 403))"
    assert said in message_of(event, clients={}, language="fr").text.splitlines()


def test_no_first_line_is_cut_at_the_size_of_the_breach():
    """Whatever is cut, somebody does not read: at three in the morning a first line is all that a telephone shows."""
    names = client_names(1_500)
    for language in ("en", "fr"):
        for event in events_of_every_kind(1_500):
            title = message_of(event, clients=names, language=language).title
            # how many posts were examined stands last in a sign of life
            assert not title.endswith("…") or event.kind is EventKind.HEARTBEAT, title
