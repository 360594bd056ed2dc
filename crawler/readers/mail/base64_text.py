"""Reads a file that holds base64 and nothing else, which is how pastes contain archives.

The decoded bytes are a member, whose reader the registry chooses.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import as_utf8, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.opacity import MAX_COINCIDENCE, coincidence
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import Base64Decoder, decode_base64_lines

FORMAT = "base64"
EMBEDDED_SEARCH = "raw"

_MIN_SIZE = 64
# programs write at least so many characters a line; lists of tokens and digests have fewer
_MIN_WIDTH = 60
_LINE = re.compile(rb"[A-Za-z0-9+/_-]{2,}={0,2}")
_PRINTABLE = bytes([*range(0x20, 0x7F), *b"\t\n"])
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=_\-\s]")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is base64: high if lines of one length decode to a format that a reader recognises."""
    text = as_utf8(head)
    if len(text) < _MIN_SIZE or _NOT_BASE64.search(text[:4096]):
        return 0.0
    lines = text.strip().split(b"\n")
    widths = {len(line) for line in lines[:-1]}
    if len(widths) > 1 or not all(map(_LINE.fullmatch, lines)):
        return 0.0
    decoded = Base64Decoder().feed(b"".join(lines))
    reader = choose(decoded, "")
    if reader is None:
        # encrypted or compressed bytes of no known format, which would otherwise pass for text without any value
        wide = min(widths, default=len(lines[0])) >= _MIN_WIDTH
        return 0.9 if wide and coincidence(decoded) < MAX_COINCIDENCE else 0.0
    # ordinary words are valid base64 too; they decode to random bytes, which may pass for text in some encoding
    plain = as_utf8(decoded)
    unprintable = len(plain.translate(None, _PRINTABLE))
    return 0.95 if unprintable * 8 < len(plain) or reader.FORMAT not in ("text", "delimited") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output the decoded bytes as a member."""
    base64_decoder = Base64Decoder()
    name = re.sub(r"\.(?:b64|base64|txt)$", "", source.name)
    read_member(Source(decode_base64_lines(utf8_pieces(source), base64_decoder), name, source.amplification), out)
    if base64_decoder.skipped:
        out.problem("base64", "the file has characters that are not base64; they were skipped")
