"""Finds the places in running text that may be about a person: a compiled search for dates, numbers and addresses.

`crawler.records.text_items` reads only the text near such a place ("anchor"), so that prose without people costs no
more than this loop.
"""

from __future__ import annotations

import numpy as np

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import SLACK, alphanumeric_bits, byte, put_word, trailing_zeros

BEFORE, AFTER = 480, 280
"""Bytes before and after an anchor that are read; they hold the lines of one form."""
# a region is extended or shortened to a line end within this many bytes
_LINE = 160
# names are looked for in so many bytes around a date; most stand before it
_NAME_BEFORE, _NAME_AFTER = 64, 40
# the two words of a name, or two cells of a row, have at most so many bytes between them, and no long word
_BETWEEN = 16
_DIGITS_OF_NUMBER = 9
_AT = ord("@")


@inlined
def _is_digit(at: int) -> bool:
    char = byte(at)
    return char >= 48 and char <= 57


@inlined
def _is_letter(at: int) -> bool:
    char = byte(at)
    return ((char | 32) >= 97 and (char | 32) <= 122) or char >= 128


@inlined
def _is_capital(at: int) -> bool:
    """Whether a capital letter begins here: A to Z, and in UTF-8 À to Þ and Œ."""
    char = byte(at)
    return (
        (char >= 65 and char <= 90)
        or (char == 0xC3 and byte(at + 1) >= 0x80 and byte(at + 1) <= 0x9E)
        or (char == 0xC5 and byte(at + 1) == 0x92)
    )


@inlined
def _begins_like_month(at: int) -> bool:
    """Whether the word here begins like the name of a month, in French or English."""
    a, b = byte(at) | 32, byte(at + 1) | 32
    return (
        (a == 106 and (b == 97 or b == 117))  # ja ju
        or (a == 102 and (b == 101 or byte(at + 1) == 0xC3))  # fe fé
        or (a == 109 and b == 97)  # ma
        or (a == 97 and (b == 118 or b == 112 or b == 111 or b == 117))  # av ap ao au
        or (a == 115 and b == 101)  # se
        or (a == 111 and b == 99)  # oc
        or (a == 110 and b == 111)  # no
        or (a == 100 and (b == 101 or byte(at + 1) == 0xC3))  # de dé
    )


@inlined
def _count_digits(at: int, limit: int) -> int:
    """How many digits follow from here on; 32 means 32 or more."""
    return min(trailing_zeros(~(alphanumeric_bits(at) >> 32)), 32, limit - at)


@inlined
def _is_gap(at: int) -> bool:
    """Whether a byte may stand between the groups of digits of one number."""
    char = byte(at)
    return char == 32 or char == 46 or char == 45 or char == 47 or char == 40 or char == 41 or char == 95 or char >= 128


@kernel
def _is_word_and_year(at: int, limit: int) -> bool:
    """Whether a word of 3 to 14 bytes, and behind it a year, begin here: the month of a date in any language."""
    end = at
    while end < limit and end - at < 15 and _is_letter(end):
        end += 1
    if end - at < 3 or end - at > 14 or end + 5 > limit:
        return False
    if byte(end) == 46:
        end += 1
    if byte(end) != 32 and byte(end) != 45:
        return False
    return _count_digits(end + 1, limit) == 4 and (byte(end + 1) == 49 or byte(end + 1) == 50)


@kernel
def _is_date(begin: int, at: int, size: int, limit: int) -> bool:
    """Whether the group of `size` digits here can be the beginning of a date, or its day."""
    after = at + size
    if size == 8:
        return True
    if after + 4 >= limit or (size > 2 and size != 4):
        return False
    mark = byte(after)
    if mark == 47 or mark == 46 or mark == 45 or mark == 32:
        second = _count_digits(after + 1, limit)
        if (second == 1 or second == 2) and byte(after + 1 + second) == mark:
            third = _count_digits(after + 2 + second, limit)
            if (size == 4 and (third == 1 or third == 2)) or (size <= 2 and (third == 2 or third == 4)):
                # the groups of telephone numbers are separated by spaces as well
                return mark != 32 or third == 4
    if size > 2:
        return False
    word = after
    if _is_letter(word) and _is_letter(word + 1) and not _is_letter(word + 2):
        word += 2  # 1er, 2nd
    gaps = word
    while word < limit - 2 and word - gaps < 2 and (byte(word) == 32 or byte(word) == 45 or byte(word) == 46):
        word += 1
    if word > gaps and _is_letter(word) and (_begins_like_month(word) or _is_word_and_year(word, limit)):
        return True
    # March 12, 1975; cells of a table that was divided there are separated by " ; "
    second = word
    while second < limit - 4 and second - word < 3 and (byte(second) == 32 or byte(second) == 44 or byte(second) == 59):
        second += 1
    if _count_digits(max(second, gaps), limit) == 4 and at - begin > 3 and byte(at - 1) == 32:
        back = at - 2
        while back > begin and at - back < 12 and (_is_letter(back - 1) or byte(back) == 46):
            back -= 1
        return _begins_like_month(back)
    return False


