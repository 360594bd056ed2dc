"""Finds archives embedded in text: as they are, or written as base64, hexadecimal or an SQL string.

A reader of text reads over them, and the byte pass finds nothing in compressed bytes. Archives that are found are
handed over when the text has ended. By then its reader has read those that its format declares as files, so they are
recognised and not read twice. Reading them is left to the caller.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Protocol

import numpy as np

from crawler.readers.core.encoding import detect
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.signatures import SIGNATURE_REACH, SIGNATURES, SignatureFinder, is_archive_start
from data.arrays.array_types import U8, Bools

# bytes of embedded archives that are kept of one text until it ends
MAX_HELD = 2**26
_MARKS = (*(each.mark for each in SIGNATURES if not each.before and len(each.mark) > 2), b"\x1f\x9d\x90")
# The last base64 digit of a mark is left out, because only some of its bits belong to the mark. URLs and tokens write -
# and _ for + and /.
_STANDARD_BASE64 = tuple(binascii.b2a_base64(mark)[: len(mark) * 8 // 6] for mark in _MARKS)
_URL_SAFE, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_BASE64 = tuple({*_STANDARD_BASE64, *(form.translate(_URL_SAFE) for form in _STANDARD_BASE64)})
_HEX = tuple(form for mark in _MARKS for form in (mark.hex().encode(), mark.hex().upper().encode()))
# Rich Text writes files as lines of hexadecimal digits, behind a header of their own
_RICH_TEXT = b"{\\rtf"
_IN_DIGITS = re.compile(
    rb"504b0304(?:0a|14|2d)00|d0cf11e0a1b11ae1|1f8b0800|255044462d312e|377abcaf271c|526172211a07", re.IGNORECASE
)
_QUOTED = re.compile(
    rb"'(?:PK\x03\x04|\x1f\x8b\x08|%PDF-|\xd0\xcf\x11\xe0|SQLite format 3\\0|7z\xbc\xaf\\'\x1c|Rar!\\Z)"
)
# For each form of `_QUOTED` a byte that text does not contain, and its first bytes. Searching for one byte takes a
# fortieth of the time.
_QUOTED_RARE = {
    0x04: b"PK\x03\x04",
    0x1F: b"\x1f\x8b\x08",
    0x25: b"%PDF-",
    0x11: b"\xd0\xcf\x11\xe0",
    0x01: b"SQLite format 3\\0",
    0x1C: b"7z\xbc\xaf\\'\x1c",
    0x07: b"Rar!\\Z",
}
# Pairs (rare byte, first bytes), one of which stands in every archive that is not encoded or is an SQL string.
_RARE_AND_MARK = sorted({*_QUOTED_RARE.items(), *((each.rare, each.mark) for each in SIGNATURES)})
# An encoded archive of 30 bytes or more contains an unbroken run of so many characters. Text without such a run is not
# searched. Lines of base64 have 60 characters or more; PHP writes \/ for / in JSON.
_RUN = b"A" * 40
# bytes that are tested together, few enough to stay in the processor's cache; shorter text is searched without the
# quick test
_TEST_SIZE, _OVERLAP = 2**16, 64
# Ranges of ASCII with the separators that tables and URLs are full of: the comma; : ; < = > ? @; and { | } ~
_SEPARATORS = ((0x2C, 0x2D), (0x3A, 0x41), (0x7B, 0x7F))
IN_WORD = bytes(
    0x41 if chr(value).isascii() and (chr(value).isalnum() or value in b"+/-_\\") else 0x2E for value in range(256)
)
_BEFORE = rb"(?:0[xX]|\\*x|(?:\\[nrt])+)"
_PREFIX = re.compile(_BEFORE)
# it begins with characters and not with a look behind, so that long words without them are skipped at once
_BEHIND_JOINT = re.compile(rb"[-_]" + _BEFORE + rb"?(" + b"|".join(map(re.escape, (*_BASE64, *_HEX))) + rb")")
ESCAPES = re.compile(rb"\\[nrt]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);")
_GOES_ON = {
    "base64": possessive(rb"(?:[A-Za-z0-9+/\s]|\\[nrt/]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);)*+"),
    # a line of dashes is not part of it
    "url": possessive(rb"(?:[A-Za-z0-9_]|-(?!-)|\s(?![-_])|\\[nrt]|\\u000[aAdD]|&#(?:10|13|x0?[aAdD]);)*+"),
    "hex": re.compile(rb"[0-9A-Fa-f]*+"),
    "quoted": possessive(rb"(?:[^'\\]|\\.|'')*+", re.DOTALL),
}
_LONGEST_ESCAPE = 8
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_SQL_ESCAPE = re.compile(rb"\\(.)|''", re.DOTALL)
_SQL_LETTERS = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}


class ValueSearch(Protocol):
    """Takes all bytes of a text too, and is told which of them contain no long word."""

    def feed(self, data: bytes) -> None:
        """Search the next bytes."""

    def skip(self, data: bytes) -> None:
        """Take the next bytes, in which no word of 40 characters stands."""

    def finish(self) -> None:
        """The text has ended."""


class EmbeddedArchiveSearch:
    """Takes all bytes of a text in order, and passes the archives embedded in it to a function when the text has ended.

    Args:
        found: takes bytes that begin with an archive.
        out: takes the problem if the archives together are too large to be kept.
        raw: search for archives as they are.
        text: search for archives written as text.
        values: gets the same bytes, and the same quick test.
    """

    def __init__(
        self,
        found: Callable[[bytes], None],
        out: Output,
        *,
        raw: bool = True,
        text: bool = True,
        values: ValueSearch | None = None,
    ) -> None:
        self._values = values
        self._found = found
        self._out = out
        self._search_raw = raw
        self._search_text = text
        # bytes without meaning: the zeros of UTF-16, the line ends of Rich Text; None until the first bytes arrive
        self._ignored: bytes | None = None
        self._is_rich_text = False
        # the last bytes, in which an archive may have begun: for the raw search, and for the search in text
        self._raw_tail = b""
        self._text_tail = b""
        # everything from the first raw archive on
        self._raw: list[bytes] | None = None
        # the encoded archive that goes on: its encoding and its parts; then the archives that have ended
        self._encoding = ""
        self._parts: list[bytes] = []
        self._decoded: list[bytes] = []
        self._kept = 0
        self._too_large = False
        # the range of `_SEPARATORS` that ends most words of this text, and arrays in which the quick test works
        self._separators: tuple[int, int] | None = None
        self._arrays: tuple[Bools, Bools, U8] | None = None

    def feed(self, data: bytes) -> None:
        """Search the next bytes."""
        if len(data) >= _TEST_SIZE and self._holds_nothing(data):
            if self._values is not None:
                self._values.skip(data)
            self._text_tail = data[-SIGNATURE_REACH:] if self._search_text else b""
            self._raw_tail = data[-SIGNATURE_REACH:]
            return
        if self._values is not None:
            self._values.feed(data)
        if self._search_text:
            self._text_tail = self._take_text(self._text_tail + data)
        if self._raw is not None:
            self._keep(self._raw, data)
        elif self._search_raw:
            joined = self._raw_tail + data
            at = self._raw_start(joined)
            if at is not None:
                self._raw = []
                self._keep(self._raw, joined[at:])
            self._raw_tail = joined[-SIGNATURE_REACH:]

    def finish(self) -> None:
        """The text has ended: hand over what was found."""
        self._end_encoded()
        self._hand_over()
        if self._raw is not None:
            self._found(b"".join(self._raw))
            self._raw = None
        if self._values is not None:
            self._values.finish()
        if self._too_large:
            detail = f"the archives in its text exceed {MAX_HELD} bytes together and were not all opened"
            self._out.problem("size", detail, incomplete=True)
            self._too_large = False

    def _holds_nothing(self, data: bytes) -> bool:
        """A quick test: True if no archive begins in these bytes or where they join the last ones.

        For tables it takes a third of the time of the search.
        """
        if self._encoding or self._raw is not None or self._ignored != b"":
            return False
        if any(rare in data and mark in data for rare, mark in _RARE_AND_MARK):
            return False
        if self._search_text and (
            self._has_run(data) or _EncodedFinder(self._text_tail + data[:SIGNATURE_REACH], False).find(0) is not None
        ):
            return False
        return SignatureFinder(self._raw_tail + data[:SIGNATURE_REACH]).find() is None

    def _has_run(self, data: bytes) -> bool:
        """As `_may_have_run` in fewer steps: of the characters that end words, only some are taken into account."""
        values = np.frombuffer(data, np.uint8)
        if self._separators is None:
            self._separators = max(
                _SEPARATORS, key=lambda each: sum(data[:_TEST_SIZE].count(char) for char in range(*each))
            )
        first, behind = self._separators
        if self._arrays is None:
            # a short text needs none of them
            self._arrays = (
                np.empty(_TEST_SIZE, np.bool_),
                np.empty(_TEST_SIZE, np.bool_),
                np.empty(_TEST_SIZE, np.uint8),
            )
        ends, others, moved = self._arrays
        for start in range(0, len(data), _TEST_SIZE - _OVERLAP):
            part = values[min(start, len(data) - _TEST_SIZE) :][:_TEST_SIZE]
            np.less(part, ord("+"), out=ends)
            np.subtract(part, first, out=moved)
            np.less(moved, behind - first, out=others)
            np.logical_or(ends, others, out=ends)
            if b"\0\0\0\0" in np.packbits(ends).tobytes() and _may_have_run(part.tobytes()):
                return True
        return False

    def _keep(self, parts: list[bytes], data: bytes) -> None:
        self._kept += len(data)
        if self._kept > MAX_HELD:
            self._too_large = True
        else:
            parts.append(data)

    def _raw_start(self, data: bytes) -> int | None:
        finder = SignatureFinder(data)
        at = finder.find()
        # behind a quote it is an SQL string, whose escapes have to be decoded
        while at and self._search_text and data[at - 1] == 0x27:
            at = finder.find(at + 1)
        return at

    # --- archives written as text --------------------------------------------------------------------------------

    def _take_text(self, data: bytes) -> bytes:
        """Search text; returns the end of it, which has to be searched again together with what follows."""
        if self._ignored is None:
            self._is_rich_text = data.startswith(_RICH_TEXT)
            utf16 = detect(data[:8192])[0].startswith("utf-16")
            self._ignored = b"\0" if utf16 else b"\r\n" if self._is_rich_text else b""
        if self._ignored:
            data = data.translate(None, self._ignored)
        finder, at = _EncodedFinder(data, self._is_rich_text), 0
        while True:
            if self._encoding:
                found = _GOES_ON[self._encoding].match(data, at)
                stop = found.end() if found else at
                if self._is_url_safe(data, at, stop):
                    self._encoding = "url"
                    continue
                self._keep(self._parts, data[at:stop])
                if len(data) - stop <= (0 if self._encoding == "hex" else _LONGEST_ESCAPE):
                    # the archive goes on in the next bytes, or an escape is divided
                    return data[stop:]
                self._end_encoded()
                at = stop
            begun = finder.find(at)
            if begun is None:
                return data[max(at, len(data) - SIGNATURE_REACH) :]
            at, self._encoding = begun
            self._parts = []

    def _is_url_safe(self, data: bytes, at: int, stop: int) -> bool:
        """Whether base64 that stops at a - or _ goes on there, because these stand for + and /."""
        if self._encoding != "base64" or data[stop : stop + 1] not in (b"-", b"_"):
            return False
        whole = b"".join(self._parts) + data[at:stop]
        return not whole[-1:].isspace() and b"+" not in whole and b"/" not in whole

    def _end_encoded(self) -> None:
        if not self._encoding:
            return
        encoding, self._encoding = self._encoding, ""
        whole = b"".join(self._parts)
        self._parts = []
        self._kept -= len(whole)
        data = _decode(whole, encoding)
        if is_archive_start(data):
            self._keep(self._decoded, data)
            if self._kept > MAX_HELD // 2:
                self._hand_over()

    def _hand_over(self) -> None:
        decoded, self._decoded = self._decoded, []
        for data in decoded:
            self._kept -= len(data)
            self._found(data)


def _may_have_run(data: bytes) -> bool:
    """False if no 40 characters of a word follow each other; takes a quarter of the time of an exact search.

    One bit for each byte is set if that byte certainly ends a word. A run of 40 contains four whole bytes of clear
    bits.
    """
    values = np.frombuffer(data, np.uint8)
    ends = values < ord("+")
    ends |= values == ord(",")
    # : ; < = > ? @
    ends |= values - np.uint8(ord(":")) < ord("A") - ord(":")
    return b"\0\0\0\0" in np.packbits(ends).tobytes()


class _EncodedFinder:
    """Finds where archives written as text begin in a text; ask with increasing places."""

    def __init__(self, data: bytes, is_rich_text: bool) -> None:
        self._data = data
        self._is_rich_text = is_rich_text
        self._words = b""
        self._long_words: bool | None = None
        # the next SQL string with an archive, -1 before the search
        self._quoted = -1 if any(rare in data for rare in _QUOTED_RARE) else len(data)

    def find(self, start: int) -> tuple[int, str] | None:
        """The first archive at or after `start`: its place and its encoding (a key of `_GOES_ON`)."""
        if self._quoted < start:
            found = _QUOTED.search(self._data, start)
            self._quoted = found.start() + 1 if found else len(self._data)
        if self._long_words is None:
            self._long_words = _may_have_run(self._data)
            if self._long_words:
                self._words = self._data.translate(IN_WORD)
        word = self._find_in_words(start) if self._long_words else None
        if self._quoted < len(self._data) and (word is None or self._quoted < word[0]):
            # forget it, so that the next search begins behind it
            place, self._quoted = self._quoted, -1
            return place, "quoted"
        return word

    def _find_in_words(self, start: int) -> tuple[int, str] | None:
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
            # - and _ may be part of a word, or separate it from the archive
            if joined := _BEHIND_JOINT.search(data, max(0, begin - 1), stop if stop >= 0 else len(data)):
                return joined.start(1), "base64" if data.startswith(_BASE64, joined.start(1)) else "hex"
            if self._is_rich_text and (inner := _IN_DIGITS.search(data, begin, stop if stop >= 0 else len(data))):
                return inner.start(), "hex"
            at = words.find(_RUN, stop) if stop >= 0 else -1
        return None


def _decode(text: bytes, encoding: str) -> bytes:
    if encoding == "hex":
        text = text[: len(text) & ~1]
        try:
            return binascii.unhexlify(text)
        except binascii.Error:
            return b""
    if encoding == "quoted":
        return _SQL_ESCAPE.sub(_unescape, text)
    digits = _NOT_BASE64.sub(b"", ESCAPES.sub(b"", text).translate(_FROM_URL if encoding == "url" else None))
    digits = digits[:-1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _unescape(found: re.Match[bytes]) -> bytes:
    letter = found[1]
    return b"'" if letter is None else _SQL_LETTERS.get(letter, letter)
