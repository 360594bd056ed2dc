"""Formats the values of cells as text by their number formats: numbers, dates, times and zero-padded digits.

Other modules read the cells and their positions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import Enum

from crawler.readers.core.source import Source
from crawler.readers.structured.xml_tokens import parse_attributes, token_blocks

MAX_STYLES = 65_536
_MAX_CACHED = 200_000
# Excel does not allow longer format codes
_MAX_CODE = 255
_SECONDS_PER_DAY = 86_400
# Days are counted from 30 December 1899, at least after the 29 February 1900, which did not exist. The last day is
# 31 December 9999.
_DAY_0 = date(1899, 12, 30).toordinal()
_LAST_DAY = 2_958_465
# ECMA-376 part 1, 18.8.30, and the formats that Excel uses for the ids of other languages
_DATE_IDS = frozenset([*range(14, 18), 22, *range(27, 37), *range(50, 59)])
_TIME_IDS = frozenset([18, 19, 20, 21, 45, 46, 47])
# quoted words, escaped letters, fill and width characters, colours and conditions; but [h], [m] and [s] are times
_LITERALS = re.compile(r'"[^"]*"|\\.|[_*].|\[(?!(?:h+|m+|s+)\])[^\]]{0,255}\]', re.IGNORECASE)
_ESCAPED = re.compile(rb"_x([0-9a-fA-F]{4})_")


class DisplayKind(Enum):
    """As what a cell displays its number."""

    NUMBER = 0
    DATE = 1
    TIME = 2


class NumberStyle:
    """How a cell displays its number.

    Attributes:
        kind: as a number, a date or a time.
        digits: the number is padded with leading zeros to this many digits.
    """

    __slots__ = ("digits", "kind")

    def __init__(self, kind: DisplayKind = DisplayKind.NUMBER, digits: int = 0) -> None:
        self.kind = kind
        self.digits = digits


PLAIN_STYLE = NumberStyle()


def style_of_format(format_id: int, code: str = "") -> NumberStyle:
    """The style of a number format, given by its id, and by its code if the workbook defines the format."""
    if not code:
        if format_id in _DATE_IDS:
            return NumberStyle(DisplayKind.DATE)
        return NumberStyle(DisplayKind.TIME) if format_id in _TIME_IDS else PLAIN_STYLE
    bare = _LITERALS.sub("", code).split(";")[0].lower()
    if bare.strip() in ("general", "@", "standard"):
        return PLAIN_STYLE
    letters = set(bare)
    if letters & set("ydg") or ("m" in letters and not letters & set("hs#0?")):
        return NumberStyle(DisplayKind.DATE)
    if letters & set("hs"):
        return NumberStyle(DisplayKind.TIME)
    # only the format keeps the leading zeros of a telephone number or a postcode, for example 0#" "##" "##" "##" "##
    whole = re.split(r"[.e%/]", bare)[0]
    first = whole.find("0")
    digits = sum(whole.count(mark, first) for mark in "0#?") if first >= 0 and "," not in whole else 0
    return NumberStyle(digits=digits) if digits > 1 else PLAIN_STYLE


def read_styles(source: Source) -> list[NumberStyle]:
    """Read the styles of cells, which refer to them by index, from the styles part of a workbook."""
    codes: dict[int, str] = {}
    made: dict[int, NumberStyle] = {}
    styles: list[NumberStyle] = []
    inside = False
    for block in token_blocks(source):
        for slash, name, attrs, _ in block:
            if name == b"cellXfs":
                inside = not slash
            elif name == b"numFmt" and not slash and len(codes) < MAX_STYLES:
                found = parse_attributes(attrs)
                codes[_parse_id(found.get(b"numFmtId"))] = found.get(b"formatCode", b"").decode("utf-8", "replace")
            elif name == b"xf" and inside and not slash and len(styles) < MAX_STYLES:
                format_id = _parse_id(parse_attributes(attrs).get(b"numFmtId"))
                if format_id not in made:
                    made[format_id] = style_of_format(format_id, codes.get(format_id, "")[:_MAX_CODE])
                styles.append(made[format_id])
    return styles


def _parse_id(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 10 else 0


class _DateTexts(dict[bytes, bytes]):
    """Maps numbers of days to dates or times as text; it caches them, because a column has few different dates.

    Args:
        kind: dates or times.
        from_1904: days are counted from 1904.
    """

    def __init__(self, kind: DisplayKind, *, from_1904: bool) -> None:
        super().__init__()
        self._kind = kind
        self._offset = 1462 if from_1904 else 0

    def __missing__(self, text: bytes) -> bytes:
        """The date or time that a number stands for; other text unchanged."""
        if len(self) >= _MAX_CACHED:
            self.clear()
        shown = self[text] = self._format(text)
        return shown

    def _format(self, text: bytes) -> bytes:
        try:
            serial = float(text)
        except ValueError:
            return text
        if not 0 <= serial < _LAST_DAY:
            return plain_number(text)
        seconds = round(serial % 1 * _SECONDS_PER_DAY)
        if serial < 1 and self._kind is DisplayKind.TIME:
            return b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
        days = int(serial) + self._offset
        # day 1 is 1 January 1900; day 60 would be 29 February 1900, which did not exist
        days += 1 if days < 60 and not self._offset else 0
        if days >= _LAST_DAY:
            return plain_number(text)
        day = date.fromordinal(_DAY_0 + days + seconds // _SECONDS_PER_DAY).isoformat().encode()
        seconds %= _SECONDS_PER_DAY
        if not seconds:
            return day
        return day + b" %02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


class NumberFormatter:
    """Formats the numbers of one workbook as text.

    Args:
        styles: the styles of the workbook, by index.
        from_1904: the workbook counts days from 1904.
    """

    def __init__(self, styles: list[NumberStyle], *, from_1904: bool) -> None:
        self._styles = styles
        self._dates = {kind: _DateTexts(kind, from_1904=from_1904) for kind in DisplayKind}

    def style_at(self, index: bytes) -> NumberStyle:
        """The style with this index; the plain style if there is none."""
        if not index or len(index) > 6:
            return PLAIN_STYLE
        at = int(index)
        return self._styles[at] if at < len(self._styles) else PLAIN_STYLE

    def format_number(self, text: bytes, style: NumberStyle) -> bytes:
        """A number as a cell of this style displays it; text that is not a number is returned unchanged."""
        if style.kind is not DisplayKind.NUMBER:
            return self._dates[style.kind][text]
        if not text.isdigit():
            text = plain_number(text)
        return text.rjust(style.digits, b"0") if style.digits > len(text) and text.isdigit() else text

    def format_column(self, values: Sequence[bytes], style: NumberStyle) -> Sequence[bytes]:
        """As `format_number` for many values, some of which may be empty."""
        if style.kind is not DisplayKind.NUMBER:
            return list(map(self._dates[style.kind].__getitem__, values))
        if not style.digits and b"".join(values).isdigit():
            return values
        return [self.format_number(value, style) if value else b"" for value in values]


def plain_number(text: bytes) -> bytes:
    """A number without an exponent and without the rounding error of binary numbers: 1.85E+14 is 185000000000000."""
    if b"." not in text and b"e" not in text and b"E" not in text:
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    if not -1e21 < value < 1e21:
        return text
    if value.is_integer():
        return b"%d" % int(value)
    shown = f"{value:.15g}"
    return (f"{value:.20f}".rstrip("0") if "e" in shown else shown).encode()


def unescape_characters(text: bytes) -> bytes:
    """Resolve escapes such as `_x000D_`, by which strings of a workbook write characters that XML does not allow."""
    return _ESCAPED.sub(_character, text) if b"_x" in text else text


def _character(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code < 0xE000 or code == 0 else chr(code).encode()
