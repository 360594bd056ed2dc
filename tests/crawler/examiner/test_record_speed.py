"""A member over which the record pass is too slow is given up and says so; the byte pass reads what is left of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet
import pytest

from crawler.examiner.examination import Examiner
from crawler.examiner.record_speed import MIN_SPEED, RecordSpeed
from crawler.examiner.sample import SampleMember
from tests.synth.case import enrol, examine, examining
from tests.synth.people import Person, people

PEOPLE = people(71, 80)
CANARY = PEOPLE[0]


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, [CANARY])
    with examining(folder) as examiner:
        yield examiner


def clock_of(step: float) -> Callable[[], float]:
    """A clock that goes on by a step each time that it is asked."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def text(crowd: list[Person]) -> bytes:
    """So many pages of text, the last with a canary."""
    lines = [f"{each.first} {each.surname}, né le {each.dob:%d/%m/%Y}, {each.email}" for each in crowd]
    return "\n\n".join(lines * 500 + [f"écrire à {CANARY.email}", ""]).encode()


def packed_table(crowd: list[Person]) -> bytes:
    """A table of compressed columns: its bytes show no value; the last row is a canary."""
    rows = crowd * 120 + [CANARY]
    columns = {
        "nom": [each.surname for each in rows],
        "prenom": [each.first for each in rows],
        "courriel": [each.email for each in rows],
    }
    out = BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


@pytest.mark.parametrize("make", [text, packed_table])
@pytest.mark.slow
def test_a_slow_member_is_given_up_and_its_rest_searched_for_values(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch, make: Callable[[list[Person]], bytes]
) -> None:
    data = make(PEOPLE[1:])
    monkeypatch.setattr(examiner, "clock", clock_of(0.0))
    sound = examine(examiner, data)
    monkeypatch.setattr(examiner, "clock", clock_of(100.0))
    slow = examine(examiner, data)
    assert (sound.complete, slow.complete) == (True, False)
    assert [problem.partition(":")[0] for problem in slow.problems] == ["slow"]
    assert "slow" not in {problem.partition(":")[0] for problem in sound.problems}
    assert [(hit.client, hit.canaries) for hit in slow.hits] == [("c1", 1)]
    assert slow.rows == sound.rows
    assert slow.records < sound.records


def test_members_together_are_given_up_later_than_one(examiner: Examiner) -> None:
    """Each member may take its seconds; all of them together may take four times as many."""
    now = [0.0]
    speed = RecordSpeed(10.0, lambda: now[0])
    given_up = []
    for _ in range(9):
        # its bytes are not looked at here
        member = SampleMember("", "text", collector=cast("Any", None), scanner=cast("Any", None), digest=None)
        speed.begin()
        now[0] += 50.0
        speed.end(member, MIN_SPEED)
        given_up.append(member.given_up)
    assert given_up == [False] * 4 + [True] * 5