@kernel
def _is_long_number(at: int, limit: int) -> bool:
    """Whether the groups of digits from here on are together long enough for a telephone number."""
    digits = 0
    while at < limit:
        size = _count_digits(at, limit)
        digits += size
        if digits >= _DIGITS_OF_NUMBER:
            return True
        at += size
        gap = at
        while gap < limit and gap - at < 3 and _is_gap(gap):
            gap += 1
        if gap == at or gap >= limit or not _is_digit(gap):
            return False
        at = gap
    return False


@kernel
def _begins_nir(at: int, limit: int) -> bool:
    """Whether a social security number begins here: sex, year, month, department, commune and order, at most one mark between."""
    place = at + 1
    for group in range(5):
        char = byte(place)
        if char == 0xC2 and byte(place + 1) == 0xA0:
            place += 2
        elif char == 0xE2 and byte(place + 1) == 0x80 and byte(place + 2) == 0xAF:
            place += 3
        elif char == 10 or (_is_gap(place) and char < 128 and char != 40 and char != 41):
            place += 1
        size = 2 if group < 3 else 3
        if place + size > limit:
            return False
        for more in range(size):
            # Corsica's 2A and 2B
            letter = byte(place + more) | 32
            corsica = group == 2 and more == 1 and byte(place) == 50 and (letter == 97 or letter == 98)
            if not corsica and not _is_digit(place + more):
                return False
        if group == 1:
            # a month, or what stands for an unknown one (INSEE): 20 to 42, and 50 to 99
            month = (byte(place) - 48) * 10 + byte(place + 1) - 48
            if month == 0 or (month > 12 and month < 20) or (month > 42 and month < 50):
                return False
        place += size
    # the key, if it follows without a mark
    rest = _count_digits(place, limit)
    return rest == 0 or rest == 2


@inlined
def _is_number(begin: int, at: int, limit: int) -> bool:
    """Whether a telephone number or a social security number may begin with the group of digits here.

    A telephone number begins with a plus or 00, with 33, or with 0. Numbers of files, requests and orders are none.
    """
    first = byte(at)
    if first == 48 or (first == 51 and byte(at + 1) == 51):
        return _is_long_number(at, limit)
    if at > begin and (byte(at - 1) == 43 or (byte(at - 1) == 32 and at - 1 > begin and byte(at - 2) == 43)):
        return _is_long_number(at, limit)
    return (first != 53 and first != 54 and first != 57) and _begins_nir(at, limit)


@kernel
def _time_stamp(begin: int, at: int, limit: int) -> int:
    """The bytes of the time of an event that begins a line here, such as `2026-03-01 10:04:17,250`; 0 if none does.

    The hour of a birth stands behind a birth date as well, but within a line, or to the minute: only a time with seconds,
    other than the full minute, at the beginning of a line is nobody's.
    """
    if at + 19 > limit or byte(at) != 50 or (byte(at + 4) != 45 and byte(at + 4) != 47) or byte(at + 7) != byte(at + 4):
        return 0
    if (byte(at + 10) != 32 and byte(at + 10) != 84) or byte(at + 13) != 58 or byte(at + 16) != 58:
        return 0
    line = at - (at > begin and byte(at - 1) == 91)
    if line > begin and byte(line - 1) != 10:
        return 0
    for place in (1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18):
        if not _is_digit(at + place):
            return 0
    if byte(at + 17) == 48 and byte(at + 18) == 48:
        return 0
    end = at + 19
    if end + 1 < limit and (byte(end) == 44 or byte(end) == 46) and _is_digit(end + 1):
        end += 1 + _count_digits(end + 1, limit)
    return end - at


@kernel
def _internet_address(begin: int, at: int, limit: int) -> int:
    """The bytes of an address of the Internet protocol (192.168.20.4) that begins here; 0 if none does."""
    if at > begin and (byte(at - 1) == 43 or byte(at - 1) == 46):
        return 0
    end = at
    for group in range(4):
        size = _count_digits(end, limit)
        if size == 0 or size > 3 or (size > 1 and byte(end) == 48):
            return 0
        if size == 3 and (byte(end) > 50 or (byte(end) == 50 and byte(end + 1) > 53)):
            return 0
        end += size
        if group < 3:
            if end >= limit or byte(end) != 46:
                return 0
            end += 1
    return 0 if end + 1 < limit and _is_gap(end) and byte(end) != 32 and _is_digit(end + 1) else end - at


