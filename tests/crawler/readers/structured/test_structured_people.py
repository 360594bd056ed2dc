"""People in JSON, XML and health formats, read through the sandbox and the examiner: each is found, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.case import enrol, examine, examining
from tests.synth.people import people
from tests.synth.structured import FORMS

PEOPLE = people(37, 300)
CANARIES = PEOPLE[100:130]


@pytest.fixture(scope="module", params=[False, None], ids=["seccomp alone", "best confinement"])
def examiner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, CANARIES)
    with examining(folder, bwrap=request.param) as examiner:
        yield examiner


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_person_is_a_record_and_every_canary_hits(examiner: Examiner, form: str) -> None:
    finding = examine(examiner, FORMS[form](PEOPLE).encode())
    assert finding.complete
    assert [(hit.canaries, hit.records) for hit in finding.hits] == [(len(CANARIES), len(CANARIES))]
    assert finding.records == len(PEOPLE)
    assert [problem for problem in finding.problems if form != "python"] == []
