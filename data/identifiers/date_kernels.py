"""Compiled normalisation of a folded column of dates of birth.

`normalise.dob` defines the accepted forms, and the results here must equal it. Cells with bytes outside ASCII are left
to that function: they are rare once folded.
"""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import U8
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import ZERO
from data.identifiers import normalise
from data.identifiers.identifier_kernels import is_digit, is_letter

NO_DATE, DATE_FOUND, NOT_ASCII = 0, 1, 2
"""The result for a cell: it is no date, it is a date, or it must be given to `normalise.dob`."""

_NEWLINE, _SPACE, _COMMA, _DOT, _COLON, _UNDERSCORE, _PLUS = b"\n ,.:_+"
_0, _5, _A, _H, _T, _Z = b"05ahtz"
_MAX_LENGTH = normalise.MAX_DATE
_MAX_WORD_LENGTH = 12
_FIRST_YEAR, _END_YEAR = normalise.YEARS.start, normalise.YEARS.stop
_DAYS = np.array((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), np.int64)


def _letter_code(word: str) -> int:
    """Encode a word of at most 12 letters as a number, with 5 bits for each letter."""
    number = 0
    for char in word:
        number = number << 5 | ord(char) - 96
    return number


_MONTH_WORDS = np.array([_letter_code(word) for word in normalise.MONTHS], np.uint64)
_MONTH_NUMBERS = np.array(list(normalise.MONTHS.values()), np.int64)
_WEEKDAYS = np.array(
    [_letter_code(word) for word in sorted(normalise.WEEKDAYS) if word not in normalise.MONTHS], np.uint64
)
_ORDINALS = np.array([_letter_code(word) for word in normalise.ORDINALS], np.uint64)


@kernel
def normalise_dobs(source: U8, excel: bool, forms: U8, state: U8) -> None:
    """Apply `normalise.dob` to every cell of a column.

    Args:
        source: folded cells, with a line end after each.
        excel: as in `normalise.dob`.
        forms: shape (6 * n,), filled with six digits for each date.
        state: shape (n,), filled with NO_DATE, DATE_FOUND or NOT_ASCII.
    """
    text = np.empty(_MAX_LENGTH + 1, np.uint8)
    at = ZERO
    for item in range(len(state)):
        number = _common_form(source, at)
        if number >= 0:
            state[item] = DATE_FOUND
            _write_six_digits(number, forms, 6 * item)
            at += 11
            continue
        # a run of white space becomes one space; white space around the cell is dropped
        size, gap, ascii_only = 0, False, True
        while at < len(source) and source[at] != _NEWLINE:
            char = source[at]
            at += 1
            if char == _SPACE or 9 <= char <= 13 or 28 <= char <= 31:
                gap = size > 0
                continue
            ascii_only = ascii_only and char < 128
            if gap and size <= _MAX_LENGTH:
                text[size] = _SPACE
                size += 1
            gap = False
            if size <= _MAX_LENGTH:
                text[size] = char
                size += 1
        at += 1
        state[item] = NO_DATE
        if not ascii_only:
            state[item] = NOT_ASCII
        elif 0 < size <= _MAX_LENGTH:
            number = _dob(text, size, excel)
            if number >= 0:
                state[item] = DATE_FOUND
                _write_six_digits(number, forms, 6 * item)


@inlined
def _write_six_digits(number: int, forms: U8, at: int) -> None:
    """Write a number as six decimal digits at a place of `forms`."""
    for place in range(at + 5, at - 1, -1):
        forms[place] = _0 + number % 10
        number //= 10


@inlined
def _two_digits(source: U8, at: int) -> int:
    """The value of two digits; 10**6, which no date can contain, if the bytes are not both digits."""
    return (source[at] - _0) * 10 + source[at + 1] - _0 if is_digit(source[at]) and is_digit(source[at + 1]) else 10**6


@kernel
def _common_form(source: U8, at: int) -> int:
    """Yymmdd of a cell that is exactly dd/mm/yyyy or yyyy-mm-dd; -1 for any other cell, which `_dob` then reads."""
    if at + 11 > len(source) or source[at + 10] != _NEWLINE:
        return -1
    if source[at + 2] == source[at + 5] and _is_separator(source[at + 2]):
        day, month, year = (
            _two_digits(source, at),
            _two_digits(source, at + 3),
            _two_digits(source, at + 6) * 100 + _two_digits(source, at + 8),
        )
    elif source[at + 4] == source[at + 7] and _is_separator(source[at + 4]):
        year, month, day = (
            _two_digits(source, at) * 100 + _two_digits(source, at + 2),
            _two_digits(source, at + 5),
            _two_digits(source, at + 8),
        )
    else:
        return -1
    return _date(year, 4, month, day, 2, 0) if year < _END_YEAR and month <= 12 else -1


