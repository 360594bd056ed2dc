"""zip in one pass from front to back, for the sample comes through a pipe; members go back to the registry.

Members are found by their local headers. The index at the end is then held against what came by: an archive whose index
says otherwise is called suspicious, never silently empty.
"""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass

from crawler.readers.archives import zip_methods
from crawler.readers.archives.compressed_stream import Stream
from crawler.readers.archives.inflate import Inflate
from crawler.readers.archives.zip_methods import DESCRIPTOR, Checked, Stored, descriptor_size
from crawler.readers.core.limits import MAX_NAME, PIECE, Damaged, Limits
from crawler.readers.core.members import may_read_embedded, read_embedded, read_file_here, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.registry import UNKNOWN, Choice, choose
from crawler.readers.core.signatures import SIGNATURE_REACH, SignatureFinder
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import ProblemCounter, report_locked_member
from data.errors import LimitReached

FORMAT = "zip"

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_EXTRA, _SIGNATURE, _SPANNED = b"PK\x06\x08", b"PK\x05\x05", b"PK\x30\x30"
_ANY = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x05\x06|\x06\x06)")
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_HEADER = struct.Struct("<4sHHHHIIH")
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_UNIX, _DEVICES = 3, (1, 2, 6)
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
# the end record stands before a comment of at most 64 KiB
_TAIL = 2**16 + 2**10
_MAX_INDEX = 10_000
_MAX_HEADER = 4096
# fields that are shorter hold no packed file; longer ones than that are no fields
_LEAST, _MOST_BESIDE = 24, 2**24


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its first signature, less so than formats that are zips with certain members."""
    return 0.98 if head.startswith((_LOCAL, _END, _SPANNED + _LOCAL, DESCRIPTOR + _LOCAL)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members as they come, then compare with the index."""
    read_members(source, out, limits, choose)


def read_members(source: Source, out: Output, limits: Limits, pick: Choice) -> None:
    """As `read`, where `pick` chooses the readers of members: formats that are zips know their own parts."""
    archive = _Archive(source, out, limits, pick)
    try:
        archive.read()
    except LimitReached:
        archive.report()
        raise
    archive.report()


@dataclass(slots=True)
class _Local:
    """A local header."""

    flags: int
    method: int
    crc: int
    packed: int
    unpacked: int
    name: bytes
    extra: bytes = b""

    @property
    def streamed(self) -> bool:
        return bool(self.flags & _STREAMED)

    @property
    def title(self) -> str:
        return self.name[: 4 * MAX_NAME].decode("utf-8" if self.flags & _UTF8 else "cp437", "replace")


