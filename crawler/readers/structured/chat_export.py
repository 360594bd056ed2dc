"""Chats that WhatsApp exports as text: each message is one text, without the time and the sender before it.

The time of a message is no birth date, and its sender is not the person whom the message describes.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "chat"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

# 12/03/2024, 14:05 - Name: text (Android); [12/03/2024 14:05:33] Name: text (iPhone, with marks of direction)
_DATE = r"\d{1,4}[/.-]\d{1,2}[/.-]\d{2,4},?(?: (?:à|at|um|a las))? \d{1,2}[:h.]\d\d(?:[:.]\d\d)?(?:[ \u202f\u00a0]?[APap]\.?[Mm]\.?)?"
_MESSAGE = re.compile(rf"[\u200e\u200f\ufeff]*(?:\[{_DATE}\] |{_DATE} [-–] )(?:([^:\n]{{1,80}}): )?")
_MIN_MESSAGES = 3
_FAR = "\n" * 10


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that it is a chat: high if the first line and two others begin with a time, most with a sender too."""
    text = as_utf8(head[:8192])
    if not text[:24].strip(b"\xef\xbb\xbf\xe2\x80\x8e[ ")[:1].isdigit() or not is_text(text):
        return 0.0
    lines = text.decode("utf-8", "replace").split("\n")
    found = [_MESSAGE.match(line) for line in lines]
    count = sum(each is not None for each in found)
    sent = sum(each is not None and each[1] is not None for each in found)
    return 0.93 if found[0] is not None and count >= _MIN_MESSAGES and sent * 2 >= count else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send each message as one text, and the senders at the end."""
    lines = Lines(source, limits.max_line)
    senders: dict[str, None] = {}
    for block in lines.blocks():
        texts: list[str] = []
        for line in block.decode().split("\n"):
            found = _MESSAGE.match(line)
            if found is None:
                texts.append(line)
                continue
            if found[1] and len(senders) < limits.max_columns:
                senders[found[1].strip()] = None
            texts += ["", line[found.end() :]]
        out.text("\n".join([*texts, ""]).encode())
    # so far from each other that a number is not taken for that of the name before it
    out.text(_FAR.join(["", *senders, ""]).encode() if senders else b"")
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")
