"""Reads presentations (Office Open XML): the text and tables of slides, notes and comments, as in Word documents."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office import office_package
from crawler.readers.office.docx import choose_part_reader
from crawler.readers.office.office_package import OfficePackage

FORMAT = "pptx"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a presentation, from the names of its first parts."""
    return office_package.sniff_document(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the text of every part, and the rows of its tables."""
    OfficePackage(source, out, limits).read_parts(choose_part_reader)
