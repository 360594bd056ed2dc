"""A fixed part of the verdict matrix; `benchmarks lineage` runs all of it, with other seeds and sizes."""

from __future__ import annotations

import pytest

from tests.synth.matrix import DISGUISES, FORMAT_ONLY, Cell, matrix

SEED, SIZE = 41, 400
# the clearest, the poorest and the worst
CHOSEN = tuple(
    each
    for each in DISGUISES
    if each.name
    in {
        "shuffled", "names swapped", "dates as a spreadsheet's numbers", "every row 3 times", "name and birth only",
        "mail and first name only", "accents lost to ?", "1 % typing errors",
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return list(matrix([SEED], [SIZE], CHOSEN))


@pytest.mark.slow
def test_no_verdict_is_wrong_and_few_are_undecided(cells: list[Cell]) -> None:
    assert [str(cell) for cell in cells if cell.wrong] == []
    assert sum(cell.undecided for cell in cells) <= 0.15 * len(cells)
    assert [
        str(cell)
        for cell in cells
        if cell.undecided and cell.disguise.full and cell.disguise.name != "accents lost to ?"
    ] == []


@pytest.mark.slow
def test_another_format_makes_nobody_new(cells: list[Cell]) -> None:
    assert [str(cell) for cell in cells if cell.disguise.name in FORMAT_ONLY and cell.error > 0] == []


@pytest.mark.slow
def test_one_further_person_is_counted_exactly(cells: list[Cell]) -> None:
    [found] = [cell.found for cell in cells if cell.kind == "all and one more" and cell.disguise.name == "shuffled"]
    assert (found.verdict, found.new, found.interval[0]) == ("superset", 1, 1)


@pytest.mark.slow
def test_the_interval_holds_the_true_number_of_new_people(cells: list[Cell]) -> None:
    assert sum(cell.inside for cell in cells) >= 0.95 * len(cells)


@pytest.mark.slow
def test_with_all_columns_new_people_are_counted_exactly_even_with_typing_errors(cells: list[Cell]) -> None:
    full = [cell for cell in cells if cell.disguise.full and cell.disguise.name != "accents lost to ?"]
    assert [str(cell) for cell in full if not cell.disguise.noisy and cell.miscounted] == []
    # one of 400 people is more than the 0.1 % that is allowed
    assert [str(cell) for cell in full if cell.miscounted] == []
