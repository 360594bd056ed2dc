"""Rich Text: its words as text and its tables as rows; files in it are found by who watches its bytes.

Source: Rich Text Format Specification 1.9.1.
"""

from __future__ import annotations

import codecs
import re

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "rtf"
EMBEDDED_SEARCH = "all"

_TOKEN = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<number>-?\d{1,10})? ?|\\'(?P<byte>[0-9A-Fa-f]{2})|\\(?P<sign>[^A-Za-z])"
    rb"|(?P<brace>[{}])|[\r\n]+|(?P<text>[^\\{}\r\n]+)|\\",
    re.DOTALL,
)
# what is no token before its end is seen: a word, its number and a space
_LONGEST = 64
_HEX = re.compile(rb"[0-9A-Fa-f]{60,}\Z")
_BREAKS = frozenset((b"par", b"line", b"sect", b"page", b"column", b"softline"))
# a group of its own, whose words do not go on those before it
_APART = frozenset(
    (b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"objdata", b"header", b"footer", b"footnote")
)
_LETTERS = {
    b"tab": "\t", b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“",
    b"rdblquote": "”", b"bullet": "•", b"emspace": " ", b"enspace": " ", b"qmspace": " ",
}  # fmt: skip
_SIGNS = {b"~": " ", b"_": "-", b"-": "", b"*": "", b":": ":", b"|": ""}
_CODE_PAGES = {b"mac": "mac_roman", b"pc": "cp437", b"pca": "cp850"}
_MOST_ROWS, _MOST_TEXT = 1000, 2**16


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by how it begins."""
    return 1.0 if head.lstrip()[:5] == b"{\\rtf" else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out all words, whatever group they stand in: what a program would not show is read as well."""
    words = _Words(out, limits)
    held, at, ended = b"", 0, False
    while not ended and not words.over:
        piece = source.piece()
        ended = not piece
        held, at = held[at:] + piece, 0
        while at < len(held) and (ended or at < len(held) - _LONGEST) and not words.over:
            found = _TOKEN.match(held, at)
            if found is None:
                break
            at = found.end()
            words.take(found)
            if words.binary:
                # bytes as they are, which the byte pass sees
                here = min(words.binary, len(held) - at)
                source.skip(words.binary - here)
                at, words.binary = at + here, 0
    words.finish()
    rest = held[at:].lstrip(b"\r\n\t \0")
    if rest:
        source.put_back(rest)
    if not words.over:
        out.problem("cut", "it ends inside a group")


