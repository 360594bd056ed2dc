"""Opens office documents, which are zip archives: tells which format one is, and gives access to its parts.

Every part is also output as a member, as for any zip. So a part that no document reader uses, or whose declared type is
wrong, is examined like any other file.
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
_CONFIDENCE = 0.99
# the record at the end of a zip, after its central directory, and its size without a comment
_END, _END_SIZE = b"PK\x05\x06", 22
# names of parts that belong to the format itself; parts with other names may hold any file
STANDARD_PART_NAME = re.compile(
    r"^/?(?:\[content_types\]\.xml|(?:xl|word|ppt|docprops|_rels)/.*\.(?:xml|rels|vml))$", re.IGNORECASE
)


def document_format(head: bytes) -> str:
    """The format of the document that begins with these bytes: xlsx, docx, pptx, ods, odt, or ''."""
    if not head.startswith(b"PK\x03\x04"):
        return ""
    for found in _LOCAL.finditer(head):
        name = head[found.end() : found.end() + int.from_bytes(found[1], "little")].lower()
        for folder, format_ in _FOLDERS:
            if name.startswith((folder, b"/" + folder)):
                return format_
    size = int.from_bytes(head[26:28], "little")
    start = 30 + size + int.from_bytes(head[28:30], "little")
    if head[30 : 30 + size] == b"mimetype" and head[8:10] == b"\0\0":
        found_ = re.match(rb"[a-z./-]+", head[start : start + 100])
        mimetype = found_[0] if found_ else b""
        return next((format_ for known, format_ in _MIMETYPES.items() if mimetype.startswith(known)), "")
    if head[30 : 30 + size] == _CONTENT_TYPES and head[8:10] == b"\x08\0":
        # the folders that it lists may begin far behind a picture
        try:
            types = zlib.decompressobj(-15).decompress(head[start:], 2**18)
        except zlib.error:
            return ""
        return next((format_ for known, format_ in _TYPES if known in types), "")
    return ""


def sniff_document(head: bytes, format_: str) -> float:
    """Confidence that these bytes begin a document of a format: the result of `sniff` for all office readers."""
    return _CONFIDENCE if document_format(head) == format_ else 0.0


class PackagePart:
    """Base of the readers of parts, which only the reader of a container chooses; outputs neither rows nor text itself.

    Attributes:
        FORMAT: the format name of the members that it reads.
    """

    EMBEDDED_SEARCH = "all"

    def __init__(self, format_: str) -> None:
        self.FORMAT = format_

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """Return 0: the registry never offers a part reader."""
        return 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read nothing: the byte pass examines the bytes of the part."""


TEXTLESS_PART: Reader = PackagePart("xml")
"""The reader of parts that hold no text that people wrote: the byte pass is enough for them."""


def _end_of_zip(data: bytearray, start: int) -> int:
    """The end of a zip whose central directory is complete; 0 if it is incomplete, or does not end after `start`."""
    # search a little before `start`, because the record and its comment may have arrived in parts
    at = data.find(_END, max(0, start - _END_SIZE - 2**16))
    while at >= 0:
        size, offset = (int.from_bytes(data[at + place : at + place + 4], "little") for place in (12, 16))
        end = at + _END_SIZE + int.from_bytes(data[at + 20 : at + 22], "little")
        if size and offset + size == at and end <= len(data):
            return end
        at = data.find(_END, at + 1)
    return 0


class OfficePackage:
    """The zip archive of a document, in memory if it fits.

    Attributes:
        in_memory: all of it is in memory, so that parts can be opened in any order.
    """

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.in_memory = True
        self._source = source
        self._out = out
        self._limits = limits
        self._data = bytearray()
        while len(self._data) <= limits.hold and (piece := source.piece()):
            self._data += piece
            if end := _end_of_zip(self._data, len(self._data) - len(piece)):
                source.put_back(bytes(self._data[end:]))
                del self._data[end:]
                break
        if len(self._data) > limits.hold:
            self.in_memory = False
        self._positions = zip_archive.member_offsets(memoryview(self._data)) if self.in_memory else {}

    @property
    def part_names(self) -> tuple[str, ...]:
        """The names of the parts in the central directory, in its order; empty if the package is not in memory."""
        return tuple(self._positions)

    def open_part(self, name: str) -> Source:
        """Open a part by its name: it is empty if it is missing or cannot be decompressed, and ends at damage."""
        position = self._positions.get(name)
        if position is None:
            return Source(iter(()))
        try:
            return zip_archive.open_member(self._source_from(position), self._limits) or Source(iter(()))
        except Damaged:
            return Source(iter(()))

    def read_parts(self, choose_reader: Choice) -> None:
        """Output all parts as members, each with the reader that `choose_reader` chooses for it."""
        archive = self._source_from(0)
        zip_archive.read_members(archive, self._out, self._limits, choose_reader)
        # bytes after the archive are not part of the document
        self._source.put_back(bytes(self._data[archive.position :]) if self.in_memory else archive.take_rest())

    def _source_from(self, start: int) -> Source:
        return Source(self._pieces(start), "", self._source.amplification)

    def _pieces(self, start: int) -> Iterator[bytes]:
        view = memoryview(self._data)
        for at in range(start, len(view), 2**20):
            yield bytes(view[at : at + 2**20])
        if not self.in_memory:
            yield from iter(self._source.piece, b"")
