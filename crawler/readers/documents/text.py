"""Running text: all text that no other reader recognises. The byte pass finds values in it.

Tables that stand in it are sent as rows.
"""

from __future__ import annotations

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.tables.ruled_tables import begins_ruled_table
from crawler.readers.tables.text_tables import TextTables

FORMAT = "text"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.1 for text, so that this reader is chosen only if no other reader recognises the head.

    A table that is drawn with lines looks delimited to the reader of such tables, which does not know its lines.
    """
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    return 0.92 if begins_ruled_table(text) else 0.1


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the text as UTF-8 in pieces of whole lines, and the tables in it as rows."""
    lines = Lines(source, limits.max_line)
    tables = TextTables(out, limits)
    for block in lines.blocks():
        tables.add(block)
    tables.finish()
