"""Reads Word documents (Office Open XML): the text and tables of the body, headers, notes and comments."""

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

FORMAT = "docx"

# root elements of parts that hold no text of people, only layout, settings and the list of parts
_TEXTLESS_ROOTS = frozenset(
    ["styles", "fonts", "theme", "settings", "webSettings", "numbering", "Relationships", "Types"]
)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a Word document, from the names of its first parts."""
    return office_package.sniff_document(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the text of every part, and the rows of its tables."""
    OfficePackage(source, out, limits).read_parts(choose_part_reader)


def choose_part_reader(head: bytes, name: str) -> Reader | None:
    """Choose the reader of a part; None if no reader recognises it."""
    if not office_package.STANDARD_PART_NAME.match(name):
        return choose(head, name)
    return TEXTLESS_PART if root_name(as_utf8(head)) in _TEXTLESS_ROOTS else TextPart("xml")
