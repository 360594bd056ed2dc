"""Reads EDIFACT and X12, in which hospitals, laboratories and insurers send messages: people become rows, everything else text.

Sources: ISO 9735 with the segments PNA, NAD, DTM and COM; ANSI X12 with NM1, N3, N4, DMG and PER.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crawler.readers.core.encoding import as_utf8, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.person_fields import PersonFields

FORMAT = "edi"
EMBEDDED_SEARCH = "all"

_EDIFACT = re.compile(rb"\s{0,20}(?:UNA(.)(.).(.).(.)\s{0,4})?UNB([+\x1d]|(?<=.))", re.DOTALL)
_X12 = re.compile(rb"\s{0,20}ISA([^\w\s])(?:[^\r\n]{0,120})", re.DOTALL)
# of X12: the header has a fixed length, and its last two characters are separators
_COMPONENT_AT, _END_AT = 104, 105
_BIRTH_DATES = ("329", "LEN")
_PERSON = "1"
_SURNAMES, _FIRST_NAMES = frozenset(("SU", "FS", "NM")), frozenset(("FO", "FI", "GI", "GN"))
# of X12: who bills, treats, refers, sends, pays; none of them is a patient
_PROVIDERS = frozenset(("85", "82", "77", "71", "72", "73", "87", "DN", "DK", "DQ", "DD", "P3", "P5", "1P", "FA", "ZZ", "40", "41", "PR", "PW", "45"))  # fmt: skip
# segments around messages: their dates are nobody's
_SERVICE = frozenset(("ISA", "GS", "ST", "BHT", "BGN", "SE", "GE", "IEA", "UNA", "UNB", "UNG", "UNH", "BGM", "UNT", "UNE", "UNZ", "DTP", "DTM", "INS"))  # fmt: skip
_MAIL = re.compile(r"[^\s@:+*]{1,64}@[^\s@:+*]{1,255}")
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9]{1,2}")
_LONGEST = 2**20


@dataclass(frozen=True, slots=True)
class _Signs:
    """The separators of a message; `release` quotes the character after it, '' for none."""

    component: str
    element: str
    release: str
    end: str


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is EDIFACT or X12: high if it begins with the header of an interchange."""
    return 0.97 if _signs(as_utf8(head[:4096])) is not None else 0.0


