"""Presentations of Office Open XML: text and tables of slides, notes and comments, read as those of Word documents."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.office import office_package
from crawler.readers.office.docx import pick
from crawler.readers.office.office_package import Package

FORMAT = "pptx"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the names of its first parts."""
    return office_package.sure(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the text of every part, and the rows of its tables."""
    Package(source, out, limits).read(pick)
