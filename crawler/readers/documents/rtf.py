"""Rich Text Format: words are sent as text and tables as rows.

`crawler.readers.core.embedded_archives` finds the files that are embedded in a document.

Source: Rich Text Format Specification 1.9.1.
"""

from __future__ import annotations

import codecs
import re

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source

FORMAT = "rtf"
EMBEDDED_SEARCH = "all"

_TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<byte>[0-9A-Fa-f]{2})|\\(?P<sign>[^A-Za-z])"
    rb"|(?P<brace>[{}])|[\r\n]+|(?P<text>[^\\{}\r\n]+)|\\",
    re.DOTALL,
)
# The longest token (a control word, its number and a space) is shorter: it may be incomplete at the end of a piece.
_MAX_TOKEN = 64
_HEX_DATA = re.compile(rb"[0-9A-Fa-f]{60,}\Z")
_HEX = re.compile(rb"[0-9A-Fa-f]*")
# bytes below which a picture is an icon, and digits of all pictures that are kept
_MIN_PICTURE, _MAX_PICTURES = 1536, 2**27
_LINE_BREAKS = frozenset((b"par", b"line", b"sect", b"page", b"column", b"softline"))
# destinations whose text does not continue the text before them
_SEPARATE_DESTINATIONS = frozenset(
    (b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"objdata", b"header", b"footer", b"footnote")
)
_SPECIAL_CHARACTERS = {
    b"tab": "\t", b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“",
    b"rdblquote": "”", b"bullet": "•", b"emspace": " ", b"enspace": " ", b"qmspace": " ",
}  # fmt: skip
_SYMBOLS = {b"~": " ", b"_": "-", b"-": "", b"*": "", b":": ":", b"|": ""}
_CODE_PAGES = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}
_MAX_PENDING_ROWS, _MAX_PENDING_TEXT = 1000, 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins like an RTF document, else 0.0."""
    return 1.0 if head.lstrip()[:5] == b"{\\rtf" else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send all words of all groups, including those that a word processor does not show."""
    interpreter = _Interpreter(out, limits)
    held, at, ended = b"", 0, False
    while not ended and not interpreter.over:
        piece = source.piece()
        ended = not piece
        held, at = held[at:] + piece, 0
        while at < len(held) and (ended or at < len(held) - _MAX_TOKEN) and not interpreter.over:
            found = _TOKEN.match(held, at)
            if found is None:
                break
            at = found.end()
            interpreter.process(found)
            if interpreter.binary:
                # Binary data is skipped; the byte pass examines it.
                here = min(interpreter.binary, len(held) - at)
                source.skip(interpreter.binary - here)
                at, interpreter.binary = at + here, 0
    interpreter.finish()
    rest = held[at:].lstrip(b"\r\n\t \0")
    if rest:
        source.put_back(rest)
    if not interpreter.over:
        out.problem("cut", "the document ends inside a group")


