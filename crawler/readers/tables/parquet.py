"""Parquet files by pyarrow, one group of rows at a time: a damaged group, or a damaged column of it, costs itself."""

from __future__ import annotations

from bisect import bisect_right

from crawler.readers.tables.arrow_columns import BATCH, Batches

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
# what pyarrow raises for bytes that are not as they should be
_REFUSED = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature."""
    return 1.0 if head.startswith((_MAGIC, _ENCRYPTED)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the rows of all groups."""
    held = source.read_all(limits.hold)
    with search_if_damaged(held, source, out):
        if held.startswith(_ENCRYPTED) or held.endswith(_ENCRYPTED):
            raise Damaged("locked", "it is encrypted and not read")
        if not held.endswith(_MAGIC):
            raise Damaged("cut", "it ends before its index, without which no row can be read")
        try:
            file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(held)), pre_buffer=False)
            groups, columns = file.num_row_groups, list(range(len(file.schema)))
        except _REFUSED as error:
            raise _damage(error, "its index is damaged") from None
    table = _Table(file, out, limits, Batches(out, limits, len(held), source), columns)
    try:
        for group in range(groups):
            table.group(group)
    finally:
        table.notes.report(out)
        table.batches.report(out)
    read_embedded(held, source, out, _known(file, len(held), table.sound))


def _known(file: parquet.ParquetFile, size: int, sound: list[tuple[int, int]]) -> PartEnd:
    """What of the file its index names: the columns of its groups that could be read, and itself.

    pyarrow ends the process where it is asked for a column's place that its index tells wrongly.
    """
    begins, ends = [], []
    try:
        metadata = file.metadata
        parts = [metadata.row_group(group).column(column) for group, column in sound]
        places = [(part.dictionary_page_offset or part.data_page_offset, part.total_compressed_size) for part in parts]
        places.append((size - 8 - metadata.serialized_size, metadata.serialized_size + 8))
    except _REFUSED:
        places = []
    for start, length in sorted(places):
        begins.append(start)
        ends.append(start + length)

    def known(at: int) -> int:
        place = bisect_right(begins, at) - 1
        return max(at, ends[place]) if place >= 0 else at

    return known


def _damage(error: BaseException, sentence: str) -> Damaged:
    """What went wrong; the library's own words are looked at, never passed on."""
    if isinstance(error, MemoryError):
        return Damaged("memory", "reading it needs more memory than the limit")
    if "crypt" in str(error).lower():
        return Damaged("locked", "it is encrypted and not read")
    return Damaged("damaged", sentence)


class _Table:
    """One file on its way out; `sound` is which columns of which groups were read without damage."""

    def __init__(
        self, file: parquet.ParquetFile, out: Output, limits: Limits, batches: Batches, columns: list[int]
    ) -> None:
        self.notes = ProblemCounter()
        self.batches = batches
        self.sound: list[tuple[int, int]] = []
        self._file = file
        self._out = out
        self._limits = limits
        self._columns = columns
        self._names = [file.schema.column(number).path for number in columns]

    def group(self, number: int) -> None:
        """The rows of one group; where it is damaged, of those of its columns that are not."""
        tops = [name.split(".")[0] for name in self._names]
        sound = list(dict.fromkeys(tops))
        try:
            rows = self._rows(number, None)
            if rows is not None:
                sound = [name for name in sound if self._is_sound(number, name)]
                self.notes.add("damaged", "a group of rows is damaged")
                if sound:
                    self._rows(number, sound, rows)
        except Damaged as damage:
            if damage.code not in {"locked", "memory"}:
                # what its rows came to: the end of the whole file
                raise
            self.notes.add(damage.code, str(damage))
            return
        self.sound += [(number, column) for column in self._columns if tops[column] in sound]

    def _rows(self, number: int, columns: list[str] | None, skip: int = 0) -> int | None:
        """Give the rows of a group out; None if all came, else how many; raises Damaged for a lock or a limit."""
        came = 0
        try:
            for batch in self._file.iter_batches(BATCH, row_groups=[number], columns=columns, use_threads=False):
                batch.validate(full=False)
                came += batch.num_rows
                if came > skip:
                    self.batches.add(batch.slice(max(0, batch.num_rows - (came - skip))))
        except (*_REFUSED, MemoryError) as error:
            damage = _damage(error, "")
            if damage.code != "damaged":
                raise damage from None
            return came
        return None

    def _is_sound(self, number: int, column: str) -> bool:
        try:
            for _ in self._file.iter_batches(BATCH, row_groups=[number], columns=[column], use_threads=False):
                pass
        except (*_REFUSED, MemoryError):
            return False
        return True
