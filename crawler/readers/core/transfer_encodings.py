"""Decodes base64 and quoted-printable piece by piece, whatever is wrong with them; tells what decoded bytes are."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.members import read_member
from crawler.readers.core.opacity import MAX_COINCIDENCE, coincidence
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_PIECE = 2**16
_PRINTABLE = bytes([*range(0x20, 0x7F), *b"\t\n"])
_SHORTEST_OPAQUE = 40


def decoding_confidence(decoded: bytes, *, wide: bool) -> float:
    """Confidence that a text was rightly taken for encoded bytes: whether what it decodes to is a file.

    Args:
        decoded: the first bytes that it decodes to.
        wide: its lines are longer than tokens and digests are, so that random bytes can only be opaque content.
    """
    reader = choose(decoded, "")
    if reader is None:
        # encrypted or compressed bytes of no known format, which would otherwise pass for text without any value
        opaque = len(decoded) >= _SHORTEST_OPAQUE and coincidence(decoded) < MAX_COINCIDENCE
        return 0.9 if wide and opaque else 0.0
    # ordinary words can be decoded too; they become random bytes, which may pass for text in some encoding
    plain = as_utf8(decoded)
    unprintable = len(plain.translate(None, _PRINTABLE))
    return 0.95 if unprintable * 8 < len(plain) or reader.FORMAT not in ("text", "delimited") else 0.0


class Base64Decoder:
    """Decodes base64, with - and _ for + and / as well.

    Attributes:
        skipped: number of characters that do not belong to base64 and were skipped.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Decode the next characters. After padding it goes on, because encoded files may follow each other."""
        whole = b"".join(_NOT_BASE64.split(data.translate(_URL_SAFE, b"\r\n \t=")))
        self.skipped += len(data.translate(None, b"\r\n \t=")) - len(whole)
        ends = data.find(b"=") >= 0
        whole = self._held + whole
        size = len(whole) & ~3
        self._held = whole[size:]
        decoded = binascii.a2b_base64(whole[:size])
        return decoded + self.finish() if ends else decoded

    def finish(self) -> bytes:
        """Decode the last characters, which are fewer than four."""
        held, self._held = self._held, b""
        return binascii.a2b_base64(held + b"=" * (4 - len(held))) if len(held) > 1 else b""


def decode_base64_lines(lines: Iterable[bytes], decoder: Base64Decoder) -> Iterator[bytes]:
    """Decode lines of base64."""
    for block in line_blocks(lines):
        yield decoder.feed(block)
    yield decoder.finish()


def decode_quoted_printable(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Decode whole lines of quoted-printable; characters that are not encoded stay as they are."""
    for block in line_blocks(lines):
        yield binascii.a2b_qp(block)


def read_base64_member(name: str, value: bytes, out: Output) -> None:
    """Read a file that is written as base64 as a member of the open one; characters that are no base64 are skipped."""
    digits = _NOT_BASE64.sub(b"", value)
    if len(digits) % 4 == 1:
        out.problem("base64", "the base64 of a file in it is cut", incomplete=True)
        digits = digits[:-1]
    data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    if data:
        read_member(Source(iter([data]), name), out)


def line_blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines joined to large pieces: a source of many short pieces is examined slowly."""
    parts: list[bytes] = []
    have = 0
    for line in lines:
        parts.append(line)
        have += len(line)
        if have >= _PIECE:
            yield b"".join(parts)
            parts, have = [], 0
    if parts:
        yield b"".join(parts)
