"""Ends the reading of a member whose reader takes too much processor time for each byte of it.

Hostile bytes, and mistakes in readers, can make a reader slow without end. Its member is then given up, is reported,
and is left to the byte pass; the members beside it are still read. Processor time is counted and not time by the clock,
so that a busy machine changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from crawler.readers.core.limits import TooSlow

MIN_SPEED = 5_000_000
"""Bytes for each second of processor time. A reader in `SLOWER` has a lower floor."""
# Formats of which sound files are read more slowly: by libraries that work value by value, and with many short fields. The
# floors leave a factor of four to the speeds in docs/decisions.md, 127, which were measured on a busy machine.
_SLOW, _SLOWER, _SLOWEST = 1_000_000, 200_000, 20_000
SLOWER = {
    **dict.fromkeys(("delimited", "json", "json_lines", "json_string", "sql_dump", "base64", "uuencoded"), _SLOW),
    **dict.fromkeys(("text", "file_list", "fixed_width", "hex_dump", "statement_log"), _SLOW),
    **dict.fromkeys(("eml", "mbox", "html", "xml", "rtf", "plist", "php_serialized", "quoted_printable"), _SLOWER),
    **dict.fromkeys(("hl7", "hprim", "fhir", "ldif", "vcard", "icalendar"), _SLOWEST * 4),
    **dict.fromkeys(("dbase", "sqlite", "access", "bson", "msgpack", "parquet", "arrow"), _SLOWER),
    **dict.fromkeys(("innodb", "postgres_table", "mysql_binlog"), _SLOWER),
    **dict.fromkeys(("redis", "avro", "orc", "spss", "spss_portable", "stata", "sas", "sas_transport", "pst"), _SLOWER),
    **dict.fromkeys(("docx", "odt", "ods", "pptx", "xlsx", "ole"), _SLOWER),
    **dict.fromkeys(("7z", "rar", "bzip2", "xz", "lzma", "lzip", "brotli", "cab", "lha", "compress"), _SLOWER),
    **dict.fromkeys(("pdf", "dicom"), _SLOWEST),
    # has a limit of its own: `Limits.recognition`
    "picture": 0,
}
# What a member and everything inside it must be read at, once it has taken `_TREE_GRACE` times as long as a reader may: very many
# tiny members cost far more than their bytes. A table of 20 rows in a zip is read at 1 MB/s, a file of ten bytes at 80 KB/s.
TREE_SPEED, _TREE_GRACE = 20_000, 12
# A reader that has passed no point of control for so many seconds of processor time is interrupted where it is.
_STUCK = 5.0


@dataclass(slots=True)
class _Running:
    """A member that has begun and not ended.

    Attributes:
        floor: bytes that its reader must read for each second; 0 while no reader reads it.
        seconds: processor time of its own reader, without that of its members.
        bytes: its own bytes so far, and those of its members.
        inside: processor time of the readers of all members inside it that have a floor of speed.
        has_floor: whether its own reader has one.
        given_up: its members were read too slowly.
    """

    floor: int = 0
    seconds: float = 0.0
    bytes: int = 0
    inside: float = 0.0
    has_floor: bool = True
    given_up: bool = False


class SpeedFloor:
    """Counts bytes and processor time of each open member, and raises once its reader is too slow.

    Args:
        grace: seconds of processor time that a reader may take whatever its speed.
        clock: tells the processor time of this process in seconds.
    """

    def __init__(self, grace: float, clock: Callable[[], float]) -> None:
        self._grace, self._clock = grace, clock
        self._open: list[_Running] = []
        self._mark = self._controlled = clock()

    def begin_member(self) -> None:
        """A member begins inside the open one; the first call begins the sample itself."""
        self._charge()
        self._open.append(_Running())

    def end_member(self) -> None:
        """The open member ends; what was read of it is progress of the one around it."""
        self._charge()
        ended = self._open.pop()
        if self._open:
            self._open[-1].bytes += ended.bytes
            spent = ended.inside + (ended.seconds if ended.has_floor else 0.0)
            # the members beside one that was given up are still read, unless others like it follow
            self._open[-1].inside += spent / 2 if ended.given_up else spent

    def begin_reader(self, kind: str) -> None:
        """A reader of the format `kind` begins to read the open member."""
        self._charge()
        self._open[-1].floor = SLOWER.get(kind, MIN_SPEED)
        self._open[-1].has_floor = self._open[-1].floor > 0

    @contextmanager
    def recognising(self) -> Iterator[None]:
        """While the format of the sample is recognised: no reader has begun, and `interrupt` raises all the same."""
        self.begin_member()
        self.begin_reader("")
        try:
            yield
        finally:
            self.end_member()

    def end_reader(self, depth: int) -> None:
        """The reader of the member that is open at `depth` has ended; nothing that follows is held against it."""
        self._open[depth - 1].floor = 0

    def add(self, size: int, depth: int) -> None:
        """Bytes of the member that is open at `depth` were fetched."""
        self._open[depth - 1].bytes += size

    def check_members(self) -> None:
        """Another member is about to begin inside the open one.

        Raises:
            TooSlow: everything in the open member together was read too slowly; it is no longer read.
        """
        if not self._open:
            return
        self._charge()
        running = self._open[-1]
        spent = running.seconds + running.inside
        if running.floor and spent > _TREE_GRACE * self._grace and running.bytes < TREE_SPEED * spent:
            running.floor, running.given_up = 0, True
            raise TooSlow(
                f"its members were read more slowly than {TREE_SPEED} bytes per second of processor time, and reading was given up",
                len(self._open),
            )

    def check(self, depth: int) -> None:
        """A point of control of the reader of the member at `depth`; nothing happens while a member inside it is read.

        Raises:
            TooSlow: the reader is below its floor.
        """
        if depth == len(self._open):
            self._charge()
            self._controlled = self._mark
            self._raise_if_slow()

    def interrupt(self) -> None:
        """As `check`, from a timer: raises only in a reader that passes no point of control."""
        self._charge()
        if self._open and self._mark - self._controlled > _STUCK:
            self._raise_if_slow()

    def _charge(self) -> None:
        now = self._clock()
        if self._open:
            self._open[-1].seconds += now - self._mark
        self._mark = now

    def _raise_if_slow(self) -> None:
        running = self._open[-1]
        if running.seconds > self._grace and running.bytes < running.floor * running.seconds:
            floor, running.floor = running.floor, 0
            raise TooSlow(
                f"it was read more slowly than {floor} bytes per second of processor time, and reading was given up",
                len(self._open),
            )
