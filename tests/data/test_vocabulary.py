"""The closed vocabulary: it is up to date, knows our sentences, and passes nothing else on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import vocabulary as module
from data.vocabulary import known_problem, known_sentence, rounded, vocabulary

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_vocabulary_is_up_to_date(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    import vocabulary as script

    current = json.loads((ROOT / "data" / "vocabulary.json").read_text())
    assert script.build() == current, "run: python scripts/vocabulary.py"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("it is encrypted and was not read", "it is encrypted and was not read"),
        ("it is encrypted and was not read (12 times)", "it is encrypted and was not read (12 times)"),
        ("a table is damaged; some of its rows are missing (2 times)",
         "a table is damaged; some of its rows are missing (2 times)"),
        ("12 lines longer than 1048576 bytes were split", "12 lines longer than about 1,050,000 bytes were split"),
        ("the reader of zip failed with BadZipFile", "the reader of zip failed with BadZipFile"),
        ("the reader of zip failed with JeanDupont", "the reader of zip failed with …"),
        ("0612345678 lines are not JSON; they were examined as text",
         "about 612,000,000 lines are not JSON; they were examined as text"),
        ("2 of 3 members are encrypted and were not read", "2 of 3 members are encrypted and were not read"),
        ("3 Dupont of 3 members are encrypted and were not read", "… of 3 members are encrypted and were not read"),
        ("share of known people whose field differs from the registered one: surname 1.25%, dob 0.31%",
         "share of known people whose field differs from the registered one: surname 1.25%, dob 0.31%"),
        ("limit: 3 further attachments were not read", "limit: 3 further attachments were not read"),
        ("Jean Dupont, 12/03/1975", None),
        ("0612345678", None),
        ("x" * 10_000, None),
    ],
)  # fmt: skip
def test_a_sentence_is_passed_on_in_our_own_words_or_not_at_all(sentence, shown):
    assert known_sentence(sentence) == shown
    if shown is not None:
        assert known_sentence(shown) == shown, "checking twice must change nothing"


def test_a_problem_needs_a_code_that_exists():
    assert known_problem("locked: it is encrypted and was not read") == "locked: it is encrypted and was not read"
    assert known_problem("dupont: it is encrypted and was not read") is None
    assert known_problem("locked") is None or known_problem("locked") == "locked: "


def test_expressions_are_made_only_of_sentences_that_begin_and_end_like_a_text():
    known = vocabulary()
    module._pattern.cache_clear()
    assert known.clean("Jean Dupont, 12/03/1975") is None
    # all of them together take 0.03 s of the processor at the start of each process that examines
    assert module._pattern.cache_info().misses < len(known.templates) / 10
    lost = [literals for literals in known.templates if known.clean("12".join(literals)) is None]
    assert not lost


@given(st.sampled_from(sorted(vocabulary().sentences)), st.text(min_size=12, max_size=40))
def test_no_text_is_passed_on_beside_a_sentence(sentence, text):
    for made in (f"{sentence} {text}", f"{text} {sentence}", f"{sentence}: {text}", text):
        shown = known_sentence(made)
        assert shown is None or text.strip() not in shown or known_sentence(text.strip()) is not None


@pytest.mark.parametrize(
    ("number", "kept"),
    [(0, 0), (99_999_999, 99_999_999), (612_345_678, 612_000_000), (175_036_912_345_678, 175_000_000_000_000)],
)
def test_a_number_as_long_as_a_telephone_number_keeps_three_digits(number, kept):
    assert rounded(number) == kept
    assert rounded(kept) == kept
