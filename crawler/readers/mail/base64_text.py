"""Reads a file that holds base64 and nothing else, which is how pastes contain archives.

The decoded bytes are a member, whose reader the registry chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from crawler.readers.core.encoding import Lines, as_utf8, is_text, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import Base64Decoder, decode_base64_lines, decoding_confidence

FORMAT = "base64"
EMBEDDED_SEARCH = "raw"

_MIN_SIZE = 64
MIN_WIDTH = 60
"""Programs write at least so many characters a line; lists of tokens and digests have fewer."""
# so many lines that are texts of their own show that all are
_MIN_TEXTS = 2
_LINE = re.compile(rb"[A-Za-z0-9+/_-]{2,}={0,2}")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=_\-\s]")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is base64: high if lines of one length decode to a format that a reader recognises."""
    text = as_utf8(head)
    if len(text) < _MIN_SIZE or _NOT_BASE64.search(text[:4096]):
        return 0.0
    lines = text.strip().split(b"\n")
    widths = {len(line) for line in lines[:-1]}
    if _holds_texts(lines if len(head) < HEAD else lines[:-1]):
        return 0.95
    if len(widths) > 1 or not all(map(_LINE.fullmatch, lines)):
        return 0.0
    decoded = Base64Decoder().feed(b"".join(lines))
    return decoding_confidence(decoded, wide=min(widths, default=len(lines[0])) >= MIN_WIDTH)


def _holds_texts(lines: Sequence[bytes]) -> bool:
    """Whether each line is a JSON or XML text of its own, encoded by itself."""
    lines = [line for line in lines if line.strip()]
    if len(lines) < _MIN_TEXTS or not all(map(_LINE.fullmatch, lines)):
        return False
    return all(_decode_line(line).lstrip()[:1] in (b"{", b"[", b"<") for line in lines[:_MIN_TEXTS]) and all(
        len(line.rstrip(b"=")) % 4 != 1 and is_text(_decode_line(line)[:4096] or b"\0") for line in lines
    )


def _decode_line(line: bytes) -> bytes:
    decoder = Base64Decoder()
    return decoder.feed(line) + decoder.finish()


def _decoded_texts(source: Source, limits: Limits) -> Iterator[bytes]:
    for block in Lines(source, max(limits.max_line, 16 * 2**20)).blocks():
        yield b"".join([_decode_line(line).replace(b"\n", b" ") + b"\n" for line in block.split(b"\n") if line.strip()])


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the decoded bytes as a member."""
    name = re.sub(r"\.(?:b64|base64|txt)$", "", source.name)
    head = source.peek(HEAD)
    lines = as_utf8(head).strip().split(b"\n")
    if _holds_texts(lines if len(head) < HEAD else lines[:-1]):
        read_member(Source(_decoded_texts(source, limits), name, source.amplification), out)
        return
    base64_decoder = Base64Decoder()
    read_member(Source(decode_base64_lines(utf8_pieces(source), base64_decoder), name, source.amplification), out)
    if base64_decoder.skipped:
        out.problem("base64", "the file has characters that are not base64; they were skipped")
