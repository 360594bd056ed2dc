"""Decompresses the streams of a PDF document for the byte pass; the streams are found without the document's structure.

`pdf` reads the pages. Of the streams that draw pages, only the strings are taken, because long runs of coordinates look
like telephone numbers.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

from crawler.readers.core.limits import RATIO_FLOOR, Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN
from crawler.readers.core.source import Source
from crawler.readers.office.office_package import PackagePart

_STREAM = re.compile(rb"stream\r?\n")
# The dictionary of a stream is searched in this many bytes before it.
_DICTIONARY_BYTES = 1024
_FLATE = re.compile(rb"/Fl(?:ateDecode)?[\s/\]>]")
_ASCII85 = re.compile(rb"/(?:ASCII85Decode|A85)[\s/\]>]")
# streams without text: pictures, fonts, colours and cross-references
_NO_TEXT = re.compile(rb"/Subtype\s*/(?:Image|Type1C|CIDFontType0C|OpenType)|/Length1\s|/Type\s*/XRef|/Alternate\s")
_DRAWS_TEXT = re.compile(rb"[)\]>]\s*T[Jj]")
_STRING = re.compile(rb"\(((?:[^()\\]|\\.)*)\)|(T[Jj*dDm]|ET|')", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"", b"f": b""}
_MAX_DECOMPRESSED = 2**26
_MAX_ASCII85 = 2**26
# If bytes after the word "stream" are no stream, at most this many of them are searched again.
_SLICE = 4096


def send_streams(held: bytearray, source: Source, out: Output, limits: Limits) -> None:
    """Send the content of all compressed streams as one member, if there is any."""
    streams = _StreamDecompressor(held, source, limits)
    pieces = streams.pieces()
    first = next(pieces, b"")
    if first:
        member = Source(_chained(first, pieces), "streams", streams.amplification)
        read_member(member, out, lambda head, name: PackagePart(UNKNOWN))  # noqa: ARG005 - read_member passes both


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class _StreamDecompressor:
    """Decompresses the streams of one document one after the other."""

    def __init__(self, held: bytearray, source: Source, limits: Limits) -> None:
        self._held = held
        self._source = source
        self._limits = limits
        self._decompressed = 0

    def amplification(self) -> float:
        """Decompressed bytes for each byte of the whole sample."""
        return self._source.amplification() * self._decompressed / max(1, len(self._held))

    def pieces(self) -> Iterator[bytes]:
        """The decompressed bytes of all streams.

        Raises:
            Damaged: "ratio" if the streams decompress to far more bytes than they have.
        """
        held, bombs, at = self._held, 0, 0
        while found := _STREAM.search(held, at):
            at = found.end()
            before = bytes(held[max(0, found.start() - _DICTIONARY_BYTES) : found.start()])
            dictionary = before[before.rfind(b" obj") + 1 :]
            if not _FLATE.search(dictionary) or _NO_TEXT.search(dictionary):
                continue
            if _ASCII85.search(dictionary):
                data, taken = self._decompress_ascii85(at)
            else:
                data, taken = self._decompress(at, len(held))
            at += taken
            bombs += len(data) > _MAX_DECOMPRESSED
            if data:
                yield from _split(_strings(data) if _DRAWS_TEXT.search(data) else data)
            if self._decompressed > RATIO_FLOOR and self.amplification() > self._limits.max_ratio:
                raise Damaged(
                    "ratio", f"the streams decompress to more than {self._limits.max_ratio:g} times their size"
                )
        if bombs:
            raise Damaged("ratio", f"{bombs} streams decompress to more than {_MAX_DECOMPRESSED} bytes")

    def _decompress_ascii85(self, at: int) -> tuple[bytes, int]:
        stop = self._held.find(b"~>", at, at + _MAX_ASCII85)
        if stop < 0:
            return b"", 0
        try:
            compressed = base64.a85decode(bytes(self._held[at:stop]).removeprefix(b"<~"))
        except (ValueError, binascii.Error):
            return b"", 0
        data, _ = self._decompress(0, len(compressed), compressed)
        return data, stop - at

    def _decompress(self, start: int, stop: int, other: bytes | None = None) -> tuple[bytes, int]:
        """Decompress the stream at `start` of the document, or of `other` bytes.

        Returns:
            The decompressed bytes, slightly more than `_MAX_DECOMPRESSED` if there are that many, and the number of
            bytes that were consumed.
        """
        held = self._held if other is None else other
        parts: list[bytes] = []
        have, at = 0, start
        decoder = zlib.decompressobj()
        try:
            while not decoder.eof and have <= _MAX_DECOMPRESSED:
                data = decoder.unconsumed_tail
                if not data:
                    data = bytes(held[at : min(at + _SLICE, stop)])
                    if not data:
                        break
                    at += len(data)
                parts.append(decoder.decompress(data, 2**18))
                have += len(parts[-1])
        except zlib.error:
            # The bytes before the damage are kept.
            at -= len(data)
        self._decompressed += have
        return b"".join(parts), max(0, at - start - len(decoder.unused_data))


def _split(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 2**20):
        yield data[start : start + 2**20]
    yield b"\n"


def _strings(data: bytes) -> bytes:
    """The strings that a page shows, joined line by line, because kerning cuts words into pieces."""
    parts: list[bytes] = []
    for text, operator in _STRING.findall(data):
        if operator in (b"Td", b"TD", b"T*", b"Tm", b"ET", b"'"):
            parts.append(b"\n")
        elif text:
            parts.append(_ESCAPE.sub(_decode_escape, text) if b"\\" in text else text)
    return b"".join(parts)


def _decode_escape(found: re.Match[bytes]) -> bytes:
    code: bytes = found[1]
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return b"" if code.endswith(b"\n") else _LETTERS.get(code, code)
