"""Hostile SQL, held to what every hostile sample is held to."""

from __future__ import annotations

import pytest

from tests.crawler.readers import test_hostile as promises
from tests.crawler.readers.frames import read
from tests.synth.hostile import CANARY
from tests.synth.hostile_sql import MAKERS, hostile_sql


@pytest.mark.parametrize("name", MAKERS)
def test_hostile_sql_ends_with_honest_problems_and_shows_its_canary(name: str) -> None:
    promises.test_a_hostile_sample_ends_with_honest_problems_and_shows_its_canary(hostile_sql(name))


@pytest.mark.parametrize("name", MAKERS)
def test_no_problem_of_hostile_sql_tells_content(name: str) -> None:
    promises.test_no_problem_of_a_hostile_sample_tells_content(hostile_sql(name, size=20_000))


@pytest.mark.parametrize("name", MAKERS)
def test_hostile_sql_gives_the_same_however_its_bytes_come(name: str) -> None:
    promises.test_a_hostile_sample_gives_the_same_however_its_bytes_come(hostile_sql(name, seed=1, size=20_000))


@pytest.mark.parametrize("name", MAKERS)
def test_the_row_before_hostile_sql_is_a_row(name: str) -> None:
    found = read(hostile_sql(name, size=20_000).data)
    assert found.format == "sql_dump"
    assert ["Dupont", CANARY] in found.rows
