"""Compiled normalisation of folded columns of e-mails, phone, social security, account and professional numbers.

`normalise` defines the forms, and the results here must equal it. Every loop takes the folded cells, with a line end
after each (`source`), and fills `target` with the normal forms and `offsets` with their places; it returns how many
bytes of `target` it used. Dates are in `date_kernels`.
"""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8
from data.arrays.jit import address, inlined, kernel
from data.arrays.raw_memory import ZERO, alphanumeric_bits, put_word, trailing_zeros, word
from data.identifiers import normalise

_NEWLINE = 10
_MAX_EMAIL = normalise.MAX_EMAIL
_0, _9, _A, _Z = b"09az"
_MAILTO = b"mailto:"
_BUFFER_SIZE = 48  # no form that is put together in a buffer is longer


# Which part of an e-mail address a byte may stand in, for addresses in ASCII.
_LOCAL, _DOMAIN = 1, 2


def _make_address_bytes() -> U8:
    table = np.zeros(256, np.uint8)
    table[33:127] = _LOCAL
    table[list(b'"(),:;<>@[\\]')] = 0
    table[list(b"abcdefghijklmnopqrstuvwxyz0123456789-")] |= _DOMAIN
    return table


_ADDRESS_BYTES = _make_address_bytes()


@inlined
def is_digit(char: int) -> bool:
    """Whether a byte is an ASCII digit."""
    return _0 <= char <= _9


@inlined
def is_letter(char: int) -> bool:
    """Whether a byte is a lower-case ASCII letter."""
    return _A <= char <= _Z


@inlined
def is_space(char: int) -> bool:
    """Whether a byte is white space that `normalise` strips."""
    return char == 32 or 9 <= char <= 13


@kernel
def next_cell(source: U8, start: int) -> tuple[int, int, int]:
    """Where the cell that begins at `start` ends, and its bounds without the white space around it."""
    end = start
    while end < len(source) and source[end] != _NEWLINE:
        end += 1
    low, high = start, end
    while low < high and is_space(source[low]):
        low += 1
    while low < high and is_space(source[high - 1]):
        high -= 1
    return end, low, high


@kernel
def _without_float(source: U8, low: int, high: int) -> int:
    """The end of the cell, without the `.0` of a whole number that was stored as a float."""
    if high - low < 3 or source[high - 1] != _0 or source[high - 2] != 46:
        return high
    for at in range(low, high - 2):
        if not is_digit(source[at]):
            return high
    return high - 2


@kernel
def _alphanumeric(source: U8, low: int, high: int, buffer: U8) -> int:
    """Copy the [a-z0-9] of a cell into `buffer`, at most `_BUFFER_SIZE`; returns how many the cell has."""
    count = 0
    for at in range(low, _without_float(source, low, high)):
        char = source[at]
        if is_digit(char) or is_letter(char):
            if count < _BUFFER_SIZE:
                buffer[count] = char
            count += 1
    return count


@inlined
def _copy(source: U8, first: int, last: int, target: U8, at: int) -> int:
    """Copy `source[first:last]` to `target` at `at`; returns the place after them."""
    for place in range(first, last):
        target[at + place - first] = source[place]
    return at + last - first


@inlined
def _digit_cell_length(source: U8, start: int) -> int:
    """The length of a cell that is only digits; 0 for any other cell, and within 40 bytes of the end of the column."""
    if start + 40 > len(source):
        return 0
    digits = trailing_zeros(~(alphanumeric_bits(address(source) + start) >> 32))
    return digits if digits < 32 and source[start + digits] == _NEWLINE else 0


@kernel
def normalise_nirs(source: U8, target: U8, offsets: I64) -> int:
    """Apply `normalise.nir` to every cell."""
    buffer = np.zeros(_BUFFER_SIZE, np.uint8)
    start, used = ZERO, 0
    for item in range(len(offsets) - 1):
        digits = _digit_cell_length(source, start)
        if (digits == 13 or digits == 15) and _has_nir_sex_and_month(source, start):
            # two overlapping words of 8 bytes cover the 13 digits
            put_word(address(target) + used, word(address(source) + start))
            put_word(address(target) + used + 5, word(address(source) + start + 5))
            start += digits + 1
            used += 13
            offsets[item + 1] = used
            continue
        end, low, high = next_cell(source, start)
        start = end + 1
        count = _alphanumeric(source, low, high, buffer)
        if (count == 13 or count == 15) and _is_nir(buffer, count):
            if not is_digit(buffer[6]):
                # 2A counts as 19, 2B as 18
                buffer[5], buffer[6] = 49, 57 - (buffer[6] - _A)
            used = _copy(buffer, 0, 13, target, used)
        offsets[item + 1] = used
    return used


