"""Compiled loops that find numbers in folded text: digit groups with separators, NIR, phone numbers and IBANs.

Arguments and results have the meaning that `crawler.matching.scan_kernels` explains.
"""

from __future__ import annotations

import numpy as np

from crawler.matching.char_classes import (
    DIGIT,
    GAP,
    IBAN,
    LETTER,
    NIR,
    PHONE,
    PROFESSIONAL,
    WORD,
    char_class,
    write_candidate,
)
from data.arrays.array_types import U8
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import alphanumeric_bits, byte, put_byte, put_word, trailing_zeros, word

MAX_DIGITS = 15
UNCERTAIN = 128
"""A bit of a candidate's kind: the text may mean something else."""


def _iban_lengths() -> U8:
    """The length of an IBAN for each pair of letters, 0 for no country; shape (676,)."""
    table = np.zeros(26 * 26, np.uint8)
    lengths = (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    )
    for entry in lengths.split():
        table[(ord(entry[0]) - 65) * 26 + ord(entry[1]) - 65] = int(entry[2:])
    return table


# SWIFT's IBAN registry, release 99
IBAN_LENGTHS = _iban_lengths()
LOWER_CASE = np.uint64(0x2020202020202020)
"""Set in eight bytes at once, these bits turn ASCII letters into lower case and leave digits as they are."""


