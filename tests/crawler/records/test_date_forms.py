"""How the dates of a column are written is decided by all of its cells."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.records.date_forms import find_rewrite, swap_day_and_month, written_order
from crawler.records.table_forms import find_forms
from crawler.records.table_sample import TableSample
from data.identifiers.normalise import dob
from data.identifiers.normalise_columns import normalise_column

DAYS = [(1975, 3, 12), (2001, 1, 28), (1969, 12, 11), (1931, 4, 4), (1998, 10, 6), (1958, 7, 30)]
NORMAL = [f"{year % 100:02}{month:02}{day:02}".encode() for year, month, day in DAYS]
# seconds since 1970 of midnight in UTC of these days
SECONDS = [(date(*day) - date(1970, 1, 1)).days * 86_400 for day in DAYS]


@pytest.mark.parametrize(
    "cells",
    [
        [f"{month}/{day}/{year}" for year, month, day in DAYS],
        [f"{month:02}-{day:02}-{year % 100:02}" for year, month, day in DAYS],
        [f"{month}/{day}/{year} 12:00:00 AM" for year, month, day in DAYS],
        [f"'{day:02}/{month:02}/{year}" for year, month, day in DAYS],
        [f'="{day:02}/{month:02}/{year}"' for year, month, day in DAYS],
        [f"{day:02}{month:02}{year % 100:02}" for year, month, day in DAYS],
        [f"{month:02}{day:02}{year % 100:02}" for year, month, day in DAYS],
        [f"{month:02}{day:02}{year}" for year, month, day in DAYS],
        ["27465", "36919", "25548", "11417", "36074", "21396"],
        ["27465.0", "36919.0", "25548.0", "11417.0", "36074.0", "21396.0"],
        [str(second) for second in SECONDS],
        [str(second * 1000) for second in SECONDS],
        [f"{second * 1000}.0" for second in SECONDS],
        [str(second * 1_000_000) for second in SECONDS],
        [str((second + 62_135_596_800) * 10**7) for second in SECONDS],
        [f"/Date({second * 1000})/" for second in SECONDS],
        [f"/Date({second * 1000}+0200)/" for second in SECONDS],
        [f"new Date({second * 1000})" for second in SECONDS],
        [f'ISODate("{year}-{month:02}-{day:02}T00:00:00Z")' for year, month, day in DAYS],
        [f'{{"$date": "{year}-{month:02}-{day:02}T00:00:00Z"}}' for year, month, day in DAYS],
        [f'{{"$date": {{"$numberLong": "{second * 1000}"}}}}' for second in SECONDS],
        # midnight in Paris, an hour earlier in UTC
        [str(second - 3600) for second in SECONDS],
    ],
)
def test_a_column_of_birth_dates_is_read_however_it_is_written(cells: list[str]) -> None:
    header = ["date_naissance"]
    forms = find_forms(header, TableSample.of([[cell] for cell in cells]))
    changed = forms.apply_to_sample(TableSample.of([[cell] for cell in cells]))
    assert normalise_column("dob", changed.column(0)).to_list() == NORMAL


def test_one_date_that_can_be_read_in_one_way_only_decides_for_all():
    assert written_order(["3/4/1975", "3/14/1978"]) == 1
    assert written_order(["3/4/1975", "14/3/1978"]) == -1
    assert written_order(["3/4/1975", "4/5/1980"]) == 0
    # one typing error in a column of days does not turn all others
    assert written_order(["25/4/1975", "14/3/1978", "3/14/1978"]) == -1


def test_another_column_decides_where_the_birth_dates_leave_it_open():
    rows = [["3/4/1975", "1/28/2024"], ["5/6/1980", "2/14/2024"]]
    changed = find_forms(["dob", "visit"], TableSample.of(rows)).apply_to_sample(TableSample.of(rows))
    assert normalise_column("dob", changed.column(0)).to_list() == [b"750304", b"800506"]


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("code", ["27465", "36919", "25548", "11417"]),
        ("annee_naissance", ["1975", "2001", "1969", "1931"]),
        ("date_naissance", ["1975", "2001", "1969", "1931"]),
        ("tel", ["612345678", "698765432", "611223344", "655443322"]),
        ("date_naissance", ["12/03/1975", "28/01/2001", "11/12/1969", "04/04/1931"]),
        ("date_naissance", ["19750312", "20010128", "19691211", "19310404"]),
        ("date_naissance", ["750312", "010128", "691211", "310404"]),
        ("nom", ["D'Arc", "L'Herbier", "Petit", "'t Hooft"]),
    ],
)
def test_columns_that_can_be_read_as_they_are_stay_as_they_are(header: str, cells: list[str]) -> None:
    sample = TableSample.of([[cell] for cell in cells])
    assert find_forms([header], sample).apply_to_sample(sample).texts(0) == cells


@pytest.mark.parametrize(
    "header",
    [
        ["jour_naiss", "mois_naiss", "annee_naiss", "ville"],
        ["birth_day", "birth_month", "birth_year", "city"],
        ["JJ", "MM", "AAAA", "ville"],
        ["birthDay", "birthMonth", "birthYear", "city"],
        None,
    ],
)
def test_day_month_and_year_in_three_columns_are_one_date(header: list[str] | None) -> None:
    rows = [[str(day), str(month), str(year), "Lyon"] for year, month, day in DAYS]
    forms = find_forms(header, TableSample.of(rows))
    changed = forms.apply_to_sample(TableSample.of(rows))
    assert normalise_column("dob", changed.column(4)).to_list() == NORMAL
    if header is not None:
        assert forms.header == [*header, "date_naissance"]


def test_three_numbers_that_are_no_date_are_not_joined():
    rows = [["1", "2", "1975"], ["40", "3", "1980"], ["7", "22", "1990"]]
    assert find_forms(["lit", "etage", "annee"], TableSample.of(rows)).parts == ()


@given(st.lists(st.text(max_size=30), max_size=20), st.sampled_from(["dob", "", "phone"]))
def test_no_cell_makes_a_rewrite_fail(cells: list[str], role: str) -> None:
    filled = [cell for text in cells if (cell := text.strip())]
    rewrite = find_rewrite(filled, role)
    for cell in cells:
        swap_day_and_month(cell)
        if rewrite is not None:
            assert isinstance(rewrite(cell), str)


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.sampled_from(["{m}/{d}/{y}", "{m:02}-{d:02}-{y}"]))
@pytest.mark.slow
def test_a_swapped_date_is_the_same_day(day: date, form: str) -> None:
    swapped = dob(swap_day_and_month(form.format(m=day.month, d=day.day, y=day.year)))
    assert swapped.decode() == day.strftime("%y%m%d")
