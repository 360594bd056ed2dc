"""Hostile containers, held to what every hostile sample is held to."""

from __future__ import annotations

import pytest

from tests.crawler.readers import test_hostile as promises
from tests.synth.hostile_containers import MAKERS, SLOW, hostile_container

SAMPLES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MAKERS]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_hostile_container_ends_with_honest_problems_and_shows_its_canary(name: str) -> None:
    promises.test_a_hostile_sample_ends_with_honest_problems_and_shows_its_canary(hostile_container(name))


@pytest.mark.parametrize("name", SAMPLES)
def test_no_problem_of_a_hostile_container_tells_content(name: str) -> None:
    promises.test_no_problem_of_a_hostile_sample_tells_content(hostile_container(name))


# where a limit on members ends the sample, what was taken of it is a matter of the pieces
@pytest.mark.parametrize("name", [name for name in SAMPLES if name.values != ("three_hundred_thousand",)])
def test_a_hostile_container_gives_the_same_however_its_bytes_come(name: str) -> None:
    promises.test_a_hostile_sample_gives_the_same_however_its_bytes_come(hostile_container(name, seed=1))


def test_there_are_enough_of_them() -> None:
    assert len(MAKERS) >= 35
