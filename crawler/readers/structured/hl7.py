"""Reads HL7 version 2 messages, which hospitals send to each other; people become rows, everything else text.

Segments end with a carriage return or a line feed. Messages may be wrapped in MLLP frames or batches, and each message
defines its own separators.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import read_base64_member
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.person_fields import PersonFields

FORMAT = "hl7"
_MOMENT = re.compile(r"(?:19|20)\d{6}(?:\d{2}(?:\d{2}(?:\d{2})?)?)?(?:\.\d{1,4})?(?:[+-]\d{4})?")
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"[\x0b\s]*+(?:MSH|FHS|BHS)([^\w\s])([^\w\s]{2,5})\1")
_ENDS = re.compile(r"[\r\n\x0b\x1c]+")
_HEADERS = ("MSH", "FHS", "BHS")
_MAIL = re.compile(r"[^\s@^]+@[^\s@^]+")


@dataclass(frozen=True)
class _PersonFieldNumbers:
    """The numbers of the fields in a segment that describe a person; 0 if the segment has no such field."""

    name: int
    dob: int = 0
    address: int = 0
    phones: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    maiden: int = 0


_PEOPLE_SEGMENTS = {
    "PID": _PersonFieldNumbers(5, 7, 11, (13, 14, 40), (2, 3, 4, 19, 20), 6),
    "NK1": _PersonFieldNumbers(2, 16, 4, (5, 6, 40), (33, 37), 26),
    "GT1": _PersonFieldNumbers(3, 8, 5, (6, 7), (2, 12)),
    "IN1": _PersonFieldNumbers(16, 18, 19, (), (2, 36, 49)),
    "MRG": _PersonFieldNumbers(7, 0, 0, (), (1, 4)),
    "STF": _PersonFieldNumbers(3, 6, 11, (10,), (1, 2)),
}
# numbers of the fields that name a professional: the professional number comes first, then surname and first name
_PROFESSIONALS = {
    "PV1": (7, 8, 9, 17, 52),
    "PD1": (4,),
    "ROL": (4,),
    "ORC": (10, 11, 12),
    "OBR": (10, 16, 28),
    "PRT": (5,),
}


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is HL7: high if it begins with a message header."""
    return 0.97 if _BEGIN.match(as_utf8(head)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each person in each segment, and the rest of the segments as text."""
    messages = _MessageReader(out, limits)
    lines = Lines(source, limits.max_line)
    for block in lines.blocks():
        for segment in _ENDS.split(block.decode()):
            if segment.strip():
                messages.read_segment(segment)
        messages.flush()
    messages.records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")
    if messages.wide:
        out.problem(
            "columns",
            f"{messages.wide} segments have more than {limits.max_columns} fields; the rest was examined as text",
        )


class _MessageReader:
    """Reads segments in order, and remembers the separators of their message.

    Attributes:
        wide: how many segments have more fields than a row has columns.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = RecordWriter(out, limits)
        self.wide = 0
        # the separators of fields, components, repetitions and subcomponents, and the escape character
        self._field, self._component, self._repeat, self._escape, self._sub = ("|", "^", "~", "\\", "&")
        self._text: list[str] = []
        self._set_escape()

    def _set_escape(self) -> None:
        char = re.escape(self._escape)
        self._escapes = re.compile(f"{char}([^{char}\\s]{{0,200}}){char}")

    def read_segment(self, segment: str) -> None:
        """Write the people in one segment, and keep its other fields as text."""
        name = segment.lstrip()[:3]
        if name in _HEADERS:
            segment = segment.lstrip()
            self._set_separators(segment)
        fields = segment.split(self._field, self.limits.max_columns)
        self.wide += len(fields) > self.limits.max_columns
        if name in _HEADERS:
            # by the standard, the separator itself is field 1
            fields.insert(1, "")
            fields[2:3] = [""]
        used: set[int] = set()
        if person := _PEOPLE_SEGMENTS.get(name):
            self._write_person(name, person, fields, used)
        for number in _PROFESSIONALS.get(name, ()):
            self._write_professional(name, number, fields, used)
        rest = [
            self._field_text(value)
            for number, value in enumerate(fields)
            # the time of a message or result, of which there are several in each, is nobody's birth date; in a segment
            # that is no part of the standard it may be one
            if number not in used and value and (name[:1] == "Z" or not _MOMENT.fullmatch(value))
        ]
        if name == "OBX":
            rest = self._read_observation(fields)
        self._text.append(" | ".join(rest))

    def flush(self) -> None:
        """Output the collected text of the segments."""
        text, self._text = self._text, []
        self.out.text("\n".join([*text, ""]).encode("utf-8", "replace"))

    def _set_separators(self, segment: str) -> None:
        """Take the separators from a message header; those that it leaves out keep their usual characters."""
        if len(segment) < 8:
            return
        self._field = segment[3]
        chars = segment[4:9].split(self._field)[0]
        self._component, self._repeat, self._escape, self._sub = list((chars + "^~\\&"[len(chars) :])[:4])
        self._set_escape()

    # --- people --------------------------------------------------------------------------------------------------

    def _write_person(self, segment: str, person: _PersonFieldNumbers, fields: list[str], used: set[int]) -> None:
        """Write the person in a segment as a row, and add the numbers of the fields that it used to `used`."""
        found = PersonFields(segment)
        for number in (person.name, person.maiden):
            names = [self._components(each) for each in self._repetitions(fields, number, used)]
            found.names += [(_item(each, 0), _item(each, 1), _item(each, 2)) for each in names]
        # a time may follow the date
        found.birth_dates = [self._field_text(each)[:8] for each in self._repetitions(fields, person.dob, used)]
        found.addresses = [self._field_text(each) for each in self._repetitions(fields, person.address, used)]
        for number in person.phones:
            for each in self._repetitions(fields, number, used):
                parts = self._components(each)
                found.mails += [part for part in parts if _MAIL.fullmatch(part)]
                phone = _item(parts, 0) or _item(parts, 11) or "".join(_item(parts, at) for at in (4, 5, 6))
                if phone not in found.mails:
                    found.phones.append(phone)
        for number in person.ids:
            for each in self._repetitions(fields, number, used):
                value, *about = self._components(each)
                found.identifiers.append((value, " ".join(filter(None, about))))
        self._add_row(found)

    def _write_professional(self, segment: str, number: int, fields: list[str], used: set[int]) -> None:
        """Write each professional that a field names as a row."""
        for each in self._repetitions(fields, number, used):
            parts = self._components(each)
            found = PersonFields(segment, [(_item(parts, 1), _item(parts, 2), _item(parts, 3))], rpps=_item(parts, 0))
            found.identifiers = [("", " ".join(filter(None, parts[4:])))]
            self._add_row(found)

    def _add_row(self, person: PersonFields) -> None:
        if row := person.to_row():
            self.records.add([row])

    # --- values --------------------------------------------------------------------------------------------------

    def _repetitions(self, fields: list[str], number: int, used: set[int]) -> list[str]:
        """The repetitions of a field that are not empty; the number of the field is added to `used`."""
        if not number or number >= len(fields):
            return []
        used.add(number)
        return [each for each in fields[number].split(self._repeat) if each and each != '""']

    def _components(self, value: str) -> list[str]:
        """The components of a value, with blanks in place of the separators of subcomponents."""
        return [self._unescape(part.replace(self._sub, " ")).strip() for part in value.split(self._component)]

    def _field_text(self, value: str) -> str:
        return " ".join(filter(None, (part for each in value.split(self._repeat) for part in self._components(each))))

    def _read_observation(self, fields: list[str]) -> list[str]:
        """The texts of the fields of an observation; a file inside it is output as a member."""
        rest = []
        for number, value in enumerate(fields):
            parts = value.split(self._component) if number == 5 else []
            encoding = next((at for at, part in enumerate(parts) if part.strip().lower() == "base64"), None)
            if encoding is None or encoding + 1 >= len(parts):
                if value:
                    rest.append(self._field_text(value))
                continue
            rest.append(" ".join(filter(None, parts[: encoding + 1])))
            self.flush()
            self.records.flush()
            read_base64_member(
                ".".join(filter(None, parts[1:encoding])).lower(), parts[encoding + 1].encode(), self.out
            )
        return rest

    def _unescape(self, text: str) -> str:
        return self._escapes.sub(self._unescaped, text) if self._escape in text else text

    def _unescaped(self, found: re.Match[str]) -> str:
        """The text that an escape stands for; an unknown escape stays unchanged."""
        word = found[1]
        plain = {"F": self._field, "S": self._component, "T": self._sub, "R": self._repeat, "E": self._escape}.get(word)
        if plain is not None:
            return plain
        if word in ("H", "N"):
            return ""
        if word.startswith("."):
            return "\n" if word.lower() in (".br", ".ce") else " "
        if re.fullmatch(r"X(?:[0-9A-Fa-f]{2})+", word):
            data = bytes.fromhex(word[1:])
            try:
                return data.decode()
            except UnicodeDecodeError:
                return data.decode("cp1252", "replace")
        return found[0]


def _item(parts: list[str], place: int) -> str:
    return parts[place] if place < len(parts) else ""
