"""Values that identify nobody are not used to recognise people; everything else is."""

from __future__ import annotations

import numpy as np
import pytest

from crawler.examiner.worker import _add_frame, _frames_of
from crawler.records.column_roles import plan_columns_of_rows
from crawler.records.placeholders import COMMON_PEOPLE, Placeholders
from crawler.records.record_keys import tag_rows
from crawler.records.row_batch import RowBatch
from data.hashing.tags import RECORD_KINDS, Kind
from data.releases.builder import ReleaseBuilder
from tests.synth.case import KEYS, examine, examining

KEY = bytes(range(16))
HEADER = ["nom", "prenom", "date_naissance", "nir", "email", "telephone"]
FIRSTS = ["Jean", "Marie", "Paul", "Anne", "Luc", "Zoe", "Ines", "Hugo"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def person(number):
    return [
        f"Durand{LETTERS[number // 26]}{LETTERS[number % 26]}",
        FIRSTS[number % 8],
        f"{1 + number % 28:02}/03/{1930 + number % 60}",
        f"1{30 + number % 60:02}0375{number:06}",
        f"p.{number}@exemple.fr",
        f"06{11223344 + number * 9:08}",
    ]


PEOPLE = [person(number) for number in range(100)]


def taken_out(rows, *, batches=1, header=HEADER):
    """The kinds of key that each row lost, and the notes."""
    plan = plan_columns_of_rows(header, rows)
    parts = np.array_split(np.arange(len(rows)), batches)
    tagged = [tag_rows(plan, RowBatch.of([rows[at] for at in part]), KEY) for part in parts]
    placeholders = Placeholders(KEY)
    placeholders.learn(tagged)
    lost = []
    for tags in tagged:
        before = tags.keys.copy()
        keys = placeholders.take_out(tags).keys
        assert (tags.keys == before).all()
        lost += [{RECORD_KINDS[at] for at in np.flatnonzero(row)} for row in (before != 0) & (keys == 0)]
    return lost, placeholders.notes()


def with_value(column, value, rows):
    return [[*row[:column], value, *row[column + 1 :]] if at in rows else row for at, row in enumerate(PEOPLE)]


def test_people_with_values_of_their_own_lose_nothing():
    assert taken_out(PEOPLE) == ([set()] * 100, [])


@pytest.mark.parametrize("batches", [1, 7])
@pytest.mark.parametrize(
    ("column", "value", "kinds"),
    [
        (5, "01 44 55 66 77", {Kind.PHONE_FIRST, Kind.PHONE_DOB}),
        (4, "cabinet@exemple.fr", {Kind.EMAIL_FIRST}),
        (3, "1750375123456", {Kind.NIR_FIRST, Kind.NIR_DOB}),
        (2, "01/01/1900", {Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_DOB}),
    ],
)
def test_a_value_of_many_different_people_is_not_used(column, value, kinds, batches):
    some = range(40, 40 + COMMON_PEOPLE)
    lost, notes = taken_out(with_value(column, value, some), batches=batches)
    assert lost == [kinds if at in some else set() for at in range(100)]
    assert notes == [
        "1 value stands in more than 1 % of the rows that were read together and is not used to recognise people"
    ]
    # one person less could be a large family
    assert taken_out(with_value(column, value, some[1:]), batches=batches) == ([set()] * 100, [])


def test_one_person_in_many_rows_keeps_all_numbers():
    assert taken_out([PEOPLE[0]] * 90 + PEOPLE[:10]) == ([set()] * 100, [])


def test_a_common_birth_date_is_used_unless_it_is_the_first_of_january():
    assert taken_out(with_value(2, "14/07/1975", range(60))) == ([set()] * 100, [])


@pytest.mark.parametrize(
    ("column", "value"),
    [(5, "0600000000"), (5, "06.66.66.66.66"), (3, "2999999999999"), (4, "aucun@aucun.fr"), (4, "Inconnu@gmail.com")],
)
def test_a_filler_is_not_used_even_once(column, value):
    lost, notes = taken_out(with_value(column, value, [3]))
    assert [at for at, kinds in enumerate(lost) if kinds] == [3]
    assert notes == ["1 value is a filler that no person has and is not used to recognise people"]


def test_a_row_keeps_its_only_key():
    rows = [[row[1], "01 44 55 66 77"] for row in PEOPLE]
    assert taken_out(rows, header=["prenom", "telephone"])[0] == [set()] * 100


@pytest.mark.slow
@pytest.mark.parametrize(("column", "value"), [(5, "01 44 55 66 77"), (4, "cabinet@exemple.fr")])
def test_a_value_of_many_people_of_a_release_ties_nobody_of_a_later_sample_together(tmp_path, column, value):
    def table(rows, columns=range(6)):
        return "\n".join(";".join(row[at] for at in columns) for row in [HEADER, *rows]).encode()

    released = table(with_value(column, value, range(40, 70)))
    # five people of one first name: far too few to learn anything from the sample itself
    later = [[*row[:column], value, *row[column + 1 :]] for row in map(person, range(104, 144, 8))]
    with examining(tmp_path, released, bwrap=False) as examiner:
        lineage = examine(examiner, table(later, [1, 4, 5])).lineage
        assert (lineage.records, lineage.new, lineage.interval) == (5, 5, (5, 5))
        assert "1 value stands in many rows of a release and is not used to recognise people" in lineage.notes
        # a value that this sample itself shows to be nobody's is told as well
        rows = [[*row[:3], "1 75 03 75 123 456 13", *row[4:]] for row in PEOPLE]
        assert (
            "1 value stands in more than 1 % of the rows that were read together and is not used to recognise people"
            in examine(examiner, table(rows)).lineage.notes
        )
        # what a worker collects for a release comes to the examiner in frames
        examine(examiner, released, release="part-2")
        builder, copy = examiner.builders["part-2"], ReleaseBuilder("part-2")
        for kind, payload in _frames_of(builder):
            _add_frame(copy, kind, payload)
        assert copy.write(tmp_path / "releases", {"case": KEYS.case})["common"] == 1
