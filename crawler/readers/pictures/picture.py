"""Reads pictures: their text is recognised where tesseract is installed. Without it, and without text, they are unread.

Tables keep their rows: a line of the picture is a line of the text.
"""

from __future__ import annotations

import re
import time

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.pictures import tesseract
from crawler.readers.unread.unsupported_formats import is_picture

FORMAT = "picture"
UNREAD = "it is a picture; it was not read, because no text in it can be recognised"
RECOGNISED = "its text was recognised in a picture, where letters and digits can be mistaken for others"
# Letters and digits below which a picture has no text: tesseract sees single letters in every photograph.
_MIN_TEXT = 12
_WORD = re.compile(r"[^\W_]{3,}")
# blanks that recognition puts into addresses: around @ and around the dots behind it
_AROUND_AT = re.compile(r"(?<=[\w.+-]) ?@ ?(?=\w)")
_DOTS = re.compile(r"(@[\w-]+) ?\. ?(?=\w{2,12}\b)")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure by the first bytes; formats that begin in the same way and can be read are surer."""
    return 0.98 if is_picture(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the text in a picture. Its bytes stay unread: an archive behind a picture is found in them."""
    in_document = out.leave_picture_to_document()
    if send_text(source.peek(limits.picture_bytes + 1), out, limits):
        out.note_picture_read()
    elif not in_document:
        out.problem_once("unread", UNREAD, incomplete=True)


def send_text(data: bytes, out: Output, limits: Limits) -> bool:
    """Send the text that is recognised in a picture; False if nothing is, for whatever reason.

    A picture that is too large, or for which no time is left, is reported as well.
    """
    if not tesseract.available():
        return False
    width, height = tesseract.picture_size(data)
    if len(data) > limits.picture_bytes or width * height > limits.picture_pixels:
        sentence = f"a picture exceeds {limits.picture_bytes} bytes or {limits.picture_pixels} pixels and was not read"
        out.problem_once("size", sentence, incomplete=True)
        return False
    if not width * height:
        return False
    began = time.process_time()
    try:
        text = tesseract.recognise(data, out.recognition_seconds) if out.recognition_seconds > 0 else None
    except Damaged as error:
        out.problem_once(error.code, str(error))
        return False
    finally:
        out.recognition_seconds -= time.process_time() - began
    if text is None:
        sentence = f"the text of its pictures was not recognised within {limits.recognition:g} seconds"
        out.problem_once("limit", sentence, incomplete=True)
        return False
    if sum(map(len, _WORD.findall(text))) < _MIN_TEXT:
        return False
    out.problem_once("picture", RECOGNISED)
    out.text(repaired(text).encode("utf-8", "replace") + b"\n")
    return True


def repaired(text: str) -> str:
    """The text without blanks that recognition puts into e-mail addresses."""
    text = _AROUND_AT.sub("@", text)
    for _ in range(3):
        text = _DOTS.sub(r"\1.", text)
    return text
