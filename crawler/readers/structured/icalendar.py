"""iCalendar: the words of each event, task and note are one text, in which its people are found.

A calendar of a practice names the patient in the summary and often more of them in the description. Source: RFC 5545.
"""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import read_base64_member
from crawler.readers.structured.unfolded_lines import unfold

FORMAT = "icalendar"
EMBEDDED_SEARCH = "all"

_BEGIN = re.compile(rb"\s{0,100}BEGIN\s{0,3}:\s{0,3}VCALENDAR\s", re.IGNORECASE)
_LINE = re.compile(r"([A-Za-z][\w-]{0,60})((?:;(?:[^\":;]|\"[^\"]*\")*)*):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PEOPLE = re.compile(r'CN=(?:"([^"]{1,200})"|([^;:"]{1,200}))', re.IGNORECASE)
# times and numbers of appointments: none of them is a birth date
_IGNORED = frozenset(
    ("DTSTART", "DTEND", "DTSTAMP", "CREATED", "LAST-MODIFIED", "SEQUENCE", "RRULE", "TRIGGER", "EXDATE", "DUE",
     "RECURRENCE-ID", "BEGIN", "END", "TZOFFSETFROM", "TZOFFSETTO", "TZID", "TZNAME", "VERSION", "PRODID", "TRANSP",
     "STATUS", "CLASS", "PRIORITY", "ACTION", "DURATION", "CALSCALE", "METHOD")
)  # fmt: skip

_DAY = re.compile(r"(?:18|19|20)\d{6}")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a calendar: high if it begins with one."""
    return 0.97 if _BEGIN.match(as_utf8(head[:4096]) + b"\n") else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output the text of each event, with a blank line behind it."""
    lines = Lines(source, limits.max_line)
    words: list[str] = []
    size = 0
    # of the open event: its day, and whether it comes every year, as a birthday does
    day, is_yearly = "", False
    for line in unfold(lines, limits.max_line):
        found = _LINE.fullmatch(line)
        if found is None:
            words.append(line)
        elif found[1].upper() == "ATTACH" and "BASE64" in found[2].upper():
            read_base64_member("attach", found[3].encode(), out)
        elif found[1].upper() not in _IGNORED:
            people = ["".join(each) for each in _PEOPLE.findall(found[2])]
            words += [*people, _unescape(found[3]).removeprefix("mailto:").removeprefix("MAILTO:")]
        if found is not None:
            name, value = found[1].upper(), found[3].strip()
            if name == "BEGIN":
                day, is_yearly = "", False
            elif name == "DTSTART" and _DAY.fullmatch(value):
                day = value
            elif name == "RRULE":
                is_yearly = "YEARLY" in value.upper()
            elif name == "END" and is_yearly and day and words:
                words.append(f"né(e) le {day[6:]}/{day[4:6]}/{day[:4]}")
                day = ""
        size += len(line)
        if words and (size > limits.max_line or (found is not None and found[1].upper() in ("BEGIN", "END"))):
            out.text("\n".join([*filter(None, words), "", ""]).encode("utf-8", "replace"))
            words, size = [], 0
    out.text("\n".join([*words, ""]).encode("utf-8", "replace") if words else b"")
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value).strip()
