"""Examines a file in chunks, perhaps on several machines, and folds their states into the finding of the whole file.

A chunk is read in the blocks of lines of the whole file, its rows are compared in the same windows, and its bytes are
scanned in the same blocks. What is decided by the beginning of a table (its separator, what its columns hold) each chunk
decides by that beginning itself. Where that is not enough for a finding that equals the one of a single examination, the
chunk says so, and the file is examined as a whole.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from crawler.examiner.examination import Examination
from crawler.examiner.sample import TableCounts
from crawler.process.file_chunks import SCAN_AROUND, Chunk, FileIndex
from crawler.process.frames import pack_json
from crawler.records.column_roles import Column, ColumnPlan
from crawler.records.row_batch import RowBatch
from crawler.sandbox.reader_client import ReaderConnection
from crawler.sandbox.reader_frames import MemberEnd, TableHeader
from crawler.sandbox.reusable_reader import ReusableReader
from crawler.sandbox.sample_pump import SamplePump
from data.errors import ExamineError, WireError
from data.model import Finding

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner
    from crawler.examiner.sample import SampleMember
    from crawler.examiner.sample_request import SampleRequest

# `tables` is 1 in each chunk, as it is in the fold
_COUNTS = tuple(each.name for each in fields(TableCounts) if each.name != "tables")


class _KnownDigest:
    """The digest of a sample whose bytes were hashed before."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256

    def hexdigest(self) -> str:
        """The digest as hex digits."""
        return self._sha256


# --- one chunk -------------------------------------------------------------------------------------------------------


class ChunkExamination(Examination):
    """The examination of one chunk by both passes; its result is a state, not a finding."""

    def __init__(
        self,
        examiner: Examiner,
        request: SampleRequest,
        chunk: Chunk,
        placeholders: Mapping[str, Any],
        peer: socket.socket | None = None,
    ) -> None:
        super().__init__(examiner, request, ReusableReader(examiner.sandbox), lambda: None, peer)
        self._chunk = chunk
        self.fault = ""
        self._rows = self._headers = self._header_rows = 0
        self.records.begin_chunk(placeholders)
        if chunk.scan_start:
            self.sample.scanner.begin_at(chunk.scan_start)
            self.bytes.begin_at(self.sample, chunk.scan_start - SCAN_AROUND)
        # how many bytes came, as the thread that sends them to the reader counts, and as this one does
        self._sent = self._scanned = 0

    def state(self, chunks: Iterable[bytes | bytearray]) -> dict[str, Any]:
        """Examine the bytes of the chunk (`Chunk` says which); returns its state."""
        try:
            return self._state(chunks)
        finally:
            self.hits.close()

    def _state(self, chunks: Iterable[bytes | bytearray]) -> dict[str, Any]:
        try:
            self._examine(chunks)
        finally:
            self.bytes.close()
        sample, chunk = self.sample, self._chunk
        if self._scanned != chunk.head + chunk.end - chunk.start:
            self.fault = self.fault or "a chunk has not the bytes that it should have"
        self._wait_for_bytes()
        self.records.end_table()
        self.hits.confirm_waiting(sample)
        self.fault = self.fault or self._fault()
        state: dict[str, Any] = {"fault": self.fault, "chunk": chunk.to_json()}
        if self.fault or sample.plan is None:
            return state
        return state | {
            "format": sample.format,
            "plan": [asdict(column) for column in sample.plan.columns],
            "rows": sample.rows,
            "records": sample.records,
            "table": {name: getattr(sample.table, name) for name in _COUNTS},
            "hits": self.hits.state(),
            "collector": sample.collector.state(),
            "pass": self.records.chunk_state(),
        }

    def _examine(self, chunks: Iterable[bytes | bytearray]) -> None:
        with self.examiner.sandbox.open() as reader:
            connection = ReaderConnection(reader, self._handle_frame, self.examiner.sandbox.limits.wall, self.peer)
            connection.send(pack_json(b"G", self._chunk.blocks))
            last = pack_json(b"E", {"complete": True})
            self._examine_while_sending(SamplePump(connection, chunks, lambda: last, self._for_reader), connection)
            if connection.broken or not connection.ended_well:
                self.fault = connection.broken or "the reader ended in the middle of the sample"

    def _for_reader(self, data: bytes | bytearray) -> memoryview:
        """The part of some bytes that the reader gets: the head, and the blocks of lines."""
        chunk, at = self._chunk, self._sent
        self._sent += len(data)
        behind = chunk.head - chunk.start
        # the head is followed by the bytes from `start` on; a piece never has bytes of both, see `_scan_raw`
        if at < chunk.head:
            return memoryview(data)
        low, high = chunk.lines_start + behind - at, chunk.lines_end + behind - at
        return memoryview(data)[max(0, low) : max(0, high)]

    def _scan_raw(self, chunk: bytes | bytearray) -> None:
        """Scan the part of some bytes that the byte pass scans for this chunk."""
        asked, at = self._chunk, self._scanned
        self._scanned += len(chunk)
        if at < asked.head:
            if at + len(chunk) > asked.head:
                raise WireError("the beginning of a file and its chunk must come in pieces of their own")
            return
        behind = asked.head - asked.start
        low = max(0, asked.scan_start - SCAN_AROUND) + behind - at
        high = min(asked.bytes, asked.scan_end + SCAN_AROUND) + behind - at
        if data := bytes(memoryview(chunk)[max(0, low) : max(0, high)]):
            self.bytes.feed(self.sample, data, (self.sample,))

    def _wait_for_bytes(self) -> None:
        if self._chunk.scan_end >= self._chunk.bytes:
            self.bytes.finish(self.sample, (self.sample,))
        else:
            self.bytes.wait()

    def _end_member(self, member: SampleMember, *, complete: bool) -> None:
        """The reader has read the chunk; the table goes on in the next one."""
        member.complete = member.complete and complete

    def _handle_frame(self, kind: bytes, payload: bytes) -> bool:
        # whatever is not plain rows of one table could mean something else in the whole file
        if (kind == b"M" and self.has_begun) or kind in (b"T", b"B"):
            self.fault = self.fault or "it holds more than rows of one table"
            return False
        if kind == b"P":
            self.fault = self.fault or "its reader reports something about a part of it"
            return False
        if kind == b"E" and not MemberEnd.read(payload).complete:
            self.fault = self.fault or "its reader has not read a part of it"
        return super()._handle_frame(kind, payload)

    def _read_content(self, member: SampleMember, kind: bytes, payload: bytes) -> None:
        if self.fault:
            return
        if kind == b"H":
            self._headers += 1
            if self._headers > 1:
                self.fault = "it holds more than rows of one table"
            else:
                self.records.begin_table(member, TableHeader.read(payload).columns)
            return
        batch = RowBatch.from_frame(payload) if kind == b"R" else RowBatch.from_cells(payload)
        self.speed.begin()
        self._add_rows(member, batch)
        self.speed.end(member, len(payload))
        if member.given_up:
            self.fault = "it was examined too slowly"

    def _add_rows(self, member: SampleMember, batch: RowBatch) -> None:
        """Process the rows that this chunk owns."""
        chunk, at = self._chunk, self._rows
        self._rows += len(batch)
        first = at - chunk.head_records + chunk.first_record if chunk.head else at
        if member.forms is None:
            further = self.records.begin_rows(member, batch, (member,))
            self._header_rows = len(batch) - len(further)
            batch, first = further, first + self._header_rows
        if chunk.head and at < chunk.head_records:
            if self._rows > chunk.head_records:
                self.fault = "its blocks of lines are not those of the whole file"
            return
        row = first - self._header_rows
        if chunk.end_row >= 0:
            batch = batch.first(max(0, chunk.end_row - row))
        batch = batch.drop(max(0, min(len(batch), chunk.first_row - row)))
        if len(batch):
            self.records.add_further_rows(member, batch, (member,))

    def _fault(self) -> str:
        """Why this chunk cannot be examined like its part of the whole file, '' if it can."""
        expected = self._chunk.head_records + self._chunk.records
        if self._rows != expected or self._headers != 1:
            return "its records are not those that were counted when it was cut"
        if self.sample.problems or not self.sample.complete:
            return "a part of it has a problem"
        if self.records.notes_dropped:
            return "it has too many notes"
        return self.records.chunk_fault(self.sample)


