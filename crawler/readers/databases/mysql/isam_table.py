"""Tables of MyISAM (.MYD) and Aria (.MAD): every row, by the .frm and the index file that lie beside the data.

The data file does not describe its columns. The .frm names them, the index file (.MYI, .MAI) says how rows are packed;
one of them suffices for MyISAM, pages of Aria need the index file. Without both the texts of each row are taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from crawler.readers.core.encoding import is_text
from crawler.readers.core.limits import HEAD, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.mysql.aria_pages import AriaFile
from crawler.readers.databases.mysql.isam_columns import (
    BLOB,
    IS_VARCHAR,
    PackedTable,
    columns_of_definition,
    read_index_header,
)
from crawler.readers.databases.mysql.isam_rows import BlockFile, Unpacked, fixed_rows, looks_like_blocks, unpack
from crawler.readers.databases.mysql.table_definition import BLOBS, TableDefinition, read_definition
from crawler.readers.databases.table_batcher import BlobReader, TableBatcher
from crawler.readers.databases.unnamed_columns import prefixed_texts, read_column, text_or_none

_BATCH_ROWS = 1000
_UNREAD = (
    "its rows are not in blocks, and neither its .frm nor its index file is beside it: only its bytes are examined"
)


@dataclass(frozen=True)
class _IsamReader:
    """The reader of one of the two engines."""

    FORMAT: str
    ending: str
    by_content: bool
    EMBEDDED_SEARCH: str = "all"

    def sniff(self, head: bytes, name: str) -> float:
        """Nearly sure by the name of the file, high by the blocks of its rows."""
        named = name.lower().endswith(self.ending)
        if not named and not (self.by_content and looks_like_blocks(head, whole=len(head) < HEAD)):
            return 0.0
        # to a text that begins with an empty line its first letters would be the length of a block
        if is_text(head[:HEAD]):
            return 0.0
        return 0.98 if named else 0.6

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Send the rows of the table."""
        out.mark_assessed()
        companions = source.companions
        definition = read_definition(companions.get(".frm", b""))
        table = read_index_header(companions.get(".myi", b"") or companions.get(".mai", b""))
        held = source.read_all(limits.hold)
        if table is None and definition is not None and self.ending == ".myd":
            table = columns_of_definition(definition)
        _TableReader(held, out, limits, definition, table).read()


READERS = (_IsamReader("myisam", ".myd", by_content=True), _IsamReader("aria", ".mad", by_content=False))


class _TableReader:
    """Reads one data file."""

    def __init__(
        self,
        held: bytearray,
        out: Output,
        limits: Limits,
        definition: TableDefinition | None,
        table: PackedTable | None,
    ) -> None:
        self._held, self._out = held, out
        self._definition, self._table = definition, table
        self._batches = TableBatcher(out, limits)
        self._problems = ProblemCounter()
        self._blobs = BlobReader(out, self._problems)

    def read(self) -> None:
        """Send all rows, and tell what could not be read."""
        if self._table is None:
            self._read_texts()
        else:
            self._read_rows(self._table)
        self._batches.flush()
        self._problems.report(self._out)

    def _read_texts(self) -> None:
        """The texts of rows whose columns nobody describes."""
        if not looks_like_blocks(bytes(self._held[:HEAD]), whole=len(self._held) <= HEAD):
            raise Damaged("unread", _UNREAD)
        file = BlockFile(self._held)
        for row in file.rows():
            texts = prefixed_texts(row)
            self._out.text(b" ".join(texts) + b"\n\n" if texts else b"")
        sentence = "no file that describes its columns is beside it: texts were taken out of its rows as they stand"
        self._out.problem("unnamed", sentence, incomplete=True)
        self._tell_damage(file.damaged)

    def _read_rows(self, table: PackedTable) -> None:
        aria = AriaFile(self._held, table) if table.block else None
        blocks = BlockFile(self._held)
        if aria is not None:
            records: Iterable[Unpacked] = aria.rows()
        elif table.fixed:
            records = ((record, {}) for record in fixed_rows(self._held, table))
        else:
            records = self._unpacked(blocks, table)
        definition = self._definition
        if definition is not None and all(each.at + each.size <= table.record_size for each in definition.columns):
            self._send_named(records, definition)
        else:
            self._send_unnamed(records, table)
        self._tell_damage(blocks.damaged + (aria.damaged if aria else 0))

    def _tell_damage(self, damaged: int) -> None:
        if damaged:
            self._out.problem("damaged", f"{damaged} rows are damaged, or parts of them are missing", incomplete=True)

    def _unpacked(self, blocks: BlockFile, table: PackedTable) -> Iterator[Unpacked]:
        for row in blocks.rows():
            found = unpack(row, table)
            if found is None:
                texts = prefixed_texts(row)
                self._problems.add("row", "a row does not follow the layout of the others and was taken as text")
                self._out.text(b" ".join(texts) + b"\n\n" if texts else b"")
            else:
                yield found

    def _send_named(self, records: Iterable[Unpacked], definition: TableDefinition) -> None:
        names = [column.name for column in definition.columns]
        rows: list[list[bytes]] = []
        for record, long_values in records:
            row = []
            for column in definition.columns:
                value = column.value(record, long_values)
                if column.kind in BLOBS:
                    value = self._blobs.without_file(value)
                    value = value if text_or_none(value) is not None else b""
                row.append(value)
            rows.append(row)
            if len(rows) >= _BATCH_ROWS:
                self._send(rows, names)
                rows = []
        self._send(rows, names)

    def _send_unnamed(self, records: Iterable[Unpacked], table: PackedTable) -> None:
        sentence = "the file that names its columns (.frm) is not beside it"
        self._out.problem_once("unnamed", sentence)
        rows: list[list[bytes | None]] = []
        for record, long_values in records:
            row: list[bytes | None] = []
            for column in table.columns:
                value: bytes | None = bytes(record[column.at : column.at + column.size])
                if column.kind == BLOB:
                    value = self._blobs.without_file(long_values.get(column.at, b""))
                elif column.kind == IS_VARCHAR and value is not None:
                    width = 1 if column.size - 1 < 256 else 2
                    value = value[width : width + int.from_bytes(value[:width], "little")]
                else:
                    value = value.rstrip(b" ") if value else None
                if record[column.null_at] & column.null_bit:
                    value = None
                row.append(value)
            rows.append(row)
            if len(rows) >= _BATCH_ROWS:
                self._send_columns(rows)
                rows = []
        self._send_columns(rows)

    def _send_columns(self, rows: Sequence[list[bytes | None]]) -> None:
        columns = [read_column(column, little=True) for column in zip_longest(*rows)]
        used = [column for column in columns if any(column)]
        self._send([list(row) for row in zip(*used, strict=True)], None)

    def _send(self, rows: list[list[bytes]], names: Sequence[str] | None) -> None:
        if rows and rows[0]:
            size = sum(len(value) for row in rows for value in row)
            self._batches.add(b"", names, [list(column) for column in zip(*rows, strict=True)], size)
