"""Reads JSON documents of any size and shape, one or several per file; `json_lines` reads one value per line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import as_utf8, is_text, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.json_splitter import JsonSplitter, equal_blocks
from crawler.readers.structured.json_values import Validity, decode_json

FORMAT = "json"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

# plain values of an entered object that are collected into one row
MAX_PLAIN_VALUES = 256

_COMMENTS = possessive(rb"(?:\s++|//[^\n]*+\n|/\*.*?\*/)*+", re.DOTALL)
# `var people = [`, `callback([`
_SCRIPT = re.compile(rb"(?:(?:var|let|const|window|export)\b[^\n={\[]{0,80}=|[\w.$]{1,60}\s*[=(])\s*(?=[\[{])")
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_BEGIN = possessive(
    rb"\{\s*+(?:" + _STRING + rb"\s*+:|\}\s*+\Z)"
    rb"|\[\s*+(?:\]\s*+\Z|[\[{]\s*+(?:[\"'\d{\[\]}-]|[\w$]+\s*:|null|true|false)|" + _STRING + rb"\s*+[,\]]"
    rb"|(?:-?\d[\d.eE+-]*|null|true|false)\s*+(?:,\s*[\"\d-]|\]\s*+\Z))",
    re.DOTALL,
)
_NONSTANDARD_BEGIN = possessive(rb"[\[\s]*+\{\s*+(?:'(?:[^'\\]|\\.)*+'|[A-Za-z_$][\w$]*+)\s*+:\s*+['\"\d{\[\w-]")
_SINGLE = re.compile(rb"[{,\[]\s*+'")
_DOUBLE = re.compile(rb'[{,\[]\s*+"')


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is JSON: high if it begins like a JSON container.

    It is lower for a script that assigns a container, and for spellings that the standard does not allow.
    """
    text = as_utf8(head)
    if text.startswith(b"\xef\xbb\xbf"):
        text = text[3:]
    place = _COMMENTS.match(text)
    text = text[place.end() :] if place else text
    if not is_text(text):
        return 0.0
    script = _SCRIPT.match(text)
    if script:
        text = text[script.end() :]
    if text[:1] not in (b"{", b"["):
        return 0.0
    # the head may end inside a string: close it, so that the pattern can match
    if _BEGIN.match(text) or (len(head) >= HEAD and _BEGIN.match(text + b'":')):
        return 0.85 if script else 0.92
    named = name.lower().endswith((".json", ".geojson", ".js"))
    if _NONSTANDARD_BEGIN.match(text):
        return 0.9 if named else 0.7
    return 0.5 if named else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output one row per record, wherever it is in the document, and everything outside of values as text."""
    read_json(source, out, limits, DocumentHandler(out, limits))


def read_json(source: Source, out: Output, limits: Limits, handler: DocumentHandler) -> None:
    """Read a source of JSON to its end, hand its values to `handler`, and report what was wrong with the source."""
    head = as_utf8(source.peek(HEAD))
    single = len(_SINGLE.findall(head)) > len(_DOUBLE.findall(head))
    splitter = JsonSplitter(handler, limits.max_line, b"'" if single else b'"')
    for block in equal_blocks(_without_record_separators(utf8_pieces(source))):
        splitter.feed(block)
    splitter.finish()
    handler.finish()
    if faults := handler.damaged + splitter.mismatched_brackets:
        out.problem("json", f"the syntax is wrong in {faults} places; they were also examined as text")
    if handler.nonstandard:
        out.problem(
            "json", f"{handler.nonstandard} values are not standard JSON; they were parsed by their likely meaning"
        )
    if splitter.long_values:
        out.problem("line", f"{splitter.long_values} values longer than {limits.max_line} bytes were examined as text")
    if splitter.ended_inside_value:
        out.problem("cut", "the document ends inside a value")


def _without_record_separators(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces with newlines instead of the record separators that RFC 7464 puts before each text."""
    return (piece.replace(b"\x1e", b"\n") for piece in pieces)


class DocumentHandler:
    """Receives the values that a `JsonSplitter` finds, and writes them as rows.

    Attributes:
        damaged: how many texts could not be understood completely.
        nonstandard: how many texts break the standard but could be understood.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.records = RecordWriter(out, limits)
        self.damaged = self.nonstandard = 0
        # the first document that is a list of plain values, empty once others followed it
        self._flat: tuple[list[Any], int] | None = None
        # the names of the entered containers, and the plain values found directly in each
        self._names: list[str] = [""]
        self._plain: list[dict[str, Any]] = [{}]

    def handle_document(self, value: Any, validity: Validity, text: bytes) -> None:
        """Write a value that is not part of another value."""
        self._count_validity(validity, text)
        if type(value) is list and len(value) > 1 and not any(type(each) in (dict, list) for each in value):
            self._add_flat_list(value, len(text))
        elif type(value) is list:
            self.add_values(value, len(text))
        else:
            self.add_values([value], len(text))

    def _add_flat_list(self, value: list[Any], size: int) -> None:
        """Write a list of plain values: several of one length are rows (`jq -c`), a single one is a value a row."""
        if self._flat is None:
            self._flat = value, size
            return
        before, before_size = self._flat
        if before and len(before) == len(value):
            self.records.add([before], "", before_size)
        elif before:
            self.add_values(before, before_size)
        self._flat = [], 0
        self.records.add([value], "", size)

    def handle_children(self, values: Any, validity: Validity, text: bytes) -> None:
        """Write some children of the container that was entered last."""
        self._count_validity(validity, text)
        if type(values) is list:
            self.add_values(values, len(text))
            return
        for key, value in values.items():
            if type(value) is dict:
                self.add_object(key, value, len(text) // len(values))
            elif type(value) is list and any(type(each) in (dict, list) for each in value):
                self.records.add(value, key, len(text) // len(values))
            else:
                self._add_plain_value(key, value)

    def add_values(self, values: list[Any], size: int) -> None:
        """Write values of one list, read from `size` bytes."""
        self.records.add(values, self._names[-1], size)

    def add_object(self, key: str, value: dict[str, Any], size: int) -> None:
        """Write an object that has a key in an entered object, which is too large to be a record itself."""
        self.records.add([value if "key" in value else {"key": key, **value}], self._names[-1], size)

    def _add_plain_value(self, key: str, value: Any) -> None:
        plain = self._plain[-1]
        if key in plain or len(plain) >= MAX_PLAIN_VALUES:
            self._write_plain_values()
            plain = self._plain[-1]
        if type(value) is list and len(value) > 1 and all(type(each) is str for each in value):
            self.records.suggest_column_names(value)
        plain[key] = value

    def _write_plain_values(self) -> None:
        if plain := self._plain[-1]:
            self._plain[-1] = {}
            self.records.add([plain], self._names[-1])

    def enter_container(self, key: str | None) -> None:
        """Begin a container whose children follow."""
        self._names.append(self._names[-1] if key is None else key)
        self._plain.append({})

    def leave_container(self) -> None:
        """End the container that was entered last."""
        self._write_plain_values()
        self._names.pop()
        self._plain.pop()

    def handle_text(self, text: bytes) -> None:
        """Output text that belongs to no value."""
        self.out.text(text)

    def finish(self) -> None:
        """Write the rows that are still waiting."""
        if self._flat is not None and self._flat[0]:
            self.add_values(*self._flat)
        self.records.finish()

    def _count_validity(self, validity: Validity, text: bytes) -> None:
        if validity is Validity.NONSTANDARD:
            self.nonstandard += 1
        elif validity is Validity.DAMAGED:
            self.damaged += 1
            self.out.text(decode_json(text).encode("utf-8", "replace") + b"\n")
