"""Which changes of a post are noticed: further parts and links are, counters, times and tokens are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pages.post_fields import listing_fields, plain_link, text_fields, timer_end, version_of
from data.model import Post
from data.store.post_changes import changes

KEY = bytes(range(32))
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
POST = Post(
    "s", "17", "https://site.example/threads/17", title="Cabinet Lilas part 1", fields={"size": "3 GB"}, body="some text"
)  # fmt: skip


def fields_of(post: Post, now: datetime = NOW):
    return listing_fields(KEY, post, now)


def changed(other: Post, now: datetime = NOW) -> dict[str, str]:
    return changes(fields_of(POST), fields_of(other, now))


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (replace(POST, title="Cabinet Lilas part 2"), {"part"}),
        (replace(POST, title="Cabinet Lilas part 1 (Updated)"), {"part", "title"}),
        (replace(POST, title="Cabinet Lilas - Full Data Leak"), {"part", "title"}),
        (replace(POST, title="Cabinet Lilas, base complète"), {"part", "title"}),
        (replace(POST, title="Autre cabinet part 1"), {"title"}),
        (replace(POST, body="other words"), {"text"}),
        (replace(POST, body="some text, 169,000 records"), {"records", "text"}),
        (replace(POST, body="some text https://files.example/a.zip"), {"links", "text"}),
        (replace(POST, fields={"size": "4 GB"}), {"size"}),
        (replace(POST, fields={}), {"size"}),
        (replace(POST, fields={"size": "3 GB", "percent": "40 % published"}), {"percent"}),
        (replace(POST, fields={"size": "3 GB", "files": "12"}), {"files"}),
        (replace(POST, fields={"size": "3 GB", "state": "published"}), {"state"}),
        (replace(POST, fields={"size": "3 GB", "timer": "3d 4h"}), {"timer"}),
        (replace(POST, fields={"size": "3 GB", "price": "$12,000"}), {"price"}),
        (replace(POST, fields={"size": "3 GB", "magnet": "magnet:?xt=urn:btih:abc"}), {"magnet"}),
        (replace(POST, url="https://site.example/threads/18"), {"address"}),
        (replace(POST, raw="https://site.example/raw/17"), {"links"}),
        (replace(POST, attachments=("https://files.example/a.zip",)), {"links"}),
    ],
)
def test_a_relevant_change_is_reported_by_its_field_and_changes_the_version(other, fields):
    assert set(changed(other)) == fields
    if fields != {"timer"}:
        assert version_of(KEY, fields_of(other)) != version_of(KEY, fields_of(POST))


@pytest.mark.parametrize(
    "other",
    [
        replace(POST, time="3 hours ago"),
        replace(POST, url="http://mirror.example:81/threads/17"),
        replace(POST, title="Cabinet  Lilas: PART 1"),
        replace(POST, body="some text 2,345 views, 12 replies, 5 minutes ago"),
        replace(POST, body="some text (yesterday, 10:32 PM)"),
        replace(POST, url="https://site.example/threads/17?token=0123456789abcdef0123456789abcdef"),
        replace(POST, fields={"size": "3 Go"}),
        replace(POST, fields={"size": "3.0 gigabytes"}),
    ],
)
def test_volatile_parts_of_a_post_do_not_count_as_a_change(other):
    assert changed(other) == {}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("12d 4h 3m", 12 * 1440 + 4 * 60 + 3),
        ("3 jours 4 heures", 3 * 1440 + 240),
        ("2 days, 5 hours, 7 min left", 2 * 1440 + 307),
        ("04:05:06", 245.1),
        ("1:04:05:06", 1440 + 245.1),
        ("2 semaines", 20_160),
        (str(int((NOW + timedelta(hours=9)).timestamp())), 540),
        (str(int((NOW + timedelta(hours=9)).timestamp() * 1000)), 540),
        ("2026-11-26T12:00:00Z", 1440),
        ("2026-11-26 14:00:00 +0200", 1440),
    ],
)
def test_a_countdown_gives_the_time_of_its_end(text, minutes):
    end = timer_end(text, NOW)
    assert end is not None
    assert abs(end[0] - (NOW.timestamp() / 60 + minutes)) <= 1


@pytest.mark.parametrize("text", ["", "soon", "expired", "published", "n/a"])
def test_a_text_without_a_time_is_not_a_countdown(text):
    assert timer_end(text, NOW) is None


def test_a_running_countdown_is_not_a_change_and_a_postponed_one_is():
    start = replace(POST, fields={"timer": "3d 4h 10m"})
    later = replace(POST, fields={"timer": "2d 4h 10m"})
    assert changes(fields_of(start), fields_of(later, NOW + timedelta(days=1))) == {}
    assert changes(fields_of(start), fields_of(start, NOW + timedelta(days=1))) == {
        "timer": "countdown put off by 24 h"
    }


def test_phrases_describe_the_change_without_text_of_the_post():
    old = fields_of(replace(POST, title="Victim X part 1", fields={"percent": "20%"}))
    new = fields_of(
        replace(POST, title="Victim Y part 2", fields={"percent": "60%"}, attachments=("https://f.example/Dupont.zip",))
    )
    phrases = changes(old, new)
    assert phrases["part"] == "part (new: part 2; gone: part 1)"
    assert phrases["percent"] == "percent (new: 60; gone: 20)"
    assert phrases["links"] == "links (1 new)"
    assert not any(word in str(phrases) for word in ("Victim", "Dupont", "example"))


@given(st.text(max_size=300), st.text(max_size=80))
def test_fields_hold_no_word_of_the_text(text, link):
    found = text_fields(KEY, text + " Zwiebelturm", [link])
    assert "zwiebelturm" not in str(found).lower()
    assert text_fields(KEY, text + " Zwiebelturm", [link]) == found


def test_a_link_keeps_the_parts_that_identify_its_file():
    assert plain_link("https://h.example/a.zip?sid=0123456789abcdef0123456789abcdef", "") == "https://h.example/a.zip"
    assert plain_link("https://h.example/get?file=0123456789abcdef01", "").endswith("file=0123456789abcdef01")
    assert plain_link("https://h.example/p#key", "https://h.example") == "/p#key"
