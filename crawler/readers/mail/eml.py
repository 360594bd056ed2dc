"""Reads mail messages (RFC 5322, MIME, MHTML): headers become text, every body and attachment a member.

The standard library parses only the headers. Bodies are streamed line by line, so that memory stays small however large
an attachment is, and damage affects only the part in which it occurs.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32

from crawler.readers.core.charsets import decoder, is_recognised
from crawler.readers.core.embedded_archives import EmbeddedArchiveSearch
from crawler.readers.core.encoding import as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import HEAD, PIECE, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import choose
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import (
    Base64Decoder,
    decode_base64_lines,
    decode_quoted_printable,
    line_blocks,
)

FORMAT = "eml"

MAX_HEADERS = 2**18
MAX_LINE = 2**16
# multiparts inside each other; real mail has up to four
_MAX_NESTED = 32
_MAX_NAME = 255
# the size of the shortest archive or compressed file
_MIN_ARCHIVE = 24

# what stands before the first part of ordinary mail is shorter, and holds neither numbers nor fields
_SENTENCES = 512
_HOLDS_VALUES = re.compile(rb"[0-9;|\t\0]")

_FIELD = re.compile(rb"(?:[!-9;-~]{1,76}[ \t]*:.*\n(?:[ \t].*\n)*)", re.MULTILINE)
_MAIL_FIELDS = frozenset(
    {b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"received", b"return-path", b"reply-to"}
    | {b"content-type", b"delivered-to", b"dkim-signature", b"cc", b"sender", b"content-transfer-encoding"}
)
_CHARSETS = (
    "ascii utf-8 utf-7 utf-16 utf-16-le utf-16-be latin-1 iso8859-2 iso8859-15 cp1250 cp1251 cp1252 cp850 cp437"
    " mac-roman"
)
# the standard library needs the last of these to decode encoded words
_CODECS = f"{_CHARSETS} koi8-r raw-unicode-escape"
_UTF16 = ("utf-16", "utf-16-le", "utf-16le", "utf-16-be", "utf-16be")
# load the codecs now: a sandboxed reader cannot open files
for _name in _CODECS.split():
    codecs.lookup(_name)


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is mail: high if it begins with header fields, several of which are usual in mail."""
    text = as_utf8(head).lstrip(b"\n")
    if not is_text(text):
        return 0.0
    fields = 0
    names = set()
    at = 0
    while fields < 40 and (found := _FIELD.match(text, at)):
        fields += 1
        at = found.end()
        names.add(found[0].partition(b":")[0].strip().lower())
    usual = names & _MAIL_FIELDS
    if fields < 2 or not usual & {
        b"from",
        b"received",
        b"return-path",
        b"message-id",
        b"mime-version",
        b"to",
        b"content-type",
    }:
        return 0.0
    named = name.lower().endswith((".eml", ".mht", ".mhtml", ".emlx"))
    return 0.96 if len(usual) >= 3 or (named and usual) or (len(usual) >= 2 and b"mime-version" in usual) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Output the headers as text and the parts as members."""
    lines = _Lines(source, EmbeddedArchiveSearch(lambda data: read_embedded(data, source, out, at=0), out))
    _read_entity(lines, out, source, [])
    # anything may follow a message
    _read_outside_parts(iter(lines.next, b""), lines, out, source)
    lines.search.finish()


class _Lines:
    """Reads lines with their line ends; one line can be put back, and a line that is too long comes in pieces.

    Attributes:
        search: looks for archives that are written as text in the lines that belong to no part.
    """

    def __init__(self, source: Source, search: EmbeddedArchiveSearch) -> None:
        self.search = search
        self._pieces = utf8_pieces(source) if source.peek(2) in (b"\xff\xfe", b"\xfe\xff") else iter(source.piece, b"")
        self._data = b""
        self._at = 0
        self._back: bytes | None = None

    def next(self) -> bytes:
        """The next line, or a piece of a long one; b'' at the end."""
        if self._back is not None:
            line, self._back = self._back, None
            return line
        while True:
            end = self._data.find(b"\n", self._at, self._at + MAX_LINE)
            if end < 0 and len(self._data) - self._at >= MAX_LINE:
                end = self._at + MAX_LINE - 1
            if end >= 0:
                line = self._data[self._at : end + 1]
                self._at = end + 1
                return line
            piece = next(self._pieces, b"")
            if not piece:
                line, self._data, self._at = self._data[self._at :], b"", 0
                return line
            self._data, self._at = self._data[self._at :] + piece, 0

    def put_back(self, line: bytes) -> None:
        """Put a line back, so that it is the next one again."""
        self._back = line or None


def _read_entity(lines: _Lines, out: Output, source: Source, boundaries: list[bytes]) -> None:
    """Read headers and the body that they describe, up to one of the open boundaries."""
    message = _read_headers(lines, out)
    boundary = _boundary(message)
    if boundary and len(boundaries) < _MAX_NESTED:
        _read_parts(lines, out, source, [*boundaries, b"--" + boundary])
        return
    body = _Body(lines, boundaries)
    base64_decoder = Base64Decoder()
    member = Source(_decode_body(message, body, base64_decoder, out), _file_name(message), source.amplification)
    if member.peek(1):
        read_member(member, out)
    else:
        member.drain()
    if base64_decoder.skipped:
        # so many of them may be an archive that is not encoded
        lost = base64_decoder.skipped >= _MIN_ARCHIVE
        out.problem("base64", "a part has characters that are not base64; they were skipped", incomplete=lost)


def _read_parts(lines: _Lines, out: Output, source: Source, boundaries: list[bytes]) -> None:
    """Read the parts of a multipart, which the innermost boundary separates."""
    _read_outside_parts(iter(_Body(lines, boundaries)), lines, out, source)
    while True:
        line = lines.next()
        if not line:
            out.problem("cut", "the message ends before its last boundary", incomplete=True)
            return
        index = _boundary_index(line, boundaries)
        if index < 0:
            # this happens only after a body that ended at an outer boundary
            lines.put_back(line)
            _read_outside_parts(iter(_Body(lines, boundaries)), lines, out, source)
            continue
        if index < len(boundaries) - 1:
            # an outer boundary: this multipart was not closed
            lines.put_back(line)
            return
        if line.rstrip().endswith(b"--") and line.rstrip() != boundaries[-1]:
            # the lines up to the next outer boundary belong to no part
            _read_outside_parts(iter(_Body(lines, boundaries[:-1])), lines, out, source)
            return
        _read_entity(lines, out, source, boundaries)


def _read_outside_parts(pieces: Iterator[bytes], lines: _Lines, out: Output, source: Source) -> None:
    """Read lines that belong to no part: a sentence for programs that know no parts, or whatever else stands there."""
    member = Source(line_blocks(pieces), "", source.amplification)
    head = member.peek(HEAD)
    if len(head) < _SENTENCES and not _HOLDS_VALUES.search(head):
        member.drain()
        if head.strip():
            out.text(repair(head))
        return
    reader = choose(head, "")
    if reader is not None and reader.FORMAT == "base64":
        # the search recognises an archive that was read as a part of this message
        while piece := member.piece():
            lines.search.feed(piece)
        return
    read_member(member, out)


def _boundary_index(line: bytes, boundaries: list[bytes]) -> int:
    """The index of the boundary on a line, -1 if the line is not a boundary."""
    if not line.startswith(b"--"):
        return -1
    bare = line.rstrip()
    for number, boundary in enumerate(boundaries):
        if bare == boundary or bare == boundary + b"--":
            return number
    return -1


class _Body:
    """The lines of one body, without the line end before the boundary, which belongs to the boundary."""

    def __init__(self, lines: _Lines, boundaries: list[bytes]) -> None:
        self._lines = lines
        self._boundaries = boundaries

    def __iter__(self) -> Iterator[bytes]:
        """Iterate up to the end, or to a boundary, which is not consumed."""
        held = b""
        while line := self._lines.next():
            if _boundary_index(line, self._boundaries) >= 0:
                self._lines.put_back(line)
                yield held.removesuffix(b"\n").removesuffix(b"\r")
                return
            yield held
            held = line
        yield held


def _decode_body(message: Message, body: _Body, base64_decoder: Base64Decoder, out: Output) -> Iterator[bytes]:
    encoding = str(message.get("content-transfer-encoding", "")).strip().lower()
    pieces: Iterator[bytes] = iter(body)
    if encoding == "base64":
        pieces = decode_base64_lines(pieces, base64_decoder)
    elif encoding == "quoted-printable":
        pieces = decode_quoted_printable(pieces)
    else:
        pieces = line_blocks(pieces)
    charset = _charset(message)
    decode = decoder(charset)
    if decode is None and charset in _UTF16:
        decode = codecs.getincrementaldecoder(charset)("replace").decode
    if decode is None:
        yield from pieces if is_recognised(charset) else _report_unless_utf8(pieces, out)
        return
    for piece in pieces:
        yield decode(piece, False).encode("utf-8", "replace")
    yield decode(b"", True).encode("utf-8", "replace")


def _report_unless_utf8(pieces: Iterator[bytes], out: Output) -> Iterator[bytes]:
    """The same pieces, in an encoding that is not known; a problem is reported unless they are UTF-8."""
    check = codecs.getincrementaldecoder("utf-8")()
    is_utf8 = True
    for piece in pieces:
        if is_utf8:
            try:
                check.decode(piece)
            except UnicodeDecodeError:
                is_utf8 = False
                sentence = "a part names an unknown character encoding; it was read as UTF-8"
                out.problem("charset", sentence, incomplete=True)
        yield piece


def _charset(message: Message) -> str:
    """The character encoding that a text part names; UTF-8 if it names none, or if the part is not text."""
    try:
        charset = message.get_content_charset()
        return charset.lower() if charset and message.get_content_maintype() == "text" else "utf-8"
    except (LookupError, ValueError, TypeError, AttributeError):
        # the standard library does not expect all the ways in which parameters can be wrong
        return "utf-8"


def _read_headers(lines: _Lines, out: Output) -> Message:
    """Read the headers, output them as text, and return them parsed."""
    parts: list[bytes] = []
    have = 0
    while (line := lines.next()) and line.strip():
        have += len(line)
        if have > MAX_HEADERS:
            # real headers are not so long: the rest is read as body
            lines.put_back(line)
            break
        parts.append(line)
    raw = b"".join(parts)
    message = BytesParser(policy=compat32).parsebytes(raw, headersonly=True)
    text = [f"{name}: {_decode_value(str(value))}" for name, value in message.items()]
    left = message.get_payload()
    if isinstance(left, str):
        text.append(left)
    out.text(repair("\n".join([*text, "", ""]).encode("utf-8", "surrogateescape")))
    return message


def _decode_value(value: str) -> str:
    """The value of a header field, unfolded and with its encoded words decoded."""
    value = re.sub(r"[\r\n]+[ \t]*", " ", value)
    if "=?" not in value:
        return value
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in decode_header(value)
        )
    except (HeaderParseError, LookupError, ValueError):
        return value


def _boundary(message: Message) -> bytes:
    """The boundary of a multipart message; b'' for any other message."""
    try:
        if message.get_content_maintype() != "multipart":
            return b""
        found = message.get_boundary()
    except (ValueError, TypeError, AttributeError, LookupError):
        # the standard library does not expect all the ways in which parameters can be wrong
        return b""
    return found.encode("utf-8", "surrogateescape").rstrip() if found else b""


def _file_name(message: Message) -> str:
    """The file name of an attachment, or the media type of a part without a name."""
    try:
        name = message.get_filename() or message.get_content_type()
    except (ValueError, TypeError, AttributeError, LookupError):
        return ""
    return _decode_value(name)[:_MAX_NAME]


assert MAX_LINE >= PIECE  # noqa: S101 - line ends are searched within the pieces of a source
