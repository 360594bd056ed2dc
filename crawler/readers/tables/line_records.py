"""Reads records of which each value stands on a line of its own.

`redis-cli HGETALL` and the protocol of Redis write a name and its value in turn, forms of browsers (`multipart/form-data`) a
name before its value, and a table that was copied from a page has all of its names first and then as many values a record.
Without this, each value is a line of text about nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from crawler.readers.core.encoding import Lines, as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from data.identifiers.header_words import role_of

FORMAT = "line_records"
EMBEDDED_SEARCH = "all"

_PERSONAL = frozenset(("surname", "first", "fullname", "dob", "email", "phone", "nir"))
_MIN_ROLES, _MIN_RECORDS, _LONGEST_NAME, _MAX_NAMES = 2, 2, 40, 40
_NAME = re.compile(rf"[^\W\d_][\w .()/'’&-]{{0,{_LONGEST_NAME}}}")
# 1) "nom"; nested replies are numbered twice; 1# "nom" => "Roux"
_NUMBER = re.compile(r"\A\s*+(?:\d{1,9}\)\s)+")
_PAIR = re.compile(r"\s*(?:\d{1,9}[#)]\s)+\"((?:[^\"\\]|\\.)*)\" => \"((?:[^\"\\]|\\.)*)\"")
_PROMPT = re.compile(r"(?:[\w.-]{1,80}(?::\d{1,5})?(?:\[\d{1,3}\])?)?> ?(.*)")
_LENGTH = re.compile(r"[*$%]-?\d{1,10}")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")
_BYTES = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_WRITES = frozenset(("HSET", "HMSET", "XADD"))
_FORM_NAME = re.compile(r"Content-Disposition:\s?form-data;.{0,200}?\bname=\"([^\"]{1,200})\"", re.IGNORECASE)
_FORM_MARK = re.compile(rb"(?i)Content-Disposition:[ ]?form-data;")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """High for replies of Redis and forms, and for names and values in turn; all of them of people."""
    text = as_utf8(head[:65_536])
    if not is_text(text) or b"\n" not in text:
        return 0.0
    lines = text.decode("utf-8", "replace").splitlines()
    if len(head) >= len(text):
        lines = lines[:-1] if len(lines) > 1 and not text.endswith(b"\n") and len(head) >= 65_536 else lines
    if _FORM_MARK.search(text):
        return 0.93 if _are_people(islice(_form_records(lines), 50)) else 0.0
    layout = _layout(lines)
    return 0.93 if layout is not None else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each record; lines that belong to none are output as text."""
    head = as_utf8(source.peek(65_536))
    is_form = _FORM_MARK.search(head) is not None
    layout = _layout(head.decode("utf-8", "replace").splitlines()) or ((), False)
    lines = Lines(source, limits.max_line)
    records = RecordWriter(out, limits)
    held: list[str] = []
    for block in lines.blocks():
        held += block.decode().splitlines()
        found = list(_form_records(held) if is_form else _records(held, *layout))
        # the last record may go on in the next block
        rows = [record for record, _ in found[:-1]]
        if rows:
            records.add(rows, size=len(block))
            held = held[found[-2][1] :]
            if layout[0]:
                layout = layout[0], False
        elif sum(map(len, held)) > limits.max_line:
            out.text("\n".join([*held, ""]).encode("utf-8", "replace"))
            held = []
    found = list(_form_records(held) if is_form else _records(held, *layout))
    if found:
        records.add([record for record, _ in found], size=sum(map(len, held)))
        held = held[found[-1][1] :]
    records.finish()
    if any(map(str.strip, held)):
        out.text("\n".join([*held, ""]).encode("utf-8", "replace"))
    if lines.cut:
        out.problem("line", f"{lines.cut} lines longer than {limits.max_line} bytes were split")


def _are_people(records: Iterator[tuple[dict[str, str], int]]) -> bool:
    found = [record for record, _ in records]
    return len(found) >= _MIN_RECORDS and all(len(set(map(role_of, each)) & _PERSONAL) >= _MIN_ROLES for each in found)


