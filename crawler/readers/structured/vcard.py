"""Reads vCards of every version: one row per card, with all of its properties; files inside a card become members."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, as_utf8, repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import read_base64_member
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.unfolded_lines import joined

FORMAT = "vcard"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"\s*+BEGIN\s*:\s*VCARD\s", re.IGNORECASE)
_END = re.compile(rb"END:VCARD\s*\Z", re.IGNORECASE)
_LINE = re.compile(r"(?:[\w-]+\.)?([A-Za-z][\w-]*)((?:;(?:[^\":;]|\"[^\"]*\")*)*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PARTS = re.compile(r"(?<!\\);")
_COLUMNS = {"FN": "full_name", "BDAY": "birth_date", "TEL": "phone", "EMAIL": "email", "ADR": "address", "NOTE": "note"}
_FILES = ("PHOTO", "LOGO", "SOUND", "KEY")
_SCHEMES = ("tel:", "mailto:")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a vCard: high if it begins with a card."""
    return 0.97 if _BEGIN.match(as_utf8(head) + b"\n") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each card; a line that is not a property is output as text."""
    lines = Lines(source, limits.max_line)
    cards = _CardReader(out, limits)
    for line in _unfold(lines, limits.max_line):
        cards.read_property(line)
    cards.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _unfold(lines: Lines, longest: int) -> Iterator[str]:
    """Whole properties: a line that begins with a blank or a tab continues the line before it."""
    waiting: list[bytes] = []
    size = 0
    for block in lines.blocks():
        for line in block.split(b"\n"):
            folded = line[:1] in (b" ", b"\t")
            # in version 2.1, a line of quoted-printable that ends with "=" continues on the next line
            soft = bool(waiting) and waiting[-1].endswith(b"=") and b"QUOTED-PRINTABLE" in waiting[0][:200].upper()
            soft = soft and not _END.match(line)
            if waiting and (folded or soft) and size < longest:
                if soft:
                    waiting[-1] = waiting[-1][:-1]
                waiting.append(line[1:] if folded and not soft else line)
                size += len(line)
                continue
            if waiting:
                yield joined(waiting)
            waiting, size = [line], len(line)
    if waiting:
        yield joined(waiting)


class _CardReader:
    """Reads properties in order, and writes each card as a row."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = RecordWriter(out, limits)
        self._card: dict[str, str] = {}
        self._open = False
        self._bytes = 0

    def read_property(self, line: str) -> None:
        """Add one property to the open card."""
        if not line.strip():
            return
        found = _LINE.fullmatch(line)
        if found is None:
            self.out.text(f"{line}\n".encode("utf-8", "replace"))
            return
        name, parameters, value = found[1].upper(), found[2].upper(), found[3]
        if name in ("BEGIN", "END") and value.strip().upper() == "VCARD":
            self._end_card(cut=name == "BEGIN" and self._open)
            self._open = name == "BEGIN"
            return
        if "QUOTED-PRINTABLE" in parameters:
            value = _decode_quoted_printable(value)
        elif name in _FILES and (inline := _inline_file(parameters, value)):
            self.records.flush()
            read_base64_member(name.lower(), inline.encode(), self.out)
            return
        self._bytes += len(line)
        if name == "N":
            parts = [_unescape(part) for part in _PARTS.split(value)]
            for key, part in zip(("surname", "first_name", "given_names"), parts, strict=False):
                self._add_value(key, part)
            self._add_value("titles", " ".join(filter(None, parts[3:])))
        else:
            plain = " ".join(filter(None, map(_unescape, _PARTS.split(value)))) if ";" in value else _unescape(value)
            for scheme in _SCHEMES:
                plain = plain[len(scheme) :] if plain.lower().startswith(scheme) else plain
            self._add_value(_COLUMNS.get(name, name.lower()), plain)
        if self._bytes > self.limits.max_line:
            self._end_card(cut=False)

    def _add_value(self, key: str, value: str) -> None:
        """Add a value to the card; a repeated property gets a column of its own, up to 20."""
        if not value:
            return
        number, column = 1, key
        while column in self._card:
            number += 1
            column = f"{key}_{number}"
            if number > 20:
                # no real card repeats a property so often: the first column holds the rest
                self._card[key] += f" {value}"
                return
        self._card[column] = value

    def _end_card(self, *, cut: bool) -> None:
        """Write the open card as a row; `cut` if its end is missing."""
        if cut:
            self.out.problem("cut", "a card has no END line")
        if self._card:
            self.records.add([self._card], size=self._bytes)
        self._card, self._bytes = {}, 0

    def finish(self) -> None:
        """Write the last card."""
        self._end_card(cut=self._open)
        self.records.finish()


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def _decode_quoted_printable(value: str) -> str:
    data = binascii.a2b_qp(value.encode("utf-8", "replace"))
    return repair(data).decode()


def _inline_file(parameters: str, value: str) -> str:
    """The base64 of a file inside a card; '' if the card holds only the address of the file."""
    head, comma, data = value.partition(",")
    if head.lower().startswith("data:") and "base64" in head.lower() and comma:
        return data
    return value if re.search(r"ENCODING=(?:B|BASE64)\b|;BASE64", parameters) else ""
