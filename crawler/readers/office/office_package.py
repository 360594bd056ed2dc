"""Office documents as the zip archives that they are: which kind one is, and its parts in any order; parts are left to readers.

Every part also goes out as a member, as any zip's would: whatever stands in one that no reader of documents looks at, or
that lies about itself, is examined all the same.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from crawler.readers.archives import zip_archive
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Choice, Reader
from crawler.readers.core.source import Source

_LOCAL = re.compile(rb"PK\x03\x04.{22}(..)..", re.DOTALL)
_CONTENT_TYPES = b"[Content_Types].xml"
_MIMETYPES = {
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.presentation": "odt",
    b"application/vnd.oasis.opendocument.graphics": "odt",
}
_FOLDERS = ((b"xl/", "xlsx"), (b"word/", "docx"), (b"ppt/", "pptx"))
_TYPES = ((b"spreadsheetml.", "xlsx"), (b"ms-excel.", "xlsx"), (b"wordprocessingml.", "docx"), (b"ms-word.", "docx"),
          (b"presentationml.", "pptx"), (b"ms-powerpoint.", "pptx"))  # fmt: skip
_SURE = 0.99
# the record behind the index of a zip, without its comment
_END, _END_SIZE = b"PK\x05\x06", 22
# parts by this name are the package's own
OWN = re.compile(r"^/?(?:\[content_types\]\.xml|(?:xl|word|ppt|docprops|_rels)/.*\.(?:xml|rels|vml))$", re.IGNORECASE)


def kind(head: bytes) -> str:
    """Which document the first bytes of a zip begin: xlsx, docx, pptx, ods, odt, or ''."""
    if not head.startswith(b"PK\x03\x04"):
        return ""
    for found in _LOCAL.finditer(head):
        name = head[found.end() : found.end() + int.from_bytes(found[1], "little")].lower()
        for folder, which in _FOLDERS:
            if name.startswith((folder, b"/" + folder)):
                return which
    size = int.from_bytes(head[26:28], "little")
    start = 30 + size + int.from_bytes(head[28:30], "little")
    if head[30 : 30 + size] == b"mimetype" and head[8:10] == b"\0\0":
        found_ = re.match(rb"[a-z./-]+", head[start : start + 100])
        mimetype = found_[0] if found_ else b""
        return next((which for known, which in _MIMETYPES.items() if mimetype.startswith(known)), "")
    if head[30 : 30 + size] == _CONTENT_TYPES and head[8:10] == b"\x08\0":
        # what it lists may stand far behind a picture
        try:
            types = zlib.decompressobj(-15).decompress(head[start:], 2**18)
        except zlib.error:
            return ""
        return next((which for known, which in _TYPES if known in types), "")
    return ""


def sure(head: bytes, which: str) -> float:
    """What `sniff` of a kind says."""
    return _SURE if kind(head) == which else 0.0


class Part:
    """A reader of parts, chosen by their package alone; `FORMAT` is what its members are called."""

    EMBEDDED_SEARCH = "all"

    def __init__(self, kind: str) -> None:
        self.FORMAT = kind

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """It is never asked."""
        return 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Nothing beside what the byte pass sees."""


PLAIN: Reader = Part("xml")
"""Parts in which nothing stands that a person wrote: the byte pass is enough."""


def _end_of(held: bytearray, start: int) -> int:
    """Where a zip ends whose index is all there; 0 if it is not, or its end is not among the bytes from a place on."""
    # a comment may be cut by the end of what is held, and so may the record itself
    at = held.find(_END, max(0, start - _END_SIZE - 2**16))
    while at >= 0:
        size, offset = (int.from_bytes(held[at + place : at + place + 4], "little") for place in (12, 16))
        end = at + _END_SIZE + int.from_bytes(held[at + 20 : at + 22], "little")
        if size and offset + size == at and end <= len(held):
            return end
        at = held.find(_END, at + 1)
    return 0


class Package:
    """A zip, in memory where it fits.

    Attributes:
        whole: all of it is in memory, so that parts can be had before their turn.
    """

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.whole = True
        self._source = source
        self._out = out
        self._limits = limits
        self._held = bytearray()
        while len(self._held) <= limits.hold and (piece := source.piece()):
            self._held += piece
            if end := _end_of(self._held, len(self._held) - len(piece)):
                source.put_back(bytes(self._held[end:]))
                del self._held[end:]
                break
        if len(self._held) > limits.hold:
            self.whole = False
        self._places = zip_archive.index(memoryview(self._held)) if self.whole else {}

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that its index names, in its order."""
        return tuple(self._places)

    def part(self, name: str) -> Source:
        """A part by its name; one that is missing or cannot be unpacked is empty, one that is damaged ends there."""
        place = self._places.get(name)
        if place is None:
            return Source(iter(()))
        try:
            return zip_archive.member_at(self._from(place), self._limits) or Source(iter(()))
        except Damaged:
            return Source(iter(()))

    def read(self, pick: Choice) -> None:
        """Give all parts out as members, read as `pick` chooses."""
        archive = self._from(0)
        zip_archive.read_members(archive, self._out, self._limits, pick)
        # what follows the archive is no part of the document
        self._source.put_back(bytes(self._held[archive.position :]) if self.whole else archive.take_rest())

    def _from(self, start: int) -> Source:
        return Source(self._pieces(start), "", self._source.amplification)

    def _pieces(self, start: int) -> Iterator[bytes]:
        view = memoryview(self._held)
        for at in range(start, len(view), 2**20):
            yield bytes(view[at : at + 2**20])
        if not self.whole:
            yield from iter(self._source.piece, b"")
