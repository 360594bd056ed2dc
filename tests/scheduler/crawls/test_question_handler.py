"""What the runner does with the results of a crawl process if a part of the machine fails."""

from __future__ import annotations

import pytest

from data.case import evidence
from data.model import EventKind
from tests.command import must
from tests.scheduler.crawls.conftest import kinds
from tests.synth.people import people
from tests.whole.test_whole_way import enrol, table

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@pytest.mark.parametrize("trouble", ["not a folder", "no space"])
def test_a_hit_is_reported_although_its_evidence_cannot_be_kept_and_the_evidence_follows_later(
    crawl, site, tmp_path, full_folder, trouble
):
    crowd = people(5, 8)
    enrol(crawl.home.path, tmp_path, "practice-a", crowd)
    crawl.examiner.reload()
    folder = crawl.home.evidence_dir
    site.pages, site.bodies = {1: ["dump"]}, {"dump": table(crowd).encode()}
    if trouble == "no space":
        repair = full_folder(folder)
    else:
        folder.rmdir()
        folder.write_bytes(b"")
        repair = folder.unlink
    result = crawl()
    assert (result.state, result.hits, result.failed) == ("done", True, True)
    assert (result.examined, result.unexamined) == (0, 1)
    found = kinds(crawl.store)
    assert EventKind.FURTHER_RELEASE in found or EventKind.CANARY_HIT in found
    [state] = [each for each in crawl.store.states.lasting("") if each.kind is EventKind.SELFTEST_FAILED]
    assert state.subject == "evidence"
    assert len(crawl.store.posts.due("site")) == 1, "the post stays due until its evidence is kept"
    repair()
    again = crawl()
    assert (again.state, again.examined, again.unexamined) == ("done", 1, 0)
    assert len(evidence.entries(folder)) == 1
    must(crawl.home.path, "evidence", "verify")
    assert crawl.store.states.lasting("") == []
    assert sum(kind in {EventKind.FURTHER_RELEASE, EventKind.CANARY_HIT} for kind in kinds(crawl.store)) == 1
