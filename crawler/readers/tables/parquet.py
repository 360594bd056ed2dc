"""Parquet files, read by pyarrow one row group at a time.

A damaged column of a row group loses only its own values, a damaged row group only its own rows.
"""

from __future__ import annotations

from bisect import bisect_right

from crawler.readers.tables.arrow_columns import BATCH_ROWS, ArrowBatchSender

# isort: split
import pyarrow as pa
from pyarrow import parquet

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import PartEnd, read_embedded, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source

FORMAT = "parquet"

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
# the errors that pyarrow raises for damaged files
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins with a signature of Parquet files, else 0.0."""
    return 1.0 if head.startswith((_MAGIC, _ENCRYPTED)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all row groups."""
    held = source.read_all(limits.hold)
    with search_if_damaged(held, source, out):
        if held.startswith(_ENCRYPTED) or held.endswith(_ENCRYPTED):
            raise Damaged("locked", "the file is encrypted and was not read")
        if not held.endswith(_MAGIC):
            raise Damaged("cut", "the file ends before its index, without which no row can be read")
        try:
            file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(held)), pre_buffer=False)
            groups, columns = file.num_row_groups, list(range(len(file.schema)))
        except _READ_ERRORS as error:
            raise _damage_error(error, "the index is damaged") from None
    table = _FileReader(file, out, limits, ArrowBatchSender(out, limits, len(held), source), columns)
    try:
        for group in range(groups):
            table.read_group(group)
    finally:
        table.problems.report(out)
        table.batches.report(out)
    read_embedded(held, source, out, _indexed_part_ends(file, len(held), table.sound))


def _indexed_part_ends(file: parquet.ParquetFile, size: int, sound: list[tuple[int, int]]) -> PartEnd:
    """A function that gives the end of the file part that contains a place, or the place itself.

    The parts are those that the index names: the column chunks that could be read, and the index. The places of damaged
    chunks are not asked for, because pyarrow aborts the process if the index gives a wrong place.
    """
    begins, ends = [], []
    try:
        metadata = file.metadata
        parts = [metadata.row_group(group).column(column) for group, column in sound]
        places = [(part.dictionary_page_offset or part.data_page_offset, part.total_compressed_size) for part in parts]
        places.append((size - 8 - metadata.serialized_size, metadata.serialized_size + 8))
    except _READ_ERRORS:
        places = []
    for start, length in sorted(places):
        begins.append(start)
        ends.append(start + length)

    def part_end(at: int) -> int:
        place = bisect_right(begins, at) - 1
        return max(at, ends[place]) if place >= 0 else at

    return part_end


def _damage_error(error: BaseException, sentence: str) -> Damaged:
    """The error to report. The library's message is examined but never passed on, because it may quote content."""
    if isinstance(error, MemoryError):
        return Damaged("memory", "reading the file needs more memory than the limit")
    if "crypt" in str(error).lower():
        return Damaged("locked", "the file is encrypted and was not read")
    return Damaged("damaged", sentence)


class _FileReader:
    """Reads the row groups of one file.

    Attributes:
        sound: the undamaged column chunks that were read, as (row group, column).
    """

    def __init__(
        self, file: parquet.ParquetFile, out: Output, limits: Limits, batches: ArrowBatchSender, columns: list[int]
    ) -> None:
        self.problems = ProblemCounter()
        self.batches = batches
        self.sound: list[tuple[int, int]] = []
        self._file = file
        self._out = out
        self._limits = limits
        self._columns = columns
        self._names = [file.schema.column(number).path for number in columns]

    def read_group(self, number: int) -> None:
        """Read one row group; if it is damaged, read its undamaged columns."""
        tops = [name.split(".")[0] for name in self._names]
        sound = list(dict.fromkeys(tops))
        try:
            rows = self._send_group(number, None)
            if rows is not None:
                sound = [name for name in sound if self._is_sound(number, name)]
                self.problems.add("damaged", "a row group is damaged")
                if sound:
                    self._send_group(number, sound, rows)
        except Damaged as damage:
            if damage.code not in {"locked", "memory"}:
                # The rows exceed a limit, which ends the whole file.
                raise
            self.problems.add(damage.code, str(damage))
            return
        self.sound += [(number, column) for column in self._columns if tops[column] in sound]

    def _send_group(self, number: int, columns: list[str] | None, skip: int = 0) -> int | None:
        """Send the rows of a row group except the first `skip` ones.

        Returns:
            None if all rows were read, else how many were read before the damage.

        Raises:
            Damaged: the group is encrypted, or a limit is exceeded.
        """
        read_rows = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, row_groups=[number], columns=columns, use_threads=False):
                batch.validate(full=False)
                read_rows += batch.num_rows
                if read_rows > skip:
                    self.batches.add(batch.slice(max(0, batch.num_rows - (read_rows - skip))))
        except (*_READ_ERRORS, MemoryError) as error:
            damage = _damage_error(error, "")
            if damage.code != "damaged":
                raise damage from None
            return read_rows
        return None

    def _is_sound(self, number: int, column: str) -> bool:
        try:
            for _ in self._file.iter_batches(BATCH_ROWS, row_groups=[number], columns=[column], use_threads=False):
                pass
        except (*_READ_ERRORS, MemoryError):
            return False
        return True
