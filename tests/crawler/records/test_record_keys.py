"""The roles of columns, and the tags of rows, in batch and one by one."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.matching.candidates import UnreadCandidates
from crawler.records.column_roles import looks_like_header, plan_columns_of_rows, rows_are_prose
from crawler.records.record_keys import tag_rows
from crawler.records.row_batch import RowBatch
from crawler.records.row_readings import split_name
from data.arrays.packed import Packed
from data.errors import WireError
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, probe_tag
from tests.synth.people import HEADERS, people, row

KEY = bytes(range(16))
PEOPLE = people(11, 60)
ALL = ("surname", "first", "dob", "nir", "email", "phone", "iban", "rpps", "note")
ROWS = [row(person, ALL) for person in PEOPLE]
ROLES = ["surname", "first", "dob", "nir", "email", "phone", "iban", "professional", "note"]


def roles(plan) -> list[str]:
    return [column.role for column in plan.columns]


@pytest.mark.parametrize("language", ["fr", "en"])
def test_roles_of_columns_are_decided_by_their_headers(language):
    assert roles(plan_columns_of_rows([HEADERS[language][name] for name in ALL], ROWS)) == ROLES


def test_roles_of_columns_without_header_are_decided_by_their_values():
    rows = [cells[:7] for cells in ROWS]
    assert roles(plan_columns_of_rows(None, rows)) == ROLES[:7]


def test_a_wrong_header_does_not_hide_a_value():
    header = ["nom", "prenom", "nir", "telephone", "date_naissance", "email"]
    rows = [row(person, ("surname", "first", "dob", "nir", "email", "phone")) for person in PEOPLE]
    assert roles(plan_columns_of_rows(header, rows)) == ["surname", "first", "dob", "nir", "email", "phone"]


def test_names_beside_the_wrong_headers_are_found_by_their_values():
    names = ("surname", "first", "dob", "nir", "email", "phone")
    rows = [row(person, names) for person in PEOPLE]
    words = [HEADERS["fr"][name] for name in names]
    assert roles(plan_columns_of_rows([*words[1:], words[0]], rows)) == list(names)
    # uncommon names are not recognised by their values, so that the header decides
    strange = [["Xqzt", "Wvbk", *cells[2:]] for cells in rows]
    header = ["nom", "prenom", "nir", "telephone", "date_naissance", "email"]
    assert roles(plan_columns_of_rows(header, strange))[:2] == ["surname", "first"]


def test_a_single_column_of_words_is_the_surname_wherever_it_is():
    rows = [row(person, ("surname", "dob", "email", "phone", "first")) for person in PEOPLE]
    assert roles(plan_columns_of_rows(None, rows)) == ["surname", "dob", "email", "phone", "first"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["DUPONT Jean", " né le 12/03/1975", " tél 06 12 34 56 78"], True),
        (["1", "12/03/2019", "Patient vu en consultation pour suivi"], True),
        (["DUPONT", "Jean", "12/03/1975", "Patient vu en consultation pour suivi"], False),
        (["jean@free.fr", "hunter2", "1.2.3.4"], False),
    ],
)
def test_rows_without_record_keys_but_with_sentences_are_prose(cells, expected):
    rows = [cells] * 20
    plan = plan_columns_of_rows(["nom", "prenom", "ddn", "note"] if len(cells) == 4 else None, rows)
    assert rows_are_prose(plan, rows) is expected


def test_a_very_long_word_is_searched_for_a_label_once():
    """Found by the hostile samples: each letter of it was tried as the beginning of a label."""
    rows = [["é" * 100_000, "x"], ["a", "b"]]
    started = time.process_time()
    assert not rows_are_prose(plan_columns_of_rows(None, rows), rows)
    assert time.process_time() - started < 5


def test_the_birth_date_is_distinguished_from_other_dates():
    rows = [[*row(person, ("surname", "first", "dob")), "03/11/2026"] for person in PEOPLE]
    assert roles(plan_columns_of_rows(["nom", "prenom", "date_naissance", "date_visite"], rows))[2:] == ["dob", ""]
    assert roles(plan_columns_of_rows(None, rows))[2:] == ["dob", ""]


def test_a_header_is_distinguished_from_a_row():
    assert looks_like_header(["nom", "prenom", "ddn"], ROWS)
    assert looks_like_header(["x1", "x2", "x3", "x4", "x5", "x6"], [row(person) for person in PEOPLE])
    assert not looks_like_header(ROWS[0], ROWS[1:])
    assert not looks_like_header(["", ""], ROWS)


def test_a_full_name_is_read_by_comma_by_capitals_and_in_both_orders():
    assert split_name("Dupont, Jean") == [("Dupont", "Jean")]
    assert split_name("DUPONT Jean") == [("DUPONT", "Jean")]
    assert split_name("Jean Dupont") == [("Jean", "Dupont"), ("Dupont", "Jean")]
    assert split_name("Dupont") == []


def test_a_full_name_gives_the_same_keys_as_its_parts():
    parts = plan_columns_of_rows(["nom", "prenom", "ddn"], [["Dupont", "Jean", "12/03/1975"]])
    whole = plan_columns_of_rows(["nom_complet", "ddn"], [["Jean Dupont", "12/03/1975"]])
    one = tag_rows(parts, RowBatch.of([["Dupont", "Jean", "12/03/1975"]]), KEY)
    two = tag_rows(whole, RowBatch.of([["Jean Dupont", "12/03/1975"]]), KEY)
    assert one.keys[0, 0] == two.keys[0, 0] != 0


def test_swapped_name_columns_give_the_same_key():
    plan = plan_columns_of_rows(["nom", "prenom", "ddn"], [["Dupont", "Jean", "12/03/1975"]])
    one = tag_rows(plan, RowBatch.of([["Dupont", "Jean", "12/03/1975"]]), KEY).keys[0, 0]
    assert one == tag_rows(plan, RowBatch.of([["Jean", "Dupont", "12/03/1975"]]), KEY).keys[0, 0] != 0


def test_batch_tags_are_the_tags_of_the_digest_inputs_of_single_rows():
    plan = plan_columns_of_rows(
        [HEADERS["fr"][name] for name in ALL] + ["tel2"], [[*cells, "0711223344"] for cells in ROWS]
    )
    batch = RowBatch.of([[*cells, f"07112233{number:02}"] for number, cells in enumerate(ROWS)])
    tags = tag_rows(plan, batch, KEY)
    candidates = tags.inputs.candidates(lambda keys: keys != 0, lambda values: values != 0)
    for number in range(len(batch)):
        found = {int(tag) for tag in tags.keys[number] if tag}
        for other in tags.inputs.others:
            found |= {int(tag) for tag in other.keys[other.reading.rows == number].ravel() if tag}
        for at, values in tags.values.values():
            found |= {int(tag) for tag in values[at == number]}
        here = candidates.places == number
        assert found == set(candidates.tags[here].tolist())
    assert len(tags.inputs.others) == 1
    assert set(candidates.kinds.tolist()) <= {*RECORD_KINDS, *VALUE_KINDS}
    inputs = zip(candidates.kinds.tolist(), candidates.values.to_list(), strict=True)
    assert candidates.tags.tolist() == [probe_tag(KEY, kind, value) for kind, value in inputs]


def test_record_keys_of_rows_that_hit_are_neither_looked_up_nor_put_together_until_they_are_asked_for():
    plan = plan_columns_of_rows([HEADERS["fr"][name] for name in ALL], ROWS)
    tags = tag_rows(plan, RowBatch.of(ROWS), KEY)
    whole = tags.inputs.candidates(lambda keys: keys != 0, lambda values: values != 0)
    # every third row has a value on the list; of the others every seventh has all record keys there
    hit, keyed = np.arange(60) % 3 == 0, (np.arange(60) % 3 != 0) & (np.arange(60) % 7 == 0)
    values = np.concatenate([found[np.isin(rows, np.flatnonzero(hit))] for rows, found in tags.values.values()])
    on_list = np.concatenate([tags.keys[keyed].ravel(), tags.keys[hit, 0]])
    looked_up: list[int] = []

    def listed_keys(keys):
        looked_up.extend(keys.tolist())
        return np.isin(keys, on_list)

    further: list[UnreadCandidates] = []
    first = tags.inputs.candidates(listed_keys, lambda each: np.isin(each, values), further)
    assert not set(tags.keys[hit, 1:].ravel().tolist()) & set(looked_up)
    assert set(tags.keys[~hit].ravel().tolist()) - {0} <= set(looked_up)
    rest = [each.take(np.arange(len(each))) for each in further]
    assert not set(RECORD_KINDS[1:]) & set(first.kinds.tolist())
    assert all(kind in RECORD_KINDS[1:] for each in rest for kind in each.kinds.tolist())

    def items(parts):
        return {
            each
            for part in parts
            for each in zip(
                part.kinds.tolist(), part.tags.tolist(), part.values.to_list(), part.places.tolist(), strict=True
            )
        }

    expected = {each for each in items([whole]) if hit[each[3]] or (keyed[each[3]] and each[0] in RECORD_KINDS)}
    assert items([first, *rest]) == expected


def test_a_batch_is_the_same_after_encoding_and_decoding():
    batch = RowBatch.of([["a", "é"], ["", "x"], ["b"]])
    again = RowBatch.from_frame(batch.to_frame())
    assert cells(again) == [["a", "é"], ["", "x"], ["b", ""]]
    assert cells(again.drop(1)) == [["", "x"], ["b", ""]]


@given(st.binary(max_size=200))
def test_bytes_that_are_not_a_row_frame_are_refused(payload):
    try:
        batch = RowBatch.from_frame(payload)
    except WireError:
        return
    assert batch.to_frame() == payload


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.lists(st.text(max_size=12), max_size=6), min_size=1, max_size=8))
@pytest.mark.slow
def test_no_table_makes_the_record_pass_raise(rows):
    plan = plan_columns_of_rows(rows[0] if looks_like_header(rows[0], rows[1:]) else None, rows)
    batch = RowBatch.of([[cell.encode("utf-8", "replace").decode() for cell in cells] for cells in rows])
    assert len(tag_rows(plan, batch, KEY).keys) == len(rows)


@settings(deadline=None)  # the first call may compile
@given(st.binary(max_size=60), st.integers(0, 3), st.integers(0, 3))
def test_frames_of_cells_that_are_not_there_are_refused(payload, rows, width):
    try:
        batch = RowBatch.from_cells(struct.pack("<II", rows, width) + payload)
    except WireError:
        return
    assert [len(column) for column in batch.columns] == [rows] * width


def cells(batch: RowBatch) -> list[list[str]]:
    sample = batch.sample(9)
    return [sample.row(number) for number in range(sample.rows)]


def test_cells_that_lie_row_by_row_are_read_as_columns():
    payload = struct.pack("<II8I", 2, 2, 0, 2, 5, 6, 1, 4, 5, 7) + "a;é\n;b".encode()
    batch = RowBatch.from_cells(payload)
    assert cells(batch) == [["a", "é"], ["", "b"]]
    assert cells(batch.drop(1)) == cells(batch.take(np.array([1]))) == [["", "b"]]
    with pytest.raises(WireError):
        RowBatch.from_cells(payload[:-1])


def test_each_column_is_put_together_once_for_a_row_and_its_neighbours(monkeypatch):
    made = []
    from_cells = Packed.from_cells
    monkeypatch.setattr(Packed, "from_cells", lambda *given: made.append(given) or from_cells(*given))
    batch = RowBatch.from_cells(
        struct.pack("<II12I", 3, 2, 0, 2, 5, 7, 9, 11, 1, 4, 6, 8, 10, 12) + "a;é\nb;c\nd;e\n".encode()
    )
    line = batch.line_of(1)
    assert (line.before, line.line, line.after) == ("a ; é".encode(), b"b ; c", b"d ; e")
    assert len(made) == 2
