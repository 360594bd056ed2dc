"""tar in all its dialects, read once from front to back. A damaged header costs only its own member.

Source: POSIX.1-2024 (pax), the GNU tar manual (long names, sparse files, base-256 numbers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from crawler.readers.core.limits import MAX_NAME, Damaged, Limits
from crawler.readers.core.members import may_read_embedded, read_embedded, read_file_here, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.signatures import SIGNATURE_REACH, SignatureFinder
from crawler.readers.core.source import Source
from crawler.readers.core.unread_members import points_outside, report_empty_member
from data.errors import LimitReached

FORMAT = "tar"

_BLOCK = 512
_PIECE = 2**20
# no real name or set of pax records is longer
_MAX_EXTRA = 2**20
# bytes that are searched for a header at a time
_WINDOW = 2**16
_MARK, _MARK_AT = b"ustar", 257
_NUMBER = re.compile(rb"[ \0]*[0-7]*[ \0]*")
_HARD, _SYMBOLIC, _DEVICES, _FOLDERS = b"1", b"2", (b"3", b"4", b"6"), (b"5", b"D")
_LABELS = (b"V", b"N", b"M")
_ZEROS = bytes(_BLOCK)
_ASCII = bytes(range(128))


@dataclass(slots=True)
class _Header:
    """One header; `size` is negative if the field contains no possible size."""

    name: bytes
    size: int
    kind: bytes
    target: bytes
    extended: bool


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure if the checksum of the first header is right; nearly sure if it is wrong, but a valid header follows."""
    if _valid(head[:_BLOCK]):
        return 1.0
    return 0.98 if head.startswith(_MARK, _MARK_AT) and _valid_somewhere(head) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members in their order."""
    archive = _Archive(source, out, limits)
    try:
        archive.read()
    finally:
        archive.problems.report(out)


def _valid(block: bytes) -> bool:
    """True if the checksum of a header is right. Some old tools computed it from signed bytes."""
    if len(block) < _BLOCK or not block[0] or _NUMBER.fullmatch(block[148:156]) is None:
        return False
    digits = block[148:156].strip(b" \0")
    if not digits:
        return False
    wanted = int(digits, 8)
    fields = block[:148] + block[156:_BLOCK]
    plain = sum(fields) + 256
    return wanted in (plain, plain - 256 * len(fields.translate(None, _ASCII)))


def _valid_somewhere(data: bytes) -> bool:
    at = data.find(_MARK, _MARK_AT + 1)
    while at >= 0:
        if _valid(data[at - _MARK_AT : at - _MARK_AT + _BLOCK]):
            return True
        at = data.find(_MARK, at + 1)
    return False


def _number(field: bytes) -> int:
    """A number in octal digits, or in binary if the first bit is set; -1 if it is neither."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
        return value if field[0] in (0x80, 0xFF) else -1
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return -1


def _parse(block: bytes) -> _Header:
    name = block[:100].split(b"\0", 1)[0]
    # where the standard has the first half of a long name, GNU tar stores other things
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return _Header(
        prefix + b"/" + name if prefix else name,
        _number(block[124:136]),
        block[156:157],
        block[157:257].split(b"\0", 1)[0],
        bool(block[482]),
    )