def _layout(lines: Sequence[str]) -> tuple[tuple[str, ...], bool] | None:
    """How the records are written: their names if these stand at the beginning, () for names and values in turn.

    None if the lines are no such records. The flag tells whether the names are still to come.
    """
    content = [line for line in map(_content, lines) if line]
    roles = [role_of(line) if _NAME.fullmatch(line) else "" for line in content[:4000]]
    personal = [at for at, role in enumerate(roles) if role in _PERSONAL]
    if any("=>" in line and _PAIR.fullmatch(line) for line in lines[:50]):
        return ((), False) if _are_people(islice(_records(lines, (), True), 50)) else None
    if len({roles[at] for at in personal}) < _MIN_ROLES:
        return None
    # names at the beginning, which come no more
    count = next((at for at, role in enumerate(roles) if not role and at not in personal), 0)
    if count and len(personal) == sum(at < count for at in personal) and len(content) >= count * (_MIN_RECORDS + 1):
        names = tuple(content[:count])
        is_whole = len(content) % count == 0 or len(lines) > 4000
        return (names, True) if is_whole and _MIN_ROLES <= count <= _MAX_NAMES and len(set(names)) == count else None
    # names and values in turn: each name is followed by a value, and comes again at the same distance
    names_found = {content[at] for at in personal}
    if len(personal) < _MIN_RECORDS * len(names_found) or any(b - a == 1 for a, b in pairwise(personal)):
        return None
    if len(personal) < len(content) / (2 * _MAX_NAMES) or not _are_people(islice(_records(lines, (), True), 50)):
        return None
    return (), False


def _content(line: str) -> str:
    """What a line holds, without numbers, prompts, lengths and quotes; '' if it holds nothing of a record."""
    line = line.rstrip("\r").strip()
    if line[:1].isalpha() and ">" not in line:
        # no number, length or quote begins here, and no prompt: nearly all lines of other files
        return "" if line == "OK" else line
    line = _NUMBER.sub("", line, count=1).strip()
    if not line or _LENGTH.fullmatch(line) or line == "OK" or line.startswith("(integer)"):
        return ""
    if _PROMPT.fullmatch(line) is not None:
        return ""
    if (quoted := _QUOTED.fullmatch(line)) is not None:
        return _unquoted(quoted[1])
    return line


def _unquoted(text: str) -> str:
    if "\\" not in text:
        return text
    text = _BYTES.sub(lambda found: bytes.fromhex(found[0].replace("\\x", "")).decode("utf-8", "replace"), text)
    return re.sub(r"\\(.)", r"\1", text)


def _records(lines: Sequence[str], names: tuple[str, ...], is_begin: bool) -> Iterator[tuple[dict[str, str], int]]:
    """The records in some lines, and the number of lines up to the end of each."""
    if names:
        yield from _by_names(lines, names, is_begin)
        return
    record: dict[str, str] = {}
    name: str | None = None
    end = skip = 0
    for at, line in enumerate(lines):
        if (pair := _PAIR.fullmatch(line)) is not None:
            key, value = _unquoted(pair[1]), _unquoted(pair[2])
            if key in record:
                yield record, end
                record = {}
            record[key], end = value, at + 1
            continue
        text = _content(line)
        if not text:
            # a prompt, or the beginning of a reply: the next line is a name
            is_border = _PROMPT.fullmatch(line) is not None or line.startswith(("*", "%"))
            if (is_border or not line.strip()) and name is None and record:
                yield record, end
                record = {}
            if is_border and name is None:
                skip = 0
            continue
        if skip:
            skip -= 1
        elif name is None and text.upper() in _WRITES:
            skip = 1
        elif name is None:
            if text in record:
                yield record, end
                record = {}
            name = text
        else:
            if len(name) <= _LONGEST_NAME and len(record) < 1000:
                record[name] = text
            name, end = None, at + 1
    if record:
        yield record, end


def _by_names(lines: Sequence[str], names: tuple[str, ...], is_begin: bool) -> Iterator[tuple[dict[str, str], int]]:
    values: list[str] = []
    left = len(names) if is_begin else 0
    for at, line in enumerate(lines):
        text = _content(line)
        if not text:
            continue
        if left:
            left -= 1
            continue
        values.append(text)
        if len(values) == len(names):
            yield dict(zip(names, values, strict=True)), at + 1
            values = []


def _form_records(lines: Sequence[str]) -> Iterator[tuple[dict[str, str], int]]:
    """The forms in some lines: a name that comes again, or the last boundary of a form, begins the next one."""
    record: dict[str, str] = {}
    name: str | None = None
    value: list[str] = []
    is_value = False
    boundary = ""
    end = 0
    for at, line in enumerate(lines):
        line = line.rstrip("\r")
        if line.startswith("--") and len(line) > 6:
            if name is not None:
                record[name], end = "\n".join(value), at + 1
            name, value, is_value = None, [], False
            boundary, before = line, boundary
            if line == f"{before}--" and record:
                yield record, at + 1
                record = {}
        elif (found := _FORM_NAME.match(line)) is not None and not is_value:
            name = found[1]
            if name in record:
                yield record, end
                record = {}
        elif is_value:
            value.append(line)
        elif not line and name is not None:
            is_value = True
    if record:
        yield record, end
