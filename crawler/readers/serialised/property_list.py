"""Property lists of Apple systems, XML and binary: dictionaries become rows.

The standard library parses them. It refuses entities in XML. Objects of a binary list may be shared, so a small file
can describe a huge tree; the tree is therefore walked with a bound.
"""

from __future__ import annotations

import plistlib
import re
from datetime import datetime
from typing import Any

from crawler.readers.core.encoding import as_utf8
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.serialised.cursor import MAX_DEPTH, text_value
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "plist"
EMBEDDED_SEARCH = "all"

_BINARY = b"bplist0"
_XML = re.compile(rb"\s{0,100}(?:<\?xml[^>]{0,200}\?>\s{0,100})?(?:<!DOCTYPE plist[^>]{0,300}>\s{0,100})?<plist[\s>]")
# An object of Python needs about fifty times the bytes of a small one in the file.
_MAX_SIZE = 2**26
# Values in the tree for one byte of the file: in a list without shared objects each value has a byte.
_MAX_GROWTH, _MIN_VALUES = 4, 10_000


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a property list: certain by its signature or root element."""
    return 0.98 if head.startswith(_BINARY) or _XML.match(as_utf8(head[:4096])) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each dictionary that is a record."""
    data = bytes(source.read_all(min(_MAX_SIZE, limits.hold)))
    try:
        value = plistlib.loads(data)
    except MemoryError:
        raise
    except Exception as error:
        raise Damaged("damaged", "the property list cannot be parsed; its bytes were examined") from error
    records = RecordWriter(out, limits)
    plain = _Converter(_MAX_GROWTH * len(data) + _MIN_VALUES).convert(value)
    try:
        values = plain if type(plain) is list else [plain]
        for each in values:
            records.add([each], size=len(data) // max(1, len(values)))
    finally:
        records.finish()


class _Converter:
    """Turns the objects of `plistlib` into values that JSON has."""

    def __init__(self, most: int) -> None:
        self._left = most

    def convert(self, value: Any, depth: int = 0) -> Any:
        """The value, with dates and bytes as text.

        Raises:
            Damaged: its tree has too many values.
        """
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise Damaged("size", "the tree of values is far larger than the file, or nested too deep")
        if isinstance(value, dict):
            return {str(key): self.convert(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.convert(each, depth + 1) for each in value]
        if isinstance(value, bytes):
            return text_value(value)
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value.year >= 1000 else str(value)
        if isinstance(value, plistlib.UID):
            return value.data
        return value
