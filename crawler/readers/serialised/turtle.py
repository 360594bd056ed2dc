"""Reads Turtle and TriG, the usual text of RDF: one row for each subject, whose columns are the last parts of its predicates.

Source: RDF 1.1 Turtle (W3C, 2014).
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "turtle"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

_BEGIN = re.compile(rb"\s*(?:#[^\n]*\n\s*)*(?:@prefix|@base|PREFIX|BASE)\s[^\n]{0,200}<[^>\n]*>", re.IGNORECASE)
_TOKEN = possessive(
    r"(?P<skip>\s++|#[^\n]*+)"
    r"|(?P<prefix>(?:@prefix|@base|(?i:PREFIX|BASE)\b)[^<\n]*+<[^>\n]*+>)"
    # what is not closed ends with its line, and a long string with the text, so that each character is read once
    r"|(?P<long>\"\"\"(?:[^\"\\]++|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z)|'''(?:[^'\\]++|\\.|'(?!\'\'))*+(?:'''|\Z))"
    r"|(?P<string>\"(?:[^\"\\\n]++|\\.)*+\"?|'(?:[^'\\\n]++|\\.)*+'?)"
    r"|(?P<kind>\^\^(?:<[^>\n]*+>|[\w.:\-]++)|@[A-Za-z][\w-]*+)"
    r"|(?P<address><[^>\n]*+>?)"
    r"|(?P<mark>[;,.\[\](){}](?!\d))"
    r"|(?P<word>[^\s;,\[\](){}<>\"']++)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_LAST_PART = re.compile(r"[/#:]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
_MAX_DEPTH, _MAX_REPEATED, _LONGEST_NODE = 64, 20, 2**18


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if a text begins with the declaration of a prefix and a subject follows."""
    text = as_utf8(head[:4096])
    return (
        0.96
        if _BEGIN.match(text) and is_text(text) and not re.search(rb"(?i)\b(?:SELECT|CONSTRUCT|ASK)\b", text)
        else 0.0
    )


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the values of each subject as a row, and comments as text."""
    lines = Lines(source, limits.max_line)
    graph = _Graph(RecordWriter(out, limits), out)
    held = ""
    for block in lines.blocks():
        held = graph.add(held + block.decode("utf-8", "replace") + "\n", is_end=False)
    graph.add(held, is_end=True)
    graph.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


class _Graph:
    """Collects the values of one subject after another."""

    def __init__(self, records: RecordWriter, out: Output) -> None:
        self._records, self._out = records, out
        self._row: dict[str, str] = {}
        self._subject = self._predicate = ""
        # predicates of the nodes around the open one
        self._around: list[str] = []
        self._is_list = 0
        self._size = 0
        # the word of the open predicate, as long as it has no value, and words that are no part of any row
        self._waiting = ""
        self._unused: list[str] = []

    def add(self, text: str, *, is_end: bool) -> str:
        """Read whole lines; returns the beginning of a string that goes on in the next ones."""
        comments: list[str] = []
        for found in _TOKEN.finditer(text):
            kind = found.lastgroup
            is_open = kind == "long" and found.end() == len(text) and not found[0].endswith(('"""', "'''"))
            if is_open and not is_end and len(text) - found.start() < _LONGEST_NODE:
                self._say(comments)
                return text[found.start() :]
            if kind == "skip":
                if found[0].startswith("#"):
                    comments.append(found[0][1:])
            elif kind == "mark":
                self._mark(found[0])
            elif kind not in ("prefix", "kind"):
                self._take(_plain(found[0], kind or ""))
                if kind == "word" and found[0].endswith("."):
                    self._end_subject()
        self._say(comments)
        return ""

    def finish(self) -> None:
        """End the graph."""
        self._end_subject()
        self._say_unused()
        self._records.finish()

    def _say(self, comments: list[str]) -> None:
        if comments:
            self._out.text("\n".join([*comments, ""]).encode("utf-8", "replace"))

    def _say_unused(self) -> None:
        """Send what cannot be Turtle, such as a line behind the last statement."""
        if self._unused:
            self._out.text(" ".join([*self._unused, "\n"]).encode("utf-8", "replace"))
        self._unused = []

    def _mark(self, mark: str) -> None:
        if mark in ";.]}" and self._waiting:
            self._unused.append(self._waiting)
        if mark != ",":
            self._waiting = ""
        if mark == "[":
            if len(self._around) < _MAX_DEPTH:
                self._around.append(self._predicate)
            self._subject = self._subject or "_"
            self._predicate = ""
        elif mark == "]":
            self._predicate = self._around.pop() if self._around else ""
        elif mark == ";":
            self._predicate = ""
        elif mark in "()":
            self._is_list += 1 if mark == "(" else -1
        elif mark in ".{}":
            self._end_subject()

    def _take(self, word: str) -> None:
        if not self._subject:
            self._subject = word
        elif not self._predicate:
            self._predicate = "type" if word == "a" else _LAST_PART.split(word.rstrip("/#"))[-1] or word
            self._waiting = word
        else:
            # names of predicates have a prefix or are addresses
            if self._waiting and self._waiting != "a" and ":" not in self._waiting:
                self._unused.append(self._waiting)
            self._waiting = ""
            number, column = 1, self._predicate
            while column in self._row and number < _MAX_REPEATED:
                number += 1
                column = f"{self._predicate}_{number}"
            self._row[column] = word
            self._size += len(word)

    def _end_subject(self) -> None:
        if self._row:
            self._records.add([{"id": self._subject, **self._row}], size=self._size)
        elif self._subject not in ("", "_"):
            self._unused.insert(0, self._subject)
        if self._waiting:
            self._unused.append(self._waiting)
        self._waiting = ""
        self._say_unused()
        self._row, self._subject, self._predicate, self._around = {}, "", "", []
        self._size = self._is_list = 0


def _plain(token: str, kind: str) -> str:
    """A string without quotes and escapes, an address without its brackets, and a word as it is."""
    if kind == "address":
        return token[1:].removesuffix(">").removeprefix("mailto:").removeprefix("tel:")
    if kind in ("long", "string"):
        mark = token[: 3 if kind == "long" else 1]
        token = token[len(mark) :].removesuffix(mark)
        return _ESCAPE.sub(_unescaped, token) if "\\" in token else token
    # the dot that ends a statement stands close behind a word
    return token.rstrip(".")


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    if digits:
        return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else ""
    return _LETTERS.get(found[3], found[3])
