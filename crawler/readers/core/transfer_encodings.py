"""The codings in which mail carries bytes as text, undone piece by piece, whatever is wrong with them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_PIECE = 2**16


class Base64Decoder:
    """Undoes base64; `strange` counts characters that do not belong to it and were left out."""

    def __init__(self) -> None:
        self.strange = 0
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes of the next characters, in fours; padding ends nothing, for pieces may be put behind each other."""
        whole = b"".join(_NOT_BASE64.split(data.translate(_URL_SAFE, b"\r\n \t=")))
        self.strange += len(data.translate(None, b"\r\n \t=")) - len(whole)
        ends = data.find(b"=") >= 0
        whole = self._held + whole
        size = len(whole) & ~3
        self._held = whole[size:]
        decoded = binascii.a2b_base64(whole[:size])
        return decoded + self.finish() if ends else decoded

    def finish(self) -> bytes:
        """The bytes of characters that make no whole four."""
        held, self._held = self._held, b""
        return binascii.a2b_base64(held + b"=" * (4 - len(held))) if len(held) > 1 else b""


def decode_base64_lines(lines: Iterable[bytes], coder: Base64Decoder) -> Iterator[bytes]:
    """The bytes behind lines of base64."""
    for block in _blocks(lines):
        yield coder.feed(block)
    yield coder.finish()


def decode_quoted_printable(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes behind whole lines of quoted-printable; what is no code stays as it is."""
    for block in _blocks(lines):
        yield binascii.a2b_qp(block)


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
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
