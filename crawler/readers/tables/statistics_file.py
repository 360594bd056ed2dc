"""Tables of statistics programs, read by pyreadstat: SPSS (sav, zsav, por), Stata (dta) and SAS (sas7bdat, xpt).

The library is C code. It reads some thousand rows at a time, so that its objects stay few whatever the file says.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice, pairwise
from typing import Any

import pyreadstat

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.source import HeldFile, Source
from crawler.readers.databases.table_batcher import TableBatcher
from crawler.readers.office.sheet_values import plain_number
from crawler.readers.structured.json_records import kind_of_key

# Values that are read at a time, and the bytes that strings of so many rows may have: an object of Python needs about
# 60 bytes beside its text.
_VALUES, _STRING_BYTES = 2**20, 2**26
_MAX_COLUMNS = 32_767
# Each part is read from the first row on, and what comes before it is read over: with more parts than this the time
# would grow with the square of the size.
_MAX_PARTS = 400
_ERRORS = (
    pyreadstat.ReadstatError, pyreadstat.PyreadstatError, ValueError, TypeError, KeyError, IndexError, OverflowError,
    AttributeError, ArithmeticError, OSError,
)  # fmt: skip
# The library converts text with iconv, which loads each encoding from a file, and a reader can open no file. An
# encoding that was opened once stays loaded.
_ENCODINGS = (
    *(f"WINDOWS-{number}" for number in range(1250, 1259)), *(f"ISO-8859-{number}" for number in (1, 2, 5, 7, 9, 15)),
    "CP437", "CP850", "CP852", "CP1252", "MACINTOSH", "LATIN1", "US-ASCII", "GB18030", "SHIFT-JIS", "EUC-KR", "BIG5",
)  # fmt: skip
# the records of a transport file have this many bytes
_TRANSPORT, _TRANSPORT_RECORD = "sas_transport", 80
_TRANSPORT_TABLE = re.compile(rb"HEADER RECORD\*{7}MEMB(?:ER|V8)  HEADER RECORD")
_MAX_TABLES = 1000
# versions 108 to 115, before Stata 13
_STATA_VERSIONS = (b"\x6c", b"\x6e", b"\x6f", b"\x71", b"\x72", b"\x73")
_FALLBACKS = (None, "WINDOWS-1252", "ISO-8859-1")


def _load_encodings() -> list[int]:
    """Converters of all encodings, which stay open; [] where the C library has none."""
    open_converter = getattr(ctypes.CDLL(None), "iconv_open", None)
    if open_converter is None:
        return []
    open_converter.restype, open_converter.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_char_p)
    return [open_converter(b"UTF-8", name.encode()) for name in _ENCODINGS]


_LOADED = _load_encodings()


def _is_stata(head: bytes) -> bool:
    """Whether a file begins as Stata's: by a tag, or by a version, the order of bytes and two constants."""
    if head.startswith(b"<stata_dta>"):
        return True
    return head[:1] in _STATA_VERSIONS and head[1:2] in (b"\1", b"\2") and head[2:4] == b"\1\0" and len(head) > 109


def _is_portable(head: bytes) -> bool:
    """Whether a file begins as a portable file of SPSS: its name in several codes, and a mark behind a table of them."""
    return b"ASCII SPSS PORT FILE" in head[:260] and b"SPSSPORT" in head[400:600]


