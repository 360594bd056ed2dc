"""Recall: people are found in every spelling, layout and encoding, and people who are not in the sample are not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.case import examine
from tests.synth.disguise import Disguise, Spelling, combined, crowd, single
from tests.synth.recall import recall, watching

CROWD = crowd(3, 44)
VALUES, KEYS = 0.999, 0.995


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    with watching(tmp_path_factory.mktemp("recall"), CROWD) as examiner:
        yield examiner


# combinations that once hid people although none of their parts does so alone
FOUND = [
    Disguise("SQL", Spelling(phone="0033", nir="spaces", name="small"), "JSON escapes"),
    Disguise("HTML table", Spelling(date="words", name="decomposed"), "JSON escapes"),
    Disguise("BBCode table", Spelling(date="time", name="small"), "UTF-16 big"),
    Disguise("prose, wrapped", Spelling(phone="groups", nir="spaces", name="small")),
    Disguise("prose, wrapped", Spelling(phone="groups", date="time", nir="key apart", name="decomposed"), "base64"),
]


@pytest.mark.slow
@pytest.mark.parametrize("disguises", [single(), combined(1, 40), FOUND], ids=["alone", "combined", "found"])
def test_people_are_found_and_counted_in_every_spelling_layout_and_encoding(
    examiner: Examiner, disguises: list[Disguise]
) -> None:
    missed = []
    values = keys = 0.0
    for disguise in disguises:
        found = recall(examiner, disguise, CROWD)
        values, keys = values + found.values, keys + found.keys
        if found.values < VALUES or found.keys < KEYS or abs(found.records - len(CROWD)) > 1:
            missed.append(f"{disguise.name}: {found}")
    assert not missed, "\n".join(missed)
    assert values >= VALUES * len(disguises)
    assert keys >= KEYS * len(disguises)


@pytest.mark.slow
def test_people_who_are_not_canaries_do_not_hit_in_any_layout(examiner: Examiner) -> None:
    others = crowd(4, 60)
    for layout in ("table", "prose", "form", "HTML cards", "BBCode"):
        finding = examine(examiner, Disguise(layout).of(others))
        assert finding.hits == ()
        assert finding.records == len(others)