@inlined
def _is_birth_word(at: int) -> bool:
    """Whether a word for birth begins here: né, née, ne, nee, naissance, ddn, dob, born, birth."""
    a, b, c = byte(at) | 32, byte(at + 1) | 32, byte(at + 2) | 32
    end = 0
    if a == 110 and byte(at + 1) == 0xC3:
        end = at + 3
    elif a == 110 and b == 101:
        end = at + 2
    return (
        (end > 0 and (not _is_letter(end) or (byte(end) | 32 == 101 and not _is_letter(end + 1))))
        or (a == 110 and b == 97 and c == 105)
        or (a == 100 and b == 100 and c == 110)
        or (a == 100 and b == 111 and c == 98)
        or (a == 98 and (b == 105 or b == 111) and c == 114)
    )


@kernel
def _may_hold_name(low: int, high: int) -> bool:
    """Whether a text has two capitalised words in a row, a word for birth, or no capitalised word at all."""
    # `lately` is the place after the last capitalised word, moved on over short words; 0 for none
    capitals = lately = 0
    at = low
    while at < high:
        if not _is_letter(at):
            if byte(at) == 46 and byte(at + 1) == 32:
                lately = 0  # a sentence begins
            at += 1
            continue
        start = at
        while at < high and (_is_letter(at) or byte(at) == 45 or byte(at) == 39):
            at += 1
        if _is_birth_word(start):
            return True
        if _is_capital(start):
            capitals += 1
            if lately > 0 and start - lately <= _BETWEEN:
                return True
            lately = at
        elif at - start > 3:
            lately = 0
        elif lately > 0:
            lately = at
    return capitals == 0


@kernel
def find_anchors(begin: int, size: int, out: int, most: int) -> int:
    """Find dates that have a name nearby, and long numbers.

    Args:
        begin: address of the text.
        size: its length in bytes.
        out: address of a buffer for `most` pairs of 64-bit words: first byte of an anchor, and the byte after it.
        most: the number of pairs that fit.

    Returns:
        The number of pairs. If there are `most`, the last one reaches to the end of the text.
    """
    limit = begin + size
    at = begin
    count = 0
    while at < limit:
        seen = alphanumeric_bits(at) >> 32
        if seen == 0:
            at += 32
            continue
        at += trailing_zeros(seen)
        if at >= limit:
            break
        digits = _count_digits(at, limit)
        # lines of logs begin with these, and neither is a person's
        if digits == 4:
            other = _time_stamp(begin, at, limit)
        elif digits < 4:
            other = _internet_address(begin, at, limit)
        else:
            other = 0
        if other > 0:
            at += other
            continue
        dated = _is_date(begin, at, digits, limit)
        if dated:
            dated = _may_hold_name(max(begin, at - _NAME_BEFORE), min(limit, at + _NAME_AFTER))
        if dated or _is_number(begin, at, limit):
            end = at + digits + 16
            if count + 1 == most:
                end = limit
            put_word(out + 16 * count, np.uint64(at - begin))
            put_word(out + 16 * count + 8, np.uint64(min(end, limit) - begin))
            count += 1
            if count == most:
                return count
            # the rest of this value is not an anchor of its own
            at += digits + 1
            while at < limit and at < end and (_is_digit(at) or _is_gap(at)):
                at += 1
            continue
        at += digits
    return count


def anchor_regions(text: bytes) -> list[tuple[int, int]]:
    """The parts of a text that may be about people, as (start, end), in order and not overlapping.

    A part begins and ends at a line end if there is one nearby.
    """
    padded = np.frombuffer(text.ljust(len(text) + SLACK, b"\0"), np.uint8)
    most = max(16, len(text) // 8)
    out = np.empty((most, 2), np.int64)
    count = find_anchors(int(padded.ctypes.data), len(text), int(out.ctypes.data), most)
    anchors = out[:count].copy()
    if _AT in text:
        ats = np.flatnonzero(padded[: len(text)] == _AT)
        anchors = np.concatenate([anchors, np.stack([ats, ats + 1], axis=1)])
        anchors = anchors[np.argsort(anchors[:, 0], kind="stable")]
    if not len(anchors):
        return []
    lows, highs = np.maximum(anchors[:, 0] - BEFORE, 0), np.minimum(anchors[:, 1] + AFTER, len(text))
    # an anchor begins a new region if it lies beyond the reach of all anchors before it
    reach = np.maximum.accumulate(highs)
    heads = np.flatnonzero(np.concatenate([[True], lows[1:] > reach[:-1]]))
    tails = np.concatenate([heads[1:] - 1, [len(lows) - 1]])
    spans = []
    for low, high in zip(lows[heads].tolist(), reach[tails].tolist(), strict=True):
        start = text.find(b"\n", low, low + _LINE) + 1 if low else 0
        end = text.rfind(b"\n", high - _LINE, high) if high < len(text) else high
        spans.append((start or _character_start(text, low), end if end > 0 else _character_start(text, high)))
    return spans


def _character_start(text: bytes, at: int) -> int:
    """The first byte of the UTF-8 character that a byte belongs to."""
    while 0 < at < len(text) and text[at] & 0xC0 == 0x80:
        at -= 1
    return at
