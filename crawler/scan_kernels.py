"""The compiled loops of the byte pass: folding to ASCII, finding values in folded text, tagging them; views are `scan_views.py`.

Everything here is local: what is found at a place depends on at most `REACH` bytes around it, never on where a block began.
"""

from __future__ import annotations

import string
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from data.kernels import inlined, kernel
from data.normalise import fold

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

# bytes that a buffer must have behind its last used one: the loops load eight at a time
SLACK = 64
# no candidate is longer than this many folded bytes, separators included
REACH = 320

TOKEN_MIN, TOKEN_MAX, TOKEN_PIECES = 8, 64, 8
LOCAL_MAX, DOMAIN_MAX = 64, 128
MAX_DIGITS = 15
# one word gives at most this many candidates before the loop looks at the room that is left
_MARGIN, _ARENA_MARGIN = 256, 8192

EMAIL, PHONE, NIR, IBAN, PROFESSIONAL, TOKEN = 1, 2, 3, 4, 5, 6

_LETTER, _DIGIT, _JOIN, _AT, _GAP, _LOCAL, _DOMAIN, _WEAK = 1, 2, 4, 8, 16, 32, 64, 128
_WORD = _LETTER | _DIGIT


def _classes() -> U8:
    table = np.zeros(256, np.uint8)
    for members, bits in (
        (string.ascii_letters, _LETTER | _LOCAL | _DOMAIN),
        (string.digits, _DIGIT | _LOCAL | _DOMAIN),
        ("-_.", _JOIN),
        ("@", _AT),
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

OTHER = 1  # the byte that stands for a symbol without an ASCII reading; no class has it
_LOW, _HIGH, _MATHS = 0x3400, 0xFB00, 0x1D400
_MATHS_SIZE = 0x400


def _packed(character: str) -> int:
    """Up to three ASCII bytes from the low end, their number in the top byte."""
    folded = fold(character)
    if len(folded) > 3 or not folded.isascii():
        folded = chr(OTHER)
    return int.from_bytes(folded.encode().ljust(3, b"\0") + bytes([len(folded)]), "little")


@cache
def fold_table() -> NDArray[np.uint32]:
    """The ASCII reading of every symbol that `fold_bytes` knows; an argument, so that compiled code never freezes it."""
    points = [*range(_LOW), *range(_HIGH, 0x10000), *range(_MATHS, _MATHS + _MATHS_SIZE)]
    return np.array([_packed(chr(point)) for point in points], np.uint32)


# what the bytes 80..9F mean in cp1252; the five it leaves open stay control characters
CP1252 = np.array([ord(bytes([byte]).decode("cp1252", "ignore") or chr(byte)) for byte in range(256)], np.int32)


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


def _element(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.gep_inbounds(builder, view.data, index)


@intrinsic
def load64(typing: Any, array: Any, index: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Eight bytes of a uint8 array as one little-endian word, at any alignment, unchecked."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(array, types.intp), code


@intrinsic
def store64(typing: Any, array: Any, index: Any, word: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The inverse of `load64`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint64), code


_C0, _C1, _C2, _C3 = (
    np.uint64(word) for word in (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_HIGHS = np.uint64(0x8080808080808080)
_SPACES = np.uint64(0x2020202020202020)


@inlined
def _rotate(word, bits):  # type: ignore[no-untyped-def]  # numba infers
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@inlined
def _round(v0, v1, v2, v3):  # type: ignore[no-untyped-def]  # numba infers
    v0 += v1
    v2 += v3
    v1 = _rotate(v1, 13) ^ v0
    v3 = _rotate(v3, 16) ^ v2
    v0 = _rotate(v0, 32)
    v2 += v1
    v0 += v3
    v1 = _rotate(v1, 17) ^ v2
    v3 = _rotate(v3, 21) ^ v0
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


@kernel
def tag_of(k0, k1, kind, text, start, length):  # type: ignore[no-untyped-def]  # numba infers
    """`data.tags.probe_tag` of `text[start:start + length]`, length >= 1; `text` has `SLACK` behind it."""
    v0, v1, v2, v3 = k0 ^ _C0, k1 ^ _C1, k0 ^ _C2, k1 ^ _C3
    total = length + 1
    word = (load64(text, start) << np.uint64(8)) | np.uint64(kind)
    at = start + 7
    for _ in range(total >> 3):
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        word = load64(text, at)
        at += 8
    rest = np.uint64(8 * (total & 7))
    word = (word & ~(_ONES << rest)) | (np.uint64(total & 255) << np.uint64(56))
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= np.uint64(255)
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    tag = v0 ^ v1 ^ v2 ^ v3
    return tag if tag != 0 else np.uint64(1)


@inlined
def symbol_at(source, at, end, cp1252):  # type: ignore[no-untyped-def]  # numba infers
    """Code point and length of the symbol that begins with the high byte at `at`: UTF-8 where valid, else cp1252."""
    first = np.int64(source[at])
    if first >= 0xC2 and first < 0xF5:
        size = 2 + (first >= 0xE0) + (first >= 0xF0)
        if at + size <= end:
            point = first & (0x7F >> size)
            valid = True
            for place in range(at + 1, at + size):
                valid &= (source[place] & 0xC0) == 0x80
                point = (point << 6) | np.int64(source[place] & 0x3F)
            if valid:
                return point, size
    return np.int64(cp1252[first]), 1


@kernel
def fold_bytes(source, n, low, high, table, cp1252, out, marks_out, marks_in):  # type: ignore[no-untyped-def]
    """Write the ASCII reading of `source[:n]` to `out`, letters in their own case where they were ASCII.

    Args:
        source, out: uint8 with `SLACK` behind n and behind 3 * n.
        low, high: places of `source`, low <= high <= n.
        marks_out, marks_in: int64, shape (n + 1,) or more: filled with places of `out` and the place of `source` that each came from;
            between two marks both run in step.

    Returns:
        Bytes written, marks written, and the places of `out` where the symbols that begin at or behind low and high begin.
    """
    i = o = marks = 0
    low_out = high_out = -1
    while i < n:
        word = load64(source, i)
        if word & _HIGHS == 0 and i + 8 <= n:
            store64(out, o, word)
            if low_out < 0 and i + 8 > low:
                low_out = o + max(low - i, 0)
            if high_out < 0 and i + 8 > high:
                high_out = o + max(high - i, 0)
            i += 8
            o += 8
            continue
        if low_out < 0 and i >= low:
            low_out = o
        if high_out < 0 and i >= high:
            high_out = o
        byte = source[i]
        if byte < 0x80:
            out[o] = byte
            i += 1
            o += 1
            continue
        point, size = symbol_at(source, i, n, cp1252)
        packed = np.uint32(0x01000001)
        if point < _LOW:
            packed = table[point]
        elif point >= _HIGH and point < 0x10000:
            packed = table[point - _HIGH + _LOW]
        elif point >= _MATHS and point < _MATHS + _MATHS_SIZE:
            packed = table[point - _MATHS + _LOW + 0x10000 - _HIGH]
        count = np.int64(packed >> np.uint32(24))
        for place in range(count):
            out[o + place] = np.uint8((packed >> np.uint32(8 * place)) & np.uint32(0xFF))
        i += size
        o += count
        marks_out[marks] = o
        marks_in[marks] = i
        marks += 1
    if low_out < 0:
        low_out = o
    if high_out < 0:
        high_out = o
    return o, marks, low_out, high_out


@kernel
def look_over(source, n):  # type: ignore[no-untyped-def]  # numba infers
    """Whether `source[:n]` has high bytes, NULs, escapes (backslash, &, %) and marks of markup (<, [, =), in bits 0 to 3."""
    high = nul = escape = markup = np.uint8(0)
    for place in range(n):
        byte = source[place]
        high |= byte & np.uint8(0x80)
        nul |= np.uint8(byte == 0)
        escape |= np.uint8(byte == 0x5C) | np.uint8(byte == 0x26) | np.uint8(byte == 0x25)
        markup |= np.uint8(byte == 0x3C) | np.uint8(byte == 0x5B) | np.uint8(byte == 0x3D)
    return (high != 0) | (nul != 0) << 1 | (escape != 0) << 2 | (markup != 0) << 3


# --- finding values in folded text -----------------------------------------------------------------------------------
#
# A function that finds something takes and gives back `count` (candidates so far) and `used` (bytes of the arena used).
# The arena holds normal forms; a candidate is its tag and a word: kind (8 bits), length (8), place in the arena (24),
# place in the text (24). Kinds above 127 are readings that `values` leaves out.

_MINOR = 128


@inlined
def _emit(kind, start, length, at, k0, k1, arena, tags, metas, count):  # type: ignore[no-untyped-def]
    tags[count] = tag_of(k0, k1, kind & 127, arena, start, length)
    metas[count] = kind << 56 | length << 48 | start << 24 | at
    return count + 1


@kernel
def _tokens(text, n, at, end, classes, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """The word `text[at:end]` alone and joined with up to seven that follow it, each behind one joiner."""
    length = 0
    start = at
    found = False
    for piece in range(TOKEN_PIECES):
        size = end - start
        if length + size > TOKEN_MAX:
            break
        for place in range(0, size, 8):
            # a letter or digit with this bit set is itself in lower case
            store64(arena, used + length + place, load64(text, start + place) | _SPACES)
        length += size
        if length >= TOKEN_MIN:
            count = _emit(TOKEN | _MINOR, used, length, at, k0, k1, arena, tags, metas, count)
            found = True
        if end + 1 >= n or not classes[text[end]] & _JOIN or not classes[text[end + 1]] & _WORD:
            break
        start = end + 1
        end = start + 1
        while end < n and classes[text[end]] & _WORD and end - start <= TOKEN_MAX:
            end += 1
    return (used + length if found else used), count


@kernel
def _iban(text, n, at, lengths, classes, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """The account number that begins with the word at `at`, whose check digits hold."""
    first, second = text[at] & 0xDF, text[at + 1] & 0xDF
    wanted = np.int64(lengths[(np.int64(first) - 65) * 26 + np.int64(second) - 65])
    if wanted == 0:
        return used, count
    length = 0
    place = at
    gap = 0
    # modulo 97 of the whole with the first four characters moved behind it
    head = rest = 0
    while length < wanted and place < n:
        byte = np.int64(text[place])
        kind = classes[byte]
        if kind & _WORD:
            gap = 0
            arena[used + length] = byte | 0x20
            digit = kind & _DIGIT
            if (length < 2) == (digit != 0) and length < 4:
                return used, count
            value = byte - 48 if digit else (byte | 0x20) - 87
            if length < 4:
                head = (head * 10 + value) if digit else (head * 100 + value)
            else:
                rest = (rest * 10 + value) % 97 if digit else (rest * 100 + value) % 97
            length += 1
        else:
            gap += 1
            if gap > 2 or not kind & _GAP:
                break
        place += 1
    # the head is six digits long: two letters, two digits
    if length < wanted or (rest * 1000000 + head) % 97 != 1:
        return used, count
    count = _emit(IBAN, used, length, at, k0, k1, arena, tags, metas, count)
    return used + length, count


@kernel
def _email(text, n, at, classes, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """The address around the @ at `at`: every plausible begin of the local part with every plausible end of the domain."""
    low = at
    while low > 0 and classes[text[low - 1]] & _LOCAL and at - low <= LOCAL_MAX:
        low -= 1
    if at - low > LOCAL_MAX:
        low = at - LOCAL_MAX
        while low < at and not classes[text[low - 1]] & _WEAK:
            low += 1
    while low < at and not classes[text[low]] & _WORD and text[low] != 95:
        low += 1
    if low == at or text[at - 1] == 46:
        return used, count
    high = at + 1
    while high < n and classes[text[high]] & _DOMAIN and high - at <= DOMAIN_MAX:
        high += 1
    if high - at > DOMAIN_MAX:
        return used, count
    size = high - low
    for place in range(size):
        byte = text[low + place]
        arena[used + place] = byte | 0x20 if classes[byte] & _LETTER else byte
    label = at + 1
    dots = 0
    alternates = 0
    end = at + 1
    while end <= high:
        if end == high or text[end] == 46:
            # a label ends here: at least two letters, or an international one, may end an address
            stop = end
            while stop > label and text[stop - 1] == 45:
                stop -= 1
            if stop - label >= 2 and dots > 0 and classes[text[label]] & _LETTER:
                kind = EMAIL if end == high or not classes[text[end + 1]] & _WORD else EMAIL | _MINOR
                begin = low
                while begin < at and alternates < 16:
                    count = _emit(
                        kind, used + begin - low, stop - begin, begin, k0, k1, arena, tags, metas, count
                    )
                    kind = EMAIL | _MINOR
                    alternates += 1
                    begin += 1
                    while begin < at and not (classes[text[begin - 1]] & _WEAK and classes[text[begin]] & _WORD):
                        begin += 1
            dots += 1
            label = end + 1
        end += 1
    return used + size, count


@inlined
def _is_nir(arena, start):  # type: ignore[no-untyped-def]  # numba infers
    """Whether digits can be a NIR: sex, then month (20 and above where the month is not known)."""
    sex = arena[start] - 48
    month = (arena[start + 3] - 48) * 10 + arena[start + 4] - 48
    return ((sex >= 1 and sex <= 4) or sex == 7 or sex == 8) and (
        (month >= 1 and month <= 12) or (month >= 20 and month <= 42) or month >= 50
    )


@kernel
def _phone_start(arena, start, length, plus):  # type: ignore[no-untyped-def]  # numba infers
    """How many of `length` digits (9 or more) stand before the normal form of a phone number, or -1 if they are none."""
    skip = 0
    if not plus:
        if arena[start] == 48 and arena[start + 1] == 48:
            skip = 2
        else:
            if length == 10 and arena[start] == 48:
                skip = 1
            elif length == 11 and arena[start] == 51 and arena[start + 1] == 51:
                skip = 2
            elif length == 12 and arena[start] == 51 and arena[start + 1] == 51 and arena[start + 2] == 48:
                skip = 3
            return skip if length - skip == 9 and arena[start + skip] != 48 else -1
    a, b, c = arena[start + skip], arena[start + skip + 1], arena[start + skip + 2]
    national = 0
    if a == 51 and b == 51:
        national = 2
    elif (a == 50 and b == 54 and c == 50) or (a == 53 and b == 57 and (c == 48 or c == 52 or c == 54)):
        # overseas: +262, 590, 594 and 596 are dialled at home like any French number
        national = 3
    if national:
        skip += national
        if length - skip == 10 and arena[start + skip] == 48:
            skip += 1
        return skip if length - skip == 9 and arena[start + skip] != 48 else -1
    return skip if length - skip >= 8 and arena[start + skip] != 48 else -1


@inlined
def _readings(at, plus, corsica, lone, k0, k1, arena, start, length, tags, metas, count):  # type: ignore[no-untyped-def]
    """What `length` digits in the arena can be; `lone` if no further digits stand beside them in the text."""
    minor = 0 if lone else _MINOR
    letter = corsica and arena[start + 1] > 57
    if (length == 13 or length == 15) and not letter and _is_nir(arena, start):
        count = _emit(NIR | minor, start, 13, at, k0, k1, arena, tags, metas, count)
    if (length == 9 and letter == corsica) or (length == 11 and not corsica):
        weak = minor if length == 11 or letter else _MINOR
        count = _emit(PROFESSIONAL | weak, start, length, at, k0, k1, arena, tags, metas, count)
    if not corsica:
        skip = _phone_start(arena, start, length, plus)
        if skip >= 0:
            weak = minor if skip > 0 or plus else _MINOR
            count = _emit(PHONE | weak, start + skip, length - skip, at, k0, k1, arena, tags, metas, count)
    return count


@kernel
def _digits(text, n, at, classes, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """Numbers that begin with the group of digits at `at`, alone and with the groups that follow it."""
    plus = at > 0 and text[at - 1] == 43
    before = at - 1 - plus
    lone = not (before > 0 and classes[text[before]] & _GAP and classes[text[before - 1]] & _DIGIT)
    length = 0
    place = at
    corsica = False
    found = count
    while True:
        while place < n and classes[text[place]] & _DIGIT and length <= MAX_DIGITS:
            arena[used + length] = text[place]
            length += 1
            place += 1
        if length > MAX_DIGITS:
            break
        if (length == 6 or length == 1) and not corsica and place < n and arena[used + length - 1] == 50:
            letter = text[place] | 0x20
            if letter == 97 or letter == 98:
                # Corsica; in a NIR 2A counts as 19 and 2B as 18, a FINESS number keeps its letter
                corsica = True
                if length == 6:
                    arena[used + 5] = 49
                    arena[used + 6] = 57 if letter == 97 else 56
                else:
                    arena[used + 1] = letter
                length += 1
                place += 1
                if place < n and classes[text[place]] & _DIGIT:
                    continue
        gap = place
        while gap < n and gap - place < 3 and classes[text[gap]] & _GAP:
            gap += 1
        more = gap > place and gap < n and classes[text[gap]] & _DIGIT
        if length >= 8:
            count = _readings(at, plus, corsica, lone and not more, k0, k1, arena, used, length, tags, metas, count)
        if not more or length == MAX_DIGITS:
            break
        place = gap
        if text[gap] == 48 and text[gap - 1] == 40 and gap + 1 < n and text[gap + 1] == 41:
            # the (0) of +32 (0)470… is not part of the number
            abroad = plus or (arena[used] == 48 and arena[used + 1] == 48)
            place = gap + 1 if abroad else gap
    # sixteen digits may have been written, and only fifteen read
    return (used + MAX_DIGITS if count > found else used), count


@kernel
def _long_digits(text, at, over, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """Numbers that begin at `at` in more than fifteen digits without a gap, which end at `over` (columns of fixed width)."""
    for place in range(0, 16, 8):
        store64(arena, used + place, load64(text, at + place))
    found = count
    left = over - at
    if left >= 13 and _is_nir(arena, used):
        count = _emit(NIR | _MINOR, used, 13, at, k0, k1, arena, tags, metas, count)
    if left >= 11 and arena[used] == 49 and arena[used + 1] == 48:
        count = _emit(PROFESSIONAL | _MINOR, used, 11, at, k0, k1, arena, tags, metas, count)
    if left >= 10 and arena[used] == 48 and arena[used + 1] != 48:
        count = _emit(PHONE | _MINOR, used + 1, 9, at, k0, k1, arena, tags, metas, count)
    return (used + MAX_DIGITS + 1 if count > found else used), count


@kernel
def _groups(text, n, at, end, stop, classes, k0, k1, arena, used, tags, metas, count):  # type: ignore[no-untyped-def]
    """Numbers that begin at or behind `at` in the word that ends at `end`; also gives back where room ran out."""
    room, arena_room = len(tags) - _MARGIN, len(arena) - _ARENA_MARGIN
    last = min(end, stop)
    group = at
    while group < last:
        if not classes[text[group]] & _DIGIT:
            group += 1
            continue
        if count > room or used > arena_room:
            return group, used, count
        over = group + 1
        while over < end and classes[text[over]] & _DIGIT:
            over += 1
        back = 0
        while back <= MAX_DIGITS and group - back > 0 and classes[text[group - back - 1]] & _DIGIT:
            back += 1
        if back + over - group > MAX_DIGITS:
            for place in range(group, min(over - 9, stop)):
                if count > room or used > arena_room:
                    return place, used, count
                used, count = _long_digits(text, place, over, k0, k1, arena, used, tags, metas, count)
        elif back == 0:
            used, count = _digits(text, n, group, classes, k0, k1, arena, used, tags, metas, count)
        group = over
    return last, used, count


@kernel
def scan(text, n, start, stop, classes, lengths, k0, k1, arena, tags, metas):  # type: ignore[no-untyped-def]
    """Find and tag what can be a value and begins in `text[start:stop]`; what stands around that is only looked at.

    Args:
        text: uint8, folded, with `SLACK` behind n. arena: uint8. tags, metas: uint64 and int64, of one length.

    Returns:
        Where to go on (stop, or less if the arena or `tags` is full) and the number of candidates.
    """
    room, arena_room = len(tags) - _MARGIN, len(arena) - _ARENA_MARGIN
    count = used = 0
    at = start
    inside = at > 0 and classes[text[at - 1]] & _WORD != 0
    while at < stop:
        kind = classes[text[at]]
        if not kind & _WORD:
            inside = False
            if kind & _AT:
                if count > room or used > arena_room:
                    return at, count
                used, count = _email(text, n, at, classes, k0, k1, arena, used, tags, metas, count)
            at += 1
            continue
        if count > room or used > arena_room:
            return at, count
        end = at + 1
        every = kind
        while end < n:
            kind = classes[text[end]]
            if not kind & _WORD:
                break
            every |= kind
            end += 1
        if not inside:
            if end - at >= TOKEN_MIN or (kind & _JOIN and end + 1 < n and classes[text[end + 1]] & _WORD):
                used, count = _tokens(text, n, at, end, classes, k0, k1, arena, used, tags, metas, count)
            if (end - at == 2 or every & _DIGIT) and end < n and classes[text[at]] & _LETTER and end - at >= 2:
                if classes[text[at + 1]] & _LETTER:
                    used, count = _iban(text, n, at, lengths, classes, k0, k1, arena, used, tags, metas, count)
        if every & _DIGIT:
            place, used, count = _groups(text, n, at, end, stop, classes, k0, k1, arena, used, tags, metas, count)
            if place < min(end, stop):
                return place, count
        inside = False
        at = end
    return stop, count
