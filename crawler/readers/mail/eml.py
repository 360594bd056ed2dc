"""Mail messages (RFC 5322, MIME, MHTML): headers as text, every body and attachment as a member, streamed.

Only headers are parsed as a whole, by the standard library; bodies flow by line for line, so that memory stays small
however large an attachment is, and damage costs the part that it hit.
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
from crawler.readers.core.limits import PIECE, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import Base64Decoder, decode_base64_lines, decode_quoted_printable

FORMAT = "eml"

MAX_HEADERS = 2**18
MAX_LINE = 2**16
# boundaries inside boundaries; real mail has four
_MAX_NESTED = 32
_MAX_NAME = 255
# no packed file is shorter
_PACKED = 24

_FIELD = re.compile(rb"(?:[!-9;-~]{1,76}[ \t]*:.*\n(?:[ \t].*\n)*)", re.MULTILINE)
_USUAL = frozenset(
    {b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"received", b"return-path", b"reply-to"}
    | {b"content-type", b"delivered-to", b"dkim-signature", b"cc", b"sender", b"content-transfer-encoding"}
)
# what a reader inside its walls can no longer look up in files
_CHARSETS = "ascii utf-8 utf-7 utf-16 utf-16-le utf-16-be latin-1 iso8859-2 iso8859-15 cp1250 cp1251 cp1252 cp850 cp437 mac-roman"
# the standard library reads encoded words with the last of them
_CODECS = f"{_CHARSETS} koi8-r raw-unicode-escape"
_MARKED = ("utf-16", "utf-16-le", "utf-16le", "utf-16-be", "utf-16be")
for _name in _CODECS.split():
    codecs.lookup(_name)


def sniff(head: bytes, name: str) -> float:
    """Sure where the first lines are fields of which several are those of mail."""
    text = as_utf8(head).lstrip(b"\n")
    if not is_text(text):
        return 0.0
    fields = 0
    usual = set()
    at = 0
    while fields < 40 and (found := _FIELD.match(text, at)):
        fields += 1
        at = found.end()
        usual.add(found[0].partition(b":")[0].strip().lower())
    usual &= _USUAL
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
    """Give out the headers as text and the parts as members."""
    lines = _Lines(source, EmbeddedArchiveSearch(lambda data: read_embedded(data, source, out, at=0), out))
    _entity(lines, out, source, [])
    lines.rest()
    lines.beside.finish()


class _Lines:
    """Lines with their ends, one of which can be given back; those that are too long come in pieces.

    Attributes:
        beside: looks through lines that are no part's.
    """

    def __init__(self, source: Source, beside: EmbeddedArchiveSearch) -> None:
        self.beside = beside
        self._pieces = utf8_pieces(source) if source.peek(2) in (b"\xff\xfe", b"\xfe\xff") else iter(source.piece, b"")
        self._data = b""
        self._at = 0
        self._back: bytes | None = None

    def next(self) -> bytes:
        """The next line; b'' at the end."""
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

    def back(self, line: bytes) -> None:
        """Give a line back, which is the next one then."""
        self._back = line or None

    def rest(self) -> None:
        """Read over what is left: a closed message may be followed by anything, which the byte pass sees."""
        while line := self.next():
            self.beside.feed(line)


def _entity(lines: _Lines, out: Output, source: Source, boundaries: list[bytes]) -> None:
    """Headers and what they say of the body, up to a boundary that is open."""
    message = _headers(lines, out)
    boundary = _boundary(message)
    if boundary and len(boundaries) < _MAX_NESTED:
        _parts(lines, out, source, [*boundaries, b"--" + boundary])
        return
    body = _Body(lines, boundaries)
    coder = Base64Decoder()
    member = Source(_decoded(message, body, coder, out), _file_name(message), source.amplification)
    if member.peek(1):
        read_member(member, out)
    else:
        member.drain()
    if coder.skipped:
        # so many may be a packed file that stands there as it is
        lost = coder.skipped >= _PACKED
        out.problem("base64", "a part has characters that are not base64; they were left out", incomplete=lost)


def _parts(lines: _Lines, out: Output, source: Source, boundaries: list[bytes]) -> None:
    """The parts between the innermost boundary."""
    for line in _Body(lines, boundaries):
        lines.beside.feed(line)
    while True:
        line = lines.next()
        if not line:
            out.problem("cut", "the message ends inside its parts", incomplete=True)
            return
        which = _which(line, boundaries)
        if which < 0:
            # only after a body that ended at a boundary further out
            lines.beside.feed(line)
            continue
        if which < len(boundaries) - 1:
            # a boundary further out: this multipart was not closed
            lines.back(line)
            return
        if line.rstrip().endswith(b"--") and line.rstrip() != boundaries[-1]:
            # what follows up to the next boundary further out is for no reader
            for behind in _Body(lines, boundaries[:-1]):
                lines.beside.feed(behind)
            return
        _entity(lines, out, source, boundaries)


def _which(line: bytes, boundaries: list[bytes]) -> int:
    """The number of the boundary that a line is, -1 if it is none."""
    if not line.startswith(b"--"):
        return -1
    bare = line.rstrip()
    for number, boundary in enumerate(boundaries):
        if bare == boundary or bare == boundary + b"--":
            return number
    return -1


class _Body:
    """The lines of one body; the line end before a boundary belongs to that."""

    def __init__(self, lines: _Lines, boundaries: list[bytes]) -> None:
        self._lines = lines
        self._boundaries = boundaries

    def __iter__(self) -> Iterator[bytes]:
        """Up to a boundary, which stays to be read, or the end."""
        held = b""
        while line := self._lines.next():
            if _which(line, self._boundaries) >= 0:
                self._lines.back(line)
                yield held.removesuffix(b"\n").removesuffix(b"\r")
                return
            yield held
            held = line
        yield held


def _decoded(message: Message, body: _Body, coder: Base64Decoder, out: Output) -> Iterator[bytes]:
    coding = str(message.get("content-transfer-encoding", "")).strip().lower()
    pieces: Iterator[bytes] = iter(body)
    if coding == "base64":
        pieces = decode_base64_lines(pieces, coder)
    elif coding == "quoted-printable":
        pieces = decode_quoted_printable(pieces)
    charset = _charset(message)
    decode = decoder(charset)
    if decode is None and charset in _MARKED:
        decode = codecs.getincrementaldecoder(charset)("replace").decode
    if decode is None:
        yield from pieces if is_recognised(charset) else _told(pieces, out)
        return
    for piece in pieces:
        yield decode(piece, False).encode("utf-8", "replace")
    yield decode(b"", True).encode("utf-8", "replace")


def _told(pieces: Iterator[bytes], out: Output) -> Iterator[bytes]:
    """The bytes of an encoding that is not known, which is told unless they are UTF-8."""
    check = codecs.getincrementaldecoder("utf-8")()
    sound = True
    for piece in pieces:
        if sound:
            try:
                check.decode(piece)
            except UnicodeDecodeError:
                sound = False
                words = "a part names an encoding that is not known; it was read as UTF-8"
                out.problem("charset", words, incomplete=True)
        yield piece


def _charset(message: Message) -> str:
    """The encoding that a text part names; UTF-8 where it names none, or is no text."""
    try:
        charset = message.get_content_charset()
        return charset.lower() if charset and message.get_content_maintype() == "text" else "utf-8"
    except (LookupError, ValueError, TypeError, AttributeError):
        # parameters can be wrong in ways that the standard library does not expect
        return "utf-8"


def _headers(lines: _Lines, out: Output) -> Message:
    """Read the headers, give them out as text, and parse them."""
    parts: list[bytes] = []
    have = 0
    while (line := lines.next()) and line.strip():
        have += len(line)
        if have > MAX_HEADERS:
            # so long a head is none: its rest is read as body
            lines.back(line)
            break
        parts.append(line)
    raw = b"".join(parts)
    message = BytesParser(policy=compat32).parsebytes(raw, headersonly=True)
    text = [f"{name}: {_value(str(value))}" for name, value in message.items()]
    left = message.get_payload()
    if isinstance(left, str):
        text.append(left)
    out.text(repair("\n".join([*text, "", ""]).encode("utf-8", "surrogateescape")))
    return message


def _value(value: str) -> str:
    """A field's value without its folding, encoded words read."""
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
    """Of a multipart message; b'' for any other."""
    try:
        if message.get_content_maintype() != "multipart":
            return b""
        found = message.get_boundary()
    except (ValueError, TypeError, AttributeError, LookupError):
        # parameters can be wrong in ways that the standard library does not expect
        return b""
    return found.encode("utf-8", "surrogateescape").rstrip() if found else b""


def _file_name(message: Message) -> str:
    """The name of an attachment; of a body its kind."""
    try:
        name = message.get_filename() or message.get_content_type()
    except (ValueError, TypeError, AttributeError, LookupError):
        return ""
    return _value(name)[:_MAX_NAME]


assert MAX_LINE >= PIECE  # noqa: S101 - lines are found within the pieces that a source gives