@kernel
def _is_nir(buffer: U8, count: int) -> bool:
    for at in range(count):
        if not is_digit(buffer[at]) and at != 6:
            return False
    if not is_digit(buffer[6]) and not (buffer[5] == 50 and buffer[6] <= 98):
        return False
    return _has_nir_sex_and_month(buffer, 0)


@inlined
def _has_nir_sex_and_month(digits: U8, at: int) -> bool:
    """Whether the digits of sex and month are valid in the number that begins at `at`."""
    sex, month = int(digits[at]) - 48, (int(digits[at + 3]) - 48) * 10 + int(digits[at + 4]) - 48
    return (1 <= sex <= 4 or 7 <= sex <= 8) and (1 <= month <= 12 or 20 <= month <= 42 or month >= 50)


@kernel
def normalise_phones(source: U8, target: U8, offsets: I64) -> int:
    """Apply `normalise.phone` to every cell."""
    buffer = np.zeros(_BUFFER_SIZE, np.uint8)
    start, used = ZERO, 0
    for item in range(len(offsets) - 1):
        if _digit_cell_length(source, start) == 10 and source[start] == _0 and source[start + 1] != _0:
            put_word(address(target) + used, word(address(source) + start + 1))
            target[used + 8] = source[start + 9]
            start += 11
            used += 9
            offsets[item + 1] = used
            continue
        end, low, high = next_cell(source, start)
        start = end + 1
        high = _without_float(source, low, high)
        count, plus, valid = 0, False, True
        at = low
        while at < high:
            char = source[at]
            if char == 40 and at + 2 < high and source[at + 1] == _0 and source[at + 2] == 41:
                if plus or (count >= 2 and buffer[0] == _0 and buffer[1] == _0):
                    at += 3
                    continue
            elif char == 43:
                valid = valid and not plus and count == 0
                plus = True
            elif is_letter(char):
                valid = False
            elif is_digit(char):
                if count < _BUFFER_SIZE:
                    buffer[count] = char
                count += 1
            at += 1
        if valid and count < _BUFFER_SIZE:
            first, last = _subscriber_digits(buffer, count, plus)
            used = _copy(buffer, first, last, target, used)
        offsets[item + 1] = used
    return used


@kernel
def _subscriber_digits(buffer: U8, count: int, plus: bool) -> tuple[int, int]:
    """Which of the digits form the normal form: (first, one after the last); (0, 0) if they are no phone number."""
    first, national = 0, True
    if plus or (count >= 2 and buffer[0] == _0 and buffer[1] == _0):
        first = 0 if plus else 2
        code = _french_code_length(buffer, first, count)
        first += code
        national = code > 0
        if national and count - first == 10 and buffer[first] == _0:
            first += 1
    elif count == 11 and buffer[0] == 51 and buffer[1] == 51:
        first = 2
    elif count == 10 and buffer[0] == _0:
        first = 1
    length = count - first
    if (length == 9 if national else 8 <= length <= 15) and buffer[first] != _0:
        return first, count
    return 0, 0


@kernel
def _french_code_length(buffer: U8, first: int, count: int) -> int:
    """Length of the country code if it is one of `normalise._FRENCH_COUNTRY_CODES`, else 0."""
    if count - first >= 2 and buffer[first] == 51 and buffer[first + 1] == 51:
        return 2
    if count - first >= 3:
        code = (buffer[first] - 48) * 100 + (buffer[first + 1] - 48) * 10 + buffer[first + 2] - 48
        if code == 262 or code == 590 or code == 594 or code == 596:
            return 3
    return 0


