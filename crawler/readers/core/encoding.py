"""Turns text files of any mixture of encodings into UTF-8. What the text means is left to readers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

from isal import isal_zlib

from crawler.readers.core.code_pages import ebcdic_page, page_of, page_of_line
from crawler.readers.core.limits import HEAD
from crawler.readers.core.signatures import is_archive_start
from crawler.readers.core.source import Source

BLOCK = 2**18
"""About so many bytes of whole lines are processed at once."""

# longest first: the UTF-32 little-endian mark begins with the UTF-16 one
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# what ends lines where no newline does
_OTHER_ENDS = (b"\r", b"\x1e")
# a line that is too long is cut behind one of these, if one stands within its last bytes
_EDGE = re.compile(rb"[\s,;|]")
_EDGE_WINDOW = 4096

# name of an error handler: windows-1252 leaves five bytes undefined, which real files hold as C1 controls
_C1_CONTROLS = "tocsin-c1"

# Mojibake: UTF-8 that was taken for windows-1252 and encoded again, so that é became "Ã©", œ "Å“", ’ "â€™". Only such
# lead characters count as hardly ever end a French word, so that CITÉ» or SANTÉ with a no-break space behind it are
# left alone.
_TAIL = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a"
    "\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
_MOJIBAKE = re.compile(f"[ÂÃÅ]{_TAIL}|â[\u20ac\u201a\u201e\u0080\u0082\u0084]{_TAIL}|Æ\u2019|Ë[\u2020\u0153]|ï¿½")
# UTF-8 can be misread several times, of which ƒ, ˆ and ˜ are traces. Programs that know no C1 controls lose the second
# byte of Á, Í and Ï, and the last one of a quotation mark.
_MAX_MISREADINGS = 4
_LOST_HALF = re.compile("Ã\ufffd|â€\ufffd")
# the first bytes of mojibake in UTF-8: a quick test before anything is decoded
_MOJIBAKE_BYTES = re.compile(
    rb"\xc3[\x82\x83\x85][\xc2\xc5\xc6\xcb\xe2]|\xc3\xa2[\xc2\xe2]|\xc3\xaf\xc2\xbf\xc2\xbd|\xc3\x83\xef\xbf\xbd"
)
# All mojibake contains one of these bytes, and a table of accented names often none: five searches for a byte take a
# tenth of the time of trying the pattern at every é.
_MOJIBAKE_TAILS = (b"\xc2", b"\xc5", b"\xc6", b"\xcb", b"\xe2", b"\xef")

# A byte 0xff that is damage: UTF-8 never contains it, and as ÿ of windows-1252 it hardly ever begins or ends a word.
_DAMAGE = re.compile(rb"(?<![A-Za-z])\xff|\xff(?![A-Za-z\s-])")
_SEVEN_BITS, _TRAILS = bytes(range(0x80)), bytes(range(0x80, 0xC0))
_NO_LEADS = bytes((0xC0, 0xC1, *range(0xF5, 0x100)))
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def _keep_c1_controls(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "".join(map(chr, error.object[error.start : error.end])), error.end
    if isinstance(error, UnicodeEncodeError):
        return error.object[error.start : error.end].encode("latin-1"), error.end
    raise error


codecs.register_error(_C1_CONTROLS, _keep_c1_controls)


def detect(head: bytes) -> tuple[str, int]:
    """The encoding of a text from its first bytes, and the length of its byte order mark.

    `utf-8` stands for every 8-bit encoding but EBCDIC. A mark is believed unless the bytes behind it contradict it: two wrong
    bytes in front of a table must not hide the table.
    """
    marked, skip = next(((name, len(mark)) for mark, name in _MARKS if head.startswith(mark)), ("utf-8", 0))
    sample = head[skip : skip + 4096]
    if len(sample) < 8 or marked.startswith("utf-32"):
        return marked, skip
    even, odd = sample[0::2].count(0) / len(sample) * 2, sample[1::2].count(0) / len(sample) * 2
    if odd > 0.4 and even < 0.1:
        return "utf-16-le", skip
    if even > 0.4 and odd < 0.1:
        return "utf-16-be", skip
    # UTF-16 of other scripts holds no zeros either, but it hardly consists of ASCII letters
    if not even + odd and len(sample.translate(None, _ASCII)) * 4 < len(sample):
        return "utf-8", skip
    if not skip and (page := ebcdic_page(sample)):
        return page, 0
    return marked, skip


def as_utf8(head: bytes) -> bytes:
    """The first bytes of a file, prepared for `sniff`.

    UTF-16 and UTF-32 become UTF-8, 8-bit encodings stay as they are, and all line ends become newlines.
    """
    return _cached_as_utf8(head) if type(head) is bytes and len(head) <= HEAD else _as_utf8(head)


def _as_utf8(head: bytes) -> bytes:
    name, skip = detect(head)
    text = head[skip:]
    if name != "utf-8":
        text = text.decode(name, "replace").encode("utf-8", "replace")
    text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text if b"\n" in text else text.replace(b"\x1e", b"\n")


# every reader asks for the same bytes in turn, and a bytes object keeps its hash
_cached_as_utf8 = lru_cache(maxsize=4)(_as_utf8)


def is_text(head: bytes) -> bool:
    """True if the first bytes of a file (as `as_utf8` returns them) are text, not binary data."""
    return _cached_is_text(head) if type(head) is bytes and len(head) <= HEAD else _is_text(head)


def _is_text(head: bytes) -> bool:
    if not head:
        return False
    # exports contain tabs, newlines, form feeds, escapes and the separators 0x1c..0x1f, but hardly NUL
    controls = head.translate(None, TEXT_BYTES)
    if len(controls) * 50 <= len(head) and head.count(0) * 200 <= len(head):
        return True
    # a field may be filled with zeros, or contain bells and backspaces; then no other control characters occur
    return len(controls) * 4 <= len(head) and len(set(controls)) <= 2


_cached_is_text = lru_cache(maxsize=4)(_is_text)


def text_of(data: bytes) -> bytes | None:
    """The text of a value that a table stores as bytes, in UTF-8; None if it is binary data.

    Signatures are tested first: a short gzip file has so few control characters that it can pass for text.
    """
    if is_archive_start(data):
        return None
    text = as_utf8(data)
    return text if is_text(text[:4096]) else None


_ASCII = bytes([9, 10, 13, *range(0x20, 0x7F)])
TEXT_BYTES = bytes(set(range(256)) - (set(range(0x1B)) - set(b"\t\n\x0b\x0c\r\x01\x02")) - {0x7F})
"""Bytes that occur in text of any 8-bit encoding: all but most control characters."""


def utf8_pieces(source: Source) -> Iterator[bytes]:
    """The bytes of a source without its mark, UTF-16 and UTF-32 as UTF-8; 8-bit encodings are left to `repair`."""
    name, skip = detect(source.peek(8192))
    source.read(skip)
    if name == "utf-8":
        while piece := source.piece():
            yield piece
        return
    decoder = codecs.getincrementaldecoder(name)("replace")
    while piece := source.piece():
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


class Lines:
    """The lines of a source, in blocks of UTF-8.

    Args:
        source: read to its end.
        max_line: bytes; a longer line is divided into several.
        block: about how many bytes a block has.

    Attributes:
        cut: how many times a line was divided.
        size: how many bytes of the source the last block came from, with its last line end.
        wrong: how many blocks are not those that the guide of the source announces.
    """

    def __init__(self, source: Source, max_line: int, block: int = BLOCK) -> None:
        self.cut = self.size = self.wrong = 0
        self._source = source
        self._max_line, self._block = max_line, block
        # line ends of the old Mac: carriage returns alone; or the separator of records
        raw = source.peek(8192)
        self._end = b"\n"
        if b"\n" not in raw and detect(raw)[0] == "utf-8":
            self._end = next((end for end in _OTHER_ENDS if end in raw), self._end)
        self._pieces = utf8_pieces(source)

    def blocks(self) -> Iterator[bytes]:
        """Whole lines joined by newlines, without one at the end: about `block` bytes of valid UTF-8.

        Blank lines are kept.
        """
        for block in self.raw_blocks():
            if self._end != b"\n":
                block = block.replace(self._end, b"\n")
            elif b"\r" in block:
                block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
            yield repair(block)

    @property
    def has_usual_ends(self) -> bool:
        """Whether lines end with a newline."""
        return self._end == b"\n"

    def raw_blocks(self) -> Iterator[bytes]:
        """As `blocks`, with the line ends and the encoding of the source."""
        return self._guided() if self._source.guide else self._cut()

    def _guided(self) -> Iterator[bytes]:
        """The blocks that the guide of the source announces: a chunk of a file has the blocks of the whole file."""
        _, skip = detect(self._source.peek(8192))
        for block in self._source.guide:
            data = self._source.read(block.size)[skip:].removesuffix(b"\n")
            skip, self.size = 0, block.size
            self.wrong += isal_zlib.crc32(data) != block.crc
            yield data

    def _cut(self) -> Iterator[bytes]:
        end = self._end
        # the first block includes the byte order mark
        mark = detect(self._source.peek(8192))[1]
        parts: list[bytes] = []
        have = 0
        for piece in self._pieces:
            parts.append(piece)
            have += len(piece)
            if have < self._block:
                continue
            data = b"".join(parts)
            at = data.rfind(end)
            if at >= 0:
                self.size, mark = at + 1 + mark, 0
                yield data[:at]
                data = data[at + 1 :]
            # the rest is one line that has not ended
            while len(data) > self._max_line:
                at = self._edge(data)
                yield data[:at]
                data = data[at:]
                self.cut += 1
            parts, have = [data], len(data)
        data = b"".join(parts)
        while len(data) > max(self._max_line, self._block) and end not in data:
            at = self._edge(data)
            yield data[:at]
            data = data[at:]
            self.cut += 1
        if data:
            self.size = len(data) + mark
            yield data.removesuffix(end)

    def _edge(self, data: bytes) -> int:
        start = max(0, self._max_line - _EDGE_WINDOW)
        last = 0
        for found in _EDGE.finditer(data, start, self._max_line):
            last = found.end()
        return last or self._max_line


def repair(block: bytes, between: bytes = b"\n") -> bytes:
    """Text as valid UTF-8, decided line by line.

    A line that is not UTF-8 is read as windows-1252, or as the code page under which the accents of the block look
    like those of names. A line whose own words contradict that page is read under the page that they speak for. UTF-8
    that was encoded several times is decoded as often.

    Args:
        block: whole lines.
        between: separates the parts that may have different encodings, if these are not lines.
    """
    if block.isascii():
        return block
    try:
        block.decode()
    except UnicodeDecodeError:
        page, is_mixed = page_of(block)
        block = between.join([_valid_utf8(line, page, is_mixed) for line in block.split(between)])
    if any(tail in block for tail in _MOJIBAKE_TAILS) and _MOJIBAKE_BYTES.search(block):
        block = between.join(
            [_fix_mojibake(line) if _MOJIBAKE_BYTES.search(line) else line for line in block.split(between)]
        )
    return block


def _valid_utf8(line: bytes, page: str, is_mixed: bool) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        cleaned = _DAMAGE.sub(b"", line) if b"\xff" in line else line
        if _may_hold_utf8(cleaned):
            bad = cleaned.decode("utf-8", "replace").count("\ufffd") - cleaned.count("\ufffd".encode())
            if sum(map(len, _UTF8_SEQUENCE.findall(cleaned))) > 2 * bad or not bad:
                # UTF-8 with a few bad bytes: only these are dropped
                return cleaned.decode("utf-8", "ignore").encode()
        if is_mixed:
            page = page_of_line(line, page)
        if page != "cp1252":
            return line.decode(page, "replace").encode()
        return cleaned.decode("cp1252", _C1_CONTROLS).encode()
    return line


def _may_hold_utf8(line: bytes) -> bool:
    """Whether a line has both kinds of bytes of which UTF-8 sequences consist, or nothing beyond ASCII."""
    high = line.translate(None, _SEVEN_BITS)
    leads = high.translate(None, _TRAILS)
    return not high or (len(leads) < len(high) and len(leads.translate(None, _NO_LEADS)) > 0)


def _fix_mojibake(line: bytes) -> bytes:
    """A line whose UTF-8 was taken for another encoding, once or several times; each time is undone."""
    for _ in range(_MAX_MISREADINGS):
        fixed = _LOST_HALF.sub("\ufffd", _MOJIBAKE.sub(_decode_once, line.decode())).encode()
        if fixed == line or not _MOJIBAKE_BYTES.search(fixed):
            return fixed
        line = fixed
    return line


def _decode_once(found: re.Match[str]) -> str:
    try:
        return found[0].encode("cp1252", _C1_CONTROLS).decode()
    except UnicodeDecodeError:
        return found[0]
