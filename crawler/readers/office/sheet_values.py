"""What the cells of a workbook show: numbers, dates and padded digits as text by their styles; where cells stand is left to others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from enum import Enum

from crawler.readers.core.source import Source
from crawler.readers.structured.xml_tokens import parse_attributes, token_blocks

MAX_STYLES = 65_536
_MAX_CACHED = 200_000
# Excel allows no longer format
_MAX_CODE = 255
_DAY = 86_400
# 30 December 1899, from which days count once the 29 February that never was lies behind; 31 December 9999
_DAY_0 = date(1899, 12, 30).toordinal()
_LAST_DAY = 2_958_465
# ECMA-376 part 1, 18.8.30, and what Excel shows for the ids of other languages
_DATE_IDS = frozenset([*range(14, 18), 22, *range(27, 37), *range(50, 59)])
_TIME_IDS = frozenset([18, 19, 20, 21, 45, 46, 47])
# quoted words, escaped letters, fill and width marks, colours and conditions; [h] and its like are times
_LITERALS = re.compile(r'"[^"]*"|\\.|[_*].|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE)
_ESCAPED = re.compile(rb"_x([0-9a-fA-F]{4})_")


class Shows(Enum):
    """What a style makes of a number."""

    NUMBER = 0
    DATE = 1
    TIME = 2


class Style:
    """How a cell shows its number.

    Attributes:
        shows: as what. digits: it is filled up with zeros to so many.
    """

    __slots__ = ("digits", "shows")

    def __init__(self, shows: Shows = Shows.NUMBER, digits: int = 0) -> None:
        self.shows = shows
        self.digits = digits


PLAIN = Style()


def style_of(identity: int, code: str = "") -> Style:
    """The style of a number format by its id, or by its code where the workbook defines it."""
    if not code:
        if identity in _DATE_IDS:
            return Style(Shows.DATE)
        return Style(Shows.TIME) if identity in _TIME_IDS else PLAIN
    bare = _LITERALS.sub("", code).split(";")[0].lower()
    if bare.strip() in ("general", "@", "standard"):
        return PLAIN
    letters = set(bare)
    if letters & set("ydg") or ("m" in letters and not letters & set("hs#0?")):
        return Style(Shows.DATE)
    if letters & set("hs"):
        return Style(Shows.TIME)
    # a telephone number or a postcode keeps its zeros by its format alone: 0#" "##" "##" "##" "##
    whole = re.split(r"[.e%/]", bare)[0]
    first = whole.find("0")
    digits = sum(whole.count(mark, first) for mark in "0#?") if first >= 0 and "," not in whole else 0
    return Style(digits=digits) if digits > 1 else PLAIN


def read_styles(source: Source) -> list[Style]:
    """The styles that cells name by number, from the part of styles."""
    codes: dict[int, str] = {}
    made: dict[int, Style] = {}
    styles: list[Style] = []
    inside = False
    for block in token_blocks(source):
        for slash, name, attrs, _ in block:
            if name == b"cellXfs":
                inside = not slash
            elif name == b"numFmt" and not slash and len(codes) < MAX_STYLES:
                found = parse_attributes(attrs)
                codes[_number(found.get(b"numFmtId"))] = found.get(b"formatCode", b"").decode("utf-8", "replace")
            elif name == b"xf" and inside and not slash and len(styles) < MAX_STYLES:
                identity = _number(parse_attributes(attrs).get(b"numFmtId"))
                if identity not in made:
                    made[identity] = style_of(identity, codes.get(identity, "")[:_MAX_CODE])
                styles.append(made[identity])
    return styles


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 10 else 0


class Moments(dict[bytes, bytes]):
    """Numbers of days as dates or times, each made once: a column of dates has few different ones.

    Args:
        shows: as what. from_1904: days are counted from 1904.
    """

    def __init__(self, shows: Shows, *, from_1904: bool) -> None:
        super().__init__()
        self._shows = shows
        self._offset = 1462 if from_1904 else 0

    def __missing__(self, text: bytes) -> bytes:
        """The date that a number stands for; what is no such number stays as it is."""
        if len(self) >= _MAX_CACHED:
            self.clear()
        shown = self[text] = self._made(text)
        return shown

    def _made(self, text: bytes) -> bytes:
        try:
            serial = float(text)
        except ValueError:
            return text
        if not 0 <= serial < _LAST_DAY:
            return plain_number(text)
        seconds = round(serial % 1 * _DAY)
        if serial < 1 and self._shows is Shows.TIME:
            return b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
        days = int(serial) + self._offset
        # the first day is 1; the 60th, 29 February 1900, never was
        days += 1 if days < 60 and not self._offset else 0
        if days >= _LAST_DAY:
            return plain_number(text)
        day = date.fromordinal(_DAY_0 + days + seconds // _DAY).isoformat().encode()
        seconds %= _DAY
        if not seconds:
            return day
        return day + b" %02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


class Numbers:
    """Numbers of one workbook on their way to text.

    Args:
        styles: by number. from_1904: its days are counted from 1904.
    """

    def __init__(self, styles: list[Style], *, from_1904: bool) -> None:
        self._styles = styles
        self._moments = {shows: Moments(shows, from_1904=from_1904) for shows in Shows}

    def style(self, number: bytes) -> Style:
        """The style of that number, the plain one where there is none."""
        if not number or len(number) > 6:
            return PLAIN
        at = int(number)
        return self._styles[at] if at < len(self._styles) else PLAIN

    def shown(self, text: bytes, style: Style) -> bytes:
        """A number as text; what is none stays as it is."""
        if style.shows is not Shows.NUMBER:
            return self._moments[style.shows][text]
        if not text.isdigit():
            text = plain_number(text)
        return text.rjust(style.digits, b"0") if style.digits > len(text) and text.isdigit() else text

    def column(self, values: Sequence[bytes], style: Style) -> Sequence[bytes]:
        """As `shown` for many, empty ones among them."""
        if style.shows is not Shows.NUMBER:
            return list(map(self._moments[style.shows].__getitem__, values))
        if not style.digits and b"".join(values).isdigit():
            return values
        return [self.shown(value, style) if value else b"" for value in values]


def plain_number(text: bytes) -> bytes:
    """A number without exponent and without the noise of its last binary digit: 1.85E+14 is 185000000000000."""
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


def unescaped(text: bytes) -> bytes:
    """A string of a workbook without `_x000D_` and its like, which stand for characters that XML does not allow."""
    return _ESCAPED.sub(_character, text) if b"_x" in text else text


def _character(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return found[0] if 0xD800 <= code < 0xE000 or code == 0 else chr(code).encode()