# --- the fold --------------------------------------------------------------------------------------------------------


class Fold(Examination):
    """Puts the states of the chunks of a file together, in their order, and makes the finding of the whole file."""

    def __init__(self, examiner: Examiner, request: SampleRequest, index: FileIndex, chunks: Sequence[Chunk]) -> None:
        """Begin a file; `chunks` are all of its chunks, in order."""
        super().__init__(examiner, request, ReusableReader(examiner.sandbox), lambda: None)
        self.fault = ""
        self._index, self._chunks = index, chunks
        self._added = 0
        self._plan: Any = None

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a chunk began with the placeholders that the chunks before it taught; else it must be examined again."""
        return bool(state["fault"]) or self.records.fits(state["pass"])

    def placeholders(self) -> dict[str, Any]:
        """What the chunks so far taught, with which the next one must begin."""
        return dict(self.records.placeholders())

    def add(self, state: Mapping[str, Any]) -> None:
        """Add the state of the next chunk; afterwards `fault` says whether the file must be examined as a whole."""
        if self._added >= len(self._chunks) or Chunk.from_json(state["chunk"]) != self._chunks[self._added]:
            raise ExamineError("the chunks of a file are not complete, or not in their order")
        self._added += 1
        if state["fault"] or self.fault:
            self.fault = self.fault or state["fault"]
            return
        if self._plan is None:
            self._plan = state["plan"], state["format"]
            self.sample.plan = ColumnPlan(tuple(Column(**column) for column in state["plan"]))
            self.sample.format = state["format"]
        elif self._plan != (state["plan"], state["format"]):
            self.fault = "its chunks do not agree on what its columns hold"
            return
        sample = self.sample
        sample.rows += state["rows"]
        sample.records += state["records"]
        for name in _COUNTS:
            setattr(sample.table, name, getattr(sample.table, name) + state["table"][name])
        self.hits.add_state(state["hits"])
        sample.collector.add_state(state["collector"])
        if not self.records.add_chunk(state["pass"]):
            self.fault = "it has too many notes or record ids"

    def finding(self) -> Finding | None:
        """The finding of the whole file; None if it must be examined as a whole, and `fault` says why.

        Raises:
            ExamineError: chunks are missing.
        """
        if self._added != len(self._chunks):
            raise ExamineError("the chunks of a file are not complete, or not in their order")
        if not self.fault and self.records.has_doubt:
            self.fault = "it cannot be told whether its tables can be joined"
        if self.fault:
            return None
        self.sample.size, self.sample.crc = self._index.bytes, self._index.crc
        self.sample.digest = _KnownDigest(self._index.sha256)
        return self._finish()