@kernel
def _dob(text: U8, size: int, excel: bool) -> int:
    """Yymmdd as a number; -1 if the cell is no date."""
    if excel:
        serial = _day_number(text, size)
        if serial >= 0:
            return _date_from_day_number(serial)
    start, size_before, days = 0, size, 0
    for start in range(size_before):
        if text[start] != _SPACE and text[start] != _T:
            continue
        found, later = _time_of_day(text, start, size_before)
        if found:
            days, size = later, start
            while size > 0 and (text[size - 1] == _SPACE or text[size - 1] == _COMMA):
                size -= 1
            break
    digits = 0
    while digits < size and is_digit(text[digits]):
        digits += 1
    if digits == size:
        return _digits_only(text, size, days)
    matched, number = _three_numbers(text, size, digits, days)
    return number if matched else _month_word_and_numbers(text, size, days)


@kernel
def _number(text: U8, low: int, high: int) -> int:
    """The value of the first six digits of a run; callers need at most five."""
    value = 0
    for at in range(low, min(high, low + 6)):
        value = value * 10 + text[at] - _0
    return value


@kernel
def _day_number(text: U8, size: int) -> int:
    """The value of a cell that is a whole number of at most 5 digits, with or without `.0`; -1 for any other cell."""
    digits = 0
    while digits < size and is_digit(text[digits]):
        digits += 1
    if not 1 <= digits <= 5:
        return -1
    if digits < size:
        if text[digits] != _DOT or digits + 1 == size:
            return -1
        for at in range(digits + 1, size):
            if text[at] != _0:
                return -1
    return _number(text, 0, digits)


@kernel
def _date_from_day_number(serial: int) -> int:
    # spreadsheets count 29 February 1900, which did not exist, as day 60
    if serial == 0 or serial == 60:
        return -1
    left, year = serial - 1 if serial < 60 else serial - 2, 1900
    while left >= 365 + _leap(year):
        left -= 365 + _leap(year)
        year += 1
    month = 1
    while left >= _month_days(year, month):
        left -= _month_days(year, month)
        month += 1
    return year % 100 * 10000 + month * 100 + left + 1 if year < _END_YEAR else -1


@inlined
def _leap(year: int) -> int:
    return 1 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 0


@kernel
def _month_days(year: int, month: int) -> int:
    return int(_DAYS[month - 1] + (_leap(year) if month == 2 else 0))


@kernel
def _time_of_day(text: U8, start: int, size: int) -> tuple[bool, int]:
    """Whether a time of day begins here, and how many days (0 or 1) it adds to the date before it."""
    at = start + 1
    if text[start] == _SPACE:
        if at + 1 < size and text[at] == _A and text[at + 1] == _SPACE:
            at += 2
    elif text[start] != _T:
        return False, 0
    digits = 0
    while at + digits < size and digits < 3 and is_digit(text[at + digits]):
        digits += 1
    if not (digits == 1 or (digits == 2 and text[at] <= _0 + 2)):
        return False, 0
    hour = _number(text, at, at + digits)
    at += digits
    if at >= size or (text[at] != _COLON and text[at] != _H):
        return False, 0
    at += 1
    if not (at + 1 < size and text[at] == _0 and text[at + 1] == _0 and (hour == 22 or hour == 23)):
        return True, 0
    at += 2
    # :00, :00.000
    if at + 2 < size and text[at] == _COLON and text[at + 1] == _0 and text[at + 2] == _0:
        at += 3
        if at + 1 < size and text[at] == _DOT and text[at + 1] == _0:
            at += 1
            while at < size and text[at] == _0:
                at += 1
    left = size - at
    if left == 1:
        return True, 1 if text[at] == _Z else 0
    if left != 5 and left != 6:
        return True, 0
    utc = text[at] == _PLUS and (left == 5 or text[at + 3] == _COLON)
    for place in (at + 1, at + 2, size - 2, size - 1):
        utc = utc and text[place] == _0
    return True, 1 if utc else 0


