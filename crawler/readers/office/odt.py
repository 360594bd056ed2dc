"""OpenDocument texts, presentations and drawings: text and tables of all parts."""

from __future__ import annotations

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.office import office_package
from crawler.readers.office.office_package import PLAIN, Package
from crawler.readers.office.office_text import TextPart
from crawler.readers.structured.xml_tokens import root_name

FORMAT = "odt"

# styles hold the text of headers and footers
TEXTS = frozenset(["document-content", "document-styles", "document-meta"])
SILENT = frozenset(["document-settings", "manifest", "RDF"])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its first part, which says what it is."""
    return office_package.sure(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the text of every part, and the rows of its tables."""
    Package(source, out, limits).read(pick)


def pick(head: bytes, name: str) -> Reader | None:
    """The reader of a part."""
    root = root_name(as_utf8(head)) if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else ""
    if root in TEXTS:
        return TextPart("xml")
    return PLAIN if root in SILENT or name == "mimetype" else choose(head, name)
