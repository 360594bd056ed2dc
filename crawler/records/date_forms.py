"""Tells how the dates of a column are written, from all of its cells, and writes them so that `normalise.dob` reads them.

One cell alone often allows several readings: 3/4/1975, 27465, 980640000. The other cells of its column decide. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from data.identifiers import normalise
from data.identifiers.month_words import FURTHER_PATTERN, with_month_number

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
    |(?:new\s+)?Date(?:\.UTC)?\(\s*(?P<year>\d{4})\s*,\s*(?P<month0>\d{1,2})\s*,\s*(?P<day0>\d{1,2})(?:\s*,\s*\d{1,3}){0,4}\s*\)
    |(?:datetime\.)?(?:date|datetime)\(\s*(?P<pyear>\d{4})\s*,\s*(?P<pmonth>\d{1,2})\s*,\s*(?P<pday>\d{1,2})(?:\s*,[^()]{0,60})?\)
    |new\s+Date\(\s*(?:(?P<script>-?\d{1,17})|["']?(?P<text>[^"')]{6,40})["']?)\s*\)
    |ISODate\(\s*["']?(?P<iso>[^"')]{6,40})["']?\s*\)
    |\{\s*["']?\$date["']?\s*:\s*(?:
        \{\s*["']?\$numberLong["']?\s*:\s*["']?(?P<long>-?\d{1,17})["']?\s*\}
        |["'](?P<quoted>[^"']{6,40})["']|(?P<mongo>-?\d{1,17}))\s*\})\s*""",
    re.VERBOSE,
)
# Oracle's time stamps: 12-MAR-75 12.00.00.000000000 AM
_STAMPED = re.compile(
    r"\s*(\d{1,2}[-/.](?:\d{1,2}|[^\W\d_]{3,9}\.?)[-/.]\d{2,4})\s+\d{1,2}\.\d\d(?:\.\d\d)?(?:[.,]\d{1,9})?(?:\s?[AP]M)?(?:\s.*)?",
    re.DOTALL,
)
# 28. Januar 2001, 28 de enero de 2001; 28JAN2001:00:00:00 of SAS; Mon Jan 28 00:00:00 CET 2001 of Unix; 2001-028 with the
# day of the year; 20010128.0
_FURTHER_MONTH = re.compile(rf"(?<![^\W\d_])(?:{FURTHER_PATTERN})(?![^\W\d_])", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_SAS_TIME = re.compile(r"(\d{1,2}[A-Za-z]{3}\d{2,4}):\d\d:\d\d(?::\d\d(?:\.\d+)?)?")
_UNIX_TIME = re.compile(
    r"(?:[^\W\d_]{2,4}\.? )?([^\W\d_]{3,5}\.? {1,2}\d{1,2}) \d\d:\d\d:\d\d(?: [A-Z]{2,5}(?:[+-]\d\d:?\d\d)?)? (\d{4})"
)
_DAY_OF_YEAR = re.compile(r"((?:18|19|20)\d\d)-(\d{3})")
_WHOLE_DATE = re.compile(r"(\d{8}|\d{6})[.,]0+")
_YEAR_FIRST = re.compile(r"\s*(\d{4})([-/.])(\d{1,2})\2(\d{1,2})((?!\d).*)", re.DOTALL)
# dates of AS/400: 750312, and 1050312 for 2005
_WITH_CENTURY = re.compile(r"(1?)(\d\d)(\d\d)(\d\d)")
# day numbers of astronomers, as SQLite writes them
_JULIAN = re.compile(r"(2[34]\d{5})(\.[05]0*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_JULIAN = 2_440_587.5
# units of a second and the seconds from the first moment to 1970: Unix in several units, ticks of 100 ns of .NET and of
# Windows
_CLOCKS = ((1, 0), (10**3, 0), (10**6, 0), (10**7, 62_135_596_800), (10**7, 11_644_473_600), (10**9, 0))
# Core Data of Apple counts seconds from 2001, in columns that are named in capitals and begin with Z
_APPLE_NAME, _SECONDS_TO_2001 = re.compile(r"Z[A-Z0-9]+"), 978_307_200
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
    return _are_most(cells, _NUMBERS)


def swap_day_and_month(cell: str) -> str:
    """A date with the month first, written with the day first; any other cell unchanged."""
    found = _NUMBERS.fullmatch(cell)
    if found is None or not 1 <= int(found[1]) <= 12 or not 1 <= int(found[3]) <= 31:
        return cell
    return f"{found[3]}{found[2]}{found[1]}{found[4]}"


def find_rewrite(cells: Sequence[str], role: str, name: str = "") -> Rewrite | None:
    """How the cells of a column must be rewritten; None if they are dates as they are, or no dates.

    The order of day and month in dates with separators is left to `written_order`.

    Args:
        cells: filled cells, without white space around them.
        role: what the header says that the column holds: bare numbers are dates only if it names birth dates.
        name: the header.
    """
    if not cells:
        return None
    if _are_most(cells, _WRAPPED):
        return _unwrap
    if _are_most(cells, _STAMPED):
        return lambda cell: found[1] if (found := _STAMPED.fullmatch(cell)) else cell
    for form, rewrite in _FORMS:
        if _are_most(cells, form):
            return rewrite
    # a date of one language may look like one of ours: 28 April 2001
    if any(map(_has_further_month, cells)):
        return with_month_number
    if role == "dob" and _are_most(cells, _WHOLE_DATE):
        bare = [cell.partition(".")[0].partition(",")[0] for cell in cells]
        digits = _digits_rewrite(bare, role) or str
        return lambda cell: digits(found[1]) if (found := _WHOLE_DATE.fullmatch(cell.strip())) else cell
    if _are_most(cells, _YEAR_FIRST):
        return _with_month_second if _are_days_second(cells) else None
    if role == "dob" and any(len(cell) == 7 for cell in cells) and _are_most(cells, _WITH_CENTURY):
        return _of_century
    if _are_most(cells, _SIX_OR_EIGHT):
        return _digits_rewrite(cells, role)
    if role == "dob" and _are_most(cells, _JULIAN):
        return _of_julian_day
    if role != "dob" or not _are_most(cells, _WHOLE_NUMBER):
        return None
    values = [int(found[1]) for cell in cells if (found := _WHOLE_NUMBER.fullmatch(cell))]
    if max(map(abs, values)) <= _MAX_DAY_NUMBER:
        if min(values) < 0:
            return _of_seconds(1, 0, of_days=True)
        is_year = sum(value in _YEARS for value in values) >= SHARE * len(values)
        return None if is_year or max(values) <= 366 else _of_day_number
    if _APPLE_NAME.fullmatch(name) and _is_plausible(values, 1, -_SECONDS_TO_2001):
        return _of_seconds(1, -_SECONDS_TO_2001)
    for unit, before in _CLOCKS:
        if _is_plausible(values, unit, before):
            return _of_seconds(unit, before)
    return None


def _of_unix_time(cell: str) -> str:
    return f"{found[1]} {found[2]}" if (found := _UNIX_TIME.fullmatch(cell.strip())) else cell


def _of_day_of_year(cell: str) -> str:
    found = _DAY_OF_YEAR.fullmatch(cell.strip())
    if found is None or not 1 <= int(found[2]) <= 366:
        return cell
    return (datetime(int(found[1]), 1, 1, tzinfo=UTC) + timedelta(days=int(found[2]) - 1)).strftime("%Y-%m-%d")


def _of_sas_time(cell: str) -> str:
    return found[1] if (found := _SAS_TIME.fullmatch(cell.strip())) else cell


_FORMS: tuple[tuple[re.Pattern[str], Rewrite], ...] = (
    (_SAS_TIME, _of_sas_time),
    (_UNIX_TIME, _of_unix_time),
    (_DAY_OF_YEAR, _of_day_of_year),
)


# days and seconds that programs count from another moment than Excel and Unix: the Mac until 2011 (1904), SAS and Stata
# (1960), SPSS (14 October 1582)
_DAYS_FROM = (datetime(1904, 1, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC), _EPOCH)
_SECONDS_FROM = (
    datetime(1960, 1, 1, tzinfo=UTC), datetime(1582, 10, 14, tzinfo=UTC), datetime(1904, 1, 1, tzinfo=UTC),
    datetime(2001, 1, 1, tzinfo=UTC), _EPOCH,
)  # fmt: skip


def other_counts(cells: Sequence[str], role: str) -> list[Rewrite]:
    """Further ways to read a column of birth dates that are bare numbers; [] for any other column.

    Nothing in such numbers tells from which day they are counted: only whom they make known does.
    """
    if role != "dob" or not cells or not _are_most(cells, _WHOLE_NUMBER):
        return []
    values = [int(found[1]) for cell in cells if (found := _WHOLE_NUMBER.fullmatch(cell))]
    if max(map(abs, values)) <= _MAX_DAY_NUMBER:
        if max(values) <= 366 or sum(value in _YEARS for value in values) >= SHARE * len(values):
            return []
        return [
            _of_seconds(1, -int((first - _EPOCH).total_seconds()), of_days=True)
            for first in _DAYS_FROM
            if _is_plausible([value * 86_400 for value in values], 1, -int((first - _EPOCH).total_seconds()))
        ]
    return [
        _of_seconds(unit, -int((first - _EPOCH).total_seconds()))
        for first in _SECONDS_FROM
        for unit in (1, 1000)
        if _is_plausible(values, unit, -int((first - _EPOCH).total_seconds()))
    ]


def _has_further_month(cell: str) -> bool:
    """Whether the name of a month stands between digits; in one expression, that took the square of a cell's length."""
    places = [found.start() for found in _DIGIT.finditer(cell)]
    return bool(places) and _FURTHER_MONTH.search(cell, places[0] + 1, places[-1]) is not None


def _are_most(cells: Sequence[str], form: re.Pattern[str]) -> bool:
    # most columns are refused: if none of so many first cells fits, the others cannot be enough
    few = int((1 - SHARE) * len(cells)) + 1
    if not any(map(form.fullmatch, cells[:few])):
        return not cells
    return sum(1 for _ in filter(form.fullmatch, cells)) >= SHARE * len(cells)


def _unwrap(cell: str) -> str:
    found = _WRAPPED.fullmatch(cell)
    if found is None:
        return cell
    if found["year"]:
        # JavaScript counts months from 0
        return f"{found['year']}-{int(found['month0']) + 1:02}-{found['day0'].zfill(2)}"
    if found["pyear"]:
        return f"{found['pyear']}-{found['pmonth'].zfill(2)}-{found['pday'].zfill(2)}"
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


def _of_seconds(unit: int, before: int, *, of_days: bool = False) -> Rewrite:
    def rewrite(cell: str) -> str:
        found = _WHOLE_NUMBER.fullmatch(cell.strip())
        if found is None:
            return cell
        return _date_of_seconds((int(found[1]) * 86_400 if of_days else int(found[1]) / unit) - before)

    return rewrite


def _of_julian_day(cell: str) -> str:
    found = _JULIAN.fullmatch(cell.strip())
    if found is None:
        return cell
    # a day begins at noon: a whole number is noon of the civil day
    return _date_of_seconds(math.floor(float(cell) - _EPOCH_JULIAN) * 86_400)


def _of_century(cell: str) -> str:
    found = _WITH_CENTURY.fullmatch(cell.strip())
    return f"{'20' if found[1] else '19'}{found[2]}-{found[3]}-{found[4]}" if found else cell


def _are_days_second(cells: Sequence[str]) -> bool:
    """Whether dates that begin with the year have the day before the month."""
    pairs = [(int(found[3]), int(found[4])) for cell in cells if (found := _YEAR_FIRST.fullmatch(cell))]
    second, third = (sum(pair[at] > 12 >= pair[1 - at] for pair in pairs) for at in (0, 1))
    return second > 0 and third <= _STRAY_DATES * second


def _with_month_second(cell: str) -> str:
    found = _YEAR_FIRST.fullmatch(cell)
    return f"{found[1]}{found[2]}{found[4]}{found[2]}{found[3]}{found[5]}" if found else cell


def _date_of_seconds(seconds: float) -> str:
    """The date of a time; midnight in Paris, which is late evening in UTC, is the next day, as in `normalise.dob`."""
    if not 1850 <= _year(seconds) < 2100:
        return ""
    moment = _EPOCH + timedelta(seconds=seconds)
    if moment.hour in _MIDNIGHT_ABROAD and not (moment.minute or moment.second):
        moment += timedelta(hours=2)
    return moment.strftime("%Y-%m-%d")