@kernel
def _three_numbers(text: U8, size: int, first: int, days: int) -> tuple[bool, int]:
    """Whether a cell is three numbers with one kind of separator, and its date.

    `first` is how many digits the cell begins with.
    """
    if not 1 <= first <= 4:
        return False, -1
    at = first
    separator = text[at]
    if separator == _SPACE and at + 1 < size and _is_separator(text[at + 1]):
        separator = text[at + 1]
        at += 1
    if separator != _SPACE and not _is_separator(separator):
        return False, -1
    at += 1
    if at < size and text[at] == _SPACE:
        at += 1
    middle = at
    while at < size and at - middle < 3 and is_digit(text[at]):
        at += 1
    end = at
    if not 1 <= end - middle <= 2:
        return False, -1
    if separator != _SPACE and at < size and text[at] == _SPACE:
        at += 1
    if at >= size or text[at] != separator:
        return False, -1
    at += 1
    if at < size and text[at] == _SPACE:
        at += 1
    last = at
    while at < size and at - last < 5 and is_digit(text[at]):
        at += 1
    if not 1 <= at - last <= 4 or not (at == size or (at == size - 1 and text[at] == _DOT)):
        return False, -1
    a, b, c = _number(text, 0, first), _number(text, middle, end), _number(text, last, at)
    b_digits, c_digits = end - middle, at - last
    if first > 2:
        return True, _date(a, first, b, c, c_digits, days)
    number = _date(c, c_digits, b, a, first, days)
    if number < 0:
        number = _date(c, c_digits, a, b, b_digits, days)
    if number < 0 and a > 31:
        number = _date(a, first, b, c, c_digits, days)
    return True, number


@inlined
def _is_separator(char: int) -> bool:
    return char == 47 or char == _DOT or char == 45


@kernel
def _digits_only(text: U8, size: int, days: int) -> int:
    if size != 6 and size != 8:
        return -1
    year = size - 4
    number = _date(_number(text, 0, year), year, _number(text, year, year + 2), _number(text, year + 2, size), 2, days)
    if number < 0:
        number = _date(_number(text, 4, size), year, _number(text, 2, 4), _number(text, 0, 2), 2, days)
    return number


@kernel
def _month_word_and_numbers(text: U8, size: int, days: int) -> int:
    """A date of a month word and two numbers; weekdays and ordinal endings are skipped."""
    # most cells of other columns have more or fewer than two numbers: they are refused before arrays are allocated
    runs, inside = 0, False
    for place in range(size):
        digit = is_digit(text[place])
        if digit and not inside:
            runs += 1
        inside = digit
    if runs != 2:
        return -1
    months, values, lengths = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    words, at = 0, 0
    while at < size:
        low = at
        if is_digit(text[at]):
            while at < size and is_digit(text[at]):
                at += 1
            if words == 3:
                return -1
            values[words], lengths[words] = _number(text, low, at), at - low
            words += 1
            if at + 1 < size and not (
                at + 2 < size and (is_letter(text[at + 2]) or _is_digit_or_underscore(text[at + 2]))
            ):
                for ordinal in _ORDINALS:
                    if _letter_code_at(text, at, at + 2) == ordinal:
                        at += 2
                        break
        elif is_letter(text[at]):
            while at < size and is_letter(text[at]):
                at += 1
            word = _letter_code_at(text, low, at)
            month = 0
            for place in range(len(_MONTH_WORDS)):
                if _MONTH_WORDS[place] == word:
                    month = _MONTH_NUMBERS[place]
            if month == 0:
                passed = False
                for weekday in _WEEKDAYS:
                    passed = passed or weekday == word
                if passed:
                    continue
                return -1
            if words == 3:
                return -1
            months[words] = month
            words += 1
        else:
            at += 1
    if words != 3 or (months[0] > 0) + (months[1] > 0) + (months[2] > 0) != 1:
        return -1
    if months[1] > 0:
        if lengths[0] > 2:
            return _date(values[0], lengths[0], months[1], values[2], lengths[2], days)
        return _date(values[2], lengths[2], months[1], values[0], lengths[0], days)
    return _date(values[2], lengths[2], months[0], values[1], lengths[1], days) if months[0] > 0 else -1


@inlined
def _is_digit_or_underscore(char: int) -> bool:
    return is_digit(char) or char == _UNDERSCORE


@kernel
def _letter_code_at(text: U8, low: int, high: int) -> np.uint64:
    """`_letter_code` of bytes; 0 if they are not only letters, or longer than any word of the tables."""
    number = np.uint64(0)
    if high - low > _MAX_WORD_LENGTH:
        return number
    for at in range(low, high):
        if not is_letter(text[at]):
            return np.uint64(0)
        number = number << np.uint64(5) | np.uint64(text[at] - 96)
    return number


@kernel
def _date(year: int, year_digits: int, month: int, day: int, day_digits: int, days: int) -> int:
    """Yymmdd as a number, `days` (0 or 1) later; -1 if the calendar has no such day.

    `year_digits` and `day_digits` are how many digits year and day were written with.
    """
    if (year_digits != 2 and year_digits != 4) or day_digits > 2:
        return -1
    if year_digits == 4 and not _FIRST_YEAR <= year < _END_YEAR:
        return -1
    if year_digits == 2:
        year += 2000
    if not 1 <= month <= 12 or not 1 <= day <= _month_days(year, month):
        return -1
    day += days
    if day > _month_days(year, month):
        day, month = 1, month + 1
    if month > 12:
        month, year = 1, year + 1
    return year % 100 * 10000 + month * 100 + day
