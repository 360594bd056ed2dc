"""HL7 version 2 messages, as hospitals send them to each other: people are rows, everything else is text.

Segments end with a carriage return or a line feed, messages may stand in MLLP frames or batches, and every message says its own
separators.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import read_base64_member
from crawler.readers.structured.json_records import Records
from crawler.readers.structured.person_row import Person

FORMAT = "hl7"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"[\x0b\s]*+(?:MSH|FHS|BHS)([^\w\s])([^\w\s]{2,5})\1")
_ENDS = re.compile(r"[\r\n\x0b\x1c]+")
_HEADERS = ("MSH", "FHS", "BHS")
_MAIL = re.compile(r"[^\s@^]+@[^\s@^]+")


@dataclass(frozen=True)
class _Fields:
    """Fields of a segment that describe a person; 0 where there is none."""

    name: int
    dob: int = 0
    address: int = 0
    phones: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()
    maiden: int = 0


_PEOPLE = {
    "PID": _Fields(5, 7, 11, (13, 14, 40), (2, 3, 4, 19, 20), 6),
    "NK1": _Fields(2, 16, 4, (5, 6, 40), (33, 37), 26),
    "GT1": _Fields(3, 8, 5, (6, 7), (2, 12)),
    "IN1": _Fields(16, 18, 19, (), (2, 36, 49)),
    "MRG": _Fields(7, 0, 0, (), (1, 4)),
    "STF": _Fields(3, 6, 11, (10,), (1, 2)),
}
# physicians and others: the number comes first, then surname and first name
_NUMBERED = {"PV1": (7, 8, 9, 17, 52), "PD1": (4,), "ROL": (4,), "ORC": (10, 11, 12), "OBR": (10, 16, 28), "PRT": (5,)}


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where a message header stands first."""
    return 0.97 if _BEGIN.match(as_utf8(head)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out a row for each person of each segment, and what else the segments hold as text."""
    messages = _Messages(out, limits)
    lines = Lines(source, limits.max_line)
    for block in lines.blocks():
        for segment in _ENDS.split(block.decode()):
            if segment.strip():
                messages.take(segment)
        messages.flush()
    messages.records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")
    if messages.wide:
        out.problem("columns", f"{messages.wide} segments have more than {limits.max_columns} fields; the rest is text")


class _Messages:
    """Segments in order, with the separators of their message."""

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = Records(out, limits)
        self.wide = 0
        self._field, self._component, self._repeat, self._escape, self._sub = ("|", "^", "~", "\\", "&")
        self._text: list[str] = []
        self._set_escape()

    def _set_escape(self) -> None:
        sign = re.escape(self._escape)
        self._escapes = re.compile(f"{sign}([^{sign}\\s]{{0,200}}){sign}")

    def take(self, segment: str) -> None:
        """One segment."""
        name = segment.lstrip()[:3]
        if name in _HEADERS:
            segment = segment.lstrip()
            self._separators(segment)
        fields = segment.split(self._field, self.limits.max_columns)
        self.wide += len(fields) > self.limits.max_columns
        if name in _HEADERS:
            # the separator itself is field 1
            fields.insert(1, "")
            fields[2:3] = [""]
        used: set[int] = set()
        if person := _PEOPLE.get(name):
            self._person(name, person, fields, used)
        for place in _NUMBERED.get(name, ()):
            self._numbered(name, place, fields, used)
        rest = [self._plain(value) for number, value in enumerate(fields) if number not in used and value]
        if name == "OBX":
            rest = self._observation(fields)
        self._text.append(" | ".join(rest))

    def flush(self) -> None:
        """Give out the text of the segments so far."""
        text, self._text = self._text, []
        self.out.text("\n".join([*text, ""]).encode("utf-8", "replace"))

    def _separators(self, segment: str) -> None:
        if len(segment) < 8:
            return
        self._field = segment[3]
        signs = segment[4:9].split(self._field)[0]
        self._component, self._repeat, self._escape, self._sub = list((signs + "^~\\&"[len(signs) :])[:4])
        self._set_escape()

    # --- people --------------------------------------------------------------------------------------------------

    def _person(self, segment: str, person: _Fields, fields: list[str], used: set[int]) -> None:
        found = Person(segment)
        for place in (person.name, person.maiden):
            parts = [self._parts(each) for each in self._repeats(fields, place, used)]
            found.names += [(_at(each, 0), _at(each, 1), _at(each, 2)) for each in parts]
        # behind the day may stand an hour
        found.birth_dates = [self._plain(each)[:8] for each in self._repeats(fields, person.dob, used)]
        found.addresses = [self._plain(each) for each in self._repeats(fields, person.address, used)]
        for place in person.phones:
            for each in self._repeats(fields, place, used):
                parts_of = self._parts(each)
                found.mails += [part for part in parts_of if _MAIL.fullmatch(part)]
                number = _at(parts_of, 0) or _at(parts_of, 11) or "".join(_at(parts_of, at) for at in (4, 5, 6))
                if number not in found.mails:
                    found.phones.append(number)
        for place in person.ids:
            for each in self._repeats(fields, place, used):
                value, *about = self._parts(each)
                found.identifiers.append((value, " ".join(filter(None, about))))
        self._give(found)

    def _numbered(self, segment: str, place: int, fields: list[str], used: set[int]) -> None:
        for each in self._repeats(fields, place, used):
            parts = self._parts(each)
            found = Person(segment, [(_at(parts, 1), _at(parts, 2), _at(parts, 3))], rpps=_at(parts, 0))
            found.identifiers = [("", " ".join(filter(None, parts[4:])))]
            self._give(found)

    def _give(self, person: Person) -> None:
        if row := person.row():
            self.records.add([row])

    # --- values --------------------------------------------------------------------------------------------------

    def _repeats(self, fields: list[str], place: int, used: set[int]) -> list[str]:
        if not place or place >= len(fields):
            return []
        used.add(place)
        return [each for each in fields[place].split(self._repeat) if each and each != '""']

    def _parts(self, value: str) -> list[str]:
        """The components, each without its subcomponents' separators."""
        return [self._unescape(part.replace(self._sub, " ")).strip() for part in value.split(self._component)]

    def _plain(self, value: str) -> str:
        return " ".join(filter(None, (part for each in value.split(self._repeat) for part in self._parts(each))))

    def _observation(self, fields: list[str]) -> list[str]:
        """The text of an observation; a file inside it is a member."""
        rest = []
        for number, value in enumerate(fields):
            parts = value.split(self._component) if number == 5 else []
            coded = next((at for at, part in enumerate(parts) if part.strip().lower() == "base64"), None)
            if coded is None or coded + 1 >= len(parts):
                if value:
                    rest.append(self._plain(value))
                continue
            rest.append(" ".join(filter(None, parts[: coded + 1])))
            self.flush()
            self.records.flush()
            read_base64_member(".".join(filter(None, parts[1:coded])).lower(), parts[coded + 1].encode(), self.out)
        return rest

    def _unescape(self, text: str) -> str:
        return self._escapes.sub(self._escaped, text) if self._escape in text else text

    def _escaped(self, found: re.Match[str]) -> str:
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


def _at(parts: list[str], place: int) -> str:
    return parts[place] if place < len(parts) else ""
