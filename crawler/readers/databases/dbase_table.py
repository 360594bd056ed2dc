"""Tables of dBase, FoxPro and Clipper (.dbf): every record is a row, deleted ones too.

Long texts (memos) are kept in a file beside it (.dbt, .fpt) and stand in their rows if that is there. Source:
https://www.dbase.com/Knowledgebase/INT/db7_file_fmt.htm
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.databases.dbase_memo import MemoFile
from crawler.readers.databases.table_batcher import TableBatcher

FORMAT = "dbase"
EMBEDDED_SEARCH = "all"

_VERSIONS = frozenset((0x02, 0x03, 0x30, 0x31, 0x32, 0x43, 0x63, 0x83, 0x8B, 0x8E, 0xCB, 0xF5, 0xFB))
_WITH_MEMO = frozenset((0x83, 0x8B, 0x8E, 0xCB, 0xF5, 0xFB))
_TYPES = frozenset(b"CDFLMNIBTYGPQVWO+@0")
_NAME = re.compile(rb"[A-Za-z_\x80-\xff][\w\x80-\xff #-]{0,10}")
_MAX_RECORD = 65_535
_BIRTH = re.compile(r"NAI|NEE?(?:_?LE)?$|DDN|BIRTH|DOB|BORN", re.IGNORECASE)
# code pages by the byte of the header that names them (language driver); 0 names none
_CODE_PAGES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x04: "mac_roman", 0x08: "cp865", 0x09: "cp437", 0x0A: "cp850",
    0x0B: "cp437", 0x0D: "cp437", 0x0E: "cp850", 0x0F: "cp437", 0x10: "cp850", 0x11: "cp437", 0x12: "cp850",
    0x14: "cp850", 0x15: "cp437", 0x16: "cp850", 0x17: "cp865", 0x18: "cp437", 0x19: "cp437", 0x1A: "cp850",
    0x1B: "cp437", 0x1C: "cp863", 0x1D: "cp850", 0x1F: "cp852", 0x22: "cp852", 0x23: "cp852", 0x24: "cp860",
    0x25: "cp850", 0x26: "cp866", 0x37: "cp850", 0x40: "cp852", 0x57: "cp1252", 0x58: "cp1252", 0x59: "cp1252",
    0x64: "cp852", 0x65: "cp866", 0x6C: "cp863", 0xC8: "cp1250", 0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253",
}  # fmt: skip
# Accented letters of French names. Under a wrong code page they become signs, or letters of other languages.
_NAME_LETTERS = frozenset("éèêëàâäîïôöùûüçÿœæÉÈÊËÀÂÄÎÏÔÖÙÛÜÇŒÆñáíóúÑÁÍÓÚãõåøßÅØ")
_GUESSED = ("cp850", "cp1252", "cp437")
# so many times more strange signs than under the best page speak against a declared one
_CLEARLY = 4
# so many memos tell the code page together with the records
_MEMOS_JUDGED, _BYTES_JUDGED = 200, 2**18
# the number of a memo's block has ten digits, in Visual FoxPro four bytes
_BINARY_NUMBER = 4
# ends lines where dBase broke them itself
_SOFT_BREAK = b"\x8d\n"
_NUMBER_FORMS = {"I": "<i", "+": "<i", "Y": "<q", "B": "<d", "O": ">d"}


@dataclass(frozen=True)
class _Field:
    name: str
    kind: str
    start: int
    size: int


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a dBase table: high if its header and its first field make sense."""
    if len(head) < 65 or head[0] not in _VERSIONS or not (head[2] <= 12 and head[3] <= 31):
        return 0.0
    header, record = struct.unpack_from("<HH", head, 8)
    if header < 65 or record < 2:
        return 0.0
    return 0.96 if _read_fields(head[: min(header, HEAD)], record) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output every record as a row."""
    start = source.read(32)
    count, header, record = struct.unpack_from("<IHH", start, 4)
    fields = _read_fields(start + source.read(header - 32), record)
    if not fields:
        raise Damaged("damaged", "the description of the fields is damaged")
    per_piece = max(1, 2**18 // record)
    memos = _memo_file(source)
    declared = _CODE_PAGES.get(start[29], "")
    sample = source.peek(min(_BYTES_JUDGED, record * count))
    if memos is not None and sample.isascii():
        # accents stand in memos alone
        sample = b"\n".join(islice(memos.texts(_BYTES_JUDGED), _MEMOS_JUDGED))
    encoding = _encoding(declared, sample)
    batches = TableBatcher(out, limits)
    names = [_full_name(field) for field in fields]
    left = count
    while left and (piece := source.read(min(left, per_piece) * record)):
        whole = len(piece) // record
        rows = [piece[at * record : (at + 1) * record] for at in range(whole)]
        columns: list[Sequence[bytes]] = [
            [_memo(row, field, memos, encoding) for row in rows]
            if field.kind == "M" and memos is not None
            else [_cell(row, field, encoding) for row in rows]
            for field in fields
        ]
        if whole:
            batches.add(b"", names, columns, len(piece))
        if len(piece) % record:
            break
        left -= whole
    batches.flush()
    if batches.wide:
        out.problem("columns", f"the table has more than {limits.max_columns} columns; the last one holds the rest")
    if left:
        raise Damaged("cut", "the table ends before its last record")
    if memos is None and (start[0] in _WITH_MEMO or any(field.kind == "M" for field in fields)):
        out.problem("memo", "texts of memo fields are in another file, which is not beside it")
    # the mark of the end, and zeros with which some programs fill the last block
    if source.peek(1) == b"\x1a":
        source.read(1)


def _read_fields(header: bytes, record: int) -> list[_Field]:
    """The fields of a table; [] if their description makes no sense."""
    fields: list[_Field] = []
    at, start = 32, 1
    while at + 32 <= len(header) and header[at] not in (0x0D, 0x00):
        name = header[at : at + 11].split(b"\0")[0]
        kind, size = header[at + 11], header[at + 16]
        if kind == ord("C"):
            # long fields of Clipper and FoxPro have the high byte of their size in the place of the decimals
            size += 256 * header[at + 17]
        if not _NAME.fullmatch(name) or kind not in _TYPES or not size:
            return []
        fields.append(_Field(name.decode("cp850"), chr(kind), start, size))
        start += size
        at += 32
    # FoxPro appends a field of flags that it does not describe
    return fields if fields and start <= record <= _MAX_RECORD else []


def _full_name(field: _Field) -> str:
    """The name of a field, with the words for a birth date written out: dBase cuts names after ten characters."""
    return "date_naissance" if field.kind == "D" and _BIRTH.search(field.name) else field.name


def _encoding(declared: str, sample: bytes) -> str:
    """The code page of the table: the declared one, unless names look like names only under another.

    Copies and conversions often leave the byte that declares it as it was.
    """

    def strangeness(encoding: str) -> int:
        text = sample.decode(encoding, "replace")
        return sum(not char.isascii() and char not in _NAME_LETTERS for char in text)

    try:
        sample.decode()
    except UnicodeDecodeError:
        best = min(_GUESSED, key=strangeness)
        return declared if declared and strangeness(declared) <= _CLEARLY * strangeness(best) else best
    return "utf-8"


def _memo_file(source: Source) -> MemoFile | None:
    for ending, is_foxpro in ((".fpt", True), (".dbt", False)):
        if held := source.companions.get(ending):
            return MemoFile(held, is_foxpro=is_foxpro)
    return None


def _memo(row: bytes, field: _Field, memos: MemoFile, encoding: str) -> bytes:
    data = row[field.start : field.start + field.size]
    if field.size == _BINARY_NUMBER:
        number = int.from_bytes(data, "little")
    else:
        digits = data.strip(b" \0")
        number = int(digits) if digits.isdigit() else 0
    text = memos.text(number).rstrip(b"\0 ")
    return text.replace(_SOFT_BREAK, b"").decode(encoding, "replace").encode()


def _cell(row: bytes, field: _Field, encoding: str) -> bytes:
    data = row[field.start : field.start + field.size]
    form = _NUMBER_FORMS.get(field.kind)
    if form is not None and struct.calcsize(form) == len(data) and not data.strip().isdigit():
        number = struct.unpack(form, data)[0]
        return str(number / 10_000 if field.kind == "Y" else number).encode()
    if field.kind in "TGPM@0" and not data.isascii():
        return b""
    # the number of a block in another file is no text
    if (field.kind == "T" and len(data) == 8) or (field.kind == "M" and len(data) == _BINARY_NUMBER):
        return b""
    return data.strip(b" \0").decode(encoding, "replace").encode()