def _signs(head: bytes) -> _Signs | None:
    if found := _EDIFACT.match(head):
        if found[1]:
            return _Signs(*(part.decode("latin-1").strip(" ") for part in found.group(1, 2, 3, 4)))
        rest = head[found.end() - 1 : found.end()]
        return _Signs(":", "+", "?", "'") if rest == b"+" and b"'" in head else None
    found = _X12.match(head)
    if found is None:
        return None
    start = head.index(b"ISA")
    text = head[start : start + _END_AT + 1].decode("latin-1")
    if len(text) <= _END_AT or text.count(text[3]) < 16:
        return None
    return _Signs(text[_COMPONENT_AT], text[3], "", text[_END_AT])


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each person, and the other segments as text."""
    signs = _signs(as_utf8(source.peek(4096)))
    messages = _MessageReader(out, limits, signs or _Signs(":", "+", "?", "'"), source.amplification)
    for segment in _segments(source, messages.signs):
        messages.read_segment(segment)
    messages.finish()


def _segments(source: Source, signs: _Signs) -> Iterator[str]:
    release = re.escape(signs.release)
    quoted = f"{release}.|" if signs.release else ""
    pattern = possessive(f"(?:{quoted}[^{re.escape(signs.end)}{release}])*+{re.escape(signs.end)}\\s*+", re.DOTALL)
    # a piece may end within a character
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held = ""
    for piece in utf8_pieces(source):
        held += decoder.decode(piece)
        at = 0
        while (found := pattern.match(held, at)) is not None:
            yield found[0].strip()[: -len(signs.end)]
            at = found.end()
        held = held[at:]
        if len(held) > _LONGEST:
            yield held
            held = ""
    if held.strip():
        yield held.strip()


class _MessageReader:
    """Reads segments in order; those behind the name of a person describe this person.

    What stands between or behind segments is a text of its own, in which the sign of their end may occur.
    """

    def __init__(self, out: Output, limits: Limits, signs: _Signs, amplification: Callable[[], float]) -> None:
        self.out, self.signs, self._amplification = out, signs, amplification
        self._foreign: list[str] = []
        self._foreign_size = 0
        self.records = RecordWriter(out, limits)
        self._person: PersonFields | None = None
        self._text: list[str] = []
        self._size = 0

    def read_segment(self, segment: str) -> None:
        """Take the fields of a person from a segment, or keep it as text."""
        before, line_end, last = segment.rpartition("\n")
        if line_end and not self._is_segment(segment) and self._is_segment(last):
            self._take_foreign(before)
            segment = last
        elif not self._is_segment(segment):
            self._take_foreign(segment)
            return
        elements = self._split(segment, self.signs.element)
        tag, fields = elements[0].strip().upper(), [self._split(each, self.signs.component) for each in elements[1:]]
        self._send_foreign()
        fields = [[self._plain(part) for part in field] for field in fields]
        self._size += len(segment)
        if tag in ("PNA", "NAD", "NM1"):
            self._begin(tag, fields)
            return
        if tag in ("UNH", "UNT", "ST", "SE", "S01", "INS", "HL"):
            self._end()
        if self._person is None or not self._describe(tag, fields, self._person):
            parts = [part for field in fields for part in field if part]
            if tag in _SERVICE:
                parts = [part for part in parts if not part.isdigit()]
            self._text.append(" ".join(parts))
            if len(self._text) > 1000:
                self._send_text()

    def _is_segment(self, text: str) -> bool:
        tag = text[:8].lstrip().partition(self.signs.element)[0].partition(self.signs.component)[0]
        return _TAG.fullmatch(tag) is not None

    def _take_foreign(self, text: str) -> None:
        self._foreign.append(text)
        self._foreign_size += len(text)
        if self._foreign_size > _LONGEST:
            self._send_foreign()

    def finish(self) -> None:
        """End the interchange."""
        self._end()
        self._send_text()
        self._send_foreign()
        self.records.finish()

    def _begin(self, tag: str, fields: list[list[str]]) -> None:
        self._end()
        person = self._person = PersonFields(tag)
        first, surname = "", ""
        if tag == "NM1":
            surname, first = _at(fields, 2), _at(fields, 3)
            if _at(fields, 1) not in (_PERSON, "") or _at(fields, 0) in _PROVIDERS:
                self._person = None
                self._text.append(" ".join(part for field in fields for part in field if part))
                return
            person.identifiers = [(_at(fields, 8), _at(fields, 7))]
            self._tell(fields[4:7] + fields[9:])
        elif tag == "NAD":
            surname, first = _at(fields, 3), _at(fields, 3, 1)
            person.addresses = [" ".join(part for field in fields[4:] for part in field if part)]
            self._tell([*fields[1:3], *(field[2:] for field in fields[3:4])])
        else:
            for field in fields[3:]:
                kind, parts = field[0].upper(), field[1:]
                if kind in _FIRST_NAMES and parts and not first:
                    first = parts[0]
                elif parts and (kind in _SURNAMES or kind.isdigit()) and not surname:
                    surname = parts[0]
                    first = first or (parts[1] if len(parts) > 1 else "")
                else:
                    self._tell([field])
            person.identifiers = [(_at(fields, 1), "")]
            self._tell([*(field[1:] for field in fields[1:2]), *fields[2:3]])
        person.names = [(surname.strip(), first.strip(), "")]

    def _describe(self, tag: str, fields: list[list[str]], person: PersonFields) -> bool:
        """Whether a segment describes the person that was named before it."""
        if tag == "DTM" and _at(fields, 0) in _BIRTH_DATES:
            person.birth_dates.append(_at(fields, 0, 1)[:8])
        elif tag == "DMG":
            person.birth_dates.append(_at(fields, 1)[:8])
            self._tell(fields[3:])
        elif tag in ("ADR", "N3", "N4"):
            person.addresses.append(" ".join(part for field in fields for part in field if part))
        elif tag in ("COM", "PER"):
            parts = [part for field in fields for part in field]
            person.mails += [part for part in parts if _MAIL.fullmatch(part)]
            person.phones += [part for part in parts if sum(map(str.isdigit, part)) >= 8 and "@" not in part]
            self._tell([[part for part in parts if part not in person.mails and part not in person.phones]])
        elif tag in ("REF", "RFF"):
            person.identifiers.append((_at(fields, 1) or _at(fields, 0, 1), _at(fields, 0)))
        else:
            return False
        return True

    def _end(self) -> None:
        person, self._person = self._person, None
        if person is not None and (row := person.to_row()):
            self.records.add([row], size=self._size)
        self._size = 0

    def _tell(self, fields: Sequence[Sequence[str]]) -> None:
        """Keep as text what no column of a person holds."""
        if words := " ".join(part for field in fields for part in field if part):
            self._text.append(words)

    def _send_foreign(self) -> None:
        if self._foreign:
            self._end()
            self._send_text()
            self.records.flush()
            text = self.signs.end.join(self._foreign).encode("utf-8", "replace") + b"\n"
            if text.count(b"\n") > 1:
                read_member(Source(iter((text,)), "", self._amplification), self.out)
            else:
                self.out.text(text)
        self._foreign, self._foreign_size = [], 0

    def _send_text(self) -> None:
        if self._text:
            self.out.text("\n".join([*self._text, ""]).encode("utf-8", "replace"))
        self._text = []

    def _split(self, text: str, sign: str) -> list[str]:
        if not self.signs.release or self.signs.release not in text:
            return text.split(sign)
        release = re.escape(self.signs.release)
        return re.findall(
            rf"(?:\A|{re.escape(sign)})((?:{release}(?:.|\Z)|[^{re.escape(sign)}{release}])*)", text, re.DOTALL
        )

    def _plain(self, text: str) -> str:
        release = self.signs.release
        return (
            re.sub(rf"{re.escape(release)}(.)", r"\1", text, flags=re.DOTALL) if release and release in text else text
        )


def _at(fields: Sequence[Sequence[str]], field: int, part: int = 0) -> str:
    return fields[field][part].strip() if field < len(fields) and part < len(fields[field]) else ""
