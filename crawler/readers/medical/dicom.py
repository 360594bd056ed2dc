"""DICOM files and DICOMDIR: each patient is a row, other texts of the header are text.

The pixels are not read. They are reported, unless the header says that no words are burned into the picture
(BurnedInAnnotation is NO). Source: DICOM PS3.5 and PS3.10.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.person_fields import PersonFields

FORMAT = "dicom"

_MAGIC = b"DICM"
_PREAMBLE = 128
_IMPLICIT, _BIG_ENDIAN, _DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
# value representations whose length has four bytes, behind two zeros
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_TEXTS = frozenset(
    (b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"LT", b"PN", b"SH", b"ST", b"TM", b"UC", b"UT")
)
_NUMBERS = frozenset((b"AT", b"FL", b"FD", b"SL", b"SS", b"UI", b"UL", b"US"))
_CHARSETS = {
    "": "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 101": "iso8859-2", "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4", "ISO_IR 144": "iso8859-5", "ISO_IR 127": "iso8859-6", "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8", "ISO_IR 148": "iso8859-9", "ISO_IR 192": "utf-8", "GB18030": "gb18030",
}  # fmt: skip
_META_SYNTAX, _CHARSET, _PIXELS = (0x0002, 0x0010), (0x0008, 0x0005), (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_NAME, _OTHER_NAMES, _BIRTH_NAME = (0x0010, 0x0010), (0x0010, 0x1001), (0x0010, 0x1005)
_BIRTH_DATE, _ADDRESS, _PHONE = (0x0010, 0x0030), (0x0010, 0x1040), (0x0010, 0x2154)
_IDENTIFIERS = ((0x0010, 0x0020), (0x0010, 0x1000), (0x0010, 0x0021))
_BURNED_IN = (0x0028, 0x0301)
_UNDEFINED = 0xFFFFFFFF
_MAX_TEXT, _MAX_ELEMENTS = 2**16, 1_000_000


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Certain by the signature behind the preamble, high for a header without preamble."""
    if head[_PREAMBLE : _PREAMBLE + 4] == _MAGIC:
        return 0.99
    # a data set alone, as old devices wrote it: group 8 with a first element that all files have
    return (
        0.85
        if head[:4] in (b"\x08\0\x05\0", b"\x08\0\0\0", b"\x08\0\x08\0", b"\x02\0\0\0") and _plausible(head)
        else 0.0
    )


def _plausible(head: bytes) -> bool:
    explicit = head[4:6] in _TEXTS or head[4:6] == b"UL"
    return explicit or (head[6:8] == b"\0\0" and 0 < head[4] <= 64 and head[5] == 0)


