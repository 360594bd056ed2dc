"""Both languages have every phrase with the same values, and a message in French holds no English word of ours."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from pathlib import Path

import pytest

from crawler.alerts.phrases import english, french
from crawler.alerts.phrases.catalogue import phrases_in
from crawler.alerts.wording import message_of
from data.model import AUTHENTICITY, LIKELIHOODS, VERDICTS, EventKind, Severity
from data.plural import percent
from scheduler.reports.document.words import Words
from tests.synth.breach import client_names, events_of_every_kind


def values(phrase: str | tuple[str, str]) -> list[set[str]]:
    return [
        {name for _, name, _, _ in string.Formatter().parse(text) if name}
        for text in ((phrase,) if isinstance(phrase, str) else phrase)
    ]


def test_both_languages_have_the_same_phrases_with_the_same_values():
    assert english.PHRASES.keys() == french.PHRASES.keys()
    for key, phrase in english.PHRASES.items():
        assert values(phrase) == values(french.PHRASES[key]), key


def test_every_word_of_a_closed_list_has_a_phrase():
    for prefix, words in {
        "verdict": VERDICTS, "genuine": AUTHENTICITY, "likelihood": LIKELIHOODS, "kind": EventKind, "severity": Severity,
    }.items():  # fmt: skip
        assert {f"{prefix}.{word}" for word in words} <= english.PHRASES.keys()


def test_every_code_of_a_problem_has_words():
    """A person who reads `suspicious` or `wall` in a message knows nothing."""
    given = re.compile(
        r'\b(?:_?problem(?:_once)?|_?[dD]amaged|Trouble|SocksFailure)\(\s*"([a-z][a-z0-9_-]+)"'
        r'|^    code = "([a-z_-]+)"|\bcode="([a-z_-]+)"',
        re.MULTILINE,
    )
    codes = {
        next(filter(None, found.groups()))
        for folder in ("crawler", "data", "scheduler", "spiders")
        for path in (Path(__file__).parents[3] / folder).rglob("*.py")
        for found in given.finditer(path.read_text())
    }
    assert len(codes) > 80
    assert {f"problem.{code}" for code in codes} - english.PHRASES.keys() == set()


def test_no_phrase_is_left_over():
    root = Path(__file__).parents[3]
    code = "\n".join(path.read_text() for folder in ("crawler/alerts", "scheduler") for path in (root / folder).rglob("*.py")
                     if path.parent.name != "phrases")  # fmt: skip
    families = ("noun", "verdict", "genuine", "likelihood", "column", "added", "outcome", "ended", "kind", "severity",
                "advice", "title", "change", "label", "problem", "parent", "subject", "lost")  # fmt: skip
    unused = [key for key in english.PHRASES if f'"{key}"' not in code and not key.startswith((*families, "percent"))]
    assert unused == []
    nouns = [key for key in english.PHRASES if key.startswith("noun.") and f'"{key[5:]}"' not in code]
    labels = [
        key
        for key in english.PHRASES
        if key.startswith("label.") and f'"{key[6:]}"' not in code and f'"{key}"' not in code
    ]
    assert nouns == labels == []


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ("0 records", "1 record", "15,000,000 records", "12.3%")),
        ("fr", ("0 fiche", "1 fiche", "15 000 000 fiches", "12,3 %")),
    ],
)
def test_numbers_and_plurals_are_those_of_the_language(language, expected):
    phrases = phrases_in(language)
    records = [phrases.count("record", number) for number in (0, 1, 15_000_000)]
    assert (*records, phrases.percent(0.123)) == expected


@pytest.mark.parametrize(
    ("share", "shown"),
    [(150 / 390, "38.4"), (0.99999, "99.9"), (1.0, "100.0"), (0.29, "29.0"), (0.57, "57.0"), (0.0, "0.0")],
)
def test_a_share_is_rounded_down_in_messages_as_in_reports(share, shown):
    in_report = Words("en").percent(share).rstrip("%").strip()
    assert phrases_in("en").percent(share) == percent(share) == f"{shown}%"
    assert float(in_report) == float(shown)


ENGLISH = re.compile(
    r"\b(?:the|and|of|is|are|was|were|with|not|people|known|new|files?|posts?|records?|clients? hit|rows?|read|data|seen|from|what)\b",
    re.IGNORECASE,
)


def test_a_message_in_french_holds_no_english_word():
    names = client_names(20)
    for event in events_of_every_kind(20):
        facts = {name: value for name, value in event.facts.items() if name != "reason"}
        text = message_of(replace(event, facts=facts, address="", source="x"), clients=names, language="fr").text
        text = re.sub(r"tocsin [\w -]+(?:\.\w+)*|sources/\S+|`\w+`|release part-\d|source file board", "", text)
        assert not ENGLISH.search(text), ENGLISH.search(text)[0] + ": " + text
