"""The compiled loops that find values in folded text; `scan_fold.py` folds, `scan_views.py` has other readings.

Everything here is local: what is found at a place depends on few bytes around it, never on where a block began.

Places are addresses (`data/arrays/raw_memory.py`): `begin` and `limit` are the first byte of the text and the one behind its last.
What finds something takes and gives back `free`, where the arena is free, and `count`, the candidates so far.
The arena holds normal forms. A candidate is a word: kind (8 bits), length (8), place in the arena (24),
place in the text (24). A kind with `MINOR` is a reading that only might be meant.
"""

from __future__ import annotations

import string

import numpy as np
from numpy.typing import NDArray

from data.arrays.jit import inlined, kernel
from data.arrays.raw_memory import ZERO, byte, low_bit, put_byte, put_word, runs, word

U8 = NDArray[np.uint8]

TOKEN_MIN, TOKEN_MAX, TOKEN_PIECES = 8, 64, 8
LOCAL_MAX, DOMAIN_MAX = 64, 128
MAX_DIGITS = 15
MINOR = 128
# the loop stops while this many candidates and bytes of the arena are free: more than one place can need
MARGIN, ARENA_MARGIN = 256, 8192

_EMAIL, _PHONE, _NIR, _IBAN, _PROFESSIONAL, _TOKEN = 1, 2, 3, 4, 5, 6

NUL, ESCAPE, MARKUP, EQUALS, LONG = 1, 2, 4, 8, 16
"""What `scan` notes beside what it finds: signs that other readings of the text say more."""

_LONG_WORD = 24
# Compressed or encrypted bytes: in every window so many are controls (28 in 256 by chance, at least 7.5 %) and high ones
# (a half, at least 40 %). What people can read, in whatever encoding or escaped, has neither.
_NOISE_LEAST, _NOISE_WINDOW = 16 * 4096, 4096
_NOISE_CONTROLS, _NOISE_HIGHS = 307, 1638
_LETTER, _DIGIT, _JOIN, _RARE, _GAP, _LOCAL, _DOMAIN, _WEAK = 1, 2, 4, 8, 16, 32, 64, 128
_WORD = _LETTER | _DIGIT


def _classes() -> U8:
    table = np.zeros(256, np.uint8)
    for members, bits in (
        (string.ascii_letters, _LETTER | _LOCAL | _DOMAIN),
        (string.digits, _DIGIT | _LOCAL | _DOMAIN),
        # one of these between two words of a token is dropped
        ("-_.", _JOIN),
        # not only a gap between words: @ begins a domain, the others are noted
        ("@\\&%'<[=\0", _RARE),
        # what people write between the digits of one number
        (" .-/()+_", _GAP),
        ("._%+-'&=!#$*?^`{}~", _LOCAL),
        # a local part may begin behind one of these: "a=b@c.fr" is also "b@c.fr"
        ("'&=+!#$*?^`{}~%", _WEAK),
        ("-.", _DOMAIN),
    ):
        for character in members:
            table[ord(character)] |= bits
    return table


CLASSES = _classes()


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

_SPACES = np.uint64(0x2020202020202020)


@inlined
def _class(classes: int, at: int) -> int:
    return byte(classes + byte(at))


@inlined
def _word_end(at: int, limit: int) -> tuple[int, bool, bool]:
    """The place behind the letters and digits that begin at `at`, and whether there are letters, and digits."""
    letters = digits = False
    size = 32
    while size == 32:
        seen = runs(at)
        size = min(low_bit(~seen), 32, limit - at)
        inside = (1 << size) - 1
        some = (seen >> 32) & inside
        digits |= some != 0
        letters |= some != inside
        at += size
    return at, letters, digits


@inlined
def _emit(kind: int, at: int, length: int, place: int, arena: int, out: int, count: int) -> int:
    put_word(out + 8 * count, np.uint64(kind << 56 | length << 48 | (at - arena) << 24 | place))
    return count + 1