@dataclass
class Patient:
    """The elements of one patient, by their tags."""

    values: dict[tuple[int, int], list[str]] = field(default_factory=dict)

    def to_row(self) -> dict[str, str]:
        """The fields of the patient as a row; {} if nothing is known."""
        person = PersonFields("patient")
        for tag in (_NAME, _OTHER_NAMES, _BIRTH_NAME):
            for value in self.values.get(tag, []):
                parts = [*value.split("=")[0].split("^"), "", ""]
                person.names.append((parts[0].strip(), parts[1].strip(), parts[2].strip()))
        person.birth_dates = [value[:8] for value in self.values.get(_BIRTH_DATE, [])]
        person.addresses = self.values.get(_ADDRESS, [])
        person.phones = self.values.get(_PHONE, [])
        person.identifiers = [(value, "") for tag in _IDENTIFIERS for value in self.values.get(tag, [])]
        return person.to_row()


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the patients of the header up to the pixels."""
    if source.peek(_PREAMBLE + 4)[_PREAMBLE:] == _MAGIC:
        source.read(_PREAMBLE + 4)
    reader = _Reader(source, out, limits)
    try:
        reader.read()
    finally:
        reader.finish()


class _Reader:
    """Reads elements in order; items of sequences are entered, so that no length of a sequence is needed."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.records = RecordWriter(out, limits)
        self._source = source
        self._out = out
        self._implicit = self._big = False
        self._syntax = ""
        self._charset = "ascii"
        self._without_text = False
        self._patient = Patient()
        self._texts: list[str] = []

    def finish(self) -> None:
        """Write the last patient and the other texts."""
        self._end_patient()
        self.records.finish()
        self._out.text("\n".join([*self._texts, ""]).encode("utf-8", "replace") if self._texts else b"")

    def read(self) -> None:
        """Read up to the pixels or the end."""
        source = self._source
        in_meta = source.peek(2) == b"\x02\0"
        if not in_meta:
            self._implicit = source.peek(6)[4:6] not in _TEXTS
        for _ in range(_MAX_ELEMENTS):
            if in_meta and source.peek(2) != b"\x02\0":
                in_meta = False
                self._implicit, self._big = self._syntax == _IMPLICIT, self._syntax == _BIG_ENDIAN
                if self._syntax == _DEFLATED:
                    raise Damaged("unread", "its header is compressed and was not read")
            start = source.peek(8)
            if len(start) < 8:
                if start.strip(b"\0"):
                    raise Damaged("cut", "the file ends inside an element")
                return
            if not self._read_element():
                return
        raise Damaged("size", "it has too many elements")

    def _read_element(self) -> bool:
        """Read one element; False at the pixels, and where no element follows."""
        source, order = self._source, ">" if self._big else "<"
        head = source.peek(6)
        if (
            not self._implicit
            and head[4:] not in _LONG | _TEXTS | _NUMBERS
            and head[:2] not in (b"\xfe\xff", b"\xff\xfe")
        ):
            # another file follows the header
            return False
        tag: tuple[int, int] = struct.unpack(f"{order}HH", source.read(4))
        kind = b""
        if tag[0] == 0xFFFE:
            size = struct.unpack(f"{order}I", source.read(4))[0]
        elif self._implicit:
            size = struct.unpack(f"{order}I", source.read(4))[0]
            kind = b"SQ" if size == _UNDEFINED else b""
        else:
            kind = source.read(2)
            if kind in _LONG:
                source.read(2)
                size = int.from_bytes(source.read(4), "big" if self._big else "little")
            else:
                size = int.from_bytes(source.read(2), "big" if self._big else "little")
        if tag == _PIXELS:
            # everything behind is the picture
            if not self._without_text:
                sentence = "its picture was not read: values shown in it are not found"
                self._out.problem_once("unread", sentence, incomplete=True)
            source.drain()
            return False
        if tag in (_ITEM, _ITEM_END, _SEQUENCE_END) or kind == b"SQ" or size == _UNDEFINED:
            # sequences are entered
            return True
        self._read_value(tag, kind, size)
        return True

    def _read_value(self, tag: tuple[int, int], kind: bytes, size: int) -> None:
        source = self._source
        is_text = kind in _TEXTS or (self._implicit and size <= _MAX_TEXT)
        if tag == _META_SYNTAX:
            kind, is_text = b"UI", True
        data = source.read(min(size, _MAX_TEXT)) if is_text else b""
        if source.skip(size - len(data)) < size - len(data) or (is_text and len(data) < min(size, _MAX_TEXT)):
            raise Damaged("cut", "the file ends inside an element")
        if not is_text:
            return
        if tag == _META_SYNTAX:
            self._syntax = data.rstrip(b"\0 ").decode("ascii", "replace")
            return
        if self._implicit and not _is_printable(data):
            return
        value = self._decoded(data)
        if tag == _CHARSET:
            self._charset = _CHARSETS.get(value.split("\\")[-1].replace("ISO 2022 IR", "ISO_IR").strip(), "")
            return
        values = [part.strip() for part in value.split("\\") if part.strip()]
        if tag == _BURNED_IN:
            self._without_text = values == ["NO"]
        if tag == _NAME and _NAME in self._patient.values:
            # the next patient of a DICOMDIR
            self._end_patient()
        if tag[0] == 0x0010:
            self._patient.values.setdefault(tag, []).extend(values)
        elif kind not in (b"DA", b"TM", b"DT", b"DS", b"IS", b"CS"):
            self._texts += values

    def _decoded(self, data: bytes) -> str:
        data = data.rstrip(b"\0 ")
        if data.isascii() or self._charset in ("", "ascii", "utf-8"):
            return repair(data).decode()
        return data.decode(self._charset, "replace")

    def _end_patient(self) -> None:
        patient, self._patient = self._patient, Patient()
        if row := patient.to_row():
            self.records.add([row])


def _is_printable(data: bytes) -> bool:
    return not any(byte < 0x20 and byte not in (9, 10, 12, 13, 27) for byte in data.rstrip(b"\0"))
