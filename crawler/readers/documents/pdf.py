"""PDF documents, read by pypdf: text of pages, form fields, annotations and properties, and attached files.

Every compressed stream is also decompressed for the byte pass: streams can contain parts to which pypdf gives no
access, such as older versions of changed pages and parts of a damaged file.
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
from crawler.readers.documents.pdf_pictures import images_of, picture_file, pixels
from crawler.readers.documents.pdf_streams import send_streams
from crawler.readers.documents.pdf_tables import table_rows
from crawler.readers.pictures.picture import send_text
from data.errors import LimitReached, WireError

FORMAT = "pdf"

# The signature may follow other bytes, which printers and web servers sometimes write before it.
_SEARCHED_BYTES = 1024
# the signature with what follows it, so that text that mentions PDF does not match
_SIGNATURE = re.compile(rb"%PDF-[12]\.\d\s{1,2}(?:%[\x80-\xff]|\d+ \d+ obj)")
_MAX_ANNOTATIONS = 10_000
# Smaller pictures are icons and logos.
_READABLE_PIXELS = 40_000
# A page with fewer characters and an image of so many pixels is a scanned page with a stamp or a page number on it.
_LITTLE_TEXT, _SCANNED_PIXELS = 200, 500_000
# pypdf keeps all objects that it has read in memory; above this number they are dropped
_MAX_CACHED_OBJECTS = 20_000
_PYPDF_LIMITS: dict[str, Any] = {
    "maximum_declared_stream_length": 2**28,
    "zlib_maximum_output_length": 2**25,
    "lzw_maximum_output_length": 2**25,
    "run_length_maximum_output_length": 2**25,
    "brotli_maximum_output_length": 2**25,
    "array_based_stream_maximum_output_length": 2**25,
    "stream_decoding_work_maximum_length": 2**27,
    "stream_parsing_work_maximum_count": 1_000_000,
    "xform_maximum_invocations_per_extraction": 1000,
    # pypdf must never start another program
    "jbig2dec_binary": None,
    "disable_legacy_handling": True,
}

# pypdf may quote the document in its log messages, so they are dropped.
logging.getLogger("pypdf").propagate = False
logging.getLogger("pypdf").addHandler(logging.NullHandler())


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins with the signature of PDF, 0.9 if the signature follows other bytes."""
    if head.startswith(b"%PDF-"):
        return 1.0
    return 0.9 if _SIGNATURE.search(head, 0, _SEARCHED_BYTES) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send text and attachments, then all compressed streams."""
    held = source.read_all(limits.hold)
    document = _DocumentReader(held, source, out, limits)
    with pypdf.apply_configuration(**_PYPDF_LIMITS):
        locked = document.read()
    if not locked:
        send_streams(held, source, out, limits)
    # The document's own signature is not the start of an embedded file.
    own = held.find(b"%PDF-")
    read_embedded(held, source, out, lambda at: at + 1 if at == own else at, at=0)


class _DocumentReader:
    """Reads one document with pypdf."""

    def __init__(self, held: bytearray, source: Source, out: Output, limits: Limits) -> None:
        self._held = held
        self._source = source
        self._out = out
        self._limits = limits
        self._problems = ProblemCounter()
        self._rows = 0
        # The other half of the time is left for the streams.
        self._deadline = time.process_time() + min(limits.cpu, limits.wall) / 2

    def read(self) -> bool:
        """Send what pypdf finds; True if the document is locked."""
        out = self._out
        try:
            reader = pypdf.PdfReader(io.BytesIO(self._held))
            if reader.is_encrypted and not reader.decrypt(""):
                out.problem("locked", "the file is encrypted and was not read", incomplete=True)
                return True
            pages = len(reader.pages)
        except MemoryError:
            out.problem("memory", "reading the file needs more memory than the limit", incomplete=True)
            return False
        except Exception:  # noqa: BLE001 - hostile bytes; the error may quote the document
            out.problem(
                "damaged",
                "the structure of the document cannot be read; its streams are examined as bytes",
                incomplete=True,
            )
            return False
        self._read_pages(reader, pages)
        for part in (self._read_properties, self._read_fields, self._read_attachments):
            self._guarded(part, reader, "the properties, form fields or attachments are damaged")
        self._problems.report(out)
        return False

    def _guarded(self, action: Callable[[Any], None], argument: Any, sentence: str) -> None:
        """Run an action on one part of the document; if it fails, count a problem and go on with the next part."""
        try:
            action(argument)
        except (LimitReached, WireError):
            raise
        except MemoryError:
            self._problems.add("memory", "a part of the document needs more memory than the limit")
        except Exception:  # noqa: BLE001 - hostile bytes; the error may quote the document
            self._problems.add("damaged", sentence)

    def _read_pages(self, reader: pypdf.PdfReader, pages: int) -> None:
        images = 0

        def read_page(number: int) -> None:
            nonlocal images
            images += self._read_page(reader.pages[number])

        for number in range(pages):
            if time.process_time() > self._deadline:
                self._problems.add(
                    "limit", f"{pages - number} of {pages} pages were not read, because that would take too long"
                )
                break
            self._guarded(read_page, number, "a page is damaged")
            if len(reader.resolved_objects) > _MAX_CACHED_OBJECTS:
                reader.resolved_objects.clear()
        if images:
            self._problems.add("unread", f"{images} of {pages} pages contain only images, whose text is not read")

    def _read_page(self, page: pypdf.PageObject) -> bool:
        """Send the text of a page; True if its content is an image: a scanned page has no text, or only a page number."""
        text = page.extract_text()
        before = self._rows
        self._guarded(self._read_tables, page, "the layout of a page cannot be read; its tables are sent as text")
        if self._rows == before:
            self._send_text(text)
        annotations = _resolve(page.get("/Annots"))
        for entry in (annotations if isinstance(annotations, ArrayObject) else [])[:_MAX_ANNOTATIONS]:
            annotation = _resolve(entry)
            if isinstance(annotation, DictionaryObject):
                self._send_text(_as_text(annotation.get("/Contents")))
                action = _resolve(annotation.get("/A"))
                if isinstance(action, DictionaryObject):
                    self._send_text(_as_text(action.get("/URI")))
                file = _resolve(annotation.get("/FS"))
                if isinstance(file, DictionaryObject):
                    self._read_attached_file(_as_text(file.get("/UF", file.get("/F"))), file)
        letters = len(text.strip())
        read = self._read_pictures(page)
        return not read and letters < _LITTLE_TEXT and _has_image(page, _SCANNED_PIXELS if letters else 0)

    def _read_pictures(self, page: pypdf.PageObject) -> int:
        """Send the text in the large pictures of a page; returns how many had text."""
        found = 0
        for image in images_of(page):
            if pixels(image) >= _READABLE_PIXELS and (data := picture_file(image)):
                self._out.budget.add_output(len(data))
                found += send_text(data, self._out, self._limits)
        return found

    def _read_tables(self, page: pypdf.PageObject) -> None:
        """Send the table rows of a page, as part of one table for the document, and the other lines as text."""
        rows, lines = table_rows(page.extract_text(extraction_mode="layout", layout_mode_strip_rotated=False))
        if rows:
            if not self._rows:
                self._out.header(None)
            self._rows += len(rows)
            self._out.rows([[cell.encode("utf-8", "replace") for cell in row] for row in rows])
            self._send_text("\n".join(lines))

    def _send_text(self, text: str) -> None:
        if text.strip():
            self._out.text(text.encode("utf-8", "replace") + b"\n")

    def _read_properties(self, reader: pypdf.PdfReader) -> None:
        for value in (reader.metadata or {}).values():
            self._send_text(_as_text(value))

    def _read_fields(self, reader: pypdf.PdfReader) -> None:
        """Send the fields of a form as one row under their names, and as text."""
        fields = reader.get_fields() or {}
        names, values = [], []
        for name, entry in list(fields.items())[: self._limits.max_columns]:
            value = _as_text(entry.get("/V", entry.get("/DV")))
            if value:
                names.append(str(name))
                values.append(value.encode("utf-8", "replace"))
                self._send_text(f"{name}: {value}")
        if names:
            self._out.header(names)
            self._out.rows([values])

    def _read_attachments(self, reader: pypdf.PdfReader) -> None:
        for file in reader.attachment_list:
            self._read_member(file.name, file.content)

    def _read_attached_file(self, name: str, file: DictionaryObject) -> None:
        embedded = _resolve(file.get("/EF"))
        stream = _resolve(embedded.get("/F", embedded.get("/UF"))) if isinstance(embedded, DictionaryObject) else None
        if isinstance(stream, StreamObject):
            self._read_member(name, stream.get_data())

    def _read_member(self, name: str, data: bytes) -> None:
        amplification = self._source.amplification() * max(1.0, len(data) / max(1, len(self._held)))
        read_member(Source(iter([data]), name, lambda: amplification), self._out)


def _resolve(value: Any) -> Any:
    return value.get_object() if value is not None else None


def _as_text(value: Any) -> str:
    """A value of the document as text; '' for dictionaries and null."""
    value = _resolve(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return " ".join(str(_resolve(each)) for each in value[:1000])
    return "" if value is None or isinstance(value, dict) else str(value)


def _has_image(page: pypdf.PageObject, min_pixels: int) -> bool:
    return any(pixels(image) >= min_pixels for image in images_of(page))
