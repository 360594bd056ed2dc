"""Packed files inside text, as they stand or written as base64, hexadecimal or a string of SQL; reading them is left to the caller.

A reader of text reads on over them, and to the byte pass they are noise. What is found is opened when the text is over:
by then its reader has opened those that its format calls files, which are known again.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

import numpy as np

from crawler.readers.core.encoding import detect
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.signatures import SIGNATURE_REACH, SIGNATURES, SignatureFinder, is_archive_start

# what is kept of one text until it is opened
MAX_HELD = 2**26
_MARKS = (*(each.mark for each in SIGNATURES if not each.before and len(each.mark) > 2), b"\x1f\x9d\x90")
# of the last digit of base64 only some bits belong to the mark; addresses and tokens have - and _ for + and /
_PLAIN64 = tuple(binascii.b2a_base64(mark)[: len(mark) * 8 // 6] for mark in _MARKS)
_URL_SAFE, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_BASE64 = tuple({*_PLAIN64, *(form.translate(_URL_SAFE) for form in _PLAIN64)})
_HEX = tuple(form for mark in _MARKS for form in (mark.hex().encode(), mark.hex().upper().encode()))
# Rich Text writes files in lines of digits, behind a header of their own
_RICH = b"{\\rtf"
_IN_DIGITS = re.compile(
    rb"504b0304(?:0a|14|2d)00|d0cf11e0a1b11ae1|1f8b0800|255044462d312e|377abcaf271c|526172211a07", re.IGNORECASE
)
_QUOTED = re.compile(
    rb"'(?:PK\x03\x04|\x1f\x8b\x08|%PDF-|\xd0\xcf\x11\xe0|SQLite format 3\\0|7z\xbc\xaf\\'\x1c|Rar!\\Z)"
)
# bytes in each of these that text has none of, and what begins each: looking for one byte takes a fortieth of the time
_QUOTED_RARE = {
    0x04: b"PK\x03\x04",
    0x1F: b"\x1f\x8b\x08",
    0x25: b"%PDF-",
    0x11: b"\xd0\xcf\x11\xe0",
    0x01: b"SQLite format 3\\0",
    0x1C: b"7z\xbc\xaf\\'\x1c",
    0x07: b"Rar!\\Z",
}
# what stands in every packed file that begins as it is, or in a string of SQL
_TELLING = sorted({*_QUOTED_RARE.items(), *((each.rare, each.mark) for each in SIGNATURES)})
# Packed files of 30 bytes and more are at least so long as one word; where words are shorter nothing is looked at. Lines of
# base64 have 60 characters and more, PHP writes \/ for / in JSON.
_RUN = b"A" * 40
# bytes that are looked at together: so many stay near the processor through all steps; and shorter text is not worth it
_NEAR, _LAPPED = 2**16, 64
# neighbours in ASCII of which tables and addresses are full: the comma, and : ; < = > ? @ and { | } ~
_BETWEEN = ((0x2C, 0x2D), (0x3A, 0x41), (0x7B, 0x7F))
_IN_WORD = bytes(
    0x41 if chr(value).isascii() and (chr(value).isalnum() or value in b"+/-_\\") else 0x2E for value in range(256)
)
_BEFORE = rb"(?:0[xX]|\\*x|(?:\\[nrt])+)"
_PREFIX = re.compile(_BEFORE)
_BEHIND_JOINT = re.compile(rb"(?<=[-_])" + _BEFORE + rb"?(" + b"|".join(map(re.escape, (*_BASE64, *_HEX))) + rb")")
_ESCAPES = re.compile(rb"\\[nrt]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);")
_GOES_ON = {
    "base64": possessive(rb"(?:[A-Za-z0-9+/\s]|\\[nrt/]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);)*+"),
    # a line of dashes is no part of it
    "url": possessive(rb"(?:[A-Za-z0-9_]|-(?!-)|\s(?![-_])|\\[nrt]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);)*+"),
    "hex": re.compile(rb"[0-9A-Fa-f]*+"),
    "quoted": possessive(rb"(?:[^'\\]|\\.|'')*+", re.DOTALL),
}
_LONGEST_ESCAPE = 8
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_SQL_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)
_SQL_LETTERS = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}


class EmbeddedArchiveSearch:
    """Takes all bytes of a text in order, and gives the packed files in them to `opened`.

    Args:
        opened: takes bytes that begin with a packed file.
        out: is told what was too large.
        raw: packed files that stand there as they are are looked for.
        text: packed files that are written as text are looked for.
    """

    def __init__(self, opened: Callable[[bytes], None], out: Output, *, raw: bool = True, text: bool = True) -> None:
        self._open = opened
        self._out = out
        self._plain = raw
        self._text = text
        # what stands between the characters of UTF-16, and the lines of Rich Text
        self._left_out: bytes | None = None
        self._rich = False
        # the last bytes, in which something may have begun
        self._tail = b""
        self._words = b""
        # everything from the first packed file on that stands there as it is
        self._raw: list[bytes] | None = None
        # what is written as text and goes on, its form, and what is over
        self._form = ""
        self._parts: list[bytes] = []
        self._over: list[bytes] = []
        self._held = 0
        self._too_large = False
        # what ends words besides spaces, and room to say where they end
        self._between: tuple[int, int] | None = None
        self._ends, self._others = np.empty(_NEAR, np.bool_), np.empty(_NEAR, np.bool_)
        self._moved = np.empty(_NEAR, np.uint8)

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if len(data) >= _NEAR and self._is_calm(data):
            self._words = data[-SIGNATURE_REACH:] if self._text else b""
            self._tail = data[-SIGNATURE_REACH:]
            return
        if self._text:
            self._words = self._written(self._words + data)
        if self._raw is not None:
            self._keep(self._raw, data)
        elif self._plain:
            joined = self._tail + data
            at = self._as_it_stands(joined)
            if at is not None:
                self._raw = []
                self._keep(self._raw, joined[at:])
            self._tail = joined[-SIGNATURE_REACH:]

    def finish(self) -> None:
        """The text is over: open what was found."""
        self._end_run()
        self._open_all()
        if self._raw is not None:
            self._open(b"".join(self._raw))
            self._raw = None
        if self._too_large:
            detail = f"packed files in the text are larger than {MAX_HELD} bytes together and were not opened"
            self._out.problem("size", detail, incomplete=True)
            self._too_large = False

    def _is_calm(self, data: bytes) -> bool:
        """Whether nothing can begin in these bytes or where they join the last ones: told of a table in a third of the time."""
        if self._form or self._raw is not None or self._left_out != b"":
            return False
        if any(rare in data and mark in data for rare, mark in _TELLING):
            return False
        if self._text and (
            self._has_run(data) or _Places(self._words + data[:SIGNATURE_REACH], False).after(0) is not None
        ):
            return False
        return SignatureFinder(self._tail + data[:SIGNATURE_REACH]).find() is None

    def _has_run(self, data: bytes) -> bool:
        """As `_may_have_run`, with the fewest steps: of what ends words, spaces and such, and some separators."""
        values = np.frombuffer(data, np.uint8)
        if self._between is None:
            self._between = max(_BETWEEN, key=lambda each: sum(data[:_NEAR].count(char) for char in range(*each)))
        first, behind = self._between
        for start in range(0, len(data), _NEAR - _LAPPED):
            part = values[min(start, len(data) - _NEAR) :][:_NEAR]
            np.less(part, ord("+"), out=self._ends)
            np.subtract(part, first, out=self._moved)
            np.less(self._moved, behind - first, out=self._others)
            np.logical_or(self._ends, self._others, out=self._ends)
            if b"\0\0\0\0" in np.packbits(self._ends).tobytes() and _may_have_run(part.tobytes()):
                return True
        return False

    def _keep(self, parts: list[bytes], data: bytes) -> None:
        self._held += len(data)
        if self._held > MAX_HELD:
            self._too_large = True
        else:
            parts.append(data)

    def _as_it_stands(self, data: bytes) -> int | None:
        finder = SignatureFinder(data)
        at = finder.find()
        # behind a quote it is a string of SQL, whose escapes have to be undone
        while at and self._text and data[at - 1] == 0x27:
            at = finder.find(at + 1)
        return at

    # --- written as text -----------------------------------------------------------------------------------------

    def _written(self, data: bytes) -> bytes:
        """Take text; what of it has to be seen once more, with what follows."""
        if self._left_out is None:
            self._rich = data.startswith(_RICH)
            wide = detect(data[:8192])[0].startswith("utf-16")
            self._left_out = b"\0" if wide else b"\r\n" if self._rich else b""
        if self._left_out:
            data = data.translate(None, self._left_out)
        places, at = _Places(data, self._rich), 0
        while True:
            if self._form:
                found = _GOES_ON[self._form].match(data, at)
                stop = found.end() if found else at
                if self._is_url_safe(data, at, stop):
                    self._form = "url"
                    continue
                self._keep(self._parts, data[at:stop])
                if len(data) - stop <= (0 if self._form == "hex" else _LONGEST_ESCAPE):
                    # it goes on, or an escape is cut
                    return data[stop:]
                self._end_run()
                at = stop
            begun = places.after(at)
            if begun is None:
                return data[max(at, len(data) - SIGNATURE_REACH) :]
            at, self._form = begun
            self._parts = []

    def _is_url_safe(self, data: bytes, at: int, stop: int) -> bool:
        """Whether base64 that ends at a - or _ goes on there, as it does where these stand for + and /."""
        if self._form != "base64" or data[stop : stop + 1] not in (b"-", b"_"):
            return False
        whole = b"".join(self._parts) + data[at:stop]
        return not whole[-1:].isspace() and b"+" not in whole and b"/" not in whole

    def _end_run(self) -> None:
        if not self._form:
            return
        form, self._form = self._form, ""
        whole = b"".join(self._parts)
        self._parts = []
        self._held -= len(whole)
        data = _decoded(whole, form)
        if is_archive_start(data):
            self._keep(self._over, data)
            if self._held > MAX_HELD // 2:
                self._open_all()

    def _open_all(self) -> None:
        over, self._over = self._over, []
        for data in over:
            self._held -= len(data)
            self._open(data)


def _may_have_run(data: bytes) -> bool:
    """Whether 40 characters of a word may follow each other: a quarter of the time of looking closely.

    One bit for each byte, set where it ends a word for certain; such a run has four whole bytes of none.
    """
    values = np.frombuffer(data, np.uint8)
    ends = values < ord("+")
    ends |= values == ord(",")
    # : ; < = > ? @
    ends |= values - np.uint8(ord(":")) < ord("A") - ord(":")
    return b"\0\0\0\0" in np.packbits(ends).tobytes()


class _Places:
    """Where packed files begin that are written as text, asked from front to back."""

    def __init__(self, data: bytes, rich: bool) -> None:
        self._data = data
        self._rich = rich
        self._words = b""
        self._long_words: bool | None = None
        self._quoted = -1 if any(rare in data for rare in _QUOTED_RARE) else len(data)

    def after(self, start: int) -> tuple[int, str] | None:
        """The first from there on, and its form."""
        if self._quoted < start:
            found = _QUOTED.search(self._data, start)
            self._quoted = found.start() + 1 if found else len(self._data)
        if self._long_words is None:
            self._long_words = _may_have_run(self._data)
            if self._long_words:
                self._words = self._data.translate(_IN_WORD)
        word = self._in_words(start) if self._long_words else None
        if self._quoted < len(self._data) and (word is None or self._quoted < word[0]):
            # not to be found again: what follows is looked at from behind it
            place, self._quoted = self._quoted, -1
            return place, "quoted"
        return word

    def _in_words(self, start: int) -> tuple[int, str] | None:
        data, words = self._data, self._words
        at = words.find(_RUN, start)
        while at >= 0:
            begin = words.rfind(b".", start, at) + 1 or start
            stop = words.find(b".", at)
            prefix = _PREFIX.match(data, begin)
            for place in {begin, prefix.end() if prefix else begin}:
                if data.startswith(_BASE64, place):
                    return place, "base64"
                if data.startswith(_HEX, place):
                    return place, "hex"
            # - and _ are of a word, or stand before one
            if joined := _BEHIND_JOINT.search(data, begin, stop if stop >= 0 else len(data)):
                return joined.start(1), "base64" if data.startswith(_BASE64, joined.start(1)) else "hex"
            if self._rich and (inner := _IN_DIGITS.search(data, begin, stop if stop >= 0 else len(data))):
                return inner.start(), "hex"
            at = words.find(_RUN, stop) if stop >= 0 else -1
        return None


def _decoded(text: bytes, form: str) -> bytes:
    if form == "hex":
        text = text[: len(text) & ~1]
        try:
            return binascii.unhexlify(text)
        except binascii.Error:
            return b""
    if form == "quoted":
        return _SQL_ESCAPE.sub(_letter, text)
    digits = _NOT_BASE64.sub(b"", _ESCAPES.sub(b"", text).translate(_FROM_URL if form == "url" else None))
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _letter(found: re.Match[bytes]) -> bytes:
    letter = found[1]
    return b"'" if letter is None else _SQL_LETTERS.get(letter, letter)
