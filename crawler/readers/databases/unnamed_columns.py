"""Tells from bytes alone what the columns of a table hold whose description is in no file.

Numbers and dates are those of MySQL (InnoDB), the big end first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from crawler.readers.databases.compressed_column import are_compressed, uncompressed

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# in windows-1252 few texts need any of these signs; numbers are full of them
_NO_LATIN = re.compile(
    rb"[\x81-\x84\x86-\x8b\x8d-\x90\x95\x98-\x9b\x9d-\x9f\xa1-\xa6\xa8-\xaa\xac-\xaf\xb1\xb3-\xb6\xb8-\xba\xbc-\xbf]"
)
# characters of a text that stands behind its length
_MIN_TEXT = 2
_FIRST_YEAR, _LAST_YEAR = 1850, 2100
# rows that must agree before three or five bytes count as a date
MIN_DATES = 4
# of all rows; a few may be damaged, or hold 0000-00-00
_SHARE = 0.9
_LETTERS = 5
_FIXED_TEXT = frozenset((*range(32, 127), *range(0xC0, 0x100)))
_RUN = re.compile(rb"[\x20-\x7e\x80-\xff]{3,}")
_ASCII = re.compile(rb"[A-Za-z0-9]")


def text_or_none(data: bytes) -> str | None:
    """The text that bytes are, in UTF-8 or else windows-1252; None if they hold control characters."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        if _NO_LATIN.search(data):
            return None
        text = data.decode("cp1252")
    return None if _CONTROL.search(text) else text


def date_of(data: bytes) -> str:
    """The date that three bytes are in MySQL, '' if they are none."""
    number = int.from_bytes(data, "big") ^ 0x800000
    day, month, year = number & 31, number >> 5 & 15, number >> 9
    if day and 1 <= month <= 12 and _FIRST_YEAR <= year <= _LAST_YEAR:
        return f"{year:04}-{month:02}-{day:02}"
    return ""


def moment_of(data: bytes) -> str:
    """The date and time that five bytes are in MySQL, '' if they are none."""
    number = int.from_bytes(data[:5], "big") ^ 1 << 39
    months, days, times = number >> 22, number >> 17 & 31, number & 0x1FFFF
    year, month, hour = months // 13, months % 13, times >> 12
    if days and month and _FIRST_YEAR <= year <= _LAST_YEAR and hour < 24 and times >> 6 & 63 < 60 and times & 63 < 60:
        return f"{year:04}-{month:02}-{days:02} {hour:02}:{times >> 6 & 63:02}:{times & 63:02}"
    return ""


def number_of(data: bytes) -> str:
    """The number that bytes are in MySQL: with the first bit set it has a sign and is not below 0."""
    number, top = int.from_bytes(data, "big"), 1 << (8 * len(data) - 1)
    return str(number - top if number & top else number)


