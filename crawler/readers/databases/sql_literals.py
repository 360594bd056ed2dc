"""Decoding of single values in SQL dumps: quotes, escapes, hexadecimal digits and functions.

`sql_rows` finds the values of a row.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta

from crawler.readers.core.encoding import text_of
from crawler.readers.core.regex_compat import possessive

# The content of a quoted string, with (True) or without (False) backslash escapes. Each character can match in one way
# only, so that a failing search examines each byte once.
STRING_CONTENT = {True: rb"[^'\\]*+(?:(?:\\.|'')[^'\\]*+)*+", False: rb"[^']*+(?:''[^']*+)*+"}
# the prefix of N'national string' and _binary 'MySQL string with a character set'
STRING_PREFIX = rb"(?:[Nn]|_[a-z0-9]{1,16} ?)?"
_DOLLAR_QUOTE = rb"\$([A-Za-z_\x80-\xff]?[A-Za-z0-9_\x80-\xff]{0,62})\$"
DOLLAR_QUOTE = re.compile(_DOLLAR_QUOTE)
QUOTED_STRING = {
    mode: possessive(STRING_PREFIX + rb"'(" + content + rb")'", re.DOTALL) for mode, content in STRING_CONTENT.items()
}
E_STRING = possessive(rb"[Ee]'(" + STRING_CONTENT[True] + rb")'", re.DOTALL)
DOUBLE_QUOTED = {
    True: re.compile(rb'"([^"\\]*+(?:(?:\\.|"")[^"\\]*+)*)"', re.DOTALL),
    False: re.compile(rb'"([^"]*+(?:""[^"]*+)*)"', re.DOTALL),
}
_HEX = re.compile(rb"(?:0[xX]([0-9A-Fa-f]*)|[xX]'([0-9A-Fa-f]*)')")
_BYTEA = re.compile(rb"\\x((?:[0-9A-Fa-f]{2})+)")
_CAST_HEX = re.compile(rb"CAST\s*\(\s*0x([0-9A-F]{6,20})\s+AS\s+\[?(\w+)", re.IGNORECASE)
_FUNCTION = re.compile(rb"\s*(?:\w+\s*\.\s*)?(\w+)\s*\(")
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
# separates the cells when a whole column is decoded as one text
_CELL_SEPARATOR = b"\0"
_LETTER_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
# MySQL escapes and their values, in the order of replacement; the last entry drops the backslash of all other escapes
_MYSQL_ESCAPES = (
    (b"\\'", b"'"),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
    (b"\\0", b""),
    (b"\\Z", b""),
    (b"\\b", b""),
    (b"\\", b""),
)
_DAY_ZERO_1900 = date(1900, 1, 1).toordinal()


def unquote(content: bytes, backslash: bool) -> bytes:
    """The text of a string, given the content between its quotes."""
    if b"''" in content:
        content = content.replace(b"''", b"'")
    return _decode_mysql_escapes(content) if backslash and b"\\" in content else content


def _decode_mysql_escapes(text: bytes) -> bytes:
    if b"\\\\" not in text:
        text = text.replace(b"\\'", b"'")
        if b"\\" not in text:
            return text
    # After this split, every remaining backslash escapes the character after it.
    parts = text.split(b"\\\\")
    for number, part in enumerate(parts):
        if b"\\" in part:
            for escape, plain in _MYSQL_ESCAPES:
                part = part.replace(escape, plain)
            parts[number] = part
    return b"\\".join(parts)


def unquote_column(cells: Sequence[bytes], backslash: bool) -> Sequence[bytes]:
    """`unquote` of each cell of a column; the whole column is decoded at once, because calls are slow."""
    return _decode_joined(cells, lambda text: unquote(text, backslash))


def _decode_joined(cells: Sequence[bytes], decode: Callable[[bytes], bytes]) -> Sequence[bytes]:
    text = _CELL_SEPARATOR.join(cells)
    decoded = decode(text)
    if decoded is text:
        return cells
    split = decoded.split(_CELL_SEPARATOR)
    return split if len(split) == len(cells) else [decode(cell) for cell in cells]


def decode_copy_column(cells: Sequence[bytes]) -> Sequence[bytes]:
    """Decode cells of PostgreSQL's COPY text format; its NULL becomes an empty cell."""
    cells = [b"" if cell == b"\\N" else _decode_postgres_escapes(cell) if b"\\" in cell else cell for cell in cells]
    return decode_bytea_column(cells)


def decode_bytea_column(cells: Sequence[bytes]) -> Sequence[bytes]:
    """Decode the cells that PostgreSQL wrote as bytes (backslash, x, hexadecimal digits), if the bytes are text."""
    if not any(cell.startswith(b"\\x") for cell in cells):
        return cells
    return [_decode_hex(found[1], cell) if (found := _BYTEA.fullmatch(cell)) else cell for cell in cells]


