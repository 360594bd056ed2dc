from __future__ import annotations

import functools
import re
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from crawler.records import note_prints
from crawler.records.note_prints import KNOWN_SHARE, MIN_CHARS, TEMPLATE_NOTES, SampleNotes, make_prints
from data.arrays.packed import Packed
from data.tagsets.tagset import distinct
from tests.synth.population import notes as made_notes
from tests.synth.population import plain

KEY = bytes(range(16))
# the known notes of a practice are so many that its templates can be recognised
OLD, NEW = made_notes(1, 3000), made_notes(2, 300)
SOME = OLD[:300]


def read(texts: list[str]) -> SampleNotes:
    found = SampleNotes()
    found.add(make_prints(KEY, Packed.of_texts(texts)), np.ones(len(texts), bool))
    return found


@functools.cache
def prints_of_old() -> np.ndarray:
    return distinct(read(OLD).distinctive_prints().tags)


def held(tags: np.ndarray) -> np.ndarray:
    return np.isin(tags, prints_of_old())


def none(tags: np.ndarray) -> np.ndarray:
    return np.zeros(len(tags), bool)


def counts(texts: list[str]) -> tuple[int, int, int]:
    found = read(texts)
    return found.count_known_and_new(found.distinctive_prints(), held)


def with_wrong_letters(text: str, share: float, seed: int) -> str:
    dice = np.random.default_rng(seed)
    chars = list(text)
    for at in np.flatnonzero(dice.random(len(chars)) < share):
        chars[at] = "abcdefghijklmnopqrstuvwxyz"[int(dice.integers(26))]
    return "".join(chars)


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda text, seed: text, 1.0),
        (lambda text, seed: plain(text).upper().replace(" ", "\r\n"), 0.995),
        (lambda text, seed: "<p>" + re.sub(r" (\w+)", r" <b>\1</b>", text) + "</p>", 0.995),
        (lambda text, seed: text.replace("'", "&#39;").replace(" ", "&nbsp;"), 0.995),
        (lambda text, seed: text[:255], 0.95),
        (lambda text, seed: text[len(text) // 5 : -len(text) // 5], 0.97),
        (lambda text, seed: with_wrong_letters(text, 0.01, seed), 0.97),
    ],
    ids=["same", "capitals and lines", "mark-up", "references", "cut at 255", "the middle", "1 % wrong letters"],
)
def test_known_notes_are_recognised_after_changes(change, least: float) -> None:
    known, _, _ = counts([change(text, seed) for seed, text in enumerate(SOME)])
    assert known >= least * len(SOME)


def test_new_notes_from_the_same_templates_are_new() -> None:
    known, new, of_known = counts(NEW)
    assert known <= 0.005 * len(NEW)
    assert new >= 0.99 * len(NEW)
    assert of_known == new


def test_a_print_that_occurs_in_many_notes_is_not_distinctive() -> None:
    form = "Le patient a été informé des suites possibles et a signé le consentement éclairé ce jour même."
    own = make_prints(KEY, Packed.of_texts([form])).tags
    for count, is_distinctive in ((TEMPLATE_NOTES, False), (TEMPLATE_NOTES - 1, True)):
        tags = read([f"{note} {form} {note}" for note in NEW[:count]]).distinctive_prints().tags
        assert np.isin(own, tags).any() == is_distinctive


def test_short_texts_have_no_prints_and_another_key_gives_other_prints() -> None:
    assert counts(["vu ce jour, RAS", "", "x" * (MIN_CHARS - 1)]) == (0, 0, 0)
    other = make_prints(bytes(16), Packed.of_texts(OLD))
    assert not held(other.tags).any()


def test_a_note_that_is_repeated_is_not_taken_for_a_template() -> None:
    assert counts(SOME * 12)[0] == len(SOME) * 12


def test_the_result_does_not_depend_on_batches() -> None:
    whole = read(OLD)
    parts = SampleNotes()
    for start in range(0, len(OLD), 77):
        some = OLD[start : start + 77]
        parts.add(make_prints(KEY, Packed.of_texts(some)), np.ones(len(some), bool))
    assert np.array_equal(distinct(whole.distinctive_prints().tags), distinct(parts.distinctive_prints().tags))
    assert 0 < KNOWN_SHARE < 1


def test_cells_without_prints_are_counted_and_take_no_memory() -> None:
    short, found, alone = ["vu ce jour"] * 50_000, SampleNotes(), SampleNotes()
    for at, note in enumerate(SOME):
        found.add(
            make_prints(KEY, Packed.of_texts(["RAS", note, "", note])), np.array([True, at % 2 == 0, True, False])
        )
        alone.add(make_prints(KEY, Packed.of_texts([note, note])), np.array([at % 2 == 0, False]))
    tracemalloc.start()
    found.add(make_prints(KEY, Packed.of_texts(short)), np.ones(len(short), bool))
    prints = found.distinctive_prints()
    kept = sum(size.size for size in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert kept < len(short)
    assert found.read == len(short) + 4 * len(SOME)
    expected = alone.distinctive_prints()
    assert np.array_equal(prints.tags, expected.tags)
    assert np.array_equal(prints.sizes, expected.sizes)
    for known in (held, none):
        assert found.count_known_and_new(prints, known) == alone.count_known_and_new(expected, known)
    assert found.count_known_and_new(prints, none) == (0, 2 * len(SOME), len(SOME) // 2)


def reference(texts: list[str]) -> tuple[list[int], list[int]]:
    """Prints that occur in fewer than `TEMPLATE_NOTES` different notes, and how many of them each note has."""
    found = make_prints(KEY, Packed.of_texts(texts))
    each = [found.tags[found.owners == at].tolist() for at in range(len(texts))]
    count = Counter(tag for prints in {tuple(sorted(prints)) for prints in each} for tag in prints)
    rare = [[tag for tag in prints if count[tag] < TEMPLATE_NOTES] for prints in each if prints]
    return [tag for prints in rare for tag in prints], list(map(len, rare))


@pytest.mark.parametrize("together", [500, 1 << 18])
def test_distinctive_prints_are_the_same_when_counted_in_parts(together: int, monkeypatch) -> None:
    monkeypatch.setattr(note_prints, "_CHUNK", together)
    texts = [*OLD[:400], "RAS", *OLD[100:200], "", *NEW[:50]]
    prints = read(texts).distinctive_prints()
    tags, sizes = reference(texts)
    assert prints.tags.tolist() == tags
    assert prints.sizes.tolist() == sizes


@pytest.mark.slow
def test_the_prints_of_a_large_sample_are_never_copied_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(note_prints, "_CHUNK", 1 << 10)
    found = read(OLD)
    tracemalloc.start()
    prints = found.distinctive_prints()
    found.count_known_and_new(prints, none)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < prints.tags.nbytes
