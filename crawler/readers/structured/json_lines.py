"""One JSON value per line, as databases and scrapers export it; lines that are no JSON go out as text."""

from __future__ import annotations

from typing import Any

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import HEAD, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import Records
from crawler.readers.structured.json_values import Trust, parse

FORMAT = "json_lines"
EMBEDDED_SEARCH = "all"
# what may stand in front of an object: controls, and bytes of damaged or of broken marks
_STRAY = bytes([*range(0x20), *range(0x7F, 0x100)])


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where most of the first lines are whole JSON objects, and there are several."""
    text = as_utf8(head)
    if text.lstrip(_STRAY + b" ")[:1] not in (b"{", b"[") or not is_text(text):
        return 0.0
    lines = [line for line in text.split(b"\n") if line.strip()]
    # the last line may be cut
    judged = lines[:20] if len(lines) > 20 else lines[:-1] if len(head) >= HEAD else lines
    values = [line for line in map(_bare, judged) if line]
    good = sum(1 for line in values if line[:1] == b"{" and _is_object(line))
    return 0.95 if len(values) > 1 and good * 2 > len(values) else 0.0


def _is_object(line: bytes) -> bool:
    value, trust = parse(line)
    return trust is not Trust.DAMAGED and type(value) is dict


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out one row per object, nested ones flattened to columns `a.b` and `a.0`; a table per set of columns."""
    lines = Lines(source, limits.max_line)
    records = Records(out, limits)
    bad = loose = 0
    for block in lines.blocks():
        values: list[Any] = []
        refused: list[bytes] = []
        for line in block.split(b"\n"):
            bare = _bare(line)
            if not bare:
                continue
            value, trust = parse(bare)
            if trust is Trust.DAMAGED:
                refused.append(line)
                if type(value) is not dict:
                    continue
            loose += trust is Trust.LOOSE or bare[:1] != line.lstrip()[:1]
            if type(value) is list and value and all(type(each) is dict for each in value):
                values += value
            else:
                values.append(value)
        if refused:
            bad += len(refused)
            out.text(b"\n".join(refused) + b"\n")
        records.add(values, size=len(block))
    records.finish()
    if bad:
        out.problem("json", f"{bad} lines are not JSON; they were examined as text")
    if loose:
        out.problem("json", f"{loose} lines are not JSON as it is written; they were read as they were meant")
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were cut")


def _bare(line: bytes) -> bytes:
    """A line of an array written one record per line, without what belongs to the array."""
    line = line.strip()
    if line in (b"[", b"]", b"],", b","):
        return b""
    # a byte that is no letter of any JSON must not cost its line
    object_or_list = line.lstrip(_STRAY)
    if object_or_list[:1] in (b"{", b"["):
        line = object_or_list
    return line.removesuffix(b",")
