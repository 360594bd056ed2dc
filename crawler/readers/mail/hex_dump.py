"""Reads texts that show bytes as numbers, as xxd, hexdump, od and basenc write them; the bytes are a member.

Lines that show no bytes, such as the sentences of a post around a dump, are text.

Sources: the manual pages of xxd, hexdump, od (POSIX.1-2017) and basenc.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.signatures import is_archive_start
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import decoding_confidence
from crawler.readers.mail.base64_text import MIN_WIDTH

FORMAT = "hex_dump"
EMBEDDED_SEARCH = "raw"

_SNIFFED_LINES = 400
# so many lines of a dump among other lines are no chance; a file of nothing else may have fewer
_MIN_LINES = 8
_MIN_DIGITS = 64
# programs show at least so many bytes on a line
_MIN_BYTES = 4
# Lists of digests and keys have lines of these lengths; if the bytes are random, nobody can tell them from a dump.
_DIGEST_WIDTHS = frozenset({8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 128})
# what a line that stands for equal lines may become
_MAX_REPEATED = 2**24
_PIECE = 2**16
# the bytes as the column of characters of xxd shows them
_SHOWN = bytes(value if 0x20 <= value < 0x7F else 0x2E for value in range(256))
_OCTAL_ESCAPES = {b"\\0": 0, b"\\a": 7, b"\\b": 8, b"\\t": 9, b"\\n": 10, b"\\v": 11, b"\\f": 12, b"\\r": 13}


@dataclass(frozen=True, slots=True)
class _Style:
    """One way to write a line of bytes.

    Attributes:
        line: matches a whole line; its group `data` holds the bytes, its group `at` the offset, if it has one.
        decode: the bytes that the data stand for; None if they are not valid.
    """

    line: re.Pattern[bytes]
    decode: Callable[[bytes], bytes | None]


def _pairs(data: bytes) -> bytes | None:
    digits = data.translate(None, b" \t")
    return bytes.fromhex(digits.decode()) if len(digits) % 2 == 0 else None


def _little(data: bytes) -> bytes | None:
    groups = data.split()
    if any(len(group) % 2 for group in groups):
        return None
    return b"".join(bytes.fromhex(group.decode())[::-1] for group in groups)


def _octal_words(data: bytes) -> bytes | None:
    values = [int(group, 8) for group in data.split()]
    return b"".join(value.to_bytes(2, "little") for value in values) if max(values, default=0) < 2**16 else None


def _octal_bytes(data: bytes) -> bytes | None:
    values = [int(group, 8) for group in data.split()]
    return bytes(values) if max(values, default=0) < 256 else None


def _bits(data: bytes) -> bytes | None:
    digits = data.translate(None, b" ")
    return int(digits, 2).to_bytes(len(digits) // 8, "big") if digits and len(digits) % 8 == 0 else None


def _prefixed(data: bytes) -> bytes | None:
    return _pairs(re.sub(rb"0[xX]|\\x|[,;\s]", b"", data))


def _characters(data: bytes) -> bytes | None:
    """The cells of `od -c`, four characters each."""
    values = []
    for at in range(0, len(data), 4):
        cell = data[at : at + 4]
        shown = cell[1:]
        if shown.isdigit() and len(shown) == 3:
            values.append(int(shown, 8) & 255)
        elif (escape := cell[2:]) in _OCTAL_ESCAPES:
            values.append(_OCTAL_ESCAPES[escape])
        else:
            values += cell[3:]
    return bytes(values)


def _style(line: bytes, decode: Callable[[bytes], bytes | None]) -> _Style:
    return _Style(re.compile(line, re.DOTALL), decode)


_AT = rb"(?P<at>(?:0x)?[0-9A-Fa-f]{6,16})"
_OCTAL_AT = rb"(?P<at>[0-7]{7,})"
# Each has an offset before the bytes. The order decides between styles that fit equally often.
_WITH_OFFSET = {
    "xxd -b": _style(_AT + rb": (?P<data>(?:[01]{8} )+) *(?: .{0,40})?", _bits),
    "xxd": _style(_AT + rb": +(?P<data>(?:[0-9A-Fa-f]{2,64} )+) +.*", _pairs),
    "xxd -e": _style(_AT + rb": +(?P<data>(?:[0-9A-Fa-f]{4,16} )+) +.*", _little),
    "hexdump -C": _style(_AT + rb"(?:  (?P<data>(?:[0-9A-Fa-f]{2} {1,2})+) *\|.*)?", _pairs),
    "od -t x1z": _style(_AT + rb"(?: (?P<data>(?:[0-9A-Fa-f]{2} )+) *>.*)?", _pairs),
    "od -t x1": _style(_AT + rb"(?P<data>(?: {1,2}[0-9A-Fa-f]{2})*) *", _pairs),
    "hexdump": _style(_AT + rb"(?P<data>(?: +(?:[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}|[0-9A-Fa-f]{16}))*) *", _little),
    "od": _style(_OCTAL_AT + rb"(?P<data>(?: [01][0-7]{5})*) *", _octal_words),
    "od -b": _style(_OCTAL_AT + rb"(?P<data>(?: [0-3][0-7]{2})*) *", _octal_bytes),
    "od -c": _style(_OCTAL_AT + rb"(?P<data>(?:   [^\n]|  \\[0abtnvfr]| [0-3][0-7]{2})*)", _characters),
}
_WITHOUT_OFFSET = {
    "pairs": _style(rb" {0,4}(?P<data>(?:[0-9A-Fa-f]{2} {1,2}){3,}[0-9A-Fa-f]{2}) ?", _pairs),
    "prefixed": _style(rb"\s*(?P<data>(?:0[xX][0-9A-Fa-f]{2}[,;]? ?|\\x[0-9A-Fa-f]{2}){4,})", _prefixed),
    "bits": _style(rb"(?P<data>(?:[01]{8} ?)+)", _bits),
    "digits": _style(rb"(?P<data>(?:[0-9A-Fa-f]{2}){4,}) ?", _pairs),
}
# the last line of a dump without offsets may be short
_LAST = {
    "pairs": re.compile(rb" {0,4}(?P<data>(?:[0-9A-Fa-f]{2} {1,2})*[0-9A-Fa-f]{2}) ?"),
    "prefixed": re.compile(rb"\s*(?P<data>(?:0[xX][0-9A-Fa-f]{2}[,;]? ?|\\x[0-9A-Fa-f]{2})+)"),
    "digits": re.compile(rb"(?P<data>(?:[0-9A-Fa-f]{2})+) ?"),
}
_BEGINS = re.compile(rb"\s*(?:0[xX]|\\x)?[0-9A-Fa-f]{2,}(?:[\s:,;\\]|$)")
_STYLES = _WITH_OFFSET | _WITHOUT_OFFSET


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.97 if lines of one style show consecutive bytes, or bytes that are a file; less than a page that shows them."""
    if not _find_style(head):
        return 0.0
    return 0.9 if as_utf8(head).lstrip().startswith(b"<") else 0.97


