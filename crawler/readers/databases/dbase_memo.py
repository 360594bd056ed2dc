"""Memo files of dBase (.dbt) and FoxPro (.fpt): long texts of a table, which its records name by the number of a block.

Each is read with its table if that lies beside it. Alone, its texts are running text. Sources:
https://www.dbase.com/Knowledgebase/INT/db7_file_fmt.htm and "Table File Structure" of Visual FoxPro 9.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "dbase_memo"
EMBEDDED_SEARCH = "all"

_HEADER = 512
_TEXT, _KINDS = 1, (0, 1, 2)
_DBASE_4 = b"\xff\xff\x08\0"
_END = b"\x1a"
_MAX_TEXT = 2**24


class MemoFile:
    """The texts of a memo file in memory.

    Args:
        held: the file.
        is_foxpro: it is one of FoxPro (.fpt).
    """

    def __init__(self, held: bytes | bytearray, *, is_foxpro: bool) -> None:
        self._held = held
        self._is_foxpro = is_foxpro
        if is_foxpro:
            self._block = int.from_bytes(held[6:8], "big") or 1
        else:
            size = int.from_bytes(held[20:22], "little")
            # files of dBase III have the size 512 and nothing in this place
            self._block = size if self._is_dbase_4(size) else _HEADER

    def _is_dbase_4(self, size: int) -> bool:
        return size >= 64 and size % 64 == 0 and self._held[size : size + 4] == _DBASE_4

    def text(self, number: int) -> bytes:
        """The text that begins in a block; b'' if there is none."""
        return self._text(number * self._block)[0] if number > 0 else b""

    def _text(self, at: int) -> tuple[bytes, int]:
        """The text at a place, and where it ends."""
        held = self._held
        if self._is_foxpro:
            size = int.from_bytes(held[at + 4 : at + 8], "big")
            is_text = int.from_bytes(held[at : at + 4], "big") == _TEXT
            return (bytes(held[at + 8 : at + 8 + min(size, _MAX_TEXT)]) if is_text else b""), at + 8 + size
        if held[at : at + 4] == _DBASE_4:
            size = int.from_bytes(held[at + 4 : at + 8], "little")
            return bytes(held[at + 8 : at + max(8, min(size, _MAX_TEXT))]), at + max(8, size)
        end = held.find(_END, at, at + _MAX_TEXT)
        return bytes(held[at : end if end >= 0 else at + _MAX_TEXT]), end if end >= 0 else len(held)

    def texts(self, size: int | None = None) -> Iterator[bytes]:
        """All texts, block after block; `size`: only those that begin within so many bytes."""
        stop = len(self._held) if size is None else min(size, len(self._held))
        at = max(_HEADER, self._block) if not self._is_foxpro else -(-_HEADER // self._block) * self._block
        while at < stop:
            text, end = self._text(at)
            if text.strip(b"\0 "):
                yield text
            at = max(at + 1, end)
            at += -at % self._block


def sniff(head: bytes, name: str) -> float:
    """High for a memo file by its name; for one of FoxPro by its header as well."""
    ending = name[-4:].lower()
    if len(head) <= _HEADER or ending not in ("", ".fpt", ".dbt"):
        return 0.0
    block = int.from_bytes(head[6:8], "big")
    first = -(-_HEADER // block) * block if block else 0
    is_foxpro = (
        0 < block <= 16_384
        and not any(head[8:_HEADER])
        and int.from_bytes(head[first : first + 4], "big") in _KINDS
        and int.from_bytes(head[:4], "big") * block >= _HEADER
    )
    if ending == ".fpt":
        return 0.97 if is_foxpro else 0.0
    if ending == ".dbt":
        return 0.97 if 0 < int.from_bytes(head[:4], "little") < 2**24 else 0.0
    return 0.8 if is_foxpro and first + 8 < len(head) and head[first + 3] == _TEXT else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the texts, unless the table beside it has shown them with its records."""
    if source.joined:
        source.drain()
        return
    held = source.read_all(limits.hold)
    is_foxpro = not any(held[8:_HEADER]) and any(held[6:8])
    for text in MemoFile(held, is_foxpro=is_foxpro).texts():
        out.text(repair(text.rstrip(b"\0 ")) + b"\n\n")