def _decode_postgres_escapes(text: bytes) -> bytes:
    return _ESCAPE.sub(_decode_one, text)


def _decode_one(found: re.Match[bytes]) -> bytes:
    short, long, hexadecimal, octal, other = found.groups()
    if short or long:
        number = int(short or long, 16)
        # half of a surrogate pair is no character: it becomes "?"
        return chr(number).encode("utf-8", "replace") if number < 0x110000 else b""
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    return _LETTER_ESCAPES.get(other, other)


def decode_literal(raw: bytes, backslash: bool) -> bytes:
    """The text of one value, given the SQL literal between two commas; b'' for NULL."""
    raw = raw.strip()
    first = raw[:1]
    if not first or raw.upper() == b"NULL":
        return b""
    if found := QUOTED_STRING[backslash].fullmatch(raw):
        return decode_bytea_column([unquote(found[1], backslash)])[0]
    if found := E_STRING.fullmatch(raw):
        return decode_bytea_column([_decode_postgres_escapes(found[1].replace(b"''", b"'"))])[0]
    if found := _HEX.fullmatch(raw):
        return _decode_hex(found[1] or found[2] or b"", raw)
    if first == b'"' and (found := DOUBLE_QUOTED[backslash].fullmatch(raw)):
        content = found[1].replace(b'""', b'"')
        return _decode_mysql_escapes(content) if backslash else content
    if (
        first == b"$"
        and (found := DOLLAR_QUOTE.match(raw))
        and raw.endswith(found[0])
        and len(raw) >= 2 * len(found[0])
    ):
        return raw[len(found[0]) : -len(found[0])]
    if b"'" not in raw and b"(" not in raw:
        return raw
    return _decode_expression(raw, backslash)


def _decode_expression(raw: bytes, backslash: bool) -> bytes:
    if found := _CAST_HEX.match(raw):
        moment = _decode_sql_server_date(bytes.fromhex(_even_length(found[1])), found[2].lower())
        if moment:
            return moment
    strings = _find_strings(raw, backslash)
    if not strings:
        return raw
    name = found[1].lower() if (found := _FUNCTION.match(raw)) else b""
    if name == b"replace" and len(strings) > 2 - (b"char(" in raw):
        # SQLite writes a line end as replace('a\nb', '\n', char(10)).
        return strings[0].replace(strings[1], b"\n" if b"char(10)" in raw else b" ")
    if b"||" in raw or name.startswith(b"concat") or (not name and b"+" in raw):
        return b"".join(strings)
    # The first string is the value, the others are formats: to_date('12/03/1975', 'DD/MM/YYYY')
    return strings[0]


_STRING_PARTS = {
    mode: possessive(rb"([Ee]'" + STRING_CONTENT[True] + rb"')|'(" + content + rb")'", re.DOTALL)
    for mode, content in STRING_CONTENT.items()
}


def _find_strings(raw: bytes, backslash: bool) -> list[bytes]:
    """The texts of the strings in an expression."""
    return [
        unquote(found[2], backslash)
        if found[1] is None
        else _decode_postgres_escapes(found[1][2:-1].replace(b"''", b"'"))
        for found in _STRING_PARTS[backslash].finditer(raw)
    ]


def _even_length(digits: bytes) -> str:
    return digits.decode("ascii").rjust(len(digits) + (len(digits) & 1), "0")


def _decode_hex(digits: bytes, otherwise: bytes) -> bytes:
    """The text that hexadecimal digits stand for, or `otherwise` if they stand for no text."""
    text = text_of(bytes.fromhex(_even_length(digits)))
    return text if text is not None and b"\0" not in text[:4096] else otherwise


def _decode_sql_server_date(data: bytes, kind: bytes) -> bytes:
    """The date that SQL Server's script writer wrote as the bytes of a CAST; b'' if they are no date."""
    with suppress(ValueError, OverflowError, struct.error):
        if kind == b"datetime":
            days, ticks = struct.unpack(">iI", data[-8:])
            return str(datetime.fromordinal(_DAY_ZERO_1900 + days) + timedelta(seconds=ticks // 300)).encode()
        if kind == b"smalldatetime":
            days, minutes = struct.unpack(">HH", data[-4:])
            return str(datetime.fromordinal(_DAY_ZERO_1900 + days) + timedelta(minutes=minutes)).encode()
        if kind == b"date":
            return str(date.fromordinal(1 + int.from_bytes(data[:3], "little"))).encode()
        if kind in (b"datetime2", b"datetimeoffset"):
            offset = 5 if kind == b"datetimeoffset" else 3
            days = int.from_bytes(data[-offset : len(data) - offset + 3], "little")
            return str(date.fromordinal(1 + days)).encode()
    return b""
