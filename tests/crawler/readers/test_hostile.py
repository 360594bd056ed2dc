"""Every hostile sample, read in this process: its problems, what is visible of it, and reading it in pieces."""

from __future__ import annotations

import pytest

from tests.crawler.readers.frames import Member, read
from tests.synth.hostile import CANARY
from tests.synth.hostile_corpus import BY_PIECES, CLASSES, CORPUS, ONCE, SLOW

# bytes of a sample that are also read in pieces of 997 bytes; more would only take longer
SOME = 100_000


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CORPUS]
)
def test_a_hostile_sample_ends_with_the_expected_problems_and_shows_its_canary(name: str) -> None:
    sample = CORPUS[name]()
    found = read(sample.data, sample.limits)
    if sample.problems:
        assert sample.problems & found.all_problems
    else:
        assert not found.all_problems
    assert found.all_complete == sample.complete
    assert found.shows(CANARY) == sample.visible
    for detail in (detail for member in found.walk() for detail in member.details):
        assert "canary" not in detail
        assert "Dupont" not in detail
        assert len(detail) < 200
    if name not in BY_PIECES | ONCE:
        some = sample.data[:SOME]
        whole = found if len(some) == len(sample.data) else read(some, sample.limits)
        assert _results(whole) == _results(read(some, sample.limits, cut=997))


def _results(found: Member) -> list[tuple[object, ...]]:
    return [(member.name, member.raw, member.bytes, member.all_problems) for member in found.walk()]


def test_samples_of_every_class_are_among_them():
    assert len(CORPUS) >= 300
    for samples in CLASSES.values():
        assert set(samples) <= set(CORPUS)
    assert set(CORPUS) >= SLOW | BY_PIECES | ONCE


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith("sql-")])
def test_the_row_before_hostile_sql_is_a_row(name: str) -> None:
    found = read(CORPUS[name]().data[:20_000])
    assert found.format == "sql_dump"
    assert ["Dupont", CANARY] in found.rows