class _Archive:
    """One archive on its way through."""

    def __init__(self, source: Source, out: Output, limits: Limits, pick: Choice) -> None:
        self.source = source
        self.out = out
        self.limits = limits
        self.ended = False
        self._pick = pick
        self._notes = ProblemCounter()
        self._note = self._notes.add
        # by offset: hash of the name, packed size; hashes keep a million names within memory
        self._came: dict[int, tuple[int, int]] = {}
        self._names: set[int] = set()
        self._members = 0
        self._locked = 0
        self._listed = 0
        self._unlisted: set[int] = set()
        self._promised: int | None = None

    def report(self) -> None:
        """Say what was wrong, once for each kind."""
        if self._locked:
            self.out.problem(
                "locked", f"{self._locked} of {self._members} members are encrypted and not read", incomplete=True
            )
        self._notes.report(self.out)

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
                self._pass_beside(max(0, int.from_bytes(record[4:12], "little") + 12 - 56))
            elif mark == _LOCATOR64:
                source.skip(20)
            elif mark in (_SPANNED, DESCRIPTOR) and source.position == 0:
                source.skip(4)
            elif mark == _EXTRA:
                self._pass_beside(4 + int.from_bytes(source.peek(8)[4:], "little"))
            elif mark == _SIGNATURE:
                self._pass_beside(4 + int.from_bytes(source.peek(6)[4:], "little"))
            elif len(mark) < 4:
                self._note("cut", "the archive ends before its index does")
                source.skip(len(mark))
                return
            else:
                self._note("suspicious", "bytes between the members belong to none of them")
                self._next_mark()
        self._compare()

    def _beside(self, data: bytes) -> None:
        """Look into a field that no member's bytes stand in: a comment holds 64 KiB of anything."""
        if len(data) > _LEAST:
            read_embedded(data, self.source, self.out, at=0)

    def _pass_beside(self, size: int) -> None:
        """Pass over a record of no meaning here, and look into it."""
        data = self.source.read(min(size, _MOST_BESIDE))
        self._beside(data)
        if size > len(data) and self.source.skip(size - len(data)):
            self._note("size", "a record beside the members is too large to be looked into")

    def _next_mark(self) -> None:
        """Go to the next signature that can begin anything, or to the end; packed files on the way are members."""
        source = self.source
        while data := source.peek(PIECE):
            found = _ANY.search(data)
            mark = found.start() if found else len(data)
            other = SignatureFinder(data[: mark + SIGNATURE_REACH]).find() if mark else None
            if other is not None and other < mark and may_read_embedded(self.out):
                source.skip(other)
                read_file_here(source, self.out)
            elif found:
                source.skip(mark)
                return
            else:
                source.skip(len(data) if len(data) < PIECE else PIECE - SIGNATURE_REACH)

    # --- members -------------------------------------------------------------------------------------------------

    def _member(self) -> None:
        source = self.source
        offset = source.position
        taken: list[bytes] = []
        local = _local_header(self.source, taken)
        if local is None:
            self._note("cut", "the archive ends inside a member's header")
            # a length that is none may have taken another file for a name
            read_embedded(b"".join(taken), source, self.out)
            source.drain()
            return
        self._members += 1
        self._beside(local.extra)
        begin = source.position
        self._identify(local)
        if local.flags & _ENCRYPTED:
            self._locked += 1
            report_locked_member(self.out, local.title)
            self._pass_over(local)
        elif local.method == _DEFLATED and (local.packed or local.streamed or not self._at_mark()):
            self._deflated(local, begin)
        elif local.method in (_STORED, _DEFLATED):
            self._stored(local)
        else:
            self._other(local, begin)
        self._came[offset] = hash(local.name), local.packed

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
        if local.streamed and self.source.peek(4) == DESCRIPTOR:
            self.source.skip(16)
            if not self._at_mark():
                self.source.skip(8)

    def _deflated(self, local: _Local, begin: int) -> None:
        source = self.source
        inflate = Inflate(source, self.limits)
        member = Source(inflate.pieces(), local.title, inflate.amplification)
        read_member(member, self.out, self._pick)
        damage = member.damage
        if damage is not None and damage.code == "ratio":
            try:
                if local.packed and not local.streamed:
                    source.skip(begin + local.packed - source.position)
                else:
                    inflate.find_end()
                    source.skip(descriptor_size(source, inflate.crc, inflate.packed, inflate.unpacked))
            except Damaged as error:
                damage = error
            local.packed = local.packed or inflate.packed
        elif damage is None:
            self._check(local, inflate.crc, inflate.packed, inflate.unpacked)
        if damage is not None and damage.code != "ratio":
            # the sizes of a damaged archive are not to be trusted: the next member is where its header stands
            self._next_mark()

    def _other(self, local: _Local, begin: int) -> None:
        """A member of a method beside deflate: bounded by the size in its header where that stands there."""
        source = self.source
        bounded = local.packed > 0 or not local.streamed
        body = Source(Stored(source, local.packed).pieces(), "", source.amplification) if bounded else source
        stream = zip_methods.open_member_stream(
            local.method, body, self.limits, None if local.streamed else local.unpacked
        )
        if stream is None:
            self.out.begin(local.title, UNKNOWN)
            self.out.problem("unread", f"compression method {local.method} is not known", incomplete=True)
            self.out.end(0)
            self._pass_over(local)
            return
        checked = Checked(stream.pieces())
        member = Source(checked.pieces(), local.title, stream.amplification)
        read_member(member, self.out, self._pick)
        packed = stream.packed
        if bounded:
            body.drain()
            packed = source.position - begin
            if body.damage is not None:
                self._note("cut", "the archive ends inside a member")
        if member.damage is None:
            self._check(local, checked.crc, packed, stream.unpacked)
        elif bounded:
            self._descriptor(local)
        else:
            self._next_mark()

    def _stored(self, local: _Local) -> None:
        stored = Stored(self.source, None if local.streamed and not local.packed else local.packed)
        if local.name.endswith(b"/") and not local.packed and not local.streamed:
            return
        member = Source(stored.pieces(), local.title, self.source.amplification)
        read_member(member, self.out, self._pick)
        if member.damage is None:
            self._check(local, stored.crc, stored.size, stored.size)

    def _check(self, local: _Local, crc: int, packed: int, unpacked: int) -> None:
        """Hold a member that was read to its end against the numbers of its header or descriptor."""
        if local.streamed:
            local.packed = packed
            size = descriptor_size(self.source, crc, packed, unpacked)
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
        self._beside(extra)
        self._beside(source.read(comment_size))
        _, packed, offset = _wide(extra, unpacked, packed, fields[16])
        if fields[1] >> 8 == _UNIX and fields[15] >> 28 in _DEVICES:
            self._note("suspicious", "a member is a device or a pipe", incomplete=False)
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
        self._beside(self.source.read(fields[7]))
        self.ended = True

    def _compare(self) -> None:
        unlisted = len(self._unlisted) if self._listed else len(self._came)
        if unlisted:
            self._note("suspicious", f"{unlisted} members are not in the index", incomplete=False)
        if self._promised != self._listed:
            self._note("suspicious", "the end record does not name the number of members in the index")


