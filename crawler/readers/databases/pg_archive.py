"""Archives that `pg_dump` writes (custom, directory and tar format): each table is a member, read as the COPY of a dump.

The data of a custom archive (`-Fc`) follows its table of contents. Directories and tar files (`-Fd`, `-Ft`) keep the table
of contents in `toc.dat` and each table in a file of its own, which is read by itself.

Source: src/bin/pg_dump/pg_backup_archiver.c and pg_backup_custom.c of PostgreSQL, versions 1.0 to 1.16 of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crawler.readers.archives.inflate import Inflate
from crawler.readers.archives.zstd import Frames
from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import PIECE, Damaged, Limits
from crawler.readers.core.members import read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source

FORMAT = "pg_archive"

_MAGIC = b"PGDMP"
_CUSTOM, _TAR, _DIRECTORY = 1, 3, 5
_NONE, _GZIP, _LZ4, _ZSTD = range(4)
_DATA, _BLOBS = 1, 3
# the newest version whose table of contents is known
_NEWEST = (1, 16)
# A definition (a function, a view) is read over; the few strings that are kept are shorter.
_MAX_KEPT, _MAX_STRING = 2**16, 2**28
_MAX_ENTRIES, _MAX_DEPENDENCIES = 1_000_000, 1_000_000
# the header of an LZ4 frame of stored blocks, and what ends the frame
_LZ4_HEADER, _LZ4_STORED, _LZ4_END = b"\x04\x22\x4d\x18\x60\x40\x82", 0x80000000, bytes(4)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 by the signature and a version of the first generation, else 0.0."""
    return 1.0 if head.startswith(_MAGIC) and head[5:6] == b"\x01" else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read the table of contents, and the data behind it."""
    archive = _Archive(source, out, limits)
    archive.read_header()
    archive.read_contents()
    if archive.format == _CUSTOM:
        archive.read_data()
    else:
        out.problem("beside", "it is the table of contents of a dump, whose tables are in files beside it")


@dataclass(frozen=True, slots=True)
class _Table:
    """What the table of contents says of the data of a table: its name, and the statement to be put before it, if any."""

    name: str
    statement: bytes


class _Archive:
    """Reads one archive in order.

    Attributes:
        format: the number of the format in the header.
    """

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.format = 0
        self._source = source
        self._out = out
        self._limits = limits
        self._version = (0, 0)
        self._int_size = self._offset_size = 4
        self._compression = _GZIP
        self._tables: dict[int, _Table] = {}
        self._definitions: dict[bytes, bytes] = {}
        self._problems = ProblemCounter()

    # --- table of contents -----------------------------------------------------------------------------------------

    def read_header(self) -> None:
        """Read the header.

        Raises:
            Damaged: it is damaged, or of a version that is not known.
        """
        self._take(len(_MAGIC))
        self._version = self._byte(), self._byte()
        if self._version > (1, 0):
            self._byte()
        self._int_size = self._offset_size = self._byte()
        if self._version >= (1, 7):
            self._offset_size = self._byte()
        self.format = self._byte()
        if not 1 <= self._int_size <= 8 or not 1 <= self._offset_size <= 8:
            raise Damaged("damaged", "the header of the dump is damaged")
        if self.format not in (_CUSTOM, _TAR, _DIRECTORY) or self._version > _NEWEST:
            raise Damaged("unread", "it is a dump of a version that is not known yet")
        if self._version >= (1, 15):
            self._compression = self._byte()
        elif self._version >= (1, 4):
            self._compression = _GZIP if self._number() else _NONE
        elif self._version >= (1, 2):
            self._byte()
        if self._version >= (1, 4):
            for _ in range(7):
                self._number()
            self._string()
        if self._version >= (1, 10):
            self._string()
            self._string()

    def read_contents(self) -> None:
        """Read the table of contents and remember the tables in it.

        Raises:
            Damaged: it is damaged.
        """
        count = self._number()
        if not 0 <= count <= _MAX_ENTRIES:
            raise Damaged("damaged", "the table of contents is damaged")
        for _ in range(count):
            self._read_entry()

    def _read_entry(self) -> None:
        version = self._version
        number = self._number()
        self._number()
        if version >= (1, 8):
            self._string()
        self._string()
        name, kind = self._string(), self._string()
        if version >= (1, 11):
            self._number()
        definition = self._string()
        self._string()
        copy = self._string() if version >= (1, 3) else b""
        space = self._string() if version >= (1, 6) else b""
        if version >= (1, 10):
            self._string()
        if version >= (1, 14):
            self._string()
        if version >= (1, 16):
            self._number()
        self._string()
        if version >= (1, 9):
            self._string()
        if version >= (1, 5):
            self._skip_dependencies()
        self._skip_place()
        full_name = b".".join(filter(None, (space, name)))
        if kind == b"TABLE" and len(definition) < _MAX_KEPT:
            self._definitions[full_name] = definition
        # rows of INSERT (`--inserts`) have no statement here; the names of their columns are those of the definition
        self._tables[number] = _Table(repair(full_name).decode(), copy or self._definitions.get(full_name, b""))

    def _skip_dependencies(self) -> None:
        for _ in range(_MAX_DEPENDENCIES):
            if self._optional_string() is None:
                return
        raise Damaged("damaged", "the table of contents is damaged")

    def _skip_place(self) -> None:
        """Skip what the format says about the place of the data: an offset, or the name of a file."""
        if self.format != _CUSTOM:
            self._string()
        elif self._version >= (1, 7):
            self._take(1 + self._offset_size)
        else:
            self._number()

    # --- data ------------------------------------------------------------------------------------------------------

    def read_data(self) -> None:
        """Read every block of data as a member.

        Raises:
            Damaged: a block is damaged; those behind it cannot be found.
        """
        try:
            while kind := self._source.read(1):
                if kind[0] not in (_DATA, _BLOBS):
                    self._source.step_back(1)
                    self._read_repeated_contents()
                    return
                number = self._number()
                if kind[0] == _DATA:
                    self._read_block(self._tables.get(number, _Table("", b"")))
                    continue
                while self._number():
                    self._read_block(_Table("", b""))
        finally:
            self._problems.report(self._out)

    def _read_repeated_contents(self) -> None:
        """Read the table of contents that some builds write a second time at the end, with the places of the data.

        Raises:
            Damaged: something else follows the last block.
        """
        if self._source.peek(PIECE).strip(b"\0"):
            try:
                self.read_contents()
            except Damaged as damage:
                raise Damaged("damaged", "what follows a table of the dump is no table") from damage

    def _read_block(self, table: _Table) -> None:
        """Read the data of one table, or one large object."""
        data = Source(self._chunks(), "", self._source.amplification)
        if self._compression == _LZ4:
            # an LZ4 file may consist of several frames: the statement becomes the first of them
            frame = _stored_frame(table.statement) if table.statement else b""
            read_member(Source(_behind(frame, iter(data.piece, b"")), table.name, data.amplification), self._out)
        elif self._compression == _GZIP:
            head = data.read(2)
            if head and (len(head) < 2 or head[0] & 15 != 8):
                self._problems.add("damaged", "the compressed data of a table is damaged")
            elif head:
                inflate = Inflate(data, self._limits)
                self._read_pieces(table, inflate.pieces(), inflate.amplification)
        elif self._compression == _ZSTD:
            frames = Frames(data, self._limits)
            self._read_pieces(table, frames.pieces(), frames.amplification)
        elif self._compression == _NONE:
            self._read_pieces(table, iter(data.piece, b""), data.amplification)
        else:
            self._problems.add("unread", "a table is compressed by a method that is not known yet")
        data.drain()
        if data.damage is not None:
            raise data.damage

    def _read_pieces(self, table: _Table, pieces: Iterator[bytes], amplification: Callable[[], float]) -> None:
        member = Source(_behind(table.statement, pieces), table.name, amplification)
        read_member(member, self._out)

    def _chunks(self) -> Iterator[bytes]:
        """The bytes of one block, whose chunks have their lengths before them."""
        while left := self._number():
            if left < 0:
                raise Damaged("damaged", "the length of a part of a table is wrong")
            while left:
                piece = self._source.piece(min(left, PIECE))
                if not piece:
                    raise Damaged("cut", "the dump ends inside a table")
                left -= len(piece)
                yield piece

    # --- values ----------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            raise Damaged("cut", "the dump ends inside its table of contents")
        return data

    def _byte(self) -> int:
        return self._take(1)[0]

    def _number(self) -> int:
        """A number: a byte for its sign, and its bytes from the lowest on."""
        negative = self._version > (1, 0) and self._byte()
        number = int.from_bytes(self._take(self._int_size), "little")
        return -number if negative else number

    def _string(self) -> bytes:
        """A string, of which at most 64 KiB are kept; b"" for a missing one."""
        return self._optional_string() or b""

    def _optional_string(self) -> bytes | None:
        size = self._number()
        if size < 0:
            return None
        if size > _MAX_STRING:
            raise Damaged("damaged", "the length of a name or definition is wrong")
        kept = self._take(min(size, _MAX_KEPT))
        if self._source.skip(size - len(kept)) < size - len(kept):
            raise Damaged("cut", "the dump ends inside its table of contents")
        return kept


def _behind(start: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces with other bytes, if any, before them."""
    if start:
        yield start
    yield from pieces


def _stored_frame(data: bytes) -> bytes:
    """An LZ4 frame of one block that is not compressed."""
    return _LZ4_HEADER + (_LZ4_STORED | len(data)).to_bytes(4, "little") + data + _LZ4_END
