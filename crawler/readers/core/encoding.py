"""Bytes of text files as UTF-8 lines, whatever mixture of encodings they are in; meaning is left to readers."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

from crawler.readers.core.limits import HEAD
from crawler.readers.core.signatures import is_archive_start
from crawler.readers.core.source import Source

BLOCK = 2**18
"""Bytes of whole lines that are worked on at once."""

# longest first: the UTF-32 little-endian mark begins with the UTF-16 one
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# where a line has to be cut, the cut is made at one of these within the last bytes
_EDGE = re.compile(rb"[\s,;|]")
_EDGE_WINDOW = 4096

# windows-1252 leaves five bytes undefined, which real files hold as C1 controls
_SLOPPY = "tocsin-c1"

# UTF-8 that was taken for windows-1252 and encoded again: é became "Ã©", œ "Å“", ’ "â€™". Lead characters are only
# those that hardly end a French word, so that CITÉ» or SANTÉ followed by a hard space stay what they are.
_TAIL = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a"
    "\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
_MOJIBAKE = re.compile(f"[ÂÃÅ]{_TAIL}|â[\u20ac\u201a\u201e\u0080\u0082\u0084]{_TAIL}")
# what any of the above begins with in UTF-8: a quick test on bytes before anything is decoded
_MOJIBAKE_BYTES = re.compile(rb"\xc3[\x82\x83\x85][\xc2\xc5\xc6\xcb\xe2]|\xc3\xa2[\xc2\xe2]")
# One of these is in all of it, and in a table of accented names often none: five looks for a byte take a tenth of the
# time of trying the pattern at every é.
_MOJIBAKE_TAILS = (b"\xc2", b"\xc5", b"\xc6", b"\xcb", b"\xe2")


_DAMAGE = re.compile(rb"(?<![A-Za-z])\xff|\xff(?![A-Za-z\s-])")
_SOUND = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def _c1(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "".join(map(chr, error.object[error.start : error.end])), error.end
    if isinstance(error, UnicodeEncodeError):
        return error.object[error.start : error.end].encode("latin-1"), error.end
    raise error


codecs.register_error(_SLOPPY, _c1)


def detect(head: bytes) -> tuple[str, int]:
    """The encoding family of a head and the length of its mark: `utf-8` stands for every 8-bit encoding.

    A mark is believed unless what follows says otherwise: two bytes before a table must not hide it.
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
    # text of other scripts holds no zeros either, but hardly letters of ASCII alone
    if not even + odd and len(sample.translate(None, _ASCII)) * 4 < len(sample):
        return "utf-8", skip
    return marked, skip


def as_utf8(head: bytes) -> bytes:
    """A head for sniffing: UTF-16 and UTF-32 turned to UTF-8, 8-bit encodings as they are, line ends as newlines."""
    return _kept_as_utf8(head) if type(head) is bytes and len(head) <= HEAD else _as_utf8(head)


def _as_utf8(head: bytes) -> bytes:
    name, skip = detect(head)
    text = head[skip:]
    if name != "utf-8":
        text = text.decode(name, "replace").encode("utf-8", "replace")
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


# every reader asks the same of one head in turn, and a head knows its own hash
_kept_as_utf8 = lru_cache(maxsize=4)(_as_utf8)


def is_text(head: bytes) -> bool:
    """True if a head (as `as_utf8` gives it) is something that people or exports write, not binary data."""
    if not head:
        return False
    # tab, newline, form feed, escape and the separators 0x1c..0x1f are seen in exports; NUL hardly
    strange = head.translate(None, _USUAL)
    if len(strange) * 50 <= len(head) and head.count(0) * 200 <= len(head):
        return True
    # where a field is filled with zeros, or somebody wrote bells and backspaces, nothing else is strange
    return len(strange) * 4 <= len(head) and len(set(strange)) <= 2


def text_of(data: bytes) -> bytes | None:
    """A value that stands as bytes in a table, as UTF-8 where it is text; None where it is binary data.

    Signatures are asked first: a short gzip has so few control characters that it can pass for text.
    """
    if is_archive_start(data):
        return None
    text = as_utf8(data)
    return text if is_text(text[:4096]) else None


