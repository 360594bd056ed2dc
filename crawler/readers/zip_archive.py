"""zip in one pass from front to back, for the sample comes through a pipe; members go back to the registry.

Members are found by their local headers. The index at the end is then held against what came by: an archive whose index
says otherwise is called suspicious, never silently empty.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from isal import isal_zlib

from crawler.readers import UNKNOWN, read_member
from crawler.readers.base import MAX_NAME, PIECE, Damaged, Limits, Output, Source
from crawler.readers.inflate import Inflate
from data.errors import LimitReached

FORMAT = "zip"

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64, _DESCRIPTOR = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
_EXTRA, _SIGNATURE, _SPANNED = b"PK\x06\x08", b"PK\x05\x05", b"PK\x30\x30"
_ANY = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x05\x06|\x06\x06)")
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_HEADER = struct.Struct("<4sHHHHIIH")
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its first signature."""
    return 1.0 if head.startswith((_LOCAL, _END, _SPANNED + _LOCAL, _DESCRIPTOR + _LOCAL)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come, then compare with the index."""
    archive = _Archive(source, out, limits)
    try:
        archive.read()
    except LimitReached:
        archive.report()
        raise
    archive.report()
    if archive.ended and source.peek(1):
        out.problem("trailing", "bytes follow the end of the archive; they are examined by themselves")
        read_member(Source(iter(source.piece, b""), "", source.amplification), out)


@dataclass(slots=True)
class _Local:
    """A local header."""

    flags: int
    method: int
    crc: int
    packed: int
    unpacked: int
    name: bytes

    @property
    def streamed(self) -> bool:
        return bool(self.flags & _STREAMED)

    @property
    def title(self) -> str:
        return self.name[: 4 * MAX_NAME].decode("utf-8" if self.flags & _UTF8 else "cp437", "replace")


class _Stored:
    """A member that is not compressed."""

    def __init__(self, source: Source, size: int | None) -> None:
        self.size = 0
        self.crc = 0
        self._source = source
        self._wanted = size

    def _took(self, data: bytes) -> bytes:
        self.size += len(data)
        self.crc = isal_zlib.crc32(data, self.crc)
        return data

    def pieces(self) -> Iterator[bytes]:
        if self._wanted is None:
            yield from self._until_descriptor()
            return
        while self.size < self._wanted:
            data = self._source.piece(min(PIECE, self._wanted - self.size))
            if not data:
                raise Damaged("cut", "the archive ends inside this member")
            yield self._took(data)

    def _until_descriptor(self) -> Iterator[bytes]:
        """The size stands behind the member: its end is where a descriptor agrees with what came before it."""
        while data := self._source.peek(PIECE):
            at = data.find(_DESCRIPTOR)
            if at < 0:
                # the last bytes may begin a descriptor
                at = len(data) - 3 if len(data) == PIECE else len(data)
                yield self._took(self._source.read(at))
                continue
            if at:
                yield self._took(self._source.read(at))
            if _descriptor_size(self._source, self.crc, self.size, self.size):
                return
            yield self._took(self._source.read(4))
        raise Damaged("cut", "the archive ends inside this member")


def _descriptor_size(source: Source, crc: int, packed: int, unpacked: int) -> int:
    """Length of the data descriptor that comes next if it says these numbers, else 0."""
    data = source.peek(24)
    for mark in (_DESCRIPTOR, b""):
        for form in ("<III", "<IQQ"):
            size = struct.calcsize(form)
            body = data[len(mark) : len(mark) + size]
            if data.startswith(mark) and len(body) == size:
                mask = _FULL32 if form == "<III" else 2**64 - 1
                if struct.unpack(form, body) == (crc, packed & mask, unpacked & mask):
                    return len(mark) + size
    return 0


class _Archive:
    """One archive on its way through."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self.source = source
        self.out = out
        self.limits = limits
        self.ended = False
        # counted by (code, sentence, incomplete): a million members must not say the same a million times
        self._problems: Counter[tuple[str, str, bool]] = Counter()
        # by offset: hash of the name, packed size; hashes keep a million names within memory
        self._came: dict[int, tuple[int, int]] = {}
        self._names: set[int] = set()
        self._members = 0
        self._locked = 0
        self._listed = 0
        self._unlisted: set[int] = set()
        self._promised: int | None = None

    def _note(self, code: str, sentence: str, *, incomplete: bool = True) -> None:
        self._problems[code, sentence, incomplete] += 1

    def report(self) -> None:
        """Say what was wrong, once for each kind."""
        if self._locked:
            self.out.problem(
                "locked", f"{self._locked} of {self._members} members are encrypted and not read", incomplete=True
            )
        for (code, sentence, incomplete), count in self._problems.items():
            self.out.problem(code, sentence if count == 1 else f"{sentence} ({count} times)", incomplete=incomplete)

    def read(self) -> None:
        source = self.source
        while not self.ended:
            mark = source.peek(4)
            if mark == _LOCAL:
                self._member()
            elif mark == _CENTRAL:
                self._index_entry()
            elif mark == _END:
                self._end()
            elif mark == _END64:
                record = source.read(56)
                self._promised = int.from_bytes(record[32:40], "little")
                source.skip(max(0, int.from_bytes(record[4:12], "little") + 12 - 56))
            elif mark == _LOCATOR64:
                source.skip(20)
            elif mark in (_SPANNED, _DESCRIPTOR) and source.position == 0:
                source.skip(4)
            elif mark == _EXTRA:
                source.skip(4 + int.from_bytes(source.peek(8)[4:], "little"))
            elif mark == _SIGNATURE:
                source.skip(4 + int.from_bytes(source.peek(6)[4:], "little"))
            elif len(mark) < 4:
                self._note("cut", "the archive ends before its index does")
                source.skip(len(mark))
                return
            else:
                self._note("suspicious", "bytes between the members belong to none of them")
                self._next_mark()
        self._compare()

    def _next_mark(self) -> None:
        """Go to the next signature that can begin anything, or to the end."""
        source = self.source
        while data := source.peek(PIECE):
            found = _ANY.search(data)
            if found:
                source.skip(found.start())
                return
            source.skip(len(data) if len(data) < PIECE else PIECE - 3)

    # --- members -------------------------------------------------------------------------------------------------

    def _member(self) -> None:
        source = self.source
        offset = source.position
        local = self._local_header()
        if local is None:
            self._note("cut", "the archive ends inside a member's header")
            source.drain()
            return
        self._members += 1
        begin = source.position
        self._identify(local)
        if local.flags & _ENCRYPTED:
            self._locked += 1
            self._pass_over(local)
        elif local.method == _DEFLATED and (local.packed or local.streamed or not self._at_mark()):
            self._deflated(local, begin)
        elif local.method in (_STORED, _DEFLATED):
            self._stored(local)
        else:
            self.out.begin(local.title, UNKNOWN)
            self.out.problem("unread", f"compression method {local.method} is not known", incomplete=True)
            self.out.end(0)
            self._pass_over(local)
        self._came[offset] = hash(local.name), local.packed

    def _local_header(self) -> _Local | None:
        head = self.source.read(_LOCAL_HEADER.size)
        if len(head) < _LOCAL_HEADER.size:
            return None
        _, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = _LOCAL_HEADER.unpack(head)
        name = self.source.read(name_size)
        extra = self.source.read(extra_size)
        if len(extra) < extra_size or len(name) < name_size:
            return None
        unpacked, packed = _wide(extra, unpacked, packed)
        return _Local(flags, method, crc, packed, unpacked, name)

    def _identify(self, local: _Local) -> None:
        name = hash(local.name)
        if name in self._names:
            self._note("suspicious", "two members have the same name", incomplete=False)
        self._names.add(name)
        if len(self._names) > self.limits.max_entries:
            raise LimitReached(f"more than {self.limits.max_entries} members")

    def _at_mark(self) -> bool:
        return _ANY.match(self.source.peek(4)) is not None

    def _pass_over(self, local: _Local) -> None:
        if local.packed or not local.streamed:
            if self.source.skip(local.packed) < local.packed:
                self._note("cut", "the archive ends inside a member")
            self._descriptor(local)
        else:
            self._next_mark()

    def _descriptor(self, local: _Local) -> None:
        """Pass over the descriptor of a member whose content is not known: its numbers cannot be checked."""
        if local.streamed and self.source.peek(4) == _DESCRIPTOR:
            self.source.skip(16)
            if not self._at_mark():
                self.source.skip(8)

    def _deflated(self, local: _Local, begin: int) -> None:
        source = self.source
        inflate = Inflate(source, self.limits)
        member = Source(inflate.pieces(), local.title, inflate.amplification)
        read_member(member, self.out)
        damage = member.damage
        if damage is not None and damage.code == "ratio":
            try:
                if local.packed and not local.streamed:
                    source.skip(begin + local.packed - source.position)
                else:
                    inflate.find_end()
                    source.skip(_descriptor_size(source, inflate.crc, inflate.packed, inflate.unpacked))
            except Damaged as error:
                damage = error
            local.packed = local.packed or inflate.packed
        elif damage is None:
            self._check(local, inflate.crc, inflate.packed, inflate.unpacked)
        if damage is not None and damage.code != "ratio":
            # the sizes of a damaged archive are not to be trusted: the next member is where its header stands
            self._next_mark()

    def _stored(self, local: _Local) -> None:
        stored = _Stored(self.source, None if local.streamed and not local.packed else local.packed)
        if local.name.endswith(b"/") and not local.packed and not local.streamed:
            return
        member = Source(stored.pieces(), local.title, self.source.amplification)
        read_member(member, self.out)
        if member.damage is None:
            self._check(local, stored.crc, stored.size, stored.size)

    def _check(self, local: _Local, crc: int, packed: int, unpacked: int) -> None:
        """Hold a member that was read to its end against the numbers of its header or descriptor."""
        if local.streamed:
            local.packed = packed
            size = _descriptor_size(self.source, crc, packed, unpacked)
            if size:
                self.source.skip(size)
                return
            self._note("damaged", "a member is not what its descriptor says")
            if not self._at_mark():
                self._next_mark()
            return
        if (local.packed, local.unpacked) != (packed, unpacked):
            self._note("suspicious", "a member's header does not name its real sizes")
            local.packed = packed
        if local.crc != crc:
            self._note("damaged", "a member does not have the checksum that its header names")

    # --- the index -----------------------------------------------------------------------------------------------

    def _index_entry(self) -> None:
        source = self.source
        head = source.read(_CENTRAL_HEADER.size)
        if len(head) < _CENTRAL_HEADER.size:
            return
        fields = _CENTRAL_HEADER.unpack(head)
        packed, unpacked, name_size, extra_size, comment_size = fields[8:13]
        name, extra = source.read(name_size), source.read(extra_size)
        source.skip(comment_size)
        _, packed, offset = _wide(extra, unpacked, packed, fields[16])
        if not self._listed:
            self._unlisted = set(self._came)
        self._listed += 1
        came = self._came.get(offset)
        if came is None:
            self._note("suspicious", "the index lists a member that did not come by")
        elif offset not in self._unlisted:
            self._note("suspicious", "the index lists a member twice")
        elif came != (hash(name), packed):
            self._note("suspicious", "the index and a member's own header do not agree")
        self._unlisted.discard(offset)

    def _end(self) -> None:
        head = self.source.read(_END_HEADER.size)
        if len(head) < _END_HEADER.size:
            self._note("cut", "the archive ends inside its end record")
            return
        fields = _END_HEADER.unpack(head)
        if fields[4] != _FULL16 or self._promised is None:
            self._promised = fields[4]
        self.source.skip(fields[7])
        self.ended = True

    def _compare(self) -> None:
        unlisted = len(self._unlisted) if self._listed else len(self._came)
        if unlisted:
            self._note("suspicious", f"{unlisted} members are not in the index", incomplete=False)
        if self._promised != self._listed:
            self._note("suspicious", "the end record does not name the number of members in the index")


def _wide(extra: bytes, *values: int) -> tuple[int, ...]:
    """Sizes (and offset) with those that are full replaced from the zip64 field, in the order of the format."""
    if _FULL32 not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + size]
            wide = iter([int.from_bytes(body[i : i + 8], "little") for i in range(0, len(body) - 7, 8)])
            return tuple(next(wide, value) if value == _FULL32 else value for value in values)
        at += 4 + size
    return values
