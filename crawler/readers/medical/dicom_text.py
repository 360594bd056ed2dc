"""The text that `dcmdump` and other programs print of DICOM files: each patient is a row, everything else text."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.medical.dicom import Patient
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "dicom_text"
EMBEDDED_SEARCH = "all"

# dcmdump: (0010,0010) PN [Name^First]  # 16, 1 PatientName; pydicom: (0010, 0010) Patient's Name  PN: 'Name^First'
_ELEMENT = re.compile(
    r"[ \t>]*\(([0-9a-fA-F]{4}), ?([0-9a-fA-F]{4})\) (?:([A-Z]{2}) (?:\[([^\]\n]*)\]|=?([^#\n]*))|[^\n]{0,80}? ([A-Z]{2}): (.*))"
    r"[^\n]*"
)
_SNIFF = re.compile(rb"^[ \t>]*\([0-9a-fA-F]{4}, ?[0-9a-fA-F]{4}\) (?:[A-Z]{2} |[^\n]{0,80}? [A-Z]{2}: )", re.MULTILINE)
_NAME = (0x0010, 0x0010)
_MIN_LINES = 2
_CHARSET = (0x0008, 0x0005)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that it is the listing of a DICOM file: high if most lines are elements."""
    text = as_utf8(head)
    if b",00" not in text and b", 00" not in text:
        return 0.0
    lines = [line for line in text[:16384].split(b"\n") if line.strip() and not line.startswith(b"#")]
    elements = sum(_SNIFF.match(line) is not None for line in lines)
    return 0.95 if elements >= _MIN_LINES and elements * 2 > len(lines) and is_text(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each patient, and the values of other elements as text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    patient = Patient()
    size = 0

    def end_patient() -> None:
        nonlocal patient, size
        if row := patient.to_row():
            records.add([row], size=size)
        patient, size = Patient(), 0

    for block in lines.blocks():
        text: list[str] = []
        for line in block.decode().split("\n"):
            found = _ELEMENT.fullmatch(line)
            size += len(line)
            if found is None:
                if "Dicom-Data-Set" in line or "Dicom-File-Format" in line:
                    end_patient()
                else:
                    text.append(line)
                continue
            tag = int(found[1], 16), int(found[2], 16)
            value = next((part for part in (found[4], found[5], found[7]) if part is not None), "").strip().strip("'\"")
            if tag == _NAME and tag in patient.values:
                end_patient()
            if tag[0] == _NAME[0]:
                patient.values.setdefault(tag, []).extend(part.strip() for part in value.split("\\") if part.strip())
            elif tag != _CHARSET and value:
                text.append(value)
        if any(map(str.strip, text)):
            out.text("\n".join([*text, ""]).encode("utf-8", "replace"))
    end_patient()
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")
