"""Files that no reader recognises: archives inside them are found, everything else is left to the byte pass.

Texts in them, such as the records of a database that no reader knows, are searched for people as running text is.
If their bytes are compressed, encrypted or a picture, the byte pass finds nothing in them, and they are reported as unread.

Programs that open a zip search for its end, not for its beginning. So a zip behind a picture, a program or three stray
bytes can be opened by anybody, although its first bytes do not show it.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.opacity import OpacityMeter
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN
from crawler.readers.core.signatures import skip_to_archive
from crawler.readers.core.source import Source
from crawler.readers.unread.unsupported_formats import is_font

FORMAT = UNKNOWN
# archives as they are, not encoded, are found by `read`
EMBEDDED_SEARCH = "encoded"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Always 0: it is used when no other reader recognises a file."""
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Read on to the first archive, which the caller then reads as a member; report opaque bytes before it."""
    if is_font(source.peek(8), source.name):
        out.mark_assessed()
    meter, texts = OpacityMeter(), _Texts(out)

    def take(data: bytes) -> None:
        meter.feed(data)
        texts.feed(data)

    skip_to_archive(source, take)
    texts.finish()
    if not out.assessed:
        meter.report(out)


class _Texts:
    """Sends the texts between binary bytes, each as a line."""

    # a shorter text holds no name beside a date
    _TEXT = re.compile(rb"[\x20-\x7e\x80-\xff]{16,4096}")
    # random bytes are no text: most characters of a text are ASCII letters, digits and signs of tables
    _PLAIN = bytes(range(0x20, 0x7F))

    _CHARACTERS = bytes((*range(0x20, 0x7F), *range(0x80, 0x100)))

    def __init__(self, out: Output) -> None:
        self._out = out
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; a text at their end waits for the next ones."""
        data = self._held + data
        last = data[-4096:]
        self._held = last[len(last.rstrip(self._CHARACTERS)) :]
        self._send(data[: len(data) - len(self._held)])

    def finish(self) -> None:
        """End the file."""
        self._send(self._held)

    def _send(self, data: bytes) -> None:
        found = [text for text in self._TEXT.findall(data) if len(text.translate(None, self._PLAIN)) * 4 <= len(text)]
        if found:
            self._out.text(repair(b"\n".join([*found, b""])))
