"""Reads the line protocol of InfluxDB, `measurement,tag=… field="…",field=… time`: each line is a row of its tags and fields."""

from __future__ import annotations

import re

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.regex_compat import possessive
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "influx"
EMBEDDED_SEARCH = "all"

_WORD = r"(?:[^\s,=\"\\]++|\\.)++"
_TAGS = rf"{_WORD}(?:,{_WORD}=(?:[^\s,=\\]++|\\.)++)*+"
_VALUE = r"(?:\"(?:[^\"\\]++|\\.)*+\"|[-+]?\d[\d.eE+-]*[iu]?|[tT](?:rue|RUE)?|[fF](?:alse|ALSE)?)"
_LINE = possessive(rf"({_TAGS}) ({_WORD}={_VALUE}(?:,{_WORD}={_VALUE})*+)(?: (-?\d{{1,20}}))?")
_PAIR = possessive(rf"({_WORD})=(\"(?:[^\"\\]++|\\.)*+\"|(?:[^\s,\\]++|\\.)++)")
_ESCAPE = re.compile(r"\\([,= \"\\])")
_SNIFFED = 20


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High if all of the first lines are points; the last one may be cut."""
    text = as_utf8(head[:16_384])
    if b"=" not in text or not is_text(text):
        return 0.0
    lines = [line for line in text.decode("utf-8", "replace").split("\n") if line.strip() and line[0] != "#"][:_SNIFFED]
    lines = lines[:-1] if len(lines) > 1 and len(head) >= 16_384 else lines
    found = [_LINE.fullmatch(line.rstrip("\r")) for line in lines]
    # a time at the end tells a point from fields of another kind
    return 0.95 if found and all(each is not None and each[3] for each in found) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each line; what is no point is output as text."""
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    for block in lines.blocks():
        text: list[str] = []
        rows: list[dict[str, str]] = []
        for line in block.decode().split("\n"):
            found = _LINE.fullmatch(line.rstrip("\r"))
            if found is None:
                text.append(line)
                continue
            pairs = [each.groups() for part in found.group(1, 2) for each in _PAIR.finditer(part)]
            rows.append({_plain(key): _plain(value) for key, value in pairs})
        if rows:
            records.add(rows, size=len(block))
        if any(map(str.strip, text)):
            out.text("\n".join([*text, ""]).encode("utf-8", "replace"))
    records.finish()
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _plain(text: str) -> str:
    if text[:1] == '"' and text[-1:] == '"':
        text = text[1:-1]
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text
