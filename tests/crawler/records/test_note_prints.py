from __future__ import annotations

import re
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from crawler.records import note_prints
from crawler.records.note_prints import KNOWN, MIN_CHARS, TEMPLATE, Notes, prints_of
from data.arrays.packed import Packed
from data.tagsets.tagset import distinct
from tests.synth.population import notes as made_notes
from tests.synth.population import plain

KEY = bytes(range(16))
# a practice's notes, of which a sample is looked for: what its templates are shows in thousands
OLD, NEW = made_notes(1, 3000), made_notes(2, 300)
SOME = OLD[:300]


def read(texts: list[str]) -> Notes:
    found = Notes()
    found.add(prints_of(KEY, Packed.of_texts(texts)), np.ones(len(texts), bool))
    return found


HELD = distinct(read(OLD).telling().tags)


def held(tags: np.ndarray) -> np.ndarray:
    return np.isin(tags, HELD)


def none(tags: np.ndarray) -> np.ndarray:
    return np.zeros(len(tags), bool)


def judged(texts: list[str]) -> tuple[int, int, int]:
    found = read(texts)
    return found.judge(found.telling(), held)


def noisy(text: str, share: float, seed: int) -> str:
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
        (lambda text, seed: noisy(text, 0.01, seed), 0.97),
    ],
    ids=["same", "capitals and lines", "mark-up", "references", "cut at 255", "the middle", "1 % noise"],
)
def test_known_notes_are_recognised_in_other_clothes(change, least: float) -> None:
    known, _, _ = judged([change(text, seed) for seed, text in enumerate(SOME)])
    assert known >= least * len(SOME)


def test_new_notes_from_the_same_templates_are_new() -> None:
    known, new, of_known = judged(NEW)
    assert known <= 0.005 * len(NEW)
    assert new >= 0.99 * len(NEW)
    assert of_known == new


def test_what_stands_in_many_notes_tells_nobody() -> None:
    form = "Le patient a été informé des suites possibles et a signé le consentement éclairé ce jour même."
    own = prints_of(KEY, Packed.of_texts([form])).tags
    for count, is_told in ((TEMPLATE, False), (TEMPLATE - 1, True)):
        tags = read([f"{note} {form} {note}" for note in NEW[:count]]).telling().tags
        assert np.isin(own, tags).any() == is_told


def test_short_texts_and_other_keys_have_nothing_to_compare() -> None:
    assert judged(["vu ce jour, RAS", "", "x" * (MIN_CHARS - 1)]) == (0, 0, 0)
    other = prints_of(bytes(16), Packed.of_texts(OLD))
    assert not np.isin(other.tags, HELD).any()


def test_a_note_that_is_there_many_times_is_no_template() -> None:
    found = read(SOME * 12)
    assert found.judge(found.telling(), held)[0] == len(SOME) * 12


def test_order_and_batches_change_nothing() -> None:
    whole = read(OLD)
    parts = Notes()
    for start in range(0, len(OLD), 77):
        some = OLD[start : start + 77]
        parts.add(prints_of(KEY, Packed.of_texts(some)), np.ones(len(some), bool))
    assert np.array_equal(distinct(whole.telling().tags), distinct(parts.telling().tags))
    assert 0 < KNOWN < 1


def test_cells_that_say_nothing_are_counted_and_take_no_memory() -> None:
    short, found, alone = ["vu ce jour"] * 50_000, Notes(), Notes()
    for at, note in enumerate(SOME):
        found.add(prints_of(KEY, Packed.of_texts(["RAS", note, "", note])), np.array([True, at % 2 == 0, True, False]))
        alone.add(prints_of(KEY, Packed.of_texts([note, note])), np.array([at % 2 == 0, False]))
    tracemalloc.start()
    found.add(prints_of(KEY, Packed.of_texts(short)), np.ones(len(short), bool))
    told = found.telling()
    kept = sum(size.size for size in tracemalloc.take_snapshot().statistics("filename"))
    tracemalloc.stop()
    assert kept < len(short)
    assert found.read == len(short) + 4 * len(SOME)
    single = alone.telling()
    assert np.array_equal(told.tags, single.tags)
    assert np.array_equal(told.sizes, single.sizes)
    for known in (held, none):
        assert found.judge(told, known) == alone.judge(single, known)
    assert found.judge(told, none) == (0, 2 * len(SOME), len(SOME) // 2)


def plainly(texts: list[str]) -> tuple[list[int], list[int]]:
    """The reference: prints that stand in fewer than `TEMPLATE` different notes, and how many each note has."""
    found = prints_of(KEY, Packed.of_texts(texts))
    each = [found.tags[found.owners == at].tolist() for at in range(len(texts))]
    count = Counter(tag for prints in {tuple(sorted(prints)) for prints in each} for tag in prints)
    rare = [[tag for tag in prints if count[tag] < TEMPLATE] for prints in each if prints]
    return [tag for prints in rare for tag in prints], list(map(len, rare))


@pytest.mark.parametrize("together", [500, 1 << 18])
def test_prints_are_told_apart_part_by_part(together: int, monkeypatch) -> None:
    monkeypatch.setattr(note_prints, "_CHUNK", together)
    texts = [*OLD[:400], "RAS", *OLD[100:200], "", *NEW[:50]]
    told = read(texts).telling()
    tags, sizes = plainly(texts)
    assert told.tags.tolist() == tags
    assert told.sizes.tolist() == sizes


def test_notes_of_a_large_sample_are_never_copied_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(note_prints, "_CHUNK", 1 << 10)
    found = read(OLD)
    tracemalloc.start()
    told = found.telling()
    found.judge(told, none)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < told.tags.nbytes
