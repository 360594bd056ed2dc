"""Decompresses the Rich Text in which Outlook stores the body of a message.

Source: Microsoft [MS-OXRTFCP].
"""

from __future__ import annotations

from crawler.readers.core.limits import Damaged

# words of Rich Text that stand in the dictionary before the first byte
_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbol"
    rb"ArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_SIZE = 4096
_HEADER = 16
_COMPRESSED, _STORED = b"LZFu", b"MELA"


def decompress_rtf(data: bytes) -> bytes:
    """The Rich Text of a stream.

    A reference of two bytes gives 17 at most, so the result is at most nine times as large.

    Raises:
        Damaged: the header is wrong, or the data ends before its end mark.
    """
    method = data[8:12]
    if method == _STORED:
        return data[_HEADER:]
    if method != _COMPRESSED:
        raise Damaged("damaged", "the compressed Rich Text is damaged")
    # the dictionary is a window over the words above and everything decompressed so far
    found = bytearray(_DICTIONARY)
    at, end = _HEADER, len(data)
    while at < end:
        flags = data[at]
        at += 1
        for bit in range(8):
            if not flags >> bit & 1:
                found += data[at : at + 1]
                at += 1
                continue
            number = int.from_bytes(data[at : at + 2], "big")
            at += 2
            place = number >> 4
            if place == len(found) % _SIZE or at > end:
                return bytes(found[len(_DICTIONARY) :])
            # the last place in what was found that lies there in the window
            start = len(found) - (len(found) - place) % _SIZE
            if start < 0:
                raise Damaged("damaged", "the compressed Rich Text is damaged")
            for offset in range((number & 15) + 2):
                found.append(found[start + offset])
    return bytes(found[len(_DICTIONARY) :])