@lru_cache(1)
def _find_style(head: bytes) -> str:
    """The key of the style in which a file is written; '' if it is no dump."""
    text = as_utf8(head)
    if not is_text(text):
        return ""
    lines = text.split(b"\n")
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines[:_SNIFFED_LINES] if line.strip()]
    # a quick test: every line of a dump begins with digits, an offset or bytes
    if sum(1 for _ in filter(_BEGINS.match, lines)) < min(2, len(lines)):
        return ""
    for name, style in _WITH_OFFSET.items():
        if _shows_consecutive_bytes(lines, name, style):
            return name
    for name, style in _WITHOUT_OFFSET.items():
        if _shows_file(lines, name, style):
            return name
    return ""


_RADIXES = (16, 8)


def _shows_consecutive_bytes(lines: list[bytes], name: str, style: _Style) -> bool:
    """Whether each offset is that of the line before plus the number of its bytes."""
    shown = [_take(line, style) for line in lines]
    dumped = [(found["at"], data) for found, data in filter(None, shown)]
    fitting = max(_fitting(dumped, radix) for radix in _RADIXES)
    if fitting < _MIN_LINES and (not fitting or (fitting + 1) * 2 <= len(lines)):
        return False
    return not name.startswith("xxd") or _agrees_with_its_text(lines, style)


def _fitting(dumped: list[tuple[bytes, bytes]], radix: int) -> int:
    """How many offsets fit. In a table with numbered rows a column of few digits may fit too, which is no dump."""
    return sum(
        len(data) >= _MIN_BYTES and _distance(before, at, radix) == len(data)
        for (before, data), (at, _) in pairwise(dumped)
    )


def _distance(before: bytes, at: bytes, radix: int) -> int:
    """The difference of two offsets; -1 if one of them is no number of the radix."""
    try:
        return int(at, radix) - int(before, radix)
    except ValueError:
        return -1


def _take(line: bytes, style: _Style) -> tuple[re.Match[bytes], bytes] | None:
    """What a line of the style shows."""
    found = style.line.fullmatch(line)
    data = style.decode(found["data"] or b"") if found else None
    return None if found is None or data is None else (found, data)


