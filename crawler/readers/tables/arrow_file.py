"""Arrow files (IPC file format, Feather version 2), read by pyarrow one batch at a time.

A damaged batch loses only its own rows.
"""

from __future__ import annotations

from crawler.readers.tables.arrow_columns import BATCH_ROWS, ArrowBatchSender

# isort: split
import pyarrow as pa

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source

FORMAT = "arrow"

_MAGIC = b"ARROW1"
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins with the signature of an Arrow file, else 0.0."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all batches."""
    held = source.read_all(limits.hold)
    problems = ProblemCounter()
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with search_if_damaged(held, source, out):
        try:
            file = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(held)), options=options)
            count = file.num_record_batches
        except _READ_ERRORS:
            raise Damaged("damaged", "the index, without which no row can be read, is damaged or missing") from None
    batches = ArrowBatchSender(out, limits, len(held), source)
    try:
        for number in range(count):
            try:
                batch = file.get_batch(number)
                # The buffers are used as they are in the file, so that offsets in them must be checked.
                batch.validate(full=True)
            except _READ_ERRORS:
                problems.add("damaged", "a batch of rows is damaged")
                continue
            for start in range(0, batch.num_rows, BATCH_ROWS):
                batches.add(batch.slice(start, BATCH_ROWS))
    finally:
        problems.report(out)
        batches.report(out)
    read_embedded(held, source, out)
