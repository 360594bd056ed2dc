"""Tells how the dates of a column are written, from all of its cells, and writes them so that `normalise.dob` reads them.

One cell alone often allows several readings: 3/4/1975, 27465, 980640000. The other cells of its column decide. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from data.identifiers import normalise

Rewrite = Callable[[str], str]
"""Writes one cell in a form that `normalise.dob` reads; a cell that is not of the form stays as it is."""

# A column is of a form if this share of its filled cells is.
SHARE = 0.6
# How many of the dates that can be read in one way only may contradict the order of the others.
_STRAY_DATES = 0.2
# Bare digits without a header are dates if this share of them can be.
_ALL_DATES = 0.95

_NUMBERS = re.compile(r"\s*(\d{1,2})([/.\-])(\d{1,2})(\2(?:\d{4}|\d\d)(?!\d).*)", re.DOTALL)
_SIX_OR_EIGHT = re.compile(r"\d{6}|\d{8}")
_WHOLE_NUMBER = re.compile(r"([+-]?\d{1,19})(?:[.,]0+)?")
# dates of .NET, JavaScript and MongoDB: the milliseconds, or the date in quotes
_WRAPPED = re.compile(
    r"""\s*(?:\\?/Date\((?P<net>-?\d{1,17})(?:[+-]\d{4})?\)\\?/
    |new\s+Date\(\s*(?:(?P<script>-?\d{1,17})|["']?(?P<text>[^"')]{6,40})["']?)\s*\)
    |ISODate\(\s*["']?(?P<iso>[^"')]{6,40})["']?\s*\)
    |\{\s*["']?\$date["']?\s*:\s*(?:
        \{\s*["']?\$numberLong["']?\s*:\s*["']?(?P<long>-?\d{1,17})["']?\s*\}
        |["'](?P<quoted>[^"']{6,40})["']|(?P<mongo>-?\d{1,17}))\s*\})\s*""",
    re.VERBOSE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# the first day of ticks of 100 ns (.NET), counted back from 1970 in seconds
_TICKS_BEFORE_1970 = 62_135_596_800
_MIDNIGHT_ABROAD = (22, 23)
_MAX_DAY_NUMBER = 60_000
# years that a column of numbers of four digits may hold instead of day numbers
_YEARS = range(1900, 2031)


def written_order(cells: Sequence[str]) -> int:
    """What the dates of a column say about the order of day and month.

    Returns:
        1 if the month is written first, -1 if the day is, 0 if no date decides.
    """
    day_first = month_first = 0
    for cell in cells:
        if found := _NUMBERS.fullmatch(cell):
            a, b = int(found[1]), int(found[3])
            day_first += a > 12 >= b > 0 and a <= 31
            month_first += b > 12 >= a > 0 and b <= 31
    if month_first and day_first <= _STRAY_DATES * month_first:
        return 1
    return -1 if day_first else 0


def has_three_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds dates of three numbers, of which the year is the last."""
    return _is_most(cells, lambda cell: _NUMBERS.fullmatch(cell) is not None)


def swap_day_and_month(cell: str) -> str:
    """A date with the month first, written with the day first; any other cell unchanged."""
    found = _NUMBERS.fullmatch(cell)
    if found is None or not 1 <= int(found[1]) <= 12 or not 1 <= int(found[3]) <= 31:
        return cell
    return f"{found[3]}{found[2]}{found[1]}{found[4]}"


def find_rewrite(cells: Sequence[str], role: str) -> Rewrite | None:
    """How the cells of a column must be rewritten; None if they are dates as they are, or no dates.

    The order of day and month in dates with separators is left to `written_order`.

    Args:
        cells: filled cells, without white space around them.
        role: what the header says that the column holds: bare numbers are dates only if it names birth dates.
    """
    if not cells:
        return None
    if _is_most(cells, lambda cell: _WRAPPED.fullmatch(cell) is not None):
        return _unwrap
    if _is_most(cells, lambda cell: _SIX_OR_EIGHT.fullmatch(cell) is not None):
        return _digits_rewrite(cells, role)
    if role != "dob" or not _is_most(cells, lambda cell: _WHOLE_NUMBER.fullmatch(cell) is not None):
        return None
    values = [int(found[1]) for cell in cells if (found := _WHOLE_NUMBER.fullmatch(cell))]
    if max(map(abs, values)) <= _MAX_DAY_NUMBER:
        is_year = sum(value in _YEARS for value in values) >= SHARE * len(values)
        return None if is_year or max(values) <= 366 else _of_day_number
    for unit in (1, 10**3, 10**6, 10**7, 10**9):
        before = _TICKS_BEFORE_1970 if unit == 10**7 else 0
        if _is_plausible(values, unit, before):
            return _of_seconds(unit, before)
    return None


def _is_most(cells: Sequence[str], is_form: Callable[[str], bool]) -> bool:
    return sum(map(is_form, cells)) >= SHARE * len(cells)


def _unwrap(cell: str) -> str:
    found = _WRAPPED.fullmatch(cell)
    if found is None:
        return cell
    number = found["net"] or found["script"] or found["long"] or found["mongo"]
    return _date_of_seconds(int(number) / 1000) if number else found["text"] or found["iso"] or found["quoted"]


def _digits_rewrite(cells: Sequence[str], role: str) -> Rewrite | None:
    """For dates of six or eight digits: the order that most of them allow; None if it is the one of `normalise.dob`."""
    if role not in ("dob", ""):
        return None
    counts = {order: sum(bool(_in_order(cell, order)) for cell in cells) for order in ("ymd", "dmy", "mdy")}
    order = max(counts, key=lambda each: counts[each])
    needed = SHARE if role else _ALL_DATES
    if order == "ymd" or counts[order] < needed * len(cells):
        return None
    return lambda cell: _in_order(cell, order) or cell


def _in_order(cell: str, order: str) -> str:
    """A date of six or eight digits with separators, the day first; '' if it is none in this order."""
    if not _SIX_OR_EIGHT.fullmatch(cell):
        return ""
    sizes = {"d": 2, "m": 2, "y": len(cell) - 4}
    parts, at = {}, 0
    for part in order:
        parts[part] = cell[at : at + sizes[part]]
        at += sizes[part]
    text = f"{parts['d']}/{parts['m']}/{parts['y']}"
    return text if int(parts["m"]) <= 12 and normalise.dob(text) else ""


def _of_day_number(cell: str) -> str:
    found = _WHOLE_NUMBER.fullmatch(cell.strip())
    form = normalise.dob(found[1], excel=True) if found and len(found[1]) <= 5 else b""
    if found is None or not form:
        return cell
    day = int(found[1])
    return (datetime(1899, 12, 31 if day < 60 else 30, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")


def _is_plausible(values: Sequence[int], unit: int, before: int) -> bool:
    """Whether numbers, counted in parts of a second, are dates of birth, and some of them not of the year 1970."""
    years = [_year(value / unit - before) for value in values]
    fitting = sum(1880 <= year <= 2060 for year in years)
    return fitting >= 0.9 * len(values) and (unit == 1 or any(year != 1970 for year in years))


def _year(seconds: float) -> float:
    return 1970 + seconds / 31_556_952


def _of_seconds(unit: int, before: int) -> Rewrite:
    def rewrite(cell: str) -> str:
        found = _WHOLE_NUMBER.fullmatch(cell.strip())
        return _date_of_seconds(int(found[1]) / unit - before) if found else cell

    return rewrite


def _date_of_seconds(seconds: float) -> str:
    """The date of a time; midnight in Paris, which is late evening in UTC, is the next day, as in `normalise.dob`."""
    if not 1850 <= _year(seconds) < 2100:
        return ""
    moment = _EPOCH + timedelta(seconds=seconds)
    if moment.hour in _MIDNIGHT_ABROAD and not (moment.minute or moment.second):
        moment += timedelta(hours=2)
    return moment.strftime("%Y-%m-%d")