@kernel
def iban(
    begin: int, limit: int, at: int, classes: int, lengths: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Find the IBAN that begins with the word at `at`, or after "IBAN" there; its check digits must be right."""
    if word(at) & np.uint64(0xDFDFDFDF) == np.uint64(0x4E414249):
        at += 4
    if at + 15 > limit or not char_class(classes, at) & char_class(classes, at + 1) & LETTER:
        return free, count
    wanted = byte(lengths + ((byte(at) & 0xDF) - 65) * 26 + (byte(at + 1) & 0xDF) - 65)
    if wanted == 0:
        return free, count
    length = gap = 0
    # the number modulo 97, with its first four characters moved to the end
    head = rest = 0
    place = at
    while length < wanted and place < limit:
        char = byte(place)
        kind = byte(classes + char)
        if kind & WORD:
            gap = 0
            if kind & DIGIT:
                if length < 2:
                    return free, count
                scale, value = 10, char - 48
            else:
                if length == 2 or length == 3:
                    return free, count
                scale, value = 100, (char | 0x20) - 87
            put_byte(free + length, char | 0x20)
            if length < 4:
                head = head * scale + value
            else:
                rest = (rest * scale + value) % 97
            length += 1
        else:
            gap += 1
            if gap > 2 or not (kind & GAP or char == 10 or char == 13):
                break
        place += 1
    # the head has six digits: two letters, two digits
    if length < wanted or (rest * 1000000 + head) % 97 != 1:
        return free, count
    count = write_candidate(IBAN, free, length, at - begin, arena, out, count)
    return free + length, count


@inlined
def _is_nir(at: int) -> bool:
    """Whether the digits at `at` can be a NIR, by sex and month (20 and above if the month is not known)."""
    sex = byte(at) - 48
    month = byte(at + 3) * 10 + byte(at + 4) - 528
    return ((sex >= 1 and sex <= 4) or sex == 7 or sex == 8) and (
        (month >= 1 and month <= 12) or (month >= 20 and month <= 42) or month >= 50
    )


@kernel
def _phone_start(at: int, length: int, plus: bool) -> int:
    """How many of `length` >= 8 digits come before the normal form of a phone number; -1 if they are not one."""
    skip = 0
    if not plus:
        if byte(at) == 48 and byte(at + 1) == 48:
            skip = 2
        else:
            if length == 10 and byte(at) == 48:
                skip = 1
            elif length == 11 and byte(at) == 51 and byte(at + 1) == 51:
                skip = 2
            elif length == 12 and byte(at) == 51 and byte(at + 1) == 51 and byte(at + 2) == 48:
                skip = 3
            return skip if length - skip == 9 and byte(at + skip) != 48 else -1
    a, b, c = byte(at + skip), byte(at + skip + 1), byte(at + skip + 2)
    country = 0
    if a == 51 and b == 51:
        country = 2
    elif (a == 50 and b == 54 and c == 50) or (a == 53 and b == 57 and (c == 48 or c == 52 or c == 54)):
        # overseas departments: +262, 590, 594 and 596 are dialled within France like any French number
        country = 3
    if country:
        skip += country
        if length - skip == 10 and byte(at + skip) == 48:
            skip += 1
        return skip if length - skip == 9 and byte(at + skip) != 48 else -1
    return skip if length - skip >= 8 and byte(at + skip) != 48 else -1


@inlined
def _digit_run(at: int, limit: int) -> int:
    """How many digits follow from `at` on; 32 means 32 or more."""
    return min(trailing_zeros(~(alphanumeric_bits(at) >> 32)), 32, limit - at)


@inlined
def _write_readings(
    at: int,
    length: int,
    place: int,
    plus: bool,
    corsica: bool,
    lone: bool,
    arena: int,
    out: int,
    count: int,
) -> int:
    """Write down everything that `length` digits in the arena can be.

    `lone`: no further digits are beside them in the text, so that the readings are certain.
    """
    uncertain = 0 if lone else UNCERTAIN
    letter = corsica and byte(at + 1) > 57
    if (length == 13 or length == 15) and not letter and _is_nir(at):
        count = write_candidate(NIR | uncertain, at, 13, place, arena, out, count)
    if (length == 9 and letter == corsica) or (length == 11 and not corsica):
        flag = uncertain if length == 11 or letter else UNCERTAIN
        count = write_candidate(PROFESSIONAL | flag, at, length, place, arena, out, count)
    if not corsica:
        skip = _phone_start(at, length, plus)
        if skip >= 0:
            flag = uncertain if skip > 0 or plus else UNCERTAIN
            count = write_candidate(PHONE | flag, at + skip, length - skip, place, arena, out, count)
    return count


@inlined
def _joined_groups(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Find numbers that begin with the group of digits at `at`: the group alone, and joined with those that follow."""
    plus = at > begin and byte(at - 1) == 43
    before = at - 1 - plus
    lone = not (before > begin and char_class(classes, before) & GAP and char_class(classes, before - 1) & DIGIT)
    length = 0
    place = at
    corsica = False
    found = count
    while True:
        size = min(_digit_run(place, limit), MAX_DIGITS + 1 - length)
        put_word(free + length, word(place))
        put_word(free + length + 8, word(place + 8))
        length += size
        place += size
        if length > MAX_DIGITS:
            break
        if (length == 6 or length == 1) and not corsica and place < limit and byte(place - 1) == 50:
            letter = byte(place) | 0x20
            if letter == 97 or letter == 98:
                # Corsica: in a NIR, 2A counts as 19 and 2B as 18; a FINESS number keeps its letter
                corsica = True
                if length == 6:
                    put_byte(free + 5, 49)
                    put_byte(free + 6, 57 if letter == 97 else 56)
                else:
                    put_byte(free + 1, letter)
                length += 1
                place += 1
                if place < limit and char_class(classes, place) & DIGIT:
                    continue
        gap, wrapped = place, False
        while gap < limit and gap - place < 3:
            line_end = byte(gap) == 10 or byte(gap) == 13
            if not line_end and not char_class(classes, gap) & GAP:
                break
            wrapped = wrapped or line_end
            gap += 1
        more = gap > place and gap < limit and char_class(classes, gap) & DIGIT != 0
        if length >= 8:
            lonely = lone and (wrapped or not more)
            count = _write_readings(free, length, at - begin, plus, corsica, lonely, arena, out, count)
        if not more or length == MAX_DIGITS:
            break
        # a line break may be within a number, but a column of numbers also has breaks between them: uncertain from here
        lone = lone and not wrapped
        place = gap
        abroad = plus or (byte(free) == 48 and byte(free + 1) == 48)
        if abroad and byte(gap) == 48 and byte(gap - 1) == 40 and gap + 1 < limit and byte(gap + 1) == 41:
            # the (0) in +32 (0)470… is not part of the number
            place = gap + 1
    # up to sixteen digits were written, but a candidate has fifteen at most
    return (free + MAX_DIGITS if count > found else free), count


@kernel
def _long_digits(begin: int, at: int, end: int, arena: int, free: int, out: int, count: int) -> tuple[int, int]:
    """Find numbers that begin at `at` in a run of more than fifteen digits up to `end` (columns of fixed width)."""
    put_word(free, word(at))
    put_word(free + 8, word(at + 8))
    found = count
    if end - at >= 13 and _is_nir(free):
        count = write_candidate(NIR | UNCERTAIN, free, 13, at - begin, arena, out, count)
    if end - at >= 11 and byte(free) == 49 and byte(free + 1) == 48:
        count = write_candidate(PROFESSIONAL | UNCERTAIN, free, 11, at - begin, arena, out, count)
    if end - at >= 10 and byte(free) == 48 and byte(free + 1) != 48:
        count = write_candidate(PHONE | UNCERTAIN, free + 1, 9, at - begin, arena, out, count)
    return (free + MAX_DIGITS + 1 if count > found else free), count


@inlined
def digit_groups(
    begin: int,
    limit: int,
    at: int,
    end: int,
    stop: int,
    classes: int,
    arena: int,
    full: int,
    free: int,
    out: int,
    room: int,
    count: int,
) -> tuple[int, int, int]:
    """Find the numbers that begin from `at` on in the word that ends at `end`.

    Returns:
        Where to go on (its end, or less if the buffers are full), and the new values of `free` and `count`.
    """
    last = min(end, stop)
    group = at
    while group < last:
        if not char_class(classes, group) & DIGIT:
            group += 1
            continue
        if count > room or free > full:
            return group, free, count
        over = group + _digit_run(group, end)
        while over < end and char_class(classes, over) & DIGIT:
            over += 1
        back = 0
        # digits before the group occur only if the scan began in the middle of a word
        while back <= MAX_DIGITS and group - back > begin and char_class(classes, group - back - 1) & DIGIT:
            back += 1
        if back + over - group > MAX_DIGITS:
            for place in range(group, min(over - 9, stop)):
                if count > room or free > full:
                    return place, free, count
                free, count = _long_digits(begin, place, over, arena, free, out, count)
        elif back == 0:
            free, count = _joined_groups(begin, limit, group, classes, arena, free, out, count)
        group = over
    return last, free, count