def decimal_of(data: bytes, whole: int, part: int) -> str:
    """The DECIMAL of MySQL that bytes are: nine digits in four bytes each, fewer digits in fewer bytes; '' if it is none.

    Args:
        data: its bytes.
        whole: number of digits before the point.
        part: number of digits behind it.
    """
    if not data:
        return ""
    is_negative = not data[0] & 0x80
    # the first bit tells the sign, and all bits of a number below 0 are inverted
    data = bytes([data[0] ^ 0x80, *data[1:]])
    if is_negative:
        data = bytes(byte ^ 0xFF for byte in data)
    sizes = [whole % 9, *[9] * (whole // 9), *[9] * (part // 9), part % 9]
    digits, at = "", 0
    for size in sizes:
        width = (size + 1) // 2 if size < 9 else 4
        digits += str(int.from_bytes(data[at : at + width], "big")).zfill(size) if size else ""
        at += width
    if at != len(data) or len(digits) != whole + part:
        return ""
    shown = digits[:whole].lstrip("0") or "0"
    return "-" * is_negative + shown + ("." + digits[whole:] if part else "")


def read_column(values: Sequence[bytes | None], *, little: bool = False) -> list[bytes]:
    """The values of a column as text; those that are neither text nor a date nor a number are left empty.

    Args:
        values: None for NULL. Those of a column that MariaDB compresses are opened.
        little: dates of three bytes and numbers have their small end first, as in MyISAM.
    """
    given = [value for value in values if value]
    if are_compressed(given):
        values = [uncompressed(value) if value else value for value in values]
        given = [value for value in values if value]
    elif little and given and not all(text_or_none(value) is not None for value in given):
        return _read_little(values, given)
    sizes = {len(value) for value in given}
    size = sizes.pop() if len(sizes) == 1 else 0
    if not all(text_or_none(value) is not None for value in given):
        for width, form in ((3, date_of), (5, moment_of)):
            if size == width and len(given) >= MIN_DATES and all(map(form, given)):
                return [form(value).encode() if value else b"" for value in values]
        if size in (4, 8):
            return [number_of(value).encode() if value else b"" for value in values]
    return [value if value and text_or_none(value) is not None else b"" for value in values]


def _read_little(values: Sequence[bytes | None], given: Sequence[bytes]) -> list[bytes]:
    size = len(given[0]) if len({len(value) for value in given}) == 1 else 0
    dates = [date_of((int.from_bytes(value, "little") | 0x800000).to_bytes(3, "big")) for value in given if size == 3]
    if dates and sum(map(bool, dates)) >= _SHARE * len(dates):
        shown = iter(dates)
        return [next(shown).encode() if value else b"" for value in values]
    if size in (4, 8):
        return [b"%d" % int.from_bytes(value, "little", signed=True) if value else b"" for value in values]
    return [value if value and text_or_none(value) is not None else b"" for value in values]


def holds_hidden_texts(values: Sequence[bytes | None], shown: Sequence[bytes]) -> bool:
    """Whether many values of a column were left out that are mostly letters: their beginning was not found."""
    left_out = [
        value for value, text in zip(values, shown, strict=True) if value and len(value) >= _LETTERS and not text
    ]
    # the bytes of a time or a number may look like accented letters
    mixed = sum(
        len(b"".join(_RUN.findall(value))) * 10 >= len(value) * 7 and len(_ASCII.findall(value)) * 2 >= len(value)
        for value in left_out
    )
    return mixed >= max(MIN_DATES, len(shown) // 4)


def divide_fixed(samples: Sequence[bytes]) -> list[tuple[int, int]]:
    """Divide bytes that stand in the same place of all rows into columns: (where one begins, its length).

    What is neither text nor a date nor as long as a number is left out.
    """
    size = len(samples[0]) if samples else 0
    most = _SHARE * len(samples)
    texts = [sum(row[at] in _FIXED_TEXT for row in samples) >= most for at in range(size)]
    taken: list[tuple[int, int]] = []
    at = start = 0

    def rest(stop: int) -> None:
        if stop - start in (4, 8):
            taken.append((start, stop - start))

    while at < size:
        width = next(
            (
                width
                for width, form in ((3, date_of), (5, moment_of))
                if at + width <= size
                and len(samples) >= MIN_DATES
                and sum(bool(form(row[at : at + width])) for row in samples) >= _SHARE * len(samples)
            ),
            0,
        )
        if not width and texts[at]:
            width = next((to for to in range(1, size - at) if not texts[at + to]), size - at)
            # a part of a number may look like a letter
            if width == 1 and len({row[at] for row in samples}) > _LETTERS:
                width = 0
        if width:
            rest(at)
            taken.append((at, width))
            at += width
            start = at
        else:
            at += 1
    rest(size)
    return taken


def text_pieces(data: bytes) -> bytes:
    """The text in bytes of unknown structure, one line of UTF-8."""
    texts = (text_or_none(piece) for piece in _RUN.findall(data))
    return " ".join(text for text in texts if text is not None).encode()


def prefixed_texts(data: bytes) -> list[bytes]:
    """The texts in bytes of unknown structure that stand behind their length, and other runs of characters.

    Returns:
        UTF-8, in their order.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        for width in (1, 2):
            size = int.from_bytes(data[at : at + width], "little")
            text = data[at + width : at + width + size]
            if size >= _MIN_TEXT and len(text) == size and text[0] > 0x20 and (shown := text_or_none(text)) is not None:
                found.append(shown.encode())
                at += width + size
                break
        else:
            run = _RUN.match(data, at)
            if run is not None and (shown := text_or_none(run[0])) is not None:
                found.append(shown.encode())
                at = run.end()
            else:
                at += 1
    return found


def shape_of(text: str) -> str:
    """The kinds of the characters of a text, each run of one kind once: 'Aa' for a name.

    Of a text of digits alone the length counts too.
    """
    if text.isdigit():
        return "9" * len(text[:40])
    shape: list[str] = []
    for char in text[:40]:
        kind = "9" if char.isdigit() else char if not char.isalpha() else "A" if char.isupper() else "a"
        if not shape or shape[-1] != kind:
            shape.append(kind)
    return "".join(shape[:12])