def member_at(source: Source, limits: Limits) -> Source | None:
    """The member whose header comes next, for formats that look at one part before the others; sizes and checksum are not checked.

    Returns:
        None where no header comes, or the member is encrypted or packed by a method that is not known.
    """
    local = _local_header(source) if source.peek(4) == _LOCAL else None
    if local is None or local.flags & _ENCRYPTED:
        return None
    if local.method == _STORED:
        stored = Stored(source, None if local.streamed and not local.packed else local.packed)
        return Source(stored.pieces(), local.title, source.amplification)
    stream: Stream | None = Inflate(source, limits)
    if local.method != _DEFLATED:
        stream = zip_methods.open_member_stream(
            local.method, source, limits, None if local.streamed else local.unpacked
        )
    return None if stream is None else Source(stream.pieces(), local.title, stream.amplification)


def index(held: memoryview) -> dict[str, int]:
    """Where the local headers of members of an archive in memory stand; of those with one name the first.

    The index at the end says it; where there is none, or a wrong one, headers are looked for.
    """
    places = _indexed(held)
    if not places or any(held[at : at + 4] != _LOCAL for at in places.values()):
        places = {}
        for found in itertools.islice(re.finditer(_LOCAL, held), _MAX_INDEX):
            local = _local_header(Source(iter([bytes(held[found.start() : found.start() + _MAX_HEADER])])))
            if local is not None:
                places.setdefault(local.title, found.start())
    return places


def _indexed(held: memoryview) -> dict[str, int]:
    data = bytes(held[-_TAIL:])
    at = data.rfind(_END)
    if at < 0 or at + _END_HEADER.size > len(data):
        return {}
    _, _, _, _, _, size, start, _ = _END_HEADER.unpack_from(data, at)
    if _FULL32 in (size, start):
        found = data.rfind(_END64, 0, at)
        if found < 0 or found + 56 > len(data):
            return {}
        start = int.from_bytes(data[found + 48 : found + 56], "little")
    places: dict[str, int] = {}
    while len(places) < _MAX_INDEX and start + _CENTRAL_HEADER.size <= len(held):
        fields = _CENTRAL_HEADER.unpack_from(held, start)
        if fields[0] != _CENTRAL:
            break
        packed, unpacked, name_size, extra_size, comment_size = fields[8:13]
        start += _CENTRAL_HEADER.size
        name = bytes(held[start : start + name_size])
        extra = bytes(held[start + name_size : start + name_size + extra_size])
        offset = _wide(extra, unpacked, packed, fields[16])[2]
        places.setdefault(name.decode("utf-8" if fields[3] & _UTF8 else "cp437", "replace"), offset)
        start += name_size + extra_size + comment_size
    return places


def _local_header(source: Source, taken: list[bytes] | None = None) -> _Local | None:
    """The header that comes next, None if it is cut; what was read of it goes to `taken`."""
    taken = [] if taken is None else taken
    head = source.read(_LOCAL_HEADER.size)
    taken.append(head)
    if len(head) < _LOCAL_HEADER.size:
        return None
    _, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = _LOCAL_HEADER.unpack(head)
    name = source.read(name_size)
    extra = source.read(extra_size)
    taken += (name, extra)
    if len(extra) < extra_size or len(name) < name_size:
        return None
    unpacked, packed = _wide(extra, unpacked, packed)
    return _Local(flags, method, crc, packed, unpacked, name, extra)


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
