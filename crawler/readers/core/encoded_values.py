"""Finds long values that are written as hexadecimal digits, base32 or base64 in a text, a table or a dump, and decodes them.

The byte pass sees none of what such values hold. What decodes to text, or to binary values, is handed over to be read
as a member, each picture as one of its own; what decodes to opaque bytes is reported as unread. Archives are left to `embedded_archives`, which
recognises them by their first bytes. Digests, keys, signatures and tokens are shorter, or have a length of their own. JSON in
base64 is decoded whatever its length, since it shows by its first letters: the claims of a web token, a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from crawler.readers.core.embedded_archives import ESCAPES, IN_WORD, MAX_HELD
from crawler.readers.core.encoding import text_of
from crawler.readers.core.opacity import MAX_COINCIDENCE, coincidence
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose
from crawler.readers.core.signatures import is_archive_start

# Programs that wrap encoded bytes write lines of one length, at least so long; shorter ones may be tokens.
_MIN_WIDTH, _MIN_LINES = 60, 8
# digits of a value: more than SHA-512 and an elliptic curve's point have, in base64 more than a signature of RSA-2048
_MIN_HEX, _MIN_BASE64 = 260, 400
# where a value may begin: a long word, or a word at the beginning of a line
_LONG_RUN, _LINE_RUN = b"A" * 260, b"\n" + b"A" * _MIN_WIDTH
_TO_WORDS = bytes(0x0A if value == 0x0A else IN_WORD[value] for value in range(256))
_END_OF_WORD = re.compile(rb"[.\n]")
# Numbers of RSA with 2048, 3072, 4096 and 8192 bits (moduli and signatures) look random.
_RSA_BYTES = frozenset({256, 384, 512, 1024})
# lines of digests: lists of them are as wide as some dumps, and nobody can tell random bytes from digests
_DIGEST_WIDTHS = frozenset({64, 80, 96, 128})
_HEX = b"0123456789abcdefABCDEF"
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_LOWER_BASE32 = _BASE32.lower()
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PREFIX = re.compile(rb"(?:0[xX]|\\*x|(?:\\[nrt])+)")
# Rulers have few different characters. Random bytes use nearly all of an alphabet, words and proteins do not.
_MIN_DISTINCT, _MIN_OF_BASE32, _MIN_OF_BASE64 = 10, 30, 56
_JUDGED = 4096
# ASN.1 of certificates and keys, keys of SSH
_DATA_ADDRESS, _PICTURE = b";base64,", "picture"
# smaller pictures are icons
_MIN_PICTURE = 1536
_KEYS = re.compile(rb"\x30[\x81-\x84]|\0\0\0.(?:ssh-|ecdsa|sk-)", re.DOTALL)
_PRINTABLE = bytes([*range(0x20, 0x7F), *b"\t\n\r"])
# Cookies and tokens of single sign-on are opaque as well, and shorter than most files.
_MIN_OPAQUE_HEX, _MIN_OPAQUE_VALUE, _MIN_OPAQUE_BASE64 = 1024, 8192, 65_536
# characters of a value without end that are kept; a multiple of the groups of all encodings
_MAX_WAITING, _WHOLE_GROUPS = 2**18, 40
_CONTEXT = 80
# base64 of `{"`, `{ "`, `[{"` and of both with a line end: the beginnings of JSON
_OBJECT_MARKS = (b"eyJ", b"eyAi", b"ewog", b"ewoJ", b"W3si", b"Wwog")
_OF_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_OBJECT = re.compile(rb"(?<![A-Za-z0-9+/_-])(?:" + b"|".join(_OBJECT_MARKS) + rb")[A-Za-z0-9+/_-]{36,}")
# of a JSON web token, and of what is encrypted by such a one or by Laravel
_TOKEN_HEADER = re.compile(rb'\A\{\s*"(?:alg|typ|kid|enc|iv|jku|x5t)"\s*:')
_ATTRIBUTE = (b'"', b"'", b"=")
_WHITE = b" \t\r\n"
SENTENCE = "values in it are compressed, encrypted or a picture, written as text, and could not be read"
_READ = "values that are written as hexadecimal digits or base64 are examined as a member"


class EncodedValueSearch:
    """Takes all bytes of a text in order; hands the decoded values over, and reports opaque ones, when it has ended.

    Args:
        found: takes decoded values, joined, to be read as a member.
        out: takes the problems.
        decodes_hex: the reader of this format decodes hexadecimal text itself.
        markup: values stand between tags; of attributes (states of forms) only pictures and texts that are an address
            (`data:`) are content.
    """

    def __init__(
        self, found: Callable[[bytes], None], out: Output, *, decodes_hex: bool = False, markup: bool = False
    ) -> None:
        self._found = found
        self._out = out
        self._decodes_hex = decodes_hex
        self._markup = markup
        self._tail = b""
        self._bytes = 0
        self._opaque_hex = self._opaque_base64 = self._largest = 0
        self._texts: list[bytes] = []
        self._binaries: list[bytes] = []
        self._archives: list[bytes] = []
        self._objects: list[bytes] = []
        self._open_word = b""
        self._kept = 0
        self._too_large = False

    def feed(self, data: bytes) -> None:
        """Search the next bytes."""
        self._bytes += len(data)
        if b"\0" in data:
            data = data.replace(b"\0", b"")
        self._take_objects(data, last=False)
        self._take(self._tail + data, last=False)

    def skip(self, data: bytes) -> None:
        """Take the next bytes without searching them, because no word of 40 characters stands in them."""
        self._bytes += len(data)
        if self._open_word:
            self._take_objects(data[:_CONTEXT], last=True)
        if self._tail:
            self._take(self._tail + data[:_CONTEXT], last=True)

    def finish(self) -> None:
        """The text has ended: hand over what was decoded, and report what cannot be read."""
        self._take_objects(b"", last=True)
        self._take(self._tail, last=True)
        many_hex = self._opaque_hex > 0 and self._opaque_hex >= min(_MIN_OPAQUE_HEX, self._bytes / 4)
        many_base64 = self._opaque_base64 > 0 and self._opaque_base64 >= min(_MIN_OPAQUE_BASE64, self._bytes / 2)
        if many_hex or many_base64 or self._largest >= _MIN_OPAQUE_VALUE:
            self._out.problem_once("unread", SENTENCE, incomplete=True)
        self._objects, self._texts = (
            [value for value in values if not self._out.is_decoded_value(value)]
            for values in (self._objects, self._texts)
        )
        for values in (self._objects, self._texts, self._binaries, *([each] for each in self._archives)):
            if values:
                self._out.problem_once("inside", _READ)
                self._found(b"".join(values))
        if self._too_large:
            detail = f"the encoded values in its text exceed {MAX_HELD} bytes together and were not all decoded"
            self._out.problem("size", detail, incomplete=True)

    def _take(self, data: bytes, *, last: bool) -> None:
        """Search text; keeps a value that may go on in the next bytes."""
        self._tail = b""
        # a line begins in front of the text, so that the first line is searched like the others
        words = b"\n" + data.translate(_TO_WORDS)
        data = b"\n" + data
        end = 0
        for at in iter(_Starts(words).next, -1):
            if at < end:
                continue
            begin = max(words.rfind(b".", end, at), words.rfind(b"\n", end, at)) + 1 or end
            stop = _END_OF_WORD.search(words, at)
            end = stop.start() if stop else len(data)
            parts = [data[begin:end]]
            if end - begin < _MIN_HEX and data[begin - 1] in b"\r\n":
                parts, end = _lines_of(data, words, begin, end)
            before = data[max(0, begin - _CONTEXT) : begin]
            if not last and end + 2 >= len(data):
                if len(data) - begin < _MAX_WAITING:
                    self._tail = before + data[begin:]
                    return
                if len(parts) == 1:
                    # a value without end is judged in parts that hold whole groups of every encoding
                    end = begin + (end - begin) // _WHOLE_GROUPS * _WHOLE_GROUPS
                    self._judge(data[begin:end], before, end - begin, 1, b"")
                    self._tail = data[end:]
                    return
            if len(parts) == 1 or len(parts) >= _MIN_LINES:
                self._judge(b"".join(parts), before, len(parts[0]), len(parts))
        if not last:
            last_word = max(words.rfind(b".", -_JUDGED), words.rfind(b"\n", -_JUDGED)) + 1
            self._tail = data[max(0, max(last_word, len(data) - _JUDGED) - _CONTEXT) :]

    def _take_objects(self, data: bytes, *, last: bool) -> None:
        """Keep JSON that is written as base64 and shorter than other values: claims of tokens, bodies of messages."""
        data, self._open_word = self._open_word + data, b""
        if not last:
            end = len(data.rstrip(_OF_WORD))
            data, self._open_word = data[:end], data[end:] if len(data) - end < _MAX_WAITING else b""
        if not any(mark in data for mark in _OBJECT_MARKS):
            return
        for found in _OBJECT.finditer(data):
            value = found[0]
            if len(value) >= _MIN_BASE64 or (self._markup and data[found.start() - 1 : found.start()] in _ATTRIBUTE):
                # a long value is judged like others
                continue
            value = value.translate(_STANDARD) if len(value) % 4 != 1 else value[:-1].translate(_STANDARD)
            text = text_of(binascii.a2b_base64(value + b"=" * (-len(value) % 4)))
            if text is not None and _is_printable(text) and b'"' in text and not _TOKEN_HEADER.search(text):
                self._keep(self._objects, text.replace(b"\n", b" ").strip() + b"\n")

    def _judge(self, value: bytes, before: bytes, width: int, lines: int, end: bytes = b"\n") -> None:
        """Decode a value and keep, count or ignore what it is."""
        if b"-----" in value[:_CONTEXT] or before.rstrip(b"\\nr\r\n ").endswith(b"-----"):
            # a key, a certificate or a message in armour; encrypted ones are recognised by `opacity`
            return
        # an address that is its own content: data:image/png;base64,…
        is_address = before.endswith(_DATA_ADDRESS)
        in_attribute = self._markup and before[-1:] not in (b"", b">") and before[-1:] not in _WHITE
        if in_attribute and not is_address:
            return
        if b"\\" in value:
            value = ESCAPES.sub(b"", value.replace(b"\\/", b"/"))
        if prefix := _PREFIX.match(value):
            value = value[prefix.end() :]
        value = value.strip(b"\\-_")
        distinct = len(set(value[:_JUDGED]))
        if distinct < _MIN_DISTINCT or value.isdigit():
            return
        if not value.translate(None, _LOWER_BASE32):
            value = value.upper()
        is_hex = not value[:_JUDGED].translate(None, _HEX)
        is_base32 = not value.translate(None, _BASE32)
        data = _decode(value, is_hex)
        if not data or len(data) in _RSA_BYTES or _KEYS.match(data):
            return
        reader = choose(data[:_JUDGED], "") if len(data) >= _MIN_PICTURE else None
        if reader is not None and reader.FORMAT == _PICTURE:
            self._keep(self._archives, data)
        elif in_attribute and not (text_of(data[:_JUDGED]) is not None and _is_printable(data[:_JUDGED])):
            # fonts of the page; a text is a file that the page offers
            return
        elif is_archive_start(data):
            if is_base32:
                self._keep(self._archives, data)
        elif coincidence(data[:_JUDGED]) < MAX_COINCIDENCE:
            if is_hex and not (lines > 1 and width in _DIGEST_WIDTHS):
                self._opaque_hex += len(data)
            elif not is_hex and distinct >= (_MIN_OF_BASE32 if is_base32 else _MIN_OF_BASE64):
                self._opaque_base64 += len(value)
                self._largest = max(self._largest, len(value))
        elif text_of(data[:_JUDGED]) is not None and _is_printable(data[:_JUDGED]):
            if not (is_hex and self._decodes_hex):
                self._keep(self._texts, data + end)
        elif is_hex or choose(data[:_JUDGED], "") is not None:
            self._keep(self._binaries, data + end)

    def _keep(self, values: list[bytes], data: bytes) -> None:
        self._kept += len(data)
        if self._kept > MAX_HELD:
            self._too_large = True
        else:
            values.append(data)


class _Starts:
    """Goes through the places of words that may be values, in order: each place lies inside its word."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self._long = words.find(_LONG_RUN)
        self._line = words.find(_LINE_RUN)

    def next(self) -> int:
        """The next place; -1 if there is none."""
        if self._long < 0 and self._line < 0:
            return -1
        if self._long < 0 or 0 <= self._line < self._long:
            at = self._line + 1
            self._line = self._words.find(_LINE_RUN, at + _MIN_WIDTH)
            return at
        at = self._long
        self._long = self._words.find(_LONG_RUN, at + len(_LONG_RUN))
        return at


