from __future__ import annotations

import pytest

from tests.crawler.readers.frames import read
from tests.synth.hostile import CANARY, Hostile, hostile


@pytest.mark.parametrize("sample", list(hostile()), ids=repr)
def test_a_hostile_sample_ends_with_honest_problems_and_shows_its_canary(sample: Hostile) -> None:
    found = read(sample.data, sample.limits)
    if sample.problems:
        assert sample.problems & found.all_problems
    else:
        assert not found.all_problems
    assert found.all_complete == sample.complete
    assert found.shows(CANARY) == sample.visible


@pytest.mark.parametrize("sample", list(hostile()), ids=repr)
def test_no_problem_of_a_hostile_sample_tells_content(sample: Hostile) -> None:
    for member in read(sample.data, sample.limits).walk():
        for detail in member.details:
            assert "canary" not in detail
            assert "Dupont" not in detail
            assert len(detail) < 200


@pytest.mark.parametrize("sample", list(hostile(seed=1)), ids=repr)
def test_a_hostile_sample_gives_the_same_however_its_bytes_come(sample: Hostile) -> None:
    data = sample.data[:400_000]
    whole, cut = read(data, sample.limits), read(data, sample.limits, cut=997)
    assert [member.name for member in whole.walk()] == [member.name for member in cut.walk()]
    for one, other in zip(whole.walk(), cut.walk(), strict=True):
        assert one.raw == other.raw
        assert one.bytes == other.bytes
        assert one.all_problems == other.all_problems
