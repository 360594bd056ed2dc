"""ORC files, read by pyarrow one stripe at a time. A damaged column of a stripe loses only its own values."""

from __future__ import annotations

import contextlib
import re

from crawler.readers.tables.arrow_columns import BATCH_ROWS, ArrowBatchSender

# isort: split
import pyarrow as pa
from pyarrow import orc

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source

FORMAT = "orc"

_MAGIC = b"ORC"
# A segment of HL7 begins like this too. In the first bytes of a file of ORC are numbers.
_BEGIN = re.compile(rb"ORC(?![|^]).{0,60}?[\0-\x08\x0e-\x1f]", re.DOTALL)
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, RuntimeError)


def _load_time_zones() -> None:
    """Make the library read the time zones that it needs from files while files can still be opened.

    Where they are not installed, columns of times are reported as damaged; all other formats must still be read.
    """
    target = pa.BufferOutputStream()
    with contextlib.suppress(pa.ArrowException):
        orc.write_table(pa.table({"t": pa.array([0], pa.timestamp("us"))}), target)
        orc.ORCFile(pa.BufferReader(target.getvalue())).read()


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """0.97 if the head begins with the signature and the numbers of a stripe, else 0.0."""
    return 0.97 if _BEGIN.match(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send the rows of all stripes."""
    held = source.read_all(limits.hold)
    with search_if_damaged(held, source, out):
        # the last byte is the length of what describes the file, which ends with the signature
        if held[-4:-1] != _MAGIC:
            raise Damaged("cut", "the file ends before its index, without which no row can be read")
        try:
            file = orc.ORCFile(pa.BufferReader(pa.py_buffer(held)))
            count, names = file.nstripes, list(file.schema.names)
        except _READ_ERRORS:
            raise Damaged("damaged", "the index is damaged") from None
    problems, damaged = ProblemCounter(), False
    batches = ArrowBatchSender(out, limits, len(held), source)
    try:
        for number in range(count):
            batch = _read_stripe(file, number, names, problems)
            if batch is not None:
                for start in range(0, batch.num_rows, BATCH_ROWS):
                    batches.add(batch.slice(start, BATCH_ROWS))
    finally:
        damaged = bool(problems)
        problems.report(out)
        batches.report(out)
    # compressed columns look like archives, so a file is only searched if the library did not read all of it
    if damaged:
        read_embedded(held, source, out)


def _read_stripe(file: orc.ORCFile, number: int, names: list[str], problems: ProblemCounter) -> pa.RecordBatch | None:
    """The rows of a stripe, without its damaged columns; None if all of them are damaged."""
    try:
        return _checked(file.read_stripe(number))
    except _READ_ERRORS:
        problems.add("damaged", "a part of the rows is damaged")
    sound = [name for name in dict.fromkeys(names) if _is_sound(file, number, name)]
    if not sound:
        return None
    try:
        return _checked(file.read_stripe(number, columns=sound))
    except _READ_ERRORS:
        return None


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)
    return batch


def _is_sound(file: orc.ORCFile, number: int, name: str) -> bool:
    try:
        _checked(file.read_stripe(number, columns=[name]))
    except _READ_ERRORS:
        return False
    return True


_load_time_zones()
