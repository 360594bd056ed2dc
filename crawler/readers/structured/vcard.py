"""vCards of every version: one row per card, whatever it says of a person; files inside it are members."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from crawler.readers.core.encoding import Lines, as_utf8, repair
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import read_base64_member
from crawler.readers.structured.json_records import Records

FORMAT = "vcard"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"\s*+BEGIN\s*:\s*VCARD\s", re.IGNORECASE)
_END = re.compile(rb"END:VCARD\s*\Z", re.IGNORECASE)
_LINE = re.compile(r"(?:[\w-]+\.)?([A-Za-z][\w-]*)((?:;(?:[^\":;]|\"[^\"]*\")*)*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PARTS = re.compile(r"(?<!\\);")
_NAMES = {"FN": "full_name", "BDAY": "birth_date", "TEL": "phone", "EMAIL": "email", "ADR": "address", "NOTE": "note"}
_FILES = ("PHOTO", "LOGO", "SOUND", "KEY")
_SCHEMES = ("tel:", "mailto:")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where a card begins."""
    return 0.97 if _BEGIN.match(as_utf8(head) + b"\n") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out a row for each card; a line that is no property goes out as text."""
    lines = Lines(source, limits.max_line)
    cards = _Cards(out, limits)
    for line in _unfolded(lines, limits.max_line):
        cards.take(line)
    cards.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")


def _unfolded(lines: Lines, longest: int) -> Iterator[str]:
    """Whole properties: a line that begins with a blank goes on with the one before."""
    waiting: list[bytes] = []
    size = 0
    for block in lines.blocks():
        for line in block.split(b"\n"):
            folded = line[:1] in (b" ", b"\t")
            # version 2.1 breaks lines within quoted-printable by a sign at their end
            soft = bool(waiting) and waiting[-1].endswith(b"=") and b"QUOTED-PRINTABLE" in waiting[0][:200].upper()
            soft = soft and not _END.match(line)
            if waiting and (folded or soft) and size < longest:
                if soft:
                    waiting[-1] = waiting[-1][:-1]
                waiting.append(line[1:] if folded and not soft else line)
                size += len(line)
                continue
            if waiting:
                yield _joined(waiting)
            waiting, size = [line], len(line)
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[bytes]) -> str:
    # a fold within a letter made two wrong ones of it, which is the same as encoding it twice
    return repair(b"".join(parts)).decode() if len(parts) > 1 else parts[0].decode()


class _Cards:
    """Properties in order, card by card."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = Records(out, limits)
        self._card: dict[str, str] = {}
        self._open = False
        self._bytes = 0

    def take(self, line: str) -> None:
        """One property."""
        if not line.strip():
            return
        found = _LINE.fullmatch(line)
        if found is None:
            self.out.text(f"{line}\n".encode("utf-8", "replace"))
            return
        name, parameters, value = found[1].upper(), found[2].upper(), found[3]
        if name in ("BEGIN", "END") and value.strip().upper() == "VCARD":
            self._end(cut=name == "BEGIN" and self._open)
            self._open = name == "BEGIN"
            return
        if "QUOTED-PRINTABLE" in parameters:
            value = _quoted(value)
        elif name in _FILES and (inline := _file(parameters, value)):
            self.records.flush()
            read_base64_member(name.lower(), inline.encode(), self.out)
            return
        self._bytes += len(line)
        if name == "N":
            parts = [_plain(part) for part in _PARTS.split(value)]
            for key, part in zip(("surname", "first_name", "given_names"), parts, strict=False):
                self._put(key, part)
            self._put("titles", " ".join(filter(None, parts[3:])))
        else:
            plain = " ".join(filter(None, map(_plain, _PARTS.split(value)))) if ";" in value else _plain(value)
            for scheme in _SCHEMES:
                plain = plain[len(scheme) :] if plain.lower().startswith(scheme) else plain
            self._put(_NAMES.get(name, name.lower()), plain)
        if self._bytes > self.limits.max_line:
            self._end(cut=False)

    def _put(self, key: str, value: str) -> None:
        if not value:
            return
        number, place = 1, key
        while place in self._card:
            number += 1
            place = f"{key}_{number}"
            if number > 20:
                # a card of a thousand numbers is no card
                self._card[key] += f" {value}"
                return
        self._card[place] = value

    def _end(self, *, cut: bool) -> None:
        if cut:
            self.out.problem("cut", "a card ends without its end")
        if self._card:
            self.records.add([self._card], size=self._bytes)
        self._card, self._bytes = {}, 0

    def finish(self) -> None:
        """The file is over."""
        self._end(cut=self._open)
        self.records.finish()


def _plain(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()


def _quoted(value: str) -> str:
    data = binascii.a2b_qp(value.encode("utf-8", "replace"))
    return repair(data).decode()


def _file(parameters: str, value: str) -> str:
    """The base64 of a file inside a card, '' where there is only its address."""
    head, comma, data = value.partition(",")
    if head.lower().startswith("data:") and "base64" in head.lower() and comma:
        return data
    return value if re.search(r"ENCODING=(?:B|BASE64)\b|;BASE64", parameters) else ""