class _Words:
    """Tokens on their way to text and rows.

    Attributes:
        over: the outermost group has ended. binary: bytes that follow and are no tokens.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.over = False
        self.binary = 0
        self._out = out
        self._limits = limits
        self._page = "cp1252"
        # bytes for a letter that \u has said already, of the open group and of those around it
        self._spare = 1
        self._around: list[int] = []
        self._skip = 0
        # of the line that is open: letters as bytes of the code page, units of UTF-16
        self._bytes = bytearray()
        self._units: list[int] = []
        self._line: list[str] = []
        self._size = 0
        self._in_table = self._begun = False
        self._cells: list[bytes] = []
        self._rows: list[list[bytes]] = []
        self._text: list[bytes] = []
        self._waiting = 0

    def take(self, found: re.Match[bytes]) -> None:
        """The next token."""
        kind = found.lastgroup
        if kind == "text":
            self._plain(found["text"])
        elif kind == "byte":
            if self._skip:
                self._skip -= 1
            else:
                self._letters(bytes([int(found["byte"], 16)]))
        elif kind == "brace":
            self._skip = 0
            self._brace(found["brace"])
        elif kind in ("word", "number"):
            self._word(found["word"], None if found["number"] is None else int(found["number"]))
        elif kind == "sign":
            self._sign(found["sign"])

    def finish(self) -> None:
        """All was taken."""
        self._break()
        if self._cells:
            self._row()
        self._give_rows()
        self._give_text()

    def _brace(self, brace: bytes) -> None:
        self._settle()
        if brace == b"{":
            self._around.append(self._spare)
        elif self._around:
            self._spare = self._around.pop()
            self.over = not self._around

    def _plain(self, text: bytes) -> None:
        if self._skip:
            cut = min(self._skip, len(text))
            self._skip -= cut
            text = text[cut:]
        # pictures and objects are written as digits
        if text and not _HEX.match(text):
            self._letters(text)

    def _letters(self, text: bytes) -> None:
        self._settle_units()
        self._bytes += text
        self._grow(len(text))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.max_line:
            self._break()

    def _sign(self, sign: bytes) -> None:
        if sign in b"\r\n":
            self._break()
        elif sign in (b"\\", b"{", b"}"):
            self._plain(sign)
        else:
            self._put(_SIGNS.get(sign, ""))

    def _word(self, word: bytes, number: int | None) -> None:
        if word == b"u" and number is not None:
            self._settle_bytes()
            self._units.append(number & 0xFFFF)
            self._skip = self._spare
            self._grow(1)
        elif self._skip:
            self._skip -= 1
        elif word == b"uc":
            self._spare = max(0, min(number or 0, 8))
        elif word == b"ansicpg" and number is not None:
            self._page = _known(f"cp{number}")
        elif word in _CODE_PAGES:
            self._page = _CODE_PAGES[word]
        elif word == b"bin":
            self.binary = max(0, number or 0)
        elif word in (b"cell", b"nestcell"):
            self._cell()
        elif word in (b"row", b"nestrow"):
            self._row()
        elif word in (b"pard", b"intbl"):
            self._in_table = word == b"intbl"
        elif word in _BREAKS or word in _APART:
            if self._in_table and word in _BREAKS:
                self._put(" ")
            else:
                self._break()
        elif word in _LETTERS:
            self._put(_LETTERS[word])

    # --- letters -------------------------------------------------------------------------------------------------

    def _put(self, text: str) -> None:
        self._settle()
        self._line.append(text)
        self._grow(1)

    def _settle(self) -> None:
        self._settle_bytes()
        self._settle_units()

    def _settle_bytes(self) -> None:
        if self._bytes:
            self._line.append(self._bytes.decode(self._page, "replace"))
            self._bytes.clear()

    def _settle_units(self) -> None:
        if self._units:
            data = b"".join(unit.to_bytes(2, "little") for unit in self._units)
            self._line.append(data.decode("utf-16-le", "replace"))
            self._units.clear()

    def _said(self) -> bytes:
        """The open line, which is over."""
        self._settle()
        text = "".join(self._line).encode("utf-8", "replace")
        self._line.clear()
        self._size = 0
        return text

    # --- lines and rows ------------------------------------------------------------------------------------------

    def _break(self) -> None:
        line = self._said()
        if not line:
            return
        if self._cells:
            # a cell without end
            self._row()
        self._give_rows()
        self._text.append(line + b"\n")
        self._waiting += len(line)
        if self._waiting > _MOST_TEXT:
            self._give_text()

    def _cell(self) -> None:
        self._cells.append(self._said().strip())
        if len(self._cells) >= self._limits.max_columns:
            self._row()

    def _row(self) -> None:
        left = self._said().strip()
        cells = [*self._cells, left] if left else self._cells
        self._cells = []
        if len(cells) > 1:
            self._rows.append(cells)
            if len(self._rows) >= _MOST_ROWS:
                self._give_rows(goes_on=True)
        elif cells:
            self._text.append(cells[0] + b"\n")

    def _give_rows(self, *, goes_on: bool = False) -> None:
        if self._rows:
            self._give_text()
            if not self._begun:
                self._out.header(None)
            self._out.rows(self._rows)
            self._rows = []
            self._begun = True
        self._begun = self._begun and goes_on

    def _give_text(self) -> None:
        if self._text:
            self._out.text(b"".join(self._text))
            self._text, self._waiting = [], 0


def _known(page: str) -> str:
    """A code page, or the usual one where nobody knows it."""
    try:
        return codecs.lookup(page).name
    except LookupError:
        return "cp1252"
