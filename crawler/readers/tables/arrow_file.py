"""Files of Arrow's own (IPC, Feather version 2) by pyarrow, one batch at a time: a damaged batch costs itself."""

from __future__ import annotations

from crawler.readers.tables.arrow_columns import Batches

# isort: split
import pyarrow as pa

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source

FORMAT = "arrow"

_MAGIC = b"ARROW1"
_ROWS = 4096
_REFUSED = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out the rows of all batches."""
    held = source.read_all(limits.hold)
    notes = ProblemCounter()
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with search_if_damaged(held, source, out):
        try:
            file = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(held)), options=options)
            count = file.num_record_batches
        except _REFUSED:
            raise Damaged("damaged", "its index is damaged or missing, without which no row can be read") from None
    batches = Batches(out, limits, len(held), source)
    try:
        for number in range(count):
            try:
                batch = file.get_batch(number)
                # its buffers are used as they stand: what they say of themselves is not to be trusted
                batch.validate(full=True)
            except _REFUSED:
                notes.add("damaged", "a batch of rows is damaged")
                continue
            for start in range(0, batch.num_rows, _ROWS):
                batches.add(batch.slice(start, _ROWS))
    finally:
        notes.report(out)
        batches.report(out)
    read_embedded(held, source, out)