def _lines_of(data: bytes, words: bytes, begin: int, stop: int) -> tuple[list[bytes], int]:
    """Lines of one length that follow each other, and a shorter last one; and where they end."""
    width = stop - begin
    parts = [data[begin:stop]]
    whole = b"A" * width
    while True:
        start = stop + (2 if data.startswith(b"\r\n", stop) else 1)
        if data[stop : stop + 1] not in (b"\r", b"\n") or start >= len(data):
            return parts, stop
        if words.startswith(whole, start) and words[start + width : start + width + 1] in (b"", b".", b"\n"):
            stop = start + width
            parts.append(data[start:stop])
            continue
        found = _END_OF_WORD.search(words, start)
        end = found.start() if found else len(data)
        if 0 < end - start < width and data[end : end + 1] in (b"", b"=", b"\r", b"\n"):
            parts.append(data[start:end])
            stop = end
        return parts, stop


def _decode(value: bytes, is_hex: bool) -> bytes:
    """The bytes that a value stands for; b'' if it is too short to be content, or not encoded."""
    try:
        if is_hex:
            return binascii.unhexlify(value[: len(value) & ~1]) if len(value) >= _MIN_HEX else b""
        if len(value) < _MIN_BASE64:
            return b""
        if not value.translate(None, _BASE32):
            return base64.b32decode(value[: len(value) & ~7])
        # its padding is no part of the word; a single character at the end belongs to no byte
        value = value if len(value) % 4 != 1 else value[:-1]
        return binascii.a2b_base64(value.translate(_STANDARD) + b"=" * (-len(value) % 4))
    except binascii.Error:
        return b""


def _is_printable(data: bytes) -> bool:
    """Ordinary words can be decoded too; what they become is hardly printable."""
    plain = text_of(data) or b""
    return len(plain.translate(None, _PRINTABLE)) * 8 < len(plain)
