"""What a value of a SQL dump says: quotes, escapes, hexadecimal and functions undone; rows are left to `sql_rows`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta

from crawler.readers.core.encoding import text_of
from crawler.readers.core.regex_compat import possessive

# The inside of a quoted string, with backslash escapes or without. No character can be taken in two ways, so that a
# search that fails has looked at each byte once.
INSIDE = {True: rb"[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+", False: rb"[^']*+(?:''[^']*+)*+"}
# N'national', _binary 'MySQL with a character set'
PREFIX = rb"(?:[Nn]|_[a-z0-9]{1,16} ?)?"
_DOLLAR = rb"\$([A-Za-z_\x80-\xff]?[A-Za-z0-9_\x80-\xff]{0,62})\$"
DOLLAR = re.compile(_DOLLAR)
STRING = {mode: possessive(PREFIX + rb"'(" + inside + rb")'", re.DOTALL) for mode, inside in INSIDE.items()}
ESCAPED = possessive(rb"[Ee]'(" + INSIDE[True] + rb")'", re.DOTALL)
DOUBLE = {
    True: re.compile(rb'"([^"\\]*+(?:(?:\\.|"")[^"\\]*+)*)"', re.DOTALL),
    False: re.compile(rb'"([^"]*+(?:""[^"]*+)*)"', re.DOTALL),
}
_HEX = re.compile(rb"(?:0[xX]([0-9A-Fa-f]*)|[xX]'([0-9A-Fa-f]*)')")
_BYTEA = re.compile(rb"\\x((?:[0-9A-Fa-f]{2})+)")
_CAST_HEX = re.compile(rb"CAST\s*\(\s*0x([0-9A-F]{6,20})\s+AS\s+\[?(\w+)", re.IGNORECASE)
_FUNCTION = re.compile(rb"\s*(?:\w+\s*\.\s*)?(\w+)\s*\(")
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
# what stands between a cell and the next where a column is worked on as a whole
_BETWEEN = b"\0"
_NAMED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
# backslash and letter, in the order in which they are replaced; the last one drops the backslash of all others
_SIMPLE = (
    (b"\\'", b"'"),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
    (b"\\0", b""),
    (b"\\Z", b""),
    (b"\\b", b""),
    (b"\\", b""),
)
_DAYS_1900 = date(1900, 1, 1).toordinal()


def unquoted(inside: bytes, backslash: bool) -> bytes:
    """The text of a string, from what stands between its quotes."""
    if b"''" in inside:
        inside = inside.replace(b"''", b"'")
    return _simple(inside) if backslash and b"\\" in inside else inside


def _simple(text: bytes) -> bytes:
    if b"\\\\" not in text:
        text = text.replace(b"\\'", b"'")
        if b"\\" not in text:
            return text
    # behind this split every backslash that is left belongs to the character after it
    parts = text.split(b"\\\\")
    for number, part in enumerate(parts):
        if b"\\" in part:
            for escape, plain in _SIMPLE:
                part = part.replace(escape, plain)
            parts[number] = part
    return b"\\".join(parts)


def unquoted_column(cells: Sequence[bytes], backslash: bool) -> Sequence[bytes]:
    """As `unquoted`, for a whole column at the cost of few calls."""
    return _as_one(cells, lambda text: unquoted(text, backslash))


def _as_one(cells: Sequence[bytes], change: Callable[[bytes], bytes]) -> Sequence[bytes]:
    text = _BETWEEN.join(cells)
    changed = change(text)
    if changed is text:
        return cells
    split = changed.split(_BETWEEN)
    return split if len(split) == len(cells) else [change(cell) for cell in cells]


def copy_column(cells: Sequence[bytes]) -> Sequence[bytes]:
    """Cells of PostgreSQL's COPY in its text format, where nothing is a value of its own."""
    cells = [b"" if cell == b"\\N" else _postgres(cell) if b"\\" in cell else cell for cell in cells]
    return bytea_column(cells)


def bytea_column(cells: Sequence[bytes]) -> Sequence[bytes]:
    """Cells with those undone that are text in PostgreSQL's way to write bytes: backslash, x, hexadecimal digits."""
    if not any(cell.startswith(b"\\x") for cell in cells):
        return cells
    return [_hex(found[1], cell) if (found := _BYTEA.fullmatch(cell)) else cell for cell in cells]


