"""A question mark in a name stands for one letter that was lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.records.column_roles import plan_columns_of_rows
from crawler.records.lost_letters import has_lost_letters, restore_names, restore_word
from crawler.records.row_batch import RowBatch
from crawler.records.running_text import RunningTextReader
from data.arrays.array_types import I64
from data.identifiers.normalise import name

HEADER = ["nom", "prenom", "ddn"]


def restored(cells: list[str], known: set[tuple[str, str]]) -> list[str]:
    """The cells of a row, where only the names in `known` have record keys that are known."""
    rows = [cells]

    def count_known(batch: RowBatch) -> I64:
        return np.array([(batch.cell(at, 0), batch.cell(at, 1)) in known for at in range(len(batch))], np.int64)

    found = restore_names(RowBatch.of(rows), plan_columns_of_rows(HEADER, rows), count_known)
    return [found.cell(0, at) for at in range(3)]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["Virecourt", "Oc?ane", "28/01/2001"], ("Virecourt", "Oceane")),
        (["BR?LEFER", "?lodie", "11/12/1969"], ("BRuLEFER", "elodie")),
        (["Gu\ufffdrinval", "Beno\ufffdt", "27/07/1986"], ("Guerinval", "Benoit")),
        (["D?Arcy", "Fran??ois", "06/06/2001"], ("DArcy", "Francois")),
        (["?oulanges", "C?line", "04/12/1953"], ("coulanges", "Celine")),
    ],
)
def test_the_letters_by_which_a_person_is_known_are_taken(cells: list[str], names: tuple[str, str]) -> None:
    assert restored(cells, {names}) == [*names, cells[2]]


def test_of_a_person_who_is_not_known_the_first_name_becomes_a_common_one():
    assert name(restored(["Trucmuche", "H?l?ne", "04/12/1953"], set())[1]) == b"helene"


@pytest.mark.parametrize("text", ["Quoi ?", "?", "??", "Dupont", "", "a ? b"])
def test_a_question_is_no_lost_letter(text: str) -> None:
    assert not has_lost_letters(text) or text.strip("?") == text.strip()
    assert restored([text, "Jean", "04/12/1953"], set())[0] == text


def test_rows_without_lost_letters_are_the_same_object():
    rows = [["Dupont", "Jean", "04/12/1953"]]
    batch = RowBatch.of(rows)
    assert restore_names(batch, plan_columns_of_rows(HEADER, rows), lambda some: np.zeros(len(some), np.int64)) is batch


def test_words_of_running_text_are_restored_and_addresses_are_not():
    reader = RunningTextReader()
    reader.feed(b"Patiente : Oc?ane Virecourt, n?e le 28/01/2001\nhttp://a.example/page?nom=x le 28/01/2001\n")
    [person] = reader.finish()
    assert any(name(reading[1]) == b"oceane" for reading in person.readings)


@given(st.text("aé?\ufffd -'", max_size=24))
def test_any_word_is_restored_without_lost_letters(text: str) -> None:
    assert isinstance(restore_word(text), str)
