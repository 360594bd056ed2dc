"""Announced deadlines: future times are found; past times, dates of birth, prices and other times are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pages import deadlines
from crawler.pages.deadlines import find_deadlines
from data.identifiers.normalise import fold

# a Wednesday
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR, DAY = 60, 1440


def at(text: str) -> str:
    [found] = find_deadlines(text, NOW)
    assert found.at is not None
    return datetime.fromtimestamp(found.at * 60, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("Part 2 in 48h", 48 * HOUR),
        ("We will publish the remaining data in 3 days.", 3 * DAY),
        ("Full database will be leaked within 24 hours!", 24 * HOUR),
        ("You have 72 hours left to contact us, otherwise all files are published", 72 * HOUR),
        ("Next part in a week", 7 * DAY),
        ("We publish the rest in a few days", 3 * DAY),
        ("La suite dans 3 jours", 3 * DAY),
        ("Le reste des données sera publié dans deux semaines", 14 * DAY),
        ("Il vous reste 48 heures pour payer la rançon", 48 * HOUR),
        ("5 days left until publication", 5 * DAY),
        ("Full dump tomorrow", DAY),
        ("la partie 2 demain", DAY),
    ],
)
def test_a_time_span_counts_from_when_it_was_written(text, minutes):
    [found] = find_deadlines(text, NOW)
    assert (found.at, found.after) == (None, minutes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Remaining data on Friday", "2026-11-27 00:00"),
        ("le reste vendredi", "2026-11-27 00:00"),
        ("The rest will be released next Wednesday", "2026-12-02 00:00"),
        ("Deadline: 2026-12-01", "2026-12-01 00:00"),
        ("Deadline: 2026-12-01 20:00 UTC", "2026-12-01 20:00"),
        ("Files will be published on December 12th at 8pm", "2026-12-12 20:00"),
        ("Publication le 12 décembre à 20h", "2026-12-12 20:00"),
        ("Tout sera diffusé le 3 janvier", "2027-01-03 00:00"),
        ("full leak 30/11/2026", "2026-11-30 00:00"),
        ("We release the second part next week", "2026-11-30 00:00"),
        ("All data will be published at the end of the month", "2026-11-30 00:00"),
        ("Auction until 1 Dec 2026, 18:30", "2026-12-01 18:30"),
    ],
)
def test_a_date_or_day_of_the_week_is_the_next_one(text, expected):
    assert at(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Dupont Jean, né le 12/03/1975, tél. 06 12 34 56 78",
        "Patient born 12 December 1975, file 3",
        "Posted on Friday by admin, data inside",
        "Published 2 days ago",
        "The data was released on Monday",
        "Joined in December 2026",
        "Copyright 2026 data corp",
        "Price: 3 BTC, 12 GB of files",
        "Database version 2026.12.01",
        "Consultation le lundi et le vendredi de 9h à 12h, base de données",
        "Opening hours: Friday 9:00",
        "Last edited Friday, 10:32, files attached",
        "the leak of 01/02/2024 has 3 parts",
        "Download in 5 parts, 48 files",
        "I have 10 days of holidays",
        "inscrit depuis 3 jours, 48 fichiers",
        "Visite de contrôle dans 3 mois",
        "see you on Friday",
    ],
)
def test_other_times_are_not_announcements(text):
    assert find_deadlines(text, NOW) == []


def test_each_time_is_found_once_and_its_phrase_holds_no_text_of_the_post():
    found = find_deadlines("Zwiebelturm: part 2 in 48h. Again: part 2 in 48 hours! Deadline 2026-12-01.", NOW)
    assert [each.phrase for each in found] == ["in 48 h", "2026-12-01"]


@given(st.text(max_size=400))
@pytest.mark.slow
def test_any_text_can_be_searched(text):
    for each in find_deadlines(text + " will be published in 2 days", NOW):
        assert each.at is not None or each.after


WORDS = (
    "in", "within", "after", "dans", "sous", "d'ici", "apres", "you", "have", "il", "vous", "reste", "they", "a",
    "couple of", "few", "3", "48", "two", "deux", "une", "24h", "3d", "2days", "hours", "days", "jours", "semaine",
    "weeks", "left", "remaining", "to", "pay", "restants", "restante", "vendredi", "Friday", "tomorrow", "demain", "ce",
    "soir", "next", "week", "end", "of", "the", "month", "fin", "du", "week-end", "prochain", "may", "12", "mai", "3rd",
    "June", "january,", "2027", "2026-12-24", "25/12", "12.01.27", "12/01/2027", "sept.", "at", "18:00", "publish",
    "leak", "data", "will", "part", ".", "!", "\n", ",", "-",
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.randoms(use_true_random=False))
def test_leaving_out_searches_that_cannot_match_changes_nothing(words, random):
    """A text with all words needs every search, so it serves as the reference."""
    text = "publish: " + random.choice((" ", "  ", "\t")).join(words)
    everything = deadlines._Searches.of(" ".join(WORDS))
    assert everything == deadlines._Searches(True, True, True, True, deadlines._DATES)
    for sentence in deadlines._SENTENCE.split(fold(text)):
        few = deadlines._times(sentence, NOW, deadlines._Searches.of(fold(text)))
        assert few == deadlines._times(sentence, NOW, everything)


@given(st.from_regex(deadlines._FUTURE_WORDS) | st.from_regex(deadlines._RELEASE_WORDS))
def test_every_word_about_the_future_or_a_release_is_noticed(text):
    assert deadlines._Searches.of(text).announcements
