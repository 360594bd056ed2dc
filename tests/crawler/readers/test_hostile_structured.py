"""Hostile JSON, XML and health formats, held to what every hostile sample is held to."""

from __future__ import annotations

import pytest

from tests.crawler.readers import test_hostile as promises
from tests.synth.hostile_structured import MAKERS, hostile_structured


@pytest.mark.parametrize("name", MAKERS)
def test_a_hostile_document_ends_with_honest_problems_and_shows_its_canary(name: str) -> None:
    promises.test_a_hostile_sample_ends_with_honest_problems_and_shows_its_canary(hostile_structured(name))


@pytest.mark.parametrize("name", MAKERS)
def test_no_problem_of_a_hostile_document_tells_content(name: str) -> None:
    promises.test_no_problem_of_a_hostile_sample_tells_content(hostile_structured(name))


@pytest.mark.parametrize("name", MAKERS)
def test_a_hostile_document_gives_the_same_however_its_bytes_come(name: str) -> None:
    promises.test_a_hostile_sample_gives_the_same_however_its_bytes_come(hostile_structured(name, seed=1))