@dataclass(frozen=True)
class _StatisticsReader:
    """The reader of one program's files.

    Attributes:
        FORMAT: its name in findings.
    """

    FORMAT: str
    begins: Callable[[bytes], bool]
    parse: Callable[..., tuple[dict[str, Sequence[Any]], Any]]

    def sniff(self, head: bytes, name: str) -> float:  # noqa: ARG002 - every reader takes both
        """0.98 if the first bytes are those of the program, else 0.0."""
        return 0.98 if self.begins(head) else 0.0

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output every row.

        Raises:
            Damaged: the file cannot be read, or is cut.
        """
        held = source.read_all(limits.hold)
        if self.FORMAT == _TRANSPORT and len(held) % _TRANSPORT_RECORD:
            out.problem("cut", "the file ends inside a record", incomplete=True)
        batches = TableBatcher(out, limits)
        try:
            with search_if_damaged(held, source, out):
                for part in _transport_tables(held) if self.FORMAT == _TRANSPORT else (held,):
                    table = _Table(self.parse, part)
                    table.open()
                    table.send(batches)
                    batches.flush()
        finally:
            batches.flush()
            if batches.wide:
                columns = limits.max_columns
                out.problem("columns", f"the table has more than {columns} columns; the last one holds the rest")
        read_embedded(held, source, out)


def _transport_tables(held: bytearray) -> Iterator[bytearray]:
    """The tables of a transport file, each as a file of its own: the library reads only one.

    Raises:
        Damaged: there are too many.
    """
    starts = [found.start() for found in islice(_TRANSPORT_TABLE.finditer(held), _MAX_TABLES + 1)]
    if len(starts) > _MAX_TABLES:
        raise Damaged("size", "it has too many tables")
    if not starts:
        raise Damaged("damaged", "the description of the table is damaged")
    for start, end in pairwise([*starts, len(held)]):
        yield held[: starts[0]] + held[start:end]


class _Table:
    """Reads parts of the rows of one file."""

    def __init__(self, parse: Callable[..., tuple[dict[str, Sequence[Any]], Any]], held: bytearray) -> None:
        self._parse = parse
        self._held = held
        self._encoding: str | None = None
        self._rows = 0
        self._step = 1
        self._names: list[str] = []

    def open(self) -> None:
        """Read what the file says about itself, under the first encoding that fits.

        Raises:
            Damaged: it is damaged, or its text is in another encoding than it says.
        """
        for encoding in _FALLBACKS:
            self._encoding = encoding
            try:
                _, about = self._call(encoding, metadataonly=True)
            except _ERRORS as error:
                if "convert" in str(error) or "encoding" in str(error):
                    continue
                raise Damaged("damaged", "the description of the table is damaged") from None
            self._rows = about.number_rows or 0
            if len(about.column_names) > _MAX_COLUMNS:
                raise Damaged("size", "the table has too many columns")
            width = sum(min(size, 2**20) for size in about.variable_storage_width.values())
            self._step = max(1, min(_VALUES // max(1, len(about.column_names)), _STRING_BYTES // max(1, width)))
            labels = about.column_names_to_labels
            # the library has None for an empty name
            self._names = [_best_name(name or "", labels.get(name)) for name in about.column_names]
            return
        raise Damaged("charset", "the encoding of its text is not known")

    def send(self, batches: TableBatcher) -> None:
        """Send all rows.

        Raises:
            Damaged: the file ends early, or a part of it is damaged.
        """
        start, step = 0, self._step
        for _ in range(_MAX_PARTS):
            try:
                columns = self._part(start, step)
            except Damaged:
                # the library gives nothing of a part with a damaged row, so fewer rows are asked for
                if step == 1:
                    raise
                step //= 2
                continue
            count = len(columns[0]) if columns else 0
            if count:
                cells: list[Sequence[bytes]] = [[_cell(value) for value in column] for column in columns]
                batches.add(b"", self._names, cells, sum(sum(map(len, column)) for column in cells))
            start += count
            if count < step:
                if start < self._rows:
                    raise Damaged("cut", "the table ends before its last row")
                return
        raise Damaged("size", "the table has too many rows for its width; its first ones were read")

    def _call(self, encoding: str | None, **part: int) -> tuple[dict[str, Sequence[Any]], Any]:
        # a portable file has no encoding that could be given
        given = {} if encoding is None else {"encoding": encoding}
        return self._parse(HeldFile(self._held), output_format="dict", **given, **part)

    def _part(self, start: int, step: int) -> list[Sequence[Any]]:
        """The values of some rows, by column."""
        for encoding in dict.fromkeys((self._encoding, *_FALLBACKS)):
            try:
                found, _ = self._call(encoding, row_offset=start, row_limit=step)
            except _ERRORS as error:
                if "convert" in str(error) or "encoding" in str(error):
                    continue
                raise Damaged("damaged", "rows of the table are damaged") from None
            return list(found.values())
        raise Damaged("charset", "the encoding of its text is not known")


def _best_name(name: str, label: str | None) -> str:
    """The name of a column, or its label where only that says what it holds (`V3`, "Date de naissance")."""
    clean = (label or "").strip()
    return clean[:100] if clean and not kind_of_key(name) else name


def _cell(value: Any) -> bytes:
    if value is None or value != value:
        return b""
    if isinstance(value, str):
        return repair(value.strip().encode("utf-8", "replace"), b"\0")
    if isinstance(value, float):
        return plain_number(repr(value).encode())
    if isinstance(value, date | datetime | time):
        return value.isoformat().encode()
    return str(value).encode("utf-8", "replace")


READERS = (
    _StatisticsReader("spss", lambda head: head.startswith((b"$FL2", b"$FL3")), pyreadstat.read_sav),
    _StatisticsReader("spss_portable", _is_portable, pyreadstat.read_por),
    _StatisticsReader("stata", _is_stata, pyreadstat.read_dta),
    _StatisticsReader(
        "sas", lambda head: head.startswith(bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf"), pyreadstat.read_sas7bdat
    ),
    _StatisticsReader(_TRANSPORT, lambda head: head.startswith(b"HEADER RECORD*******LIB"), pyreadstat.read_xport),
)
