"""Arrow files (IPC file format, Feather version 2) and streams, read by pyarrow one batch at a time.

A damaged batch of a file loses only its own rows; a stream ends at its damage.
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

_MAGIC, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 if the head begins with the signature of an Arrow file, nearly as sure for the schema of a stream."""
    if head.startswith(_MAGIC):
        return 1.0
    return 0.95 if _is_stream(head) else 0.0


def _is_stream(head: bytes) -> bool:
    """Whether a message begins here that holds a schema: a mark, its size, and the place of its table in it."""
    size = int.from_bytes(head[4:8], "little")
    root = int.from_bytes(head[8:12], "little")
    return head.startswith(_STREAM) and 16 <= size < 2**24 and size % 8 == 0 and 4 <= root < min(size, 256)


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all batches."""
    held = source.read_all(limits.hold)
    problems = ProblemCounter()
    options = pa.ipc.IpcReadOptions(use_threads=False)
    if held.startswith(_STREAM):
        _read_stream(held, source, out, limits, options)
        return
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


def _read_stream(held: bytearray, source: Source, out: Output, limits: Limits, options: pa.ipc.IpcReadOptions) -> None:
    batches = ArrowBatchSender(out, limits, len(held), source)
    try:
        with search_if_damaged(held, source, out):
            try:
                with pa.ipc.open_stream(pa.BufferReader(pa.py_buffer(held)), options=options) as stream:
                    for batch in stream:
                        batch.validate(full=True)
                        for start in range(0, batch.num_rows, BATCH_ROWS):
                            batches.add(batch.slice(start, BATCH_ROWS))
            except _READ_ERRORS:
                raise Damaged("damaged", "the stream of batches is damaged; what stands behind was not read") from None
    finally:
        batches.report(out)
