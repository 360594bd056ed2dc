"""PDF documents by pypdf: text of pages, form fields, notes and properties, attached files; and every packed stream for the byte pass.

What pypdf does not lead to (older versions of changed pages, parts of a damaged file) is in the streams all the same.
"""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import pypdf
import pypdf.filters
import pypdf.xmp
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.documents.pdf_streams import give_streams
from crawler.readers.documents.pdf_tables import table_rows
from data.errors import LimitReached, WireError

FORMAT = "pdf"

# it may stand behind something else, as printers and web servers leave it
_SEARCHED = 1024
# words about PDF are none
_BEGINS = re.compile(rb"%PDF-[12]\.\d\s{1,2}(?:%[\x80-\xff]|\d+ \d+ obj)")
_MAX_NOTES = 10_000
# objects that were read stay in memory: with so many they are let go
_MAX_OBJECTS = 20_000
_LIMITS: dict[str, Any] = {
    "maximum_declared_stream_length": 2**28,
    "zlib_maximum_output_length": 2**25,
    "lzw_maximum_output_length": 2**25,
    "run_length_maximum_output_length": 2**25,
    "brotli_maximum_output_length": 2**25,
    "array_based_stream_maximum_output_length": 2**25,
    "stream_decoding_work_maximum_length": 2**27,
    "stream_parsing_work_maximum_count": 1_000_000,
    "xform_maximum_invocations_per_extraction": 1000,
    # no other program is ever started
    "jbig2dec_binary": None,
    "disable_legacy_handling": True,
}

# what it logs may quote the document
logging.getLogger("pypdf").propagate = False
logging.getLogger("pypdf").addHandler(logging.NullHandler())


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature at the very beginning; it may also stand a little behind."""
    if head.startswith(b"%PDF-"):
        return 1.0
    return 0.9 if _BEGINS.search(head, 0, _SEARCHED) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out its text and its attachments, then all that is packed in it."""
    held = source.read_all(limits.hold)
    document = _Document(held, source, out, limits)
    with pypdf.apply_configuration(**_LIMITS):
        locked = document.read()
    if not locked:
        give_streams(held, source, out, limits)
    own = held.find(b"%PDF-")
    read_embedded(held, source, out, lambda at: at + 1 if at == own else at, at=0)