def _postgres(text: bytes) -> bytes:
    return _ESCAPE.sub(_one, text)


def _one(found: re.Match[bytes]) -> bytes:
    short, long, two, octal, other = found.groups()
    if short or long:
        number = int(short or long, 16)
        # two halves of one character stand for nothing by themselves
        return chr(number).encode("utf-8", "replace") if number < 0x110000 else b""
    if two:
        return bytes([int(two, 16)])
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    return _NAMED.get(other, other)


def value(raw: bytes, backslash: bool) -> bytes:
    """The text of one value as it stands between commas."""
    raw = raw.strip()
    first = raw[:1]
    if not first or raw.upper() == b"NULL":
        return b""
    if found := STRING[backslash].fullmatch(raw):
        return bytea_column([unquoted(found[1], backslash)])[0]
    if found := ESCAPED.fullmatch(raw):
        return bytea_column([_postgres(found[1].replace(b"''", b"'"))])[0]
    if found := _HEX.fullmatch(raw):
        return _hex(found[1] or found[2] or b"", raw)
    if first == b'"' and (found := DOUBLE[backslash].fullmatch(raw)):
        inside = found[1].replace(b'""', b'"')
        return _simple(inside) if backslash else inside
    if first == b"$" and (found := DOLLAR.match(raw)) and raw.endswith(found[0]) and len(raw) >= 2 * len(found[0]):
        return raw[len(found[0]) : -len(found[0])]
    if b"'" not in raw and b"(" not in raw:
        return raw
    return _expression(raw, backslash)


def _expression(raw: bytes, backslash: bool) -> bytes:
    if found := _CAST_HEX.match(raw):
        moment = _moment(bytes.fromhex(_even(found[1])), found[2].lower())
        if moment:
            return moment
    strings = [
        _postgres(part[2:-1].replace(b"''", b"'")) if part[:1] in b"eE" else unquoted(part, backslash)
        for part in _strings(raw, backslash)
    ]
    if not strings:
        return raw
    name = found[1].lower() if (found := _FUNCTION.match(raw)) else b""
    if name == b"replace" and len(strings) > 2 - (b"char(" in raw):
        # SQLite's way to write a line end
        return strings[0].replace(strings[1], b"\n" if b"char(10)" in raw else b" ")
    if b"||" in raw or name.startswith(b"concat") or (not name and b"+" in raw):
        return b"".join(strings)
    # the others are formats: to_date('12/03/1975', 'DD/MM/YYYY')
    return strings[0]


_PARTS = {
    mode: possessive(rb"([Ee]'" + INSIDE[True] + rb"')|'(" + inside + rb")'", re.DOTALL)
    for mode, inside in INSIDE.items()
}


def _strings(raw: bytes, backslash: bool) -> list[bytes]:
    return [found[1] if found[1] is not None else found[2] for found in _PARTS[backslash].finditer(raw)]


def _even(digits: bytes) -> str:
    return digits.decode("ascii").rjust(len(digits) + (len(digits) & 1), "0")


def _hex(digits: bytes, otherwise: bytes) -> bytes:
    """What hexadecimal digits stand for where that is text, else as it was."""
    text = text_of(bytes.fromhex(_even(digits)))
    return text if text is not None and b"\0" not in text[:4096] else otherwise


def _moment(data: bytes, kind: bytes) -> bytes:
    """A date as SQL Server's script writer casts it from bytes, '' if it is none."""
    with suppress(ValueError, OverflowError, struct.error):
        if kind == b"datetime":
            days, ticks = struct.unpack(">iI", data[-8:])
            return str(datetime.fromordinal(_DAYS_1900 + days) + timedelta(seconds=ticks // 300)).encode()
        if kind == b"smalldatetime":
            days, minutes = struct.unpack(">HH", data[-4:])
            return str(datetime.fromordinal(_DAYS_1900 + days) + timedelta(minutes=minutes)).encode()
        if kind == b"date":
            return str(date.fromordinal(1 + int.from_bytes(data[:3], "little"))).encode()
        if kind in (b"datetime2", b"datetimeoffset"):
            offset = 5 if kind == b"datetimeoffset" else 3
            days = int.from_bytes(data[-offset : len(data) - offset + 3], "little")
            return str(date.fromordinal(1 + days)).encode()
    return b""
