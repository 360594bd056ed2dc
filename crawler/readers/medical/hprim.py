"""HPRIM santé 2.x, in which French laboratories send results: each patient is a row, everything else text.

Segments are lines whose fields `|` separates; the header names the other separators. Source: HPRIM santé 2.4, segment P.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.person_fields import PersonFields

FORMAT = "hprim"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"\s{0,20}H([|!])([~^])([~^])\\&\1")
_ENDS = re.compile(r"[\r\n]+")
# of messages and results, which is nobody's birth date
_TIME = re.compile(r"(?:19|20)\d{6}(?:\d{4}|\d{6})?")
_MAIL = re.compile(r"[^\s@|~^]{1,64}@[^\s@|~^]{1,255}")
_NAME, _BIRTH_NAME, _BIRTH_DATE, _ADDRESS, _PHONE = 5, 6, 7, 10, 12
_IDENTIFIERS = (2, 3, 4)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is HPRIM santé: high if it begins with its header."""
    return 0.97 if _BEGIN.match(as_utf8(head[:100])) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each patient, and the other segments as text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    for block in lines.blocks():
        text: list[str] = []
        for segment in _ENDS.split(block.decode()):
            fields = segment.split("|", limits.max_columns)
            if fields[0] == "P" and len(fields) > _NAME:
                if row := _person(fields).to_row():
                    records.add([row], size=len(segment))
                fields = [field for at, field in enumerate(fields) if at > _PHONE]
            text.append(" ".join(field.replace("~", " ") for field in fields if field and not _TIME.fullmatch(field)))
        out.text("\n".join([*filter(None, text), ""]).encode("utf-8", "replace"))
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _person(fields: list[str]) -> PersonFields:
    def parts(number: int) -> list[str]:
        return [part.strip() for part in fields[number].split("~")] if number < len(fields) else []

    person = PersonFields("P")
    name = [*parts(_NAME), "", "", ""]
    person.names.append((name[0], name[1], name[2]))
    if birth_name := " ".join(parts(_BIRTH_NAME)).strip():
        person.names.append((birth_name, name[1], ""))
    person.birth_dates = [part[:8] for part in parts(_BIRTH_DATE)[:1]]
    person.addresses = [" ".join(filter(None, parts(_ADDRESS)))]
    person.phones = parts(_PHONE)
    person.mails = _MAIL.findall("|".join(fields))[:2]
    person.identifiers = [(part, "") for number in _IDENTIFIERS for part in parts(number)[:1] if part]
    return person