@kernel
def normalise_emails(source: U8, target: U8, offsets: I64) -> int:
    """Apply `normalise.email` to every cell."""
    start, used = ZERO, 0
    for item in range(len(offsets) - 1):
        length = _plain_email_length(source, start)
        if length > 0:
            if start + length + 8 <= len(source):
                # the last word may write bytes beyond the address: the next form overwrites them
                for at in range(0, length, 8):
                    put_word(address(target) + used + at, word(address(source) + start + at))
            else:
                for at in range(length):
                    target[used + at] = source[start + at]
            used += length
            start += length + 1
            offsets[item + 1] = used
            continue
        end, low, high = next_cell(source, start)
        start = end + 1
        if high - low >= len(_MAILTO) and source[low + 6] == _MAILTO[6]:
            same = True
            for at in range(6):
                same = same and source[low + at] == _MAILTO[at]
            if same:
                low += len(_MAILTO)
        if high - low >= 2 and source[low] == 60 and source[high - 1] == 62:
            low, high = low + 1, high - 1
        if high - low <= _MAX_EMAIL and _is_email(source, low, high):
            for at in range(low, high):
                target[used] = source[at]
                used += 1
        offsets[item + 1] = used
    return used


@kernel
def _plain_email_length(source: U8, start: int) -> int:
    """The length of a cell that is exactly an address in ASCII; 0 for any other cell, which needs the full check."""
    at = start
    while _ADDRESS_BYTES[source[at]] & _LOCAL:
        at += 1
    if at == start or source[at] != 64:
        return 0
    at += 1
    label, dots = at, 0
    while True:
        if _ADDRESS_BYTES[source[at]] & _DOMAIN:
            at += 1
        elif source[at] == 46 and at > label:
            at += 1
            label = at
            dots += 1
        else:
            break
    valid = source[at] == _NEWLINE and dots > 0 and at - label >= 2 and at - start <= _MAX_EMAIL
    return at - start if valid else 0


@kernel
def _is_email(source: U8, low: int, high: int) -> bool:
    at = low
    while at < high and source[at] != 64:
        char = source[at]
        # control characters, space, " ( ) , : ; < > [ backslash ] and delete
        if char <= 32 or char == 34 or 40 <= char <= 41 or char == 44 or 58 <= char <= 60 or char == 62:
            return False
        if 91 <= char <= 93 or char == 127:
            return False
        at += 1
    if at in (low, high):
        return False
    dots, label = 0, 0
    for place in range(at + 1, high):
        char = source[place]
        if char == 46:
            if label == 0:
                return False
            dots, label = dots + 1, 0
        elif is_digit(char) or is_letter(char) or char == 45 or char >= 128:
            # counts characters, not bytes: continuation bytes of UTF-8 add nothing
            label += 1 if char & 0xC0 != 0x80 else 0
        else:
            return False
    return dots > 0 and label >= 2


@kernel
def normalise_ibans(source: U8, target: U8, offsets: I64) -> int:
    """Apply `normalise.iban` to every cell."""
    buffer = np.zeros(_BUFFER_SIZE, np.uint8)
    start, used = ZERO, 0
    for item in range(len(offsets) - 1):
        end, low, high = next_cell(source, start)
        start = end + 1
        count = _alphanumeric(source, low, high, buffer)
        first = 4 if buffer[0] == 105 and buffer[1] == 98 and buffer[2] == 97 and buffer[3] == 110 else 0
        if count <= _BUFFER_SIZE and 15 <= count - first <= 34 and _is_iban(buffer, first, count):
            used = _copy(buffer, first, count, target, used)
        offsets[item + 1] = used
    return used


@kernel
def _is_iban(buffer: U8, first: int, count: int) -> bool:
    if is_digit(buffer[first]) or is_digit(buffer[first + 1]):
        return False
    if not is_digit(buffer[first + 2]) or not is_digit(buffer[first + 3]):
        return False
    remainder, length = 0, count - first
    for step in range(length):
        char = int(buffer[first + (step + 4) % length])
        remainder = (remainder * 10 + char - 48 if char <= 57 else remainder * 100 + char - 87) % 97
    return remainder == 1


@kernel
def normalise_professionals(source: U8, target: U8, offsets: I64) -> int:
    """Apply `normalise.professional` to every cell."""
    buffer = np.zeros(_BUFFER_SIZE, np.uint8)
    start, used = ZERO, 0
    for item in range(len(offsets) - 1):
        end, low, high = next_cell(source, start)
        start = end + 1
        count = _alphanumeric(source, low, high, buffer)
        valid = count == 11 or count == 9
        for at in range(count if valid else 0):
            corsica = count == 9 and at == 1 and buffer[0] == 50 and 97 <= buffer[1] <= 98
            valid = valid and (is_digit(buffer[at]) or corsica)
        if valid:
            used = _copy(buffer, 0, count, target, used)
        offsets[item + 1] = used
    return used
