"""The self-test reports every broken step of the examination, although all samples look as if they held nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from crawler.examiner.examination import Examiner
from crawler.examiner.self_test import run_self_test
from crawler.readers.core.limits import Limits
from crawler.sandbox.sandbox import Sandbox
from data.case.bundle import read_bundle
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundle
from data.hashing.case_keys import MatchKey
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.tagsets.tagset import TagSet
from data.vocabulary import known_sentence
from tests.data.case.test_watchlist import bundle

KEYS = MatchKey(b"k" * 32).derive()


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(Limits(), bwrap=False) as made:
        yield made


@pytest.fixture
def examiner(tmp_path, sandbox):
    path = bundle(tmp_path, "c1", [f"{number}@b.example".encode() for number in range(50)])
    import_bundle(tmp_path / "watchlist", KEYS.case, *read_bundle(path, KEYS.case, KEYS.bundle))
    return Examiner(KEYS, Watchlist.open(tmp_path / "watchlist", case=KEYS.case), KnownReleases({}), sandbox)


@pytest.mark.slow
def test_an_examiner_that_works_passes(examiner):
    assert run_self_test(examiner) == []


def test_an_empty_watch_list_passes(sandbox, tmp_path):
    empty = Watchlist.open(tmp_path / "none", case=KEYS.case)
    assert run_self_test(Examiner(KEYS, empty, KnownReleases({}), sandbox)) == []


@pytest.mark.slow
def test_a_reader_that_reads_nothing_is_reported(examiner, tmp_path):
    with Sandbox(Limits(max_depth=0), bwrap=False) as blind:
        examiner.sandbox = blind
        wrong = run_self_test(examiner)
    assert any("not examined completely: depth" in sentence for sentence in wrong)
    assert any("found" in sentence for sentence in wrong)


def test_tags_that_match_nothing_are_reported(examiner, monkeypatch):
    monkeypatch.setattr(TagSet, "lookup", lambda self, tags: np.zeros(tags.shape, bool))
    assert "the planted canary was not found" in run_self_test(examiner)


def test_a_watch_list_that_lost_entries_is_reported(examiner):
    examiner.watchlist.probe_values = TagSet.build(np.arange(1, 40, dtype=np.uint64))
    assert run_self_test(examiner) == ["50 entries of the watch-list are not found by their own tags"]


def test_damage_to_the_files_of_a_running_examiner_is_reported(examiner, tmp_path):
    folder = tmp_path / "watchlist"
    for path in [*folder.rglob("*.part"), folder / "manifest.json"]:
        content = path.read_bytes()
        path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
        (wrong,) = run_self_test(examiner)
        assert known_sentence(wrong).startswith(
            ("the watch-list is damaged: ", "the manifest of the watch-list is dam")
        )
        path.write_bytes(content)
    assert run_self_test(examiner) == []
    shutil.rmtree(folder)
    assert run_self_test(examiner) == ["the watch-list has 0 bundles now, instead of 1"]


def test_damage_to_a_release_is_reported(examiner, tmp_path):
    builder = ReleaseBuilder("part-1")
    builder.add(np.random.default_rng(1).integers(1, 2**63, (50, 6), np.uint64), {})
    builder.write(tmp_path / "releases", {"name": "part-1", "incident": "", "kind": "baseline"})
    examiner.releases = KnownReleases.open(tmp_path / "releases")
    assert run_self_test(examiner) == []
    path = tmp_path / "releases" / "part-1" / "nir+dob.tags"
    path.write_bytes(path.read_bytes()[:-1])
    (wrong,) = run_self_test(examiner)
    assert known_sentence(wrong).startswith("the tag set … is damaged")
    shutil.rmtree(tmp_path / "releases" / "part-1")
    (wrong,) = run_self_test(examiner)
    assert known_sentence(wrong).startswith("the release … is lost")