@inlined
def _tokens(
    begin: int, limit: int, at: int, end: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The word from `at` to `end` alone and joined with up to seven that follow it, each behind one joiner."""
    length = 0
    start = at
    found = count
    for _ in range(TOKEN_PIECES):
        size = end - start
        if length + size > TOKEN_MAX:
            break
        for place in range(0, size, 8):
            # a letter or digit with this bit set is itself in lower case
            put_word(free + length + place, word(start + place) | _SPACES)
        length += size
        if length >= TOKEN_MIN:
            count = _emit(_TOKEN | MINOR, free, length, at - begin, arena, out, count)
        if end + 1 >= limit or not _class(classes, end) & _JOIN or not _class(classes, end + 1) & _WORD:
            break
        start = end + 1
        end, _, _ = _word_end(start, limit)
    return (free + length if count > found else free), count


@kernel
def _iban(
    begin: int, limit: int, at: int, classes: int, lengths: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The account number that begins with the word at `at`, or behind "IBAN" there; its check digits hold."""
    if word(at) & np.uint64(0xDFDFDFDF) == np.uint64(0x4E414249):
        at += 4
    if at + 15 > limit or not _class(classes, at) & _class(classes, at + 1) & _LETTER:
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
        if kind & _WORD:
            gap = 0
            if kind & _DIGIT:
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
            if gap > 2 or not (kind & _GAP or char == 10 or char == 13):
                break
        place += 1
    # the head has six digits: two letters, two digits
    if length < wanted or (rest * 1000000 + head) % 97 != 1:
        return free, count
    count = _emit(_IBAN, free, length, at - begin, arena, out, count)
    return free + length, count


@kernel
def _email(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """The address around the @ at `at`: every plausible begin of the local part, every plausible end of the domain."""
    low = at
    while low > begin and _class(classes, low - 1) & _LOCAL and at - low <= LOCAL_MAX:
        low -= 1
    if at - low > LOCAL_MAX:
        low = at - LOCAL_MAX
        while low < at and not _class(classes, low - 1) & _WEAK:
            low += 1
    while low < at and not _class(classes, low) & _WORD and byte(low) != 95:
        low += 1
    if low == at or byte(at - 1) == 46:
        return free, count
    high = at + 1
    while high < limit and _class(classes, high) & _DOMAIN and high - at <= DOMAIN_MAX:
        high += 1
    if high - at > DOMAIN_MAX:
        return free, count
    for place in range(high - low):
        char = byte(low + place)
        put_byte(free + place, char | 0x20 if byte(classes + char) & _LETTER else char)
    label = end = at + 1
    dots = tried = 0
    while end <= high:
        if end == high or byte(end) == 46:
            # two characters or more may end an address; a dash is punctuation there
            stop = end
            while stop > label and byte(stop - 1) == 45:
                stop -= 1
            if stop - label >= 2 and dots > 0:
                kind = _EMAIL if end == high or not _class(classes, end + 1) & _WORD else _EMAIL | MINOR
                start = low
                while start < at and tried < 16:
                    count = _emit(kind, free + start - low, stop - start, start - begin, arena, out, count)
                    kind = _EMAIL | MINOR
                    tried += 1
                    start += 1
                    while start < at and not (_class(classes, start - 1) & _WEAK and _class(classes, start) & _WORD):
                        start += 1
            dots += 1
            label = end + 1
        end += 1
    return free + high - low, count


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
    return min(low_bit(~(runs(at) >> 32)), 32, limit - at)


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
        count = _emit(_NIR | minor, at, 13, place, arena, out, count)
    if (length == 9 and letter == corsica) or (length == 11 and not corsica):
        weak = minor if length == 11 or letter else MINOR
        count = _emit(_PROFESSIONAL | weak, at, length, place, arena, out, count)
    if not corsica:
        skip = _phone_start(at, length, plus)
        if skip >= 0:
            weak = minor if skip > 0 or plus else MINOR
            count = _emit(_PHONE | weak, at + skip, length - skip, place, arena, out, count)
    return count


@inlined
def _digits(
    begin: int, limit: int, at: int, classes: int, arena: int, free: int, out: int, count: int
) -> tuple[int, int]:
    """Numbers that begin with the group of digits at `at`, alone and with the groups that follow it."""
    plus = at > begin and byte(at - 1) == 43
    before = at - 1 - plus
    lone = not (before > begin and _class(classes, before) & _GAP and _class(classes, before - 1) & _DIGIT)
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
                if place < limit and _class(classes, place) & _DIGIT:
                    continue
        gap, wrapped = place, False
        while gap < limit and gap - place < 3:
            line_end = byte(gap) == 10 or byte(gap) == 13
            if not line_end and not _class(classes, gap) & _GAP:
                break
            wrapped = wrapped or line_end
            gap += 1
        more = gap > place and gap < limit and _class(classes, gap) & _DIGIT != 0
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
        count = _emit(_NIR | MINOR, free, 13, at - begin, arena, out, count)
    if end - at >= 11 and byte(free) == 49 and byte(free + 1) == 48:
        count = _emit(_PROFESSIONAL | MINOR, free, 11, at - begin, arena, out, count)
    if end - at >= 10 and byte(free) == 48 and byte(free + 1) != 48:
        count = _emit(_PHONE | MINOR, free + 1, 9, at - begin, arena, out, count)
    return (free + MAX_DIGITS + 1 if count > found else free), count


@inlined
def _groups(
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
        if not _class(classes, group) & _DIGIT:
            group += 1
            continue
        if count > room or free > full:
            return group, free, count
        over = group + _digit_run(group, end)
        while over < end and _class(classes, over) & _DIGIT:
            over += 1
        back = 0
        # only where the text was entered in the middle of a word
        while back <= MAX_DIGITS and group - back > begin and _class(classes, group - back - 1) & _DIGIT:
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


@inlined
def _sign(char: int, at: int, limit: int) -> int:
    """What one of the rare characters is a sign of."""
    if char == 0:
        return NUL
    if char == 60 or char == 91:
        return MARKUP
    if char == 61:
        return EQUALS
    # an apostrophe only if it is doubled, as in SQL
    return ESCAPE if char != 39 or (at + 1 < limit and byte(at + 1) == 39) else 0


@kernel
def is_noise(begin: int, size: int) -> bool:
    """Whether bytes are compressed, encrypted or otherwise random throughout; False for less than 64 KiB."""
    if size < _NOISE_LEAST:
        return False
    for window in range(begin, begin + size - _NOISE_WINDOW + 1, _NOISE_WINDOW):
        controls = highs = 0
        for at in range(window, window + _NOISE_WINDOW):
            char = byte(at)
            highs += char >= 128
            controls += (char < 32) & (char != 0) & (char != 9) & (char != 10) & (char != 13)
        if controls < _NOISE_CONTROLS or highs < _NOISE_HIGHS:
            return False
    return True


@kernel
def signs(begin: int, start: int, stop: int) -> int:
    """What `scan` would note in `start..stop`, without finding anything."""
    seen = 0
    since = at = begin + start
    while at < begin + stop:
        char = byte(at)
        if not ((char >= 48 and char <= 57) or ((char | 32) >= 97 and (char | 32) <= 122)):
            since = at + 1
            if (
                char == 0
                or char == 92
                or char == 38
                or char == 37
                or char == 39
                or char == 60
                or char == 91
                or char == 61
            ):
                seen |= _sign(char, at, begin + stop)
        elif at - since >= _LONG_WORD - 1:
            seen |= LONG
        at += 1
    return seen


@kernel
def scan(
    begin: int,
    size: int,
    start: int,
    stop: int,
    tokens: bool,
    classes: int,
    lengths: int,
    arena: int,
    arena_size: int,
    out: int,
    most: int,
) -> tuple[int, int, int]:
    """Find what can be a value and begins in `start..stop`; what stands around that is only looked at.

    The text is `size` folded bytes at the address `begin`; start and stop are places in it, from 0; tokens are found only
    where `tokens` says so; classes and lengths
    the addresses of the two tables. The arena is room for normal forms, `out` for `most` candidates.

    Returns:
        Where to go on (stop, or less if the room is used up), the number of candidates, and what was noted.
    """
    room, full = most - MARGIN, arena + arena_size - ARENA_MARGIN
    limit, stop = begin + size, begin + stop
    count = seen = ZERO
    free = arena
    at = begin + start
    inside = at > begin and _class(classes, at - 1) & _WORD != 0
    while at < stop:
        kind = _class(classes, at)
        if not kind & _WORD:
            inside = False
            if kind & _RARE:
                char = byte(at)
                if char == 64:
                    if count > room or free > full:
                        return at - begin, count, seen
                    free, count = _email(begin, limit, at, classes, arena, free, out, count)
                else:
                    seen |= _sign(char, at, limit)
            at += 1
            continue
        if count > room or free > full:
            return at - begin, count, seen
        end, letters, digits = _word_end(at, limit)
        kind = _class(classes, end) if end < limit else 0
        if end - at >= _LONG_WORD:
            seen |= LONG
        if not inside:
            if tokens and (
                end - at >= TOKEN_MIN or (kind & _JOIN and end + 1 < limit and _class(classes, end + 1) & _WORD)
            ):
                free, count = _tokens(begin, limit, at, end, classes, arena, free, out, count)
            if (end - at == 2 or (letters and digits)) and _class(classes, at) & _class(classes, at + 1) & _LETTER:
                free, count = _iban(begin, limit, at, classes, lengths, arena, free, out, count)
        if digits:
            place, free, count = _groups(begin, limit, at, end, stop, classes, arena, full, free, out, room, count)
            if place < min(end, stop):
                return place - begin, count, seen
        inside = False
        at = end
    return stop - begin, count, seen
