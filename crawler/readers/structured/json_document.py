"""JSON documents of any size and shape: one, or several behind each other; lines of JSON are for `json_lines`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import as_utf8, is_text, utf8_pieces
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_cutter import Cutter, blocks
from crawler.readers.structured.json_records import Records
from crawler.readers.structured.json_values import Trust, text_of

FORMAT = "json"
EMBEDDED_SEARCH = "all"

# values of an object without structure that wait to become one row together
MAX_LOOSE = 256

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
_LOOSE = possessive(rb"[\[\s]*+\{\s*+(?:'(?:[^'\\]|\\.)*+'|[A-Za-z_$][\w$]*+)\s*+:\s*+['\"\d{\[\w-]")
_SINGLE = re.compile(rb"[{,\[]\s*+'")
_DOUBLE = re.compile(rb'[{,\[]\s*+"')


def sniff(head: bytes, name: str) -> float:
    """Sure where it begins like a container of JSON; a script that assigns one, or a looser spelling, less so."""
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
    # a string that the head cuts is closed, so that it can be seen
    if _BEGIN.match(text) or (len(head) >= HEAD and _BEGIN.match(text + b'":')):
        return 0.85 if script else 0.92
    named = name.lower().endswith((".json", ".geojson", ".js"))
    if _LOOSE.match(text):
        return 0.9 if named else 0.7
    return 0.5 if named else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out one row per record, wherever in the document it stands; what is no value goes out as text."""
    taker = Document(out, limits)
    cut(source, out, limits, taker)


def cut(source: Source, out: Output, limits: Limits, taker: Document) -> None:
    """Read a source of JSON to its end and say what was wrong with it."""
    head = as_utf8(source.peek(HEAD))
    single = len(_SINGLE.findall(head)) > len(_DOUBLE.findall(head))
    cutter = Cutter(taker, limits.max_line, b"'" if single else b'"')
    for block in blocks(_marked(utf8_pieces(source))):
        cutter.feed(block)
    cutter.finish()
    taker.finish()
    if taker.damaged or cutter.faults:
        out.problem(
            "json", f"{taker.damaged + cutter.faults} places are not JSON; what they hold was examined as text as well"
        )
    if taker.loose:
        out.problem("json", f"{taker.loose} values are not JSON as it is written; they were read as they were meant")
    if cutter.long:
        out.problem("line", f"{cutter.long} values longer than {limits.max_line} bytes were examined as text")
    if cutter.cut:
        out.problem("cut", "it ends inside a value")


def _marked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """RFC 7464 puts a record separator before each text."""
    return (piece.replace(b"\x1e", b"\n") for piece in pieces)


class Document:
    """Takes what a cutter finds and makes rows of it.

    Attributes:
        damaged: texts that are no JSON. loose: those that are no JSON but can be understood.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.records = Records(out, limits)
        self.damaged = self.loose = 0
        # names of the containers entered, and their values that have no structure
        self._names: list[str] = [""]
        self._own: list[dict[str, Any]] = [{}]

    def document(self, value: Any, trust: Trust, text: bytes) -> None:
        """A value that stands by itself."""
        self._judge(trust, text)
        if type(value) is list:
            self.values(value, len(text))
        else:
            self.values([value], len(text))

    def children(self, values: Any, trust: Trust, text: bytes) -> None:
        """Some children of the container that was entered last."""
        self._judge(trust, text)
        if type(values) is list:
            self.values(values, len(text))
            return
        for key, value in values.items():
            if type(value) is dict:
                self.keyed(key, value, len(text) // len(values))
            elif type(value) is list and any(type(each) in (dict, list) for each in value):
                self._named(key, value, len(text) // len(values))
            else:
                self._loose(key, value)

    def values(self, values: list[Any], size: int) -> None:
        """Values of one list."""
        self.records.add(values, self._names[-1], size)

    def keyed(self, key: str, value: dict[str, Any], size: int) -> None:
        """An object inside one that is too large to be a record."""
        self.records.add([value if "key" in value else {"key": key, **value}], self._names[-1], size)

    def _named(self, key: str, values: list[Any], size: int) -> None:
        self.records.add(values, key, size)

    def _loose(self, key: str, value: Any) -> None:
        own = self._own[-1]
        if key in own or len(own) >= MAX_LOOSE:
            self._settle()
            own = self._own[-1]
        if type(value) is list and len(value) > 1 and all(type(each) is str for each in value):
            self.records.names(value)
        own[key] = value

    def _settle(self) -> None:
        if own := self._own[-1]:
            self._own[-1] = {}
            self.records.add([own], self._names[-1])

    def enter(self, key: str | None) -> None:
        """What follows is inside a container."""
        self._names.append(self._names[-1] if key is None else key)
        self._own.append({})

    def leave(self) -> None:
        """The container that was entered last is over."""
        self._settle()
        self._names.pop()
        self._own.pop()

    def rest(self, text: bytes) -> None:
        """Text that is part of no value."""
        self.out.text(text)

    def finish(self) -> None:
        """All was taken."""
        self.records.finish()

    def _judge(self, trust: Trust, text: bytes) -> None:
        if trust is Trust.LOOSE:
            self.loose += 1
        elif trust is Trust.DAMAGED:
            self.damaged += 1
            self.out.text(text_of(text).encode("utf-8", "replace") + b"\n")