def _agrees_with_its_text(lines: list[bytes], style: _Style) -> bool:
    """Whether the column of characters shows the same bytes: the order of bytes in a group may be reversed."""
    agreeing = disagreeing = 0
    for line in lines:
        if taken := _take(line, style):
            found, data = taken
            characters = line[found.end("data") :].lstrip(b" ") if data[:1] != b" " else line[found.end("data") + 1 :]
            same = characters[:4] == data.translate(_SHOWN)[: len(characters[:4])]
            agreeing, disagreeing = agreeing + same, disagreeing + (not same)
    return agreeing > disagreeing


def _shows_file(lines: list[bytes], name: str, style: _Style) -> bool:
    """Whether lines without offsets decode to a file, or to bytes that are no list of digests."""
    shown = [taken for line in lines if (taken := _take(line, style))]
    if len(shown) * 10 < len(lines) * 9 - 10 or not shown:
        return False
    decoded = b"".join(data for _, data in shown)
    text = b"".join(found["data"] for found, _ in shown)
    widths = {len(found["data"]) for found, _ in shown[:-1]} or {len(text)}
    if len(decoded) * 2 < _MIN_DIGITS:
        return False
    if name != "digits":
        return bool(decoding_confidence(decoded, wide=True))
    if text.isdigit():
        return False
    if len(widths) == 1 and min(widths) >= MIN_WIDTH and not widths & _DIGEST_WIDTHS:
        return bool(decoding_confidence(decoded, wide=True))
    return is_archive_start(decoded) or (is_text(as_utf8(decoded)) and bool(decoding_confidence(decoded, wide=False)))


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the bytes of each dump as a member, and everything else as text."""
    name = re.sub(r"\.(?:hex|txt|dump|xxd)$", "", source.name)
    style = _find_style(source.peek(HEAD))
    lines = Lines(source, limits.max_line)
    dump = _DumpReader(style, (line for block in lines.blocks() for line in block.split(b"\n")))
    text: list[bytes] = []
    waiting = 0
    while (line := dump.next_line()) is not None:
        begins = dump.begins_at(line)
        if not begins:
            text.append(line + b"\n")
            waiting += len(line)
        if begins or waiting > _PIECE:
            out.text(b"".join(text))
            text, waiting = [], 0
        if begins:
            read_member(Source(dump.decode(line), name, source.amplification), out)
    out.text(b"".join(text))
    if dump.unrepeated:
        out.problem("damaged", "lines of a dump that stand for equal lines could not be repeated", incomplete=True)
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _DumpReader:
    """Reads lines, and decodes the dumps among them.

    Attributes:
        unrepeated: number of lines `*`, which stand for equal lines, that no offset explained.
    """

    def __init__(self, style: str, lines: Iterator[bytes]) -> None:
        self.unrepeated = 0
        self._style = _STYLES[style]
        self._last = _LAST.get(style)
        self._lines = lines
        self._back: bytes | None = None
        # of the offsets; learnt from lines that follow each other
        self._radix = 16

    def next_line(self) -> bytes | None:
        """The next line; None at the end."""
        line, self._back = self._back, None
        return next(self._lines, None) if line is None else line

    def begins_at(self, line: bytes) -> bool:
        """Whether a dump begins at a line."""
        taken = _take(line, self._style)
        return taken is not None and bool(taken[1])

    def decode(self, line: bytes | None) -> Iterator[bytes]:
        """The bytes of the dump that begins at a line, in pieces; the line behind it is not consumed."""
        parts: list[bytes] = []
        size = 0
        before: tuple[bytes, bytes] = b"", b""
        repeated = False
        while line is not None:
            if line.strip() == b"*" and before[1]:
                repeated = True
            elif taken := _take(line, self._style) or self._take_last(line):
                found, data = taken
                at = found.groupdict().get("at") or b""
                if at and not repeated and _distance(before[0], at, 8) == len(before[1]) > 0:
                    self._radix = 8
                if repeated:
                    repeated = False
                    data = self._repeated(*before, at) + data
                parts.append(data)
                size += len(data)
                before = at, taken[1]
            elif line.strip():
                self._back = line
                break
            if size >= _PIECE:
                yield b"".join(parts)
                parts, size = [], 0
            line = self.next_line()
        if repeated:
            self.unrepeated += 1
        if parts:
            yield b"".join(parts)

    def _take_last(self, line: bytes) -> tuple[re.Match[bytes], bytes] | None:
        return _take(line, _Style(self._last, self._style.decode)) if self._last else None

    def _repeated(self, before: bytes, data: bytes, at: bytes) -> bytes:
        """The bytes of the equal lines between two offsets, the line before them being shown."""
        size = _distance(before, at, self._radix) - len(data)
        if data and 0 < size <= _MAX_REPEATED and size % len(data) == 0:
            return data * (size // len(data))
        self.unrepeated += 1
        return b""
