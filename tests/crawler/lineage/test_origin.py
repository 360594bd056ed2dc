"""Whose breach a sample is from: what a share of known people tells, and planted canaries."""

from __future__ import annotations

import pytest

from crawler.lineage.origin import MarkCounts, OriginEvidence, judge_origin


@pytest.mark.parametrize(
    ("people", "known", "covered", "evidence", "has_hits", "answer"),
    [
        (2000, 2, 3000, OriginEvidence(), False, "open"),
        (2000, 1000, 3000, OriginEvidence(), False, "ours"),
        (50, 50, 3000, OriginEvidence(), False, "ours"),
        # one of one tells nothing
        (1, 1, 3000, OriginEvidence(), False, "open"),
        # a release of 15 million patients shares a fifth with every file of French patients
        (10_000, 2200, 15_000_000, OriginEvidence(), False, "open"),
        (10_000, 9900, 15_000_000, OriginEvidence(), False, "ours"),
        (3000, 0, 3000, OriginEvidence(has_planted_hits=True, hit_people=1), True, "ours"),
        # 12 real mailboxes among invented people
        (3000, 0, 3000, OriginEvidence(hit_people=12), True, "open"),
        (3000, 0, 3000, OriginEvidence(hit_people=2900), True, "ours"),
        (3000, 0, 3000, OriginEvidence(), False, "open"),
        (60_000, 60, 3000, OriginEvidence(), False, "open"),
        # a teaser of 50 people, all of whom are in the whole of it
        (150_000, 50, 50, OriginEvidence(most_covered=(50, 50)), False, "ours"),
        # a twentieth of a release is in any other organisation's file, and a small family too
        (150_000, 150, 3000, OriginEvidence(most_covered=(3000, 150)), False, "open"),
        (150_000, 5, 5, OriginEvidence(most_covered=(5, 5)), False, "open"),
        # two shared patients of 2,000, in a table with other columns
        (2000, 2, 3000, OriginEvidence(marks=MarkCounts(pairs=(8, 0))), False, "another's"),
        # 5 % are known: other columns and other doctors may be those of other practices of the same breach
        (2000, 100, 3000, OriginEvidence(marks=MarkCounts(pairs=(8, 0)), doctors=(10, 0)), False, "open"),
        # a tenth is known, with the record ids of the release, with others, and with nothing to compare
        (2000, 200, 3000, OriginEvidence(marks=MarkCounts(ids=(25, 24))), False, "ours"),
        (2000, 200, 3000, OriginEvidence(marks=MarkCounts(ids=(25, 0))), False, "another's"),
        (2000, 200, 3000, OriginEvidence(), False, "open"),
        # two organisations may use one software, and have some of the same doctors
        (3000, 0, 3000, OriginEvidence(marks=MarkCounts(unusual_words=9, pairs=(8, 8))), False, "open"),
        (3000, 0, 3000, OriginEvidence(doctors=(40, 30)), False, "open"),
        (3000, 0, 3000, OriginEvidence(marks=MarkCounts(unusual_words=9), doctors=(40, 30)), False, "ours"),
        # a release that is known for certain stays so in other columns
        (2000, 1000, 3000, OriginEvidence(marks=MarkCounts(pairs=(8, 0))), False, "ours"),
    ],
)
def test_the_origin_is_decided_by_what_only_one_origin_explains(people, known, covered, evidence, has_hits, answer):
    found = judge_origin(people, known, covered, evidence, has_hits=has_hits)
    assert found.answer == answer, found
    assert found.reasons
