"""Compiled loops that read numbers in bytes: digit groups with separators, NIR, phone numbers and IBANs."""

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
    class_of,
    emit,
)
from data.arrays.array_types import U8
from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import alphanumeric_bits, byte, put_byte, put_word, trailing_zeros, word

MAX_DIGITS = 15
MINOR = 128


def _iban_lengths() -> U8:
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
SPACES = np.uint64(0x2020202020202020)


@kernel
def iban(
    begin: int, limit: int, at: int, classes: int, lengths: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The account number that begins with the word at `at`, or behind "IBAN" there; its check digits hold."""
    if word(at) & np.uint64(0xDFDFDFDF) == np.uint64(0x4E414249):
        at += 4
    if at + 15 > limit or not class_of(classes, at) & class_of(classes, at + 1) & LETTER:
        return free, count
    wanted = byte(lengths + ((byte(at) & 0xDF) - 65) * 26 + (byte(at + 1) & 0xDF) - 65)
    if wanted == 0:
        return free, count
    length = gap = 0
    # modulo 97 of the whole, with the first four characters moved behind it
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
    count = emit(IBAN, free, length, at - begin, arena, out, count)
    return free + length, count


@inlined
def _is_nir(at: int) -> bool:
    """Whether digits can be a NIR: sex, then month (20 and above where the month is not known)."""
    sex = byte(at) - 48
    month = byte(at + 3) * 10 + byte(at + 4) - 528
    return ((sex >= 1 and sex <= 4) or sex == 7 or sex == 8) and (
        (month >= 1 and month <= 12) or (month >= 20 and month <= 42) or month >= 50
    )


@kernel
def _phone_start(at: int, length: int, plus: bool) -> int:
    """How many of `length` >= 8 digits stand before the normal form of a phone number, or -1 if they are none."""
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
        # overseas: +262, 590, 594 and 596 are dialled at home like any French number
        country = 3
    if country:
        skip += country
        if length - skip == 10 and byte(at + skip) == 48:
            skip += 1
        return skip if length - skip == 9 and byte(at + skip) != 48 else -1
    return skip if length - skip >= 8 and byte(at + skip) != 48 else -1


@inlined
def _digit_run(at: int, limit: int) -> int:
    """How many digits begin at `at`; 32 stands for that many or more."""
    return min(trailing_zeros(~(alphanumeric_bits(at) >> 32)), 32, limit - at)


@inlined
def _readings(
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
    """What `length` digits in the arena can be; `lone` if no further digits stand beside them in the text."""
    minor = 0 if lone else MINOR
    letter = corsica and byte(at + 1) > 57
    if (length == 13 or length == 15) and not letter and _is_nir(at):
        count = emit(NIR | minor, at, 13, place, arena, out, count)
    if (length == 9 and letter == corsica) or (length == 11 and not corsica):
        weak = minor if length == 11 or letter else MINOR
        count = emit(PROFESSIONAL | weak, at, length, place, arena, out, count)
    if not corsica:
        skip = _phone_start(at, length, plus)
        if skip >= 0:
            weak = minor if skip > 0 or plus else MINOR
            count = emit(PHONE | weak, at + skip, length - skip, place, arena, out, count)
    return count


@inlined
def _digits(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Numbers that begin with the group of digits at `at`, alone and with the groups that follow it."""
    plus = at > begin and byte(at - 1) == 43
    before = at - 1 - plus
    lone = not (before > begin and class_of(classes, before) & GAP and class_of(classes, before - 1) & DIGIT)
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
                # Corsica; in a NIR 2A counts as 19 and 2B as 18, a FINESS number keeps its letter
                corsica = True
                if length == 6:
                    put_byte(free + 5, 49)
                    put_byte(free + 6, 57 if letter == 97 else 56)
                else:
                    put_byte(free + 1, letter)
                length += 1
                place += 1
                if place < limit and class_of(classes, place) & DIGIT:
                    continue
        gap, wrapped = place, False
        while gap < limit and gap - place < 3:
            line_end = byte(gap) == 10 or byte(gap) == 13
            if not line_end and not class_of(classes, gap) & GAP:
                break
            wrapped = wrapped or line_end
            gap += 1
        more = gap > place and gap < limit and class_of(classes, gap) & DIGIT != 0
        if length >= 8:
            lonely = lone and (wrapped or not more)
            count = _readings(free, length, at - begin, plus, corsica, lonely, arena, out, count)
        if not more or length == MAX_DIGITS:
            break
        # text is wrapped within numbers; but numbers also stand below each other, which are not one
        lone = lone and not wrapped
        place = gap
        abroad = plus or (byte(free) == 48 and byte(free + 1) == 48)
        if abroad and byte(gap) == 48 and byte(gap - 1) == 40 and gap + 1 < limit and byte(gap + 1) == 41:
            # the (0) of +32 (0)470… is not part of the number
            place = gap + 1
    # sixteen digits may have been written, and only fifteen read
    return (free + MAX_DIGITS if count > found else free), count


@kernel
def _long_digits(begin: int, at: int, end: int, arena: int, free: int, out: int, count: int) -> tuple[int, int]:
    """Numbers that begin at `at` among more than fifteen digits without a gap up to `end`: columns of fixed width."""
    put_word(free, word(at))
    put_word(free + 8, word(at + 8))
    found = count
    if end - at >= 13 and _is_nir(free):
        count = emit(NIR | MINOR, free, 13, at - begin, arena, out, count)
    if end - at >= 11 and byte(free) == 49 and byte(free + 1) == 48:
        count = emit(PROFESSIONAL | MINOR, free, 11, at - begin, arena, out, count)
    if end - at >= 10 and byte(free) == 48 and byte(free + 1) != 48:
        count = emit(PHONE | MINOR, free + 1, 9, at - begin, arena, out, count)
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
    """Numbers that begin from `at` on in the word that ends at `end`; gives back where room ran out, or its end."""
    last = min(end, stop)
    group = at
    while group < last:
        if not class_of(classes, group) & DIGIT:
            group += 1
            continue
        if count > room or free > full:
            return group, free, count
        over = group + _digit_run(group, end)
        while over < end and class_of(classes, over) & DIGIT:
            over += 1
        back = 0
        # only where the text was entered in the middle of a word
        while back <= MAX_DIGITS and group - back > begin and class_of(classes, group - back - 1) & DIGIT:
            back += 1
        if back + over - group > MAX_DIGITS:
            for place in range(group, min(over - 9, stop)):
                if count > room or free > full:
                    return place, free, count
                free, count = _long_digits(begin, place, over, arena, free, out, count)
        elif back == 0:
            free, count = _digits(begin, limit, group, classes, arena, free, out, count)
        group = over
    return last, free, count