class _Archive:
    """The state of reading one archive."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.ended = False
        self.problems = ProblemCounter()
        self._source = source
        self._out = out
        self._limits = limits
        self._records: dict[bytes, bytes] = {}
        self._global: dict[bytes, bytes] = {}
        self._names: set[int] = set()
        # the bytes that fill the last block of the last member
        self._padding = b""

    def read(self) -> None:
        """Read all members, also those of archives that follow the first."""
        source = self._source
        while block := source.peek(_BLOCK):
            if _valid(block):
                source.skip(_BLOCK)
                self.ended = False
                self._read_member(_parse(block))
            elif block == _ZEROS:
                self.ended = True
                self._skip_zero_blocks()
            elif self.ended:
                # bytes behind the end mark that are no header do not belong to the archive
                return
            elif len(block) < _BLOCK:
                source.skip(len(block))
                break
            else:
                self.problems.add("damaged", "the header of a member is damaged")
                source.skip(1)
                self._next_header()
        if not self.ended:
            self.problems.add("cut", "the archive ends before its end mark")

    def _skip_zero_blocks(self) -> None:
        source = self._source
        while (block := source.peek(_BLOCK)) and not block.strip(b"\0"):
            source.skip(len(block))

    def _next_header(self) -> None:
        """Go to the next valid header, wherever it begins, or to the end.

        Archives embedded on the way become members.
        """
        source = self._source
        while data := source.peek(_WINDOW):
            at = self._header_in(data)
            other = SignatureFinder(data if at < 0 else data[: at + SIGNATURE_REACH]).find() if at else None
            if other is not None and (other < at or at < 0) and may_read_embedded(self._out):
                source.skip(other)
                read_file_here(source, self._out)
            elif at >= 0:
                source.skip(at)
                return
            else:
                source.skip(len(data) if len(data) < _WINDOW else _WINDOW - _BLOCK + 1)

    @staticmethod
    def _header_in(data: bytes) -> int:
        at = data.find(_MARK)
        while at >= 0:
            if at >= _MARK_AT and _valid(data[at - _MARK_AT : at - _MARK_AT + _BLOCK]):
                return at - _MARK_AT
            at = data.find(_MARK, at + 1)
        return -1

    # --- members -------------------------------------------------------------------------------------------------

    def _read_member(self, header: _Header) -> None:
        if header.kind in (b"x", b"g", b"X", b"L", b"K"):
            self._read_extra(header)
            return
        records, self._records = {**self._global, **self._records}, {}
        raw = records.get(b"GNU.sparse.name") or records.get(b"path") or header.name
        target = records.get(b"linkpath") or header.target
        size = _decimal(records.get(b"size"), header.size)
        name = raw[: 4 * MAX_NAME].decode("utf-8", "surrogateescape")
        self._note_name(raw)
        sparse = header.kind == b"S" or any(key.startswith(b"GNU.sparse") for key in records)
        if header.kind in _FOLDERS and not (header.kind == b"D" and size > 0):
            return
        if header.kind in (_HARD, _SYMBOLIC, *_DEVICES, *_LABELS[:1]) and not self._has_body(header.kind, size):
            self._read_empty(header.kind, name, target)
            return
        if header.kind == b"S":
            self._sparse_maps(header.extended)
        if header.kind == b"M":
            self.problems.add("cut", "a member begins in another volume")
        self._read_file(name, size, sparse=sparse)

    def _note_name(self, name: bytes) -> None:
        number = hash(name)
        if number in self._names:
            self.problems.add("suspicious", "two members have the same name", incomplete=False)
        self._names.add(number)
        if len(self._names) > self._limits.max_entries:
            raise LimitReached(f"it holds more than {self._limits.max_entries} members")

    def _has_body(self, kind: bytes, size: int) -> bool:
        """Whether bytes follow the header of a hard link: some tools repeat the file, others only store its size."""
        if kind != _HARD or size <= 0:
            return False
        block = self._source.peek(_BLOCK)
        return block != _ZEROS and not _valid(block)

    def _read_empty(self, kind: bytes, name: str, target: bytes) -> None:
        if kind in _DEVICES:
            self.problems.add("suspicious", "a member is a device or a pipe", incomplete=False)
        elif kind in (_HARD, _SYMBOLIC) and points_outside(target.decode("utf-8", "replace")):
            self.problems.add("suspicious", "a link points outside the archive", incomplete=False)
        report_empty_member(self._out, name)

    def _sparse_maps(self, extended: bool) -> None:
        while extended:
            block = self._source.read(_BLOCK)
            extended = len(block) == _BLOCK and bool(block[504])

    def _read_file(self, name: str, size: int, *, sparse: bool) -> None:
        source = self._source
        if size < 0 or size > self._limits.max_output:
            self.problems.add("suspicious", "the header of a member contains an impossible size")
            body = self._until_header()
        else:
            body = self._body(size, sparse=sparse)
        self._padding = b""
        read_member(Source(body, name, source.amplification), self._out)
        if self._padding.strip(b"\0"):
            read_embedded(self._padding, source, self._out, at=0)

    def _body(self, size: int, *, sparse: bool) -> Iterator[bytes]:
        source = self._source
        left = size
        while left:
            piece = source.piece(min(left, _PIECE))
            if not piece:
                raise Damaged("cut", "the archive ends inside this member")
            left -= len(piece)
            yield piece
        self._padding = source.read(-size % _BLOCK)
        if sparse:
            raise Damaged(
                "sparse", "it is a sparse file: its parts were examined as if they followed each other directly"
            )

    def _until_header(self) -> Iterator[bytes]:
        source = self._source
        while data := source.peek(_WINDOW):
            at = self._header_in(data)
            if at >= 0:
                yield source.read(at)
                return
            # a header may begin in the last bytes
            yield source.read(len(data) if len(data) < _WINDOW else _WINDOW - _BLOCK + 1)

    # --- records in front of a member's header ------------------------------------------------------------------------

    def _read_extra(self, header: _Header) -> None:
        source = self._source
        if not 0 <= header.size <= _MAX_EXTRA:
            self.problems.add("suspicious", "a name or a set of records in a header is too long to be real")
            self._next_header()
            return
        data = source.read(header.size)
        source.skip(-header.size % _BLOCK)
        read_embedded(data, source, self._out, at=0)
        if len(data) < header.size:
            # the archive ends here; the caller reports it
            return
        if header.kind == b"L":
            self._records[b"path"] = data.split(b"\0", 1)[0]
        elif header.kind == b"K":
            self._records[b"linkpath"] = data.split(b"\0", 1)[0]
        else:
            self._pax(data, self._global if header.kind == b"g" else self._records)

    def _pax(self, data: bytes, records: dict[bytes, bytes]) -> None:
        at = 0
        while at < len(data):
            digits, space, _ = data[at : at + 12].partition(b" ")
            size = int(digits) if digits.isdigit() and space else 0
            key, sign, value = data[at + len(digits) + 1 : at + size].partition(b"=")
            if not sign or at + size > len(data) or not value.endswith(b"\n"):
                self.problems.add("damaged", "a record in the header of a member is damaged", incomplete=False)
                return
            if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse"):
                records[key] = value[:-1]
            at += size


def _decimal(value: bytes | None, other: int) -> int:
    if value is None or not value.isdigit() or len(value) > 20:
        return other
    return int(value)
