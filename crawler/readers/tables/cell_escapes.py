"""Decodes what programs write for characters in the cells of delimited tables: references, escapes, hexadecimal digits."""

from __future__ import annotations

import re
from html import unescape

import numpy as np

# characters beyond ASCII as programs escape them: \u00e9, or its bytes \xc3\xa9, or these in octal digits, \303\251
_ESCAPES = re.compile(
    rb"(?:\\u(?!00[0-7]|[dD][89a-fA-F])[0-9a-fA-F]{4})+|(?:\\x[89a-fA-F][0-9a-fA-F])+|\\3[0-6][0-7](?:\\2[0-7]{2}){1,3}"
)
# tables of wikis: Jira and YouTrack double the separators of names, Textile marks cells
_DOUBLED_LINE = re.compile(rb"^\|\|[^\n]{1,4000}\|\|[ \t]*$", re.MULTILINE)
_TEXTILE_CELL = re.compile(rb"(?<=\|)(?:_|[<>=^~]{1,2}|[/\\]\d){1,3}\. ")
_CHARACTER_REFERENCE = re.compile(rb"&(?:#\d{2,6}|#[xX][0-9a-fA-F]{2,5}|[A-Za-z]{2,8});")
# MySQL's clients and SQL Server write values of binary columns so; digests and flags are not text
_HEX_CELL = re.compile(rb"(?<=[,;\t|\"\n])0[xX]((?:[0-9A-Fa-f]{2}){4,128})(?=[,;\t|\"\n]|\Z)")
_SEPARATES = re.compile(rb"[\x00-\x1f\x7f,;|\"']")


def decode_cells(block: bytes, *, is_wiki: bool) -> bytes:
    """Lines of a table with the characters that their cells stand for.

    Args:
        block: lines in UTF-8.
        is_wiki: whether the lines begin with the separator, as in wikis.
    """
    block = decode_references(block)
    # one byte is found twenty times as fast as two
    if b"\\" in block and (b"\\u" in block or b"\\x" in block or b"\\3" in block):
        block = _ESCAPES.sub(_decode_escapes, block)
    if is_wiki:
        block = _DOUBLED_LINE.sub(lambda found: found[0].replace(b"||", b"|"), block)
        block = _TEXTILE_CELL.sub(b"", block) if b". " in block else block
    return _HEX_CELL.sub(_decode_hex_cell, block) if _has_hex_prefix(block) else block


def _has_hex_prefix(block: bytes) -> bool:
    """Whether 0x or 0X stands in the bytes; both are common in tables, each by itself."""
    values = np.frombuffer(block, np.uint8)
    return bool(((values[1:] | 0x20 == ord("x")) & (values[:-1] == ord("0"))).any())


def decode_references(text: bytes) -> bytes:
    """The text with the characters that references of HTML stand for."""
    return _CHARACTER_REFERENCE.sub(_decode_reference, text) if b"&" in text else text


def _decode_reference(found: re.Match[bytes]) -> bytes:
    """The letter that a character reference stands for: its semicolon separates no values. Others stay unchanged."""
    text = unescape(found[0].decode())
    return text.encode("utf-8", "replace") if text.isalpha() or text in "'’\u00a0" else found[0]


def _decode_escapes(found: re.Match[bytes]) -> bytes:
    """What a run of escapes stands for: characters, or bytes of UTF-8 or of Latin-1."""
    if found[0][1:2] == b"3":
        data = bytes(int(digits, 8) for digits in found[0].split(b"\\")[1:])
        return found[0] if data.decode("utf-8", "replace").count("\ufffd") else data
    digits = found[0].translate(None, b"\\ux").decode()
    if found[0].startswith(b"\\u"):
        return bytes.fromhex(digits).decode("utf-16-be").encode()
    data = bytes.fromhex(digits)
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def _decode_hex_cell(found: re.Match[bytes]) -> bytes:
    """The text that the digits of a whole cell stand for; the cell as it is if they stand for none."""
    data = bytes.fromhex(found[1].decode())
    try:
        data.decode()
    except UnicodeDecodeError:
        return found[0]
    return found[0] if _SEPARATES.search(data) else data
