"""Tables of MySQL and MariaDB as InnoDB stores them (.ibd): every record is a row, deleted ones too.

MySQL 8 describes the columns inside the file. MariaDB does not: where columns begin is then found from the records
themselves, and the columns have no names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.databases.mysql.innodb_dictionary import (
    BINARY,
    InnodbColumn,
    divide_record,
    is_table,
    read_columns,
    value_of,
)
from crawler.readers.databases.mysql.innodb_layout import InnodbRows
from crawler.readers.databases.mysql.innodb_pages import REFERENCE, InnodbFile, InnodbIndex, InnodbRecord
from crawler.readers.databases.table_batcher import BlobReader, TableBatcher
from crawler.readers.databases.unnamed_columns import holds_hidden_texts, read_column, text_or_none, text_pieces

FORMAT = "innodb"
EMBEDDED_SEARCH = "all"

# all rows together may have so many times the bytes of the file: long values share no pages in a sound one
_MAX_RATIO, _RATIO_ALLOWANCE = 4, 2**22
_MAX_VALUE = 2**22
_SAMPLE_PAGES = 8
_BATCH_ROWS = 1000
# bytes of long values that are held for one batch of rows, and those after which it is sent
_MAX_HELD, _BATCH_BYTES = 2**26, 2**24
_SYSTEM_SIZES = (6, 7)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure if a file begins with the first page of a table space: number 0, and the space is named twice."""
    is_first = head[4:8] == bytes(4) and head[24:26] == b"\0\x08" and head[34:38] == head[38:42] and len(head) >= 512
    return 0.99 if is_first else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the records of the table as rows."""
    held = source.read_all(limits.hold)
    file = InnodbFile(held)
    if file.compressed:
        out.mark_assessed()
        raise Damaged("unread", "the pages of this table are compressed, which cannot be read yet")
    table = _TableReader(file, out, limits, len(held))
    try:
        table.read()
    finally:
        table.finish()
    if len(held) % file.page_size:
        out.problem("cut", "the last page is incomplete", incomplete=True)


class _TableReader:
    """Reads the tables of a file, mostly one."""

    def __init__(self, file: InnodbFile, out: Output, limits: Limits, size: int) -> None:
        self._file = file
        self._out = out
        self._batches = TableBatcher(out, limits)
        self._problems = ProblemCounter()
        self._blobs = BlobReader(out, self._problems)
        self._left = _MAX_RATIO * size + _RATIO_ALLOWANCE
        # keeps the rows of tables apart
        self._table = b""
        # bytes of long values in rows that were not sent yet
        self._held = 0

    def read(self) -> None:
        """Read the primary index, which holds all columns; the others repeat some of them.

        Where several tables share the file, nothing tells which index is the primary one of a table: each is read.
        """
        if not self._file.indexes:
            if not self._file.unread:
                self._out.problem("empty", "no page of records is in it", incomplete=True)
            return
        tables = [read_columns(each) for each in self._file.dictionary() if is_table(each)]
        if self._file.is_shared or len(tables) > 1:
            for number, index in sorted(self._file.indexes.items()):
                self._table = b"%d" % number
                if not index.is_secondary:
                    self._read_index(index, [])
        else:
            self._read_index(self._file.indexes[min(self._file.indexes)], tables[0] if tables else [])

    def _read_index(self, index: InnodbIndex, described: Sequence[InnodbColumn]) -> None:
        if not any(self._file.records(index)):
            return
        if described and index.compact:
            self._read_described(index, described)
        elif index.compact:
            self._read_compact(index)
        else:
            self._read_redundant(index)

    def finish(self) -> None:
        """Send the last rows and report the problems."""
        self._batches.flush()
        if self._file.unread:
            self._out.problem(
                "unread", f"{self._file.unread} pages are compressed or encrypted and were not read", incomplete=True
            )
        if self._file.damaged:
            self._out.problem("damaged", "pages are damaged; some rows are missing", incomplete=True)
        self._problems.report(self._out)

    # --- the columns are described -------------------------------------------------------------------------------

    def _read_described(self, index: InnodbIndex, columns: Sequence[InnodbColumn]) -> None:
        shown = [at for at, each in enumerate(columns) if each.name]
        names = [columns[at].name for at in shown]
        for records in self._file.records(index):
            rows: list[list[bytes]] = []
            for record in records:
                values = None if record.status else divide_record(record, columns)
                if values is None:
                    self._send_pieces(record)
                    continue
                row = []
                for at in shown:
                    value = values[at]
                    row.append(b"" if value is None else self._shown(self._whole(*value), columns[at]))
                rows.append(row)
                if self._held > _BATCH_BYTES:
                    self._send(rows, names)
                    rows = []
            self._send(rows, names)

    def _shown(self, data: bytes, column: InnodbColumn) -> bytes:
        if column.kind not in BINARY:
            return value_of(data, column)
        data = self._blobs.without_file(data)
        return data if text_or_none(data) is not None else b""

    # --- the columns are not described ---------------------------------------------------------------------------

    def _read_compact(self, index: InnodbIndex) -> None:
        sample = [
            each
            for each, _ in zip(self._file.records(index), range(_SAMPLE_PAGES), strict=False)  # the first pages
        ]
        layout = InnodbRows(sample)
        self._tell_unnamed(found=layout.found)
        divisions = layout.divisions

        def values_of(record: InnodbRecord) -> list[bytes | None] | None:
            row = layout.divide(record)
            if row is None:
                return None
            values: list[bytes | None] = []
            for at, (gap, division) in enumerate(zip(row.gaps, divisions, strict=True)):
                if division:
                    values += [gap[begin : begin + size] for begin, size in division]
                if at < len(row.texts):
                    text = row.texts[at]
                    whole = text if text is None else self._whole(text, row.elsewhere[at])
                    values.append(whole if whole is None else self._blobs.without_file(whole))
            return values

        self._read_undescribed(index, values_of)

    def _read_redundant(self, index: InnodbIndex) -> None:
        self._tell_unnamed(found=True)
        self._read_undescribed(index, self._redundant_values)

    def _redundant_values(self, record: InnodbRecord) -> list[bytes | None] | None:
        """The values of a record of the format REDUNDANT, before which the end of each of its values stands."""
        page, origin = record.page, record.origin
        count = (int.from_bytes(page[origin - 4 : origin - 2], "big") >> 1) & 0x3FF
        width = 1 if page[origin - 3] & 1 else 2
        first = origin - 6
        if not count or first - count * width < 0:
            return None
        values: list[bytes | None] = []
        begin = 0
        for number in range(count):
            place = first - (number + 1) * width
            end = int.from_bytes(page[place : place + width], "big")
            flag = 0x80 << 8 * (width - 1)
            is_null, elsewhere = bool(end & flag), width == 2 and bool(end & 0x4000)
            end &= (flag - 1) & ~(0x4000 if width == 2 else 0)
            if end < begin or origin + end > record.end:
                return None
            data = page[origin + begin : origin + end]
            values.append(None if is_null else self._blobs.without_file(self._whole(data, elsewhere)).rstrip(b" "))
            begin = end
        # the numbers of the transaction
        sizes = [len(value) if value is not None else -1 for value in values]
        system = next((at for at in range(count - 1) if tuple(sizes[at : at + 2]) == _SYSTEM_SIZES), None)
        if system is None:
            # spaces at their end do not count as such
            system = next((at for at in range(1, count - 1) if sizes[at] <= 6 and sizes[at + 1] <= 7), 0)
        values[system : system + 2] = [None, None]
        return values

    def _read_undescribed(
        self, index: InnodbIndex, values_of: Callable[[InnodbRecord], list[bytes | None] | None]
    ) -> None:
        rows: list[list[bytes | None]] = []
        for records in self._file.records(index):
            for record in records:
                values = values_of(record)
                if values is None:
                    self._send_pieces(record)
                elif any(value and value.strip(b"\0") for value in values):
                    rows.append(values)
                if len(rows) >= _BATCH_ROWS or self._held > _BATCH_BYTES:
                    self._send_undescribed(rows)
                    rows = []
        self._send_undescribed(rows)

    def _send_undescribed(self, rows: list[list[bytes | None]]) -> None:
        raw = list(zip_longest(*rows))
        columns = [read_column(column) for column in raw]
        if any(holds_hidden_texts(column, shown) for column, shown in zip(raw, columns, strict=True)):
            sentence = "texts with other bytes between them were not read; MariaDB compresses columns in this way"
            self._out.problem_once("unread", sentence, incomplete=True)
        used = [column for column in columns if any(column)]
        self._send([list(row) for row in zip(*used, strict=True)], None)

    def _tell_unnamed(self, *, found: bool) -> None:
        if found:
            sentence = "the file does not name its columns; where they begin was found from the records themselves"
            self._out.problem_once("unnamed", sentence)
        else:
            sentence = "the file does not describe its columns: texts were taken out of its records as they stand"
            self._out.problem_once("unnamed", sentence, incomplete=True)

    # --- values --------------------------------------------------------------------------------------------------

    def _whole(self, data: bytes, elsewhere: bool) -> bytes:
        if not elsewhere or len(data) < REFERENCE:
            return data
        most = min(_MAX_VALUE, self._left - self._held, _MAX_HELD - self._held)
        rest = self._file.long_value(data[-REFERENCE:], max(0, most))
        self._held += len(rest)
        expected = int.from_bytes(data[-8:], "big") & 0xFFFF_FFFF
        if len(rest) < expected:
            self._problems.add("cut", "a long value is too long, or its pages are missing")
        return data[:-REFERENCE] + rest

    def _send_pieces(self, record: InnodbRecord) -> None:
        pieces = text_pieces(record.page[record.origin : record.end])
        if pieces:
            self._take(len(pieces))
            self._problems.add("row", "a row does not follow the layout of the others and was taken as text")
            self._out.text(pieces + b"\n")

    def _send(self, rows: list[list[bytes]], names: Sequence[str] | None) -> None:
        size = sum(len(value) for row in rows for value in row)
        # long values count too that are sent as files, or are no text
        self._take(max(size, self._held))
        self._held = 0
        if not rows:
            return
        self._batches.add(self._table, names, [list(column) for column in zip(*rows, strict=True)], size)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Damaged("ratio", "the rows are far larger than the file")