class _Document:
    """One document."""

    def __init__(self, held: bytearray, source: Source, out: Output, limits: Limits) -> None:
        self._held = held
        self._source = source
        self._out = out
        self._limits = limits
        self._notes = ProblemCounter()
        self._rows = 0
        # what is left is enough for the byte pass over its streams
        self._until = time.process_time() + min(limits.cpu, limits.wall) / 2

    def read(self) -> bool:
        """Give out what pypdf finds; True if the document is locked."""
        out = self._out
        try:
            reader = pypdf.PdfReader(io.BytesIO(self._held))
            if reader.is_encrypted and not reader.decrypt(""):
                out.problem("locked", "it is encrypted and not read", incomplete=True)
                return True
            pages = len(reader.pages)
        except MemoryError:
            out.problem("memory", "reading it needs more memory than the limit", incomplete=True)
            return False
        except Exception:  # noqa: BLE001 - hostile bytes; its words may quote the document
            out.problem("damaged", "its structure cannot be read; its streams are examined as bytes", incomplete=True)
            return False
        self._pages(reader, pages)
        for part in (self._properties, self._fields, self._attachments):
            self._guarded(part, reader, "a part beside its pages is damaged")
        self._notes.report(out)
        return False

    def _guarded(self, action: Callable[[Any], None], argument: Any, sentence: str) -> None:
        try:
            action(argument)
        except (LimitReached, WireError):
            raise
        except MemoryError:
            self._notes.add("memory", "a part of it needs more memory than the limit")
        except Exception:  # noqa: BLE001 - hostile bytes; its words may quote the document
            self._notes.add("damaged", sentence)

    def _pages(self, reader: pypdf.PdfReader, pages: int) -> None:
        images = 0

        def page(number: int) -> None:
            nonlocal images
            images += self._page(reader.pages[number])

        for number in range(pages):
            if time.process_time() > self._until:
                self._notes.add("limit", f"{pages - number} of its {pages} pages would take too long to read")
                break
            self._guarded(page, number, "a page is damaged")
            if len(reader.resolved_objects) > _MAX_OBJECTS:
                reader.resolved_objects.clear()
        if images:
            self._notes.add("unread", f"{images} of its {pages} pages hold images only")

    def _page(self, page: pypdf.PageObject) -> bool:
        """Give the text of a page out; True if there is none but an image."""
        text = page.extract_text()
        before = self._rows
        self._guarded(self._tables, page, "the tables of a page cannot be told from its text")
        if self._rows == before:
            self._say(text)
        annotations = _resolved(page.get("/Annots"))
        for entry in (annotations if isinstance(annotations, ArrayObject) else [])[:_MAX_NOTES]:
            note = _resolved(entry)
            if isinstance(note, DictionaryObject):
                self._say(_word(note.get("/Contents")))
                action = _resolved(note.get("/A"))
                if isinstance(action, DictionaryObject):
                    self._say(_word(action.get("/URI")))
                file = _resolved(note.get("/FS"))
                if isinstance(file, DictionaryObject):
                    self._attached(_word(file.get("/UF", file.get("/F"))), file)
        return not text.strip() and _has_image(page)

    def _tables(self, page: pypdf.PageObject) -> None:
        """The rows of the tables of a page, as a part of one table for the whole document, and the lines beside them."""
        rows, lines = table_rows(page.extract_text(extraction_mode="layout", layout_mode_strip_rotated=False))
        if rows:
            if not self._rows:
                self._out.header(None)
            self._rows += len(rows)
            self._out.rows([[cell.encode("utf-8", "replace") for cell in row] for row in rows])
            self._say("\n".join(lines))

    def _say(self, text: str) -> None:
        if text.strip():
            self._out.text(text.encode("utf-8", "replace") + b"\n")

    def _properties(self, reader: pypdf.PdfReader) -> None:
        for value in (reader.metadata or {}).values():
            self._say(_word(value))

    def _fields(self, reader: pypdf.PdfReader) -> None:
        """The fields of a form as one row under their names, and as text."""
        fields = reader.get_fields() or {}
        names, values = [], []
        for name, entry in list(fields.items())[: self._limits.max_columns]:
            value = _word(entry.get("/V", entry.get("/DV")))
            if value:
                names.append(str(name))
                values.append(value.encode("utf-8", "replace"))
                self._say(f"{name}: {value}")
        if names:
            self._out.header(names)
            self._out.rows([values])

    def _attachments(self, reader: pypdf.PdfReader) -> None:
        for file in reader.attachment_list:
            self._member(file.name, file.content)

    def _attached(self, name: str, file: DictionaryObject) -> None:
        inside = _resolved(file.get("/EF"))
        stream = _resolved(inside.get("/F", inside.get("/UF"))) if isinstance(inside, DictionaryObject) else None
        if isinstance(stream, StreamObject):
            self._member(name, stream.get_data())

    def _member(self, name: str, data: bytes) -> None:
        share = self._source.amplification() * max(1.0, len(data) / max(1, len(self._held)))
        read_member(Source(iter([data]), name, lambda: share), self._out)


def _resolved(value: Any) -> Any:
    return value.get_object() if value is not None else None


def _word(value: Any) -> str:
    """A text of the document; '' for anything else."""
    value = _resolved(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return " ".join(str(_resolved(each)) for each in value[:1000])
    return "" if value is None or isinstance(value, dict) else str(value)


def _has_image(page: pypdf.PageObject) -> bool:
    resources = _resolved(page.get("/Resources"))
    objects = _resolved(resources.get("/XObject")) if isinstance(resources, DictionaryObject) else None
    if not isinstance(objects, DictionaryObject):
        return False
    return any(_resolved(each).get("/Subtype") == "/Image" for each in objects.values())
