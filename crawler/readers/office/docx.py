"""Word documents of Office Open XML: text and tables of the body, headers, notes and comments."""

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

FORMAT = "docx"

# what is said in them is how things look, where they stand, or which part is which
_SILENT = frozenset(["styles", "fonts", "theme", "settings", "webSettings", "numbering", "Relationships", "Types"])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by the names of its first parts."""
    return office_package.sure(head, FORMAT)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the text of every part, and the rows of its tables."""
    Package(source, out, limits).read(pick)


def pick(head: bytes, name: str) -> Reader | None:
    """The reader of a part."""
    if not office_package.OWN.match(name):
        return choose(head, name)
    return PLAIN if root_name(as_utf8(head)) in _SILENT else TextPart("xml")