class _Interpreter:
    """Turns tokens into text and rows.

    Attributes:
        over: whether the outermost group has ended.
        binary: number of bytes of binary data that follow.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.over = False
        self.binary = 0
        self._out = out
        self._limits = limits
        self._code_page = "cp1252"
        # After a \u character, this many bytes (\uc) repeat it for old programs: in the open group and in outer groups.
        self._fallback_bytes = 1
        self._outer_fallback_bytes: list[int] = []
        self._skip = 0
        # text of the open line that was not decoded yet: bytes in the code page, and UTF-16 code units
        self._bytes = bytearray()
        self._units: list[int] = []
        self._line: list[str] = []
        self._size = 0
        self._in_table = self._has_header = False
        self._cells: list[bytes] = []
        self._rows: list[list[bytes]] = []
        self._text: list[bytes] = []
        self._pending_size = 0
        # hexadecimal digits of the picture whose group is open, the depth of that group, and pictures that have ended
        self._digits = bytearray()
        self._picture_depth = 0
        self._pictures: list[bytes] = []
        self._pictures_size = 0

    def process(self, found: re.Match[bytes]) -> None:
        """Process the next token."""
        kind = found.lastgroup
        if kind == "text":
            self._add_text(found["text"])
        elif kind == "byte":
            if self._skip:
                self._skip -= 1
            else:
                self._add_bytes(bytes([int(found["byte"], 16)]))
        elif kind == "brace":
            self._skip = 0
            self._process_brace(found["brace"])
        elif kind in ("word", "number"):
            self._process_word(found["word"], None if found["number"] is None else int(found["number"]))
        elif kind == "sign":
            self._process_symbol(found["sign"])

    def finish(self) -> None:
        """End the document: send all pending text and rows."""
        self._end_line()
        if self._cells:
            self._end_row()
        self._send_rows()
        self._send_text()
        self._end_picture()
        for picture in self._pictures:
            read_member(Source(iter([picture])), self._out)

    def _end_picture(self) -> None:
        """Keep the picture of the group that ends, to be read when the document has ended."""
        digits, self._digits, self._picture_depth = self._digits, bytearray(), 0
        if len(digits) < 2 * _MIN_PICTURE:
            return
        self._pictures_size += len(digits)
        if self._pictures_size > _MAX_PICTURES:
            sentence = f"its pictures exceed {_MAX_PICTURES} digits together and were not all read"
            self._out.problem_once("size", sentence, incomplete=True)
            return
        data = bytes.fromhex(digits[: len(digits) & ~1].decode())
        reader = choose(data, "")
        if reader is not None and reader.FORMAT == "picture":
            self._pictures.append(data)

    def _process_brace(self, brace: bytes) -> None:
        self._decode_pending()
        if brace == b"{":
            self._outer_fallback_bytes.append(self._fallback_bytes)
        elif self._outer_fallback_bytes:
            if len(self._outer_fallback_bytes) == self._picture_depth:
                self._end_picture()
            self._fallback_bytes = self._outer_fallback_bytes.pop()
            self.over = not self._outer_fallback_bytes

    def _add_text(self, text: bytes) -> None:
        if self._skip:
            cut = min(self._skip, len(text))
            self._skip -= cut
            text = text[cut:]
        # Pictures and objects, which are written as hexadecimal digits, are no text.
        if self._picture_depth == len(self._outer_fallback_bytes) > 0 and _HEX.fullmatch(text):
            if len(self._digits) <= _MAX_PICTURES:
                self._digits += text
            return
        if text and not _HEX_DATA.match(text):
            self._add_bytes(text)

    def _add_bytes(self, text: bytes) -> None:
        self._decode_units()
        self._bytes += text
        self._count(len(text))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.max_line:
            self._end_line()

    def _process_symbol(self, sign: bytes) -> None:
        if sign in b"\r\n":
            self._end_line()
        elif sign in (b"\\", b"{", b"}"):
            self._add_text(sign)
        else:
            self._put(_SYMBOLS.get(sign, ""))

    def _process_word(self, word: bytes, number: int | None) -> None:
        if word == b"u" and number is not None:
            self._decode_bytes()
            self._units.append(number & 0xFFFF)
            self._skip = self._fallback_bytes
            self._count(1)
        elif self._skip:
            self._skip -= 1
        elif word == b"uc":
            self._fallback_bytes = max(0, min(number or 0, 8))
        elif word == b"ansicpg" and number is not None:
            self._code_page = _codec_of(f"cp{number}")
        elif word in _CODE_PAGES:
            self._code_page = _CODE_PAGES[word]
        elif word == b"pict":
            self._end_line()
            self._end_picture()
            self._picture_depth = len(self._outer_fallback_bytes)
        elif word == b"bin":
            self.binary = max(0, number or 0)
        elif word in (b"cell", b"nestcell"):
            self._end_cell()
        elif word in (b"row", b"nestrow"):
            self._end_row()
        elif word in (b"pard", b"intbl"):
            self._in_table = word == b"intbl"
        elif word in _LINE_BREAKS or word in _SEPARATE_DESTINATIONS:
            if self._in_table and word in _LINE_BREAKS:
                self._put(" ")
            else:
                self._end_line()
        elif word in _SPECIAL_CHARACTERS:
            self._put(_SPECIAL_CHARACTERS[word])

    # --- characters ----------------------------------------------------------------------------------------------

    def _put(self, text: str) -> None:
        self._decode_pending()
        self._line.append(text)
        self._count(1)

    def _decode_pending(self) -> None:
        self._decode_bytes()
        self._decode_units()

    def _decode_bytes(self) -> None:
        if self._bytes:
            self._line.append(self._bytes.decode(self._code_page, "replace"))
            self._bytes.clear()

    def _decode_units(self) -> None:
        if self._units:
            data = b"".join(unit.to_bytes(2, "little") for unit in self._units)
            self._line.append(data.decode("utf-16-le", "replace"))
            self._units.clear()

    def _take_line(self) -> bytes:
        """The text of the open line, which ends here."""
        self._decode_pending()
        text = "".join(self._line).encode("utf-8", "replace")
        self._line.clear()
        self._size = 0
        return text

    # --- lines and rows ------------------------------------------------------------------------------------------

    def _end_line(self) -> None:
        line = self._take_line()
        if not line:
            return
        if self._cells:
            # The row is not ended in the document.
            self._end_row()
        self._send_rows()
        self._text.append(line + b"\n")
        self._pending_size += len(line)
        if self._pending_size > _MAX_PENDING_TEXT:
            self._send_text()

    def _end_cell(self) -> None:
        self._cells.append(self._take_line().strip())
        if len(self._cells) >= self._limits.max_columns:
            self._end_row()

    def _end_row(self) -> None:
        left = self._take_line().strip()
        cells = [*self._cells, left] if left else self._cells
        self._cells = []
        if len(cells) > 1:
            self._rows.append(cells)
            if len(self._rows) >= _MAX_PENDING_ROWS:
                self._send_rows(continues=True)
        elif cells:
            self._text.append(cells[0] + b"\n")

    def _send_rows(self, *, continues: bool = False) -> None:
        if self._rows:
            self._send_text()
            if not self._has_header:
                self._out.header(None)
            self._out.rows(self._rows)
            self._rows = []
            self._has_header = True
        self._has_header = self._has_header and continues

    def _send_text(self) -> None:
        if self._text:
            self._out.text(b"".join(self._text))
            self._text, self._pending_size = [], 0


def _codec_of(page: str) -> str:
    """Python's name of a code page, or that of Windows-1252 if Python does not know the code page."""
    try:
        return codecs.lookup(page).name
    except LookupError:
        return "cp1252"
