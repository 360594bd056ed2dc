"""Reads OpenDocument texts, presentations and drawings: the text and tables of all parts."""

from __future__ import annotations

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.office import office_package
from crawler.readers.office.office_package import TEXTLESS_PART, OfficePackage
from crawler.readers.office.office_text import TextPart
from crawler.readers.structured.xml_tokens import root_name

FORMAT = "odt"

# root elements of parts with text; the styles hold the text of headers and footers
_TEXT_ROOTS = frozenset(["document-content", "document-styles", "document-meta"])
_TEXTLESS_ROOTS = frozenset(["document-settings", "manifest", "RDF"])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is an OpenDocument text, from its first part, which states the media type."""
    return office_package.sniff_document(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the text of every part, and the rows of its tables."""
    OfficePackage(source, out, limits).read_parts(choose_part_reader)


def choose_part_reader(head: bytes, name: str) -> Reader | None:
    """Choose the reader of a part; None if no reader recognises it."""
    root = root_name(as_utf8(head)) if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else ""
    if root in _TEXT_ROOTS:
        return TextPart("xml")
    return TEXTLESS_PART if root in _TEXTLESS_ROOTS or name == "mimetype" else choose(head, name)
