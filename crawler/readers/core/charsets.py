"""Decodes encodings that a document declares by name and that cannot be recognised by its bytes.

UTF-8, UTF-16 and windows-1252 can be recognised, and are left to `encoding`. All codecs are looked up when this module
is imported, because a reader in the sandbox cannot open files.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable, Iterator
from encodings.aliases import aliases

from crawler.readers.core.encoding import detect
from crawler.readers.core.limits import PIECE
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

_NAMES = (
    *(f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
    *(f"cp125{number}" for number in (0, 1, 3, 4, 5, 6, 7, 8)),
    *(f"cp{number}" for number in (437, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 865, 866, 869, 874)),
    *("mac-roman", "mac-latin2", "mac-cyrillic", "mac-greek", "mac-turkish", "koi8-r", "koi8-u", "tis-620"),
    *("cp037", "cp500", "cp1140", "big5", "big5hkscs", "cp950", "gb2312", "gbk", "gb18030", "hz"),
    *("shift_jis", "cp932", "shift_jisx0213", "euc_jp"),
    *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_3", "iso2022_kr", "euc_kr", "cp949", "johab", "utf-7"),
)  # fmt: skip
_CODECS = {codecs.lookup(name).name: codecs.lookup(name) for name in _NAMES}
# names of encodings that are recognised by the bytes; browsers read Latin-1 as windows-1252 as well
_RECOGNISED = frozenset(
    {"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii", "latin-1", "iso-8859-1", "windows-1252", "cp1252"}
    | {"utf-16", "utf-32"}
    | {"utf-16le", "utf-16be", "utf-16-le", "utf-16-be", "utf-32le", "utf-32be", "unicode", "iso-10646-ucs-2", "ucs-2"}
    | {"utf8mb4", "utf8mb3", "unknown-8bit", "8bit", "7bit", "binary", "default", "none", "unknown", "ansi"}
    | {"x-user-defined"}
)  # fmt: skip
# aliases that the standard library does not know
_ALIASES = {
    "x-sjis": "shift_jis", "windows-31j": "cp932", "ks_c_5601-1987": "cp949", "ksc5601": "cp949", "x-gbk": "gbk",
    "ibm850": "cp850", "x-euc-jp": "euc_jp", "hz-gb-2312": "hz", "x-mac-roman": "mac-roman", "macintosh": "mac-roman",
    "windows-949": "cp949", "unicode-1-1-utf-7": "utf-7", "x-unicode-1-1-utf-7": "utf-7", "windows-874": "cp874",
    "dos-850": "cp850", "x-mac-cyrillic": "mac-cyrillic", "iso-8859-8-i": "iso8859-8", "big5-hkscs": "big5hkscs",
    "x-x-big5": "big5", "csiso2022jp": "iso2022_jp", "iso-2022-jp": "iso2022_jp",
}  # fmt: skip
_SHIFTED = re.compile(rb"\+([A-Za-z0-9+/]*)-?")
_LONGEST = 4096

Decode = Callable[[bytes, bool], str]


def is_recognised(name: str) -> bool:
    """Whether an encoding of this name is recognised by the bytes, or the name says nothing about the encoding."""
    return name.strip().lower() in _RECOGNISED


def decoder(name: str) -> Decode | None:
    """A function (piece, is it the last one) that decodes the named encoding.

    None if the name is unknown, or the encoding is recognised by the bytes.
    """
    low = name.strip().lower()
    if low in _RECOGNISED:
        return None
    low = _ALIASES.get(low, low)
    folded = re.sub(r"[^a-z0-9]+", "_", low).strip("_")
    for form in (
        low,
        folded,
        folded.replace("_", "-"),
        aliases.get(folded, ""),
        aliases.get(folded, "").replace("_", "-"),
    ):
        found = _CODECS.get(form)
        if found is not None:
            break
    else:
        return None
    if found.name == "utf-7":
        return _Utf7().decode
    return found.incrementaldecoder("replace").decode


class _Utf7:
    """Decodes UTF-7, but leaves telephone numbers such as +33612345678 alone, which look like encoded characters."""

    def __init__(self) -> None:
        self._held = b""

    def decode(self, piece: bytes, final: bool = False) -> str:
        data = self._held + piece
        self._held = b""
        if not final:
            at = data.rfind(b"+")
            # the encoded characters may go on in the next piece
            if at >= 0 and len(data) - at < _LONGEST and _SHIFTED.fullmatch(data, at):
                data, self._held = data[:at], data[at:]
        return _SHIFTED.sub(_decode_shifted, data).decode("utf-8", "replace")


def _decode_shifted(found: re.Match[bytes]) -> bytes:
    digits = found[1]
    if not digits:
        return b"+" if found[0] == b"+-" else found[0]
    if digits.isdigit():
        return found[0]
    whole = digits[: len(digits) - 1] if len(digits) % 4 == 1 else digits
    data = binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
    try:
        return data[: len(data) & ~1].decode("utf-16-be").encode()
    except UnicodeDecodeError:
        return found[0]


def recode_to_utf8(source: Source, declared: re.Pattern[bytes], out: Output) -> Source:
    """A source in UTF-8, decoded from the encoding that the document declares; an unknown encoding is reported.

    The source is returned as it is if its encoding is recognised by its bytes.

    Args:
        source: of the document.
        declared: its first group finds the name of the encoding in the first bytes.
        out: takes the problem.
    """
    head = source.peek(8192)
    found = declared.search(head) if detect(head)[0] == "utf-8" else None
    if found is None:
        return source
    name = found[1].decode("ascii", "replace")
    decode = decoder(name)
    if decode is None:
        if not is_recognised(name) and not _is_utf8(source.peek(2**16)):
            out.problem("charset", "it declares an unknown encoding and was read as UTF-8", incomplete=True)
        return source
    # the declaration is wrong: text that is valid UTF-8 is hardly ever in another encoding
    if _is_utf8(source.peek(2**16)) and not source.peek(2**16).isascii():
        return source
    return Source(_decoded_pieces(source, decode), source.name, source.amplification)


def _is_utf8(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _decoded_pieces(source: Source, decode: Decode) -> Iterator[bytes]:
    while piece := source.piece(PIECE):
        yield decode(piece, False).encode("utf-8", "replace")
    yield decode(b"", True).encode("utf-8", "replace")
