"""Builds PDF documents from the objects that a test needs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def stream(data: bytes, more: bytes = b"", *, compressed: bool = True) -> bytes:
    """The body of a stream object; `more` is put into its dictionary."""
    body = zlib.compress(data) if compressed else data
    kind = b"/Filter /FlateDecode " if compressed else b""
    return b"<< %s%s/Length %d >>\nstream\n%s\nendstream" % (kind, more, len(body), body)


def pdf(objects: dict[int, bytes], trailer: bytes = b"/Root 1 0 R", *, index: bool = True) -> bytes:
    """A document of numbered objects; object 1 is the catalogue."""
    data = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, body in objects.items():
        places[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    if not index:
        return bytes(data)
    start = len(data)
    size = max(objects) + 1
    data += b"xref\n0 %d\n0000000000 65535 f \n" % size
    for number in range(1, size):
        data += b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n"
    return bytes(data) + b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, start)


def shown(lines: Sequence[Sequence[str]], width: int = 100) -> bytes:
    """Drawing instructions that show lines of words, each word in its column."""
    parts = [b"BT /F1 10 Tf"]
    for row, line in enumerate(lines):
        for column, word in enumerate(line):
            if word:
                text = word.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
                parts.append(b"1 0 0 1 %d %d Tm (%s) Tj" % (40 + column * width, 800 - row * 15, text))
    return b"\n".join([*parts, b"ET"])


def pages(
    contents: Sequence[bytes], more: dict[int, bytes] | None = None, *, catalogue: bytes = b"", extra: bytes = b""
) -> dict[int, bytes]:
    """The objects of a document with these pages; `contents` are the objects with their drawing instructions."""
    objects = {
        1: b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalogue,
        3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    }
    kids = []
    for number, content in enumerate(contents):
        page, body = 100 + 2 * number, 101 + 2 * number
        objects[page] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 850] "
            b"/Resources << /Font << /F1 3 0 R >> %s >> /Contents %d 0 R >>" % (extra, body)
        )
        objects[body] = content
        kids.append(b"%d 0 R" % page)
    objects[2] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    return {**objects, **(more or {})}


def document(*lines: Sequence[Sequence[str]]) -> bytes:
    """A document with one page for each table of words."""
    return pdf(pages([stream(shown(each)) for each in lines]))
