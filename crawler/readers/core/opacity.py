"""Tells compressed, encrypted and picture data from bytes in which the byte pass can find a value.

The byte pass finds nothing in compressed or encrypted bytes. A file of such bytes that no reader opens was therefore
not examined, and must be reported as unread.
"""

from __future__ import annotations

import re

import numpy as np

from crawler.readers.core.encoding import TEXT_BYTES
from crawler.readers.core.output import Output

WINDOW = 512
"""Bytes that are assessed at a time: small enough that a header or a column of text does not hide what follows it."""
# How many times more often than in random bytes two bytes of a window are equal. It is 1.00 +- 0.04 for 512 random
# bytes, at most 1.4 for deflate, LZMA and JPEG, at least 4 for base64, 8 for machine code and for columns of floating
# point numbers, 15 for text.
MAX_COINCIDENCE = 1.6
_MIN_CONTROLS = 16
# Shorter files are not assessed: nobody can tell a few random bytes from a few binary numbers.
_SHORTEST = 40
# Programs contain tables of constants (checksums, ciphers) that look random, and small icons.
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_MIN_OPAQUE_BYTES, _MIN_OPAQUE_BYTES_OF_PROGRAMS = 1024, 65_536
# SQL strings and other escapes make an embedded archive up to this many times longer than it is.
_ESCAPED_GROWTH = 1.25
# How an encrypted message begins, and what is found there. Text is searched for the plain bytes first: the expressions take
# fifty times as long, six times as long as reading a table does.
_QUOTE = rb'(?:\\*"|&quot;|&#34;)'
# Pastes that their own page decrypts (PrivateBin, ZeroBin, 0bin), saved as a file: what stands beside the encrypted text.
_PASTE = re.compile(
    rb"adataQ\s*:\s*(?:\[\s*\[\s*Q[\w+/=]{0,200}Q\s*,\s*Q[\w+/=]{0,200}Q(?:\s*,\s*\d{1,9}){3}\s*,\s*QaesQ"
    rb"|Q[^\"&\\]{0,200}Q\s*,\s*QcipherQ\s*:\s*QaesQ)".replace(b"Q", _QUOTE)
)
_ARMOURS = (
    (b"adata", _PASTE),
    (b"-----BEGIN ", re.compile(rb"-----BEGIN (?:PGP MESSAGE|AGE ENCRYPTED FILE|PKCS7|CMS)-----[ \t]*\r?\n")),
    (b"$ANSIBLE_VAULT;1.", re.compile(rb"(?:^|\n)\$ANSIBLE_VAULT;1\.\d;AES")),
)
_LONGEST_ARMOUR = 600
SENTENCE = "its bytes are compressed, encrypted or a picture, in a format that cannot be read"
_MIXED = "a part of its bytes is compressed, encrypted or a picture, and could not be read"


class OpacityMeter:
    """Counts the opaque bytes among all bytes that it is fed."""

    def __init__(self) -> None:
        self.opaque_bytes = 0
        self._bytes = 0
        self._rest = b""
        self._min_opaque = _MIN_OPAQUE_BYTES

    def feed(self, data: bytes) -> None:
        """Assess the next bytes."""
        if not self._bytes and data.startswith(_PROGRAMS):
            self._min_opaque = _MIN_OPAQUE_BYTES_OF_PROGRAMS
        self._bytes += len(data)
        data = self._rest + data
        whole = len(data) - len(data) % WINDOW
        self._rest = data[whole:]
        # a quick test: of random bytes, one of twelve is a control character that text does not contain
        if whole and len(data.translate(None, TEXT_BYTES)) >= _MIN_CONTROLS:
            self.opaque_bytes += _opaque_windows(data[:whole]) * WINDOW

    def is_opaque(self, read_elsewhere: int = 0) -> bool:
        """Whether so many of the bytes are opaque that values may be hidden in them.

        Args:
            read_elsewhere: how many of the bytes belong to embedded archives, which were read as members.
        """
        if self._bytes <= WINDOW:
            return len(self._rest) >= _SHORTEST and coincidence(self._rest) < MAX_COINCIDENCE
        opaque = self.opaque_bytes - _ESCAPED_GROWTH * read_elsewhere
        return opaque > 0 and opaque >= min(self._min_opaque, self._bytes / 2)

    def report(self, out: Output, read_elsewhere: int = 0) -> None:
        """Report the open member as unread if it is opaque."""
        if self.is_opaque(read_elsewhere):
            whole = self.opaque_bytes >= self._bytes / 2 or self._bytes <= WINDOW
            out.problem_once("unread", SENTENCE if whole else _MIXED, incomplete=True)


class TextOpacityMeter(OpacityMeter):
    """The same for text: encrypted messages in ASCII armour are opaque as well."""

    def __init__(self) -> None:
        super().__init__()
        self._has_armour = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Assess the next bytes."""
        super().feed(data)
        if not self._has_armour:
            joined = self._tail + data
            self._has_armour = any(begin in joined and line.search(joined) for begin, line in _ARMOURS)
            self._tail = joined[-_LONGEST_ARMOUR:]

    def report(self, out: Output, read_elsewhere: int = 0) -> None:
        """Report the open member as unread if a part of it is opaque."""
        super().report(out, read_elsewhere)
        if self._has_armour:
            out.problem_once("unread", "it contains an encrypted message, which was not read", incomplete=True)


def coincidence(data: bytes) -> float:
    """How often two of the bytes are equal, divided by how often two random bytes are; at least two bytes."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    return float((counts * (counts - 1)).sum() * 256 / (len(data) * (len(data) - 1)))


def _opaque_windows(data: bytes) -> int:
    windows = np.frombuffer(data, np.uint8).reshape(-1, WINDOW)
    opaque = 0
    # a few hundred windows at a time keep the table of counts in the processor's cache
    for start in range(0, len(windows), 256):
        some = windows[start : start + 256]
        places = some.astype(np.int64) + np.arange(len(some))[:, None] * 256
        counts = np.bincount(places.ravel(), minlength=len(some) * 256).reshape(len(some), 256)
        pairs = (counts * (counts - 1)).sum(axis=1)
        opaque += int((pairs * 256 < MAX_COINCIDENCE * WINDOW * (WINDOW - 1)).sum())
    return opaque