_ASCII = bytes([9, 10, 13, *range(0x20, 0x7F)])
_USUAL = bytes(set(range(256)) - (set(range(0x1B)) - set(b"\t\n\x0b\x0c\r\x01\x02")) - {0x7F})


def utf8_pieces(source: Source) -> Iterator[bytes]:
    """The source without its mark, UTF-16 and UTF-32 as UTF-8; 8-bit encodings stay for `repair`."""
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
    """The lines of a source in blocks.

    Args:
        source: what is read. max_line: a longer line is cut in several; `cut` counts these.
    """

    def __init__(self, source: Source, max_line: int) -> None:
        self.cut = 0
        self._max_line = max_line
        # line ends of the old Mac stand alone
        head = as_utf8(source.peek(8192))
        raw = source.peek(8192)
        self._lone = b"\n" in head and b"\n" not in raw and detect(raw)[0] == "utf-8"
        self._pieces = utf8_pieces(source)

    def blocks(self) -> Iterator[bytes]:
        """Whole lines joined by newlines, none at the end, about `BLOCK` bytes, valid UTF-8; blank lines are kept."""
        for block in self._cut():
            if self._lone:
                block = block.replace(b"\r", b"\n")
            elif b"\r" in block:
                block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
            yield repair(block)

    def _cut(self) -> Iterator[bytes]:
        end = b"\r" if self._lone else b"\n"
        parts: list[bytes] = []
        have = 0
        for piece in self._pieces:
            parts.append(piece)
            have += len(piece)
            if have < BLOCK:
                continue
            data = b"".join(parts)
            at = data.rfind(end)
            if at >= 0:
                yield data[:at]
                data = data[at + 1 :]
            # the rest is one unfinished line
            while len(data) > self._max_line:
                at = self._edge(data)
                yield data[:at]
                data = data[at:]
                self.cut += 1
            parts, have = [data], len(data)
        data = b"".join(parts)
        while len(data) > max(self._max_line, BLOCK) and end not in data:
            at = self._edge(data)
            yield data[:at]
            data = data[at:]
            self.cut += 1
        if data:
            yield data.removesuffix(end)

    def _edge(self, data: bytes) -> int:
        start = max(0, self._max_line - _EDGE_WINDOW)
        last = 0
        for found in _EDGE.finditer(data, start, self._max_line):
            last = found.end()
        return last or self._max_line


def repair(block: bytes, between: bytes = b"\n") -> bytes:
    """Lines as valid UTF-8: a line that is none is read as windows-1252, and UTF-8 encoded twice is undone once.

    Args:
        block: whole lines.
        between: what stands between two parts that may be in encodings of their own, where these are no lines.
    """
    if block.isascii():
        return block
    try:
        block.decode()
    except UnicodeDecodeError:
        block = between.join([_line(line) for line in block.split(between)])
    if any(tail in block for tail in _MOJIBAKE_TAILS) and _MOJIBAKE_BYTES.search(block):
        block = between.join([_undo(line) if _MOJIBAKE_BYTES.search(line) else line for line in block.split(between)])
    return block


def _line(line: bytes) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        # 0xff is in no UTF-8, and ÿ in hardly a word: where it begins one, it is damage
        mended = _DAMAGE.sub(b"", line)
        bad = mended.decode("utf-8", "replace").count("\ufffd") - mended.count("\ufffd".encode())
        if sum(map(len, _SOUND.findall(mended))) > 2 * bad or not bad:
            # UTF-8 with a bad byte in it, which costs itself and nothing that it touches
            return mended.decode("utf-8", "ignore").encode()
        line = mended
        return line.decode("cp1252", _SLOPPY).encode()
    return line


def _undo(line: bytes) -> bytes:
    return _MOJIBAKE.sub(_once, line.decode()).encode()


def _once(found: re.Match[str]) -> str:
    try:
        return found[0].encode("cp1252", _SLOPPY).decode()
    except UnicodeDecodeError:
        return found[0]
