"""Reads the tables of files of any format that the readers know, inside the sandbox, for enrolment at a vendor.

The same readers read the samples of a crawl. A vendor's export is not hostile, but its formats (workbooks, databases,
SQL) are parsed by the same libraries, and those run in no process that holds a key.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from crawler.process.frames import CHUNK, load, pack_json
from crawler.records.column_roles import begins_with_header, rows_above
from crawler.records.row_batch import RowBatch
from crawler.sandbox.reader_client import ReaderConnection
from crawler.sandbox.sample_pump import RAW, SamplePump
from crawler.sandbox.sandbox import Sandbox
from data.errors import InputError, WireError

# Of the first batch of a table so many rows decide whether its first row is a header, and what its columns hold.
SAMPLE_ROWS = 500
_HINT = "repair or export the file again; nothing was enrolled"


@dataclass(frozen=True, slots=True)
class TableRows:
    """Some rows of a table.

    Attributes:
        table: its number within the file, from 0. name: of the table or member, for people; '' for the file itself.
        format: that the reader recognised.
        header: its words, None if the table has none.
        batch: the rows, without the header.
    """

    table: int
    name: str
    format: str
    header: list[str] | None
    batch: RowBatch


def read_tables(
    sandbox: Sandbox, path: Path, done: Callable[[int], None] = lambda _: None
) -> Generator[TableRows, None, None]:
    """The rows of all tables of a file, in order.

    Args:
        sandbox: starts the reader.
        path: the file.
        done: is called with each number of bytes that were read.

    Raises:
        InputError: the file cannot be read, is not completely readable, or is of no format that is known.
        ReaderFailed: as `Sandbox.open`.
    """
    tables = _Tables(path)
    reader = sandbox.open()
    read_errors: list[OSError] = []
    stopped = False

    def chunks() -> Iterator[bytes]:
        try:
            with path.open("rb") as stream:
                while not stopped and (chunk := stream.read(CHUNK)):
                    yield chunk
        except OSError as error:
            read_errors.append(error)

    try:
        connection = ReaderConnection(reader, lambda _kind, _payload: False, sandbox.limits.wall)
        for kind, payload in SamplePump(connection, chunks(), lambda: pack_json(b"E", {"complete": not read_errors})):
            if kind == RAW:
                done(len(payload))
                continue
            try:
                rows = tables.take(kind, bytes(payload))
            except (WireError, struct.error, KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path}: the reader broke its protocol", hint=_HINT) from error
            if rows is not None and len(rows.batch):
                try:
                    yield rows
                except BaseException:
                    # the rest of a large file is not read to its end, only because an error ended the enrolment
                    stopped = True
                    with contextlib.suppress(OSError):
                        reader.socket.shutdown(socket.SHUT_RDWR)
                    raise
        if read_errors:
            raise InputError(f"{path} cannot be read: {read_errors[0].strerror}", hint="check the path")
        if connection.broken or not connection.ended_well:
            reader.kill()
            reason = connection.broken or reader.wait(timeout=5).reason or "the reader ended before the end"
            raise InputError(f"{path} was not read completely: {reason}", hint=_HINT)
        tables.require_complete()
    finally:
        reader.kill()
        reader.wait(timeout=5)


class _Tables:
    """Makes rows of the frames of a reader (docs/protocols.md, section 3)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: list[tuple[str, str]] = []
        self._table, self._begun = 0, False
        self._header: list[str] | None = None
        self._problems: list[str] = []
        self._incomplete = False

    def take(self, kind: bytes, payload: bytes) -> TableRows | None:
        """The rows of a frame, None for other frames."""
        if kind in {b"R", b"C"}:
            batch = RowBatch.from_frame(payload) if kind == b"R" else RowBatch.from_cells(payload)
            return self._rows(batch)
        if kind == b"H":
            columns = load(payload)["columns"]
            self._begin_table(None if columns is None else [str(name) for name in columns])
        elif kind == b"M":
            value = load(payload)
            self._members.append((str(value["name"]), str(value["format"])))
            self._begin_table(None)
        elif kind == b"P":
            value = load(payload)
            self._problems.append(f"{value['code']}: {value['detail']}")
        elif kind == b"E":
            self._incomplete = self._incomplete or not load(payload)["complete"]
            if len(self._members) > 1:
                self._members.pop()
            self._begin_table(None)
        return None

    def _begin_table(self, header: list[str] | None) -> None:
        self._table += 1
        self._header = header
        self._begun = False

    def _rows(self, batch: RowBatch) -> TableRows:
        if not self._begun:
            self._begun = True
            sample = batch.sample(SAMPLE_ROWS)
            if self._header is None and (above := rows_above(sample)):
                sample, batch = sample.without_first(above), batch.drop(above)
            if self._header is None and begins_with_header(sample):
                self._header, batch = sample.row(0), batch.drop(1)
        name, kind = self._members[-1]
        return TableRows(self._table, name if len(self._members) > 1 else "", kind, self._header, batch)

    def require_complete(self) -> None:
        if self._incomplete:
            reasons = "; ".join(self._problems[:3]) or "no reason was given"
            raise InputError(f"{self._path} was not read completely: {reasons}", hint=_HINT)
