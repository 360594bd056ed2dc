"""zip, read once from front to back, because the sample arrives through a pipe. Each member gets its own reader.

Members are found by their local headers. The index at the end is then compared with them: an archive whose index
differs is reported as suspicious, and is never silently empty.
"""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass

from crawler.readers.archives import zip_methods
from crawler.readers.archives.compressed_stream import CompressedStream
from crawler.readers.archives.inflate import Inflate
from crawler.readers.archives.zip_methods import DESCRIPTOR, Checked, Stored, descriptor_size
from crawler.readers.archives.zip_passwords import PasswordTrial
from crawler.readers.core.limits import MAX_NAME, PIECE, Damaged, Limits
from crawler.readers.core.members import may_read_embedded, read_embedded, read_file_here, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.registry import UNKNOWN, Choice, choose
from crawler.readers.core.signatures import SIGNATURE_REACH, SignatureFinder
from crawler.readers.core.source import Source
from crawler.readers.core.unread_members import report_locked_member
from data.errors import LimitReached
from data.plural import counted

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
# the end record is followed by a comment of at most 64 KiB
_MAX_END = 2**16 + 2**10
_MAX_INDEX = 10_000
_MAX_HEADER = 4096
# shorter fields cannot hold an archive; of longer records only so many bytes are searched
_MIN_ARCHIVE, _MAX_SEARCHED = 24, 2**24


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure by the first signature. Formats that are zips with certain members are surer."""
    return 0.98 if head.startswith((_LOCAL, _END, _SPANNED + _LOCAL, DESCRIPTOR + _LOCAL)) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Read all members in their order, then compare them with the index."""
    read_members(source, out, limits, choose)


def read_members(source: Source, out: Output, limits: Limits, pick: Choice) -> None:
    """As `read`, but `pick` chooses the readers of the members, for formats that are zips and know their own parts."""
    archive = _Archive(source, out, limits, pick)
    try:
        archive.read()
    except LimitReached:
        archive.report()
        raise
    archive.report()


@dataclass(slots=True)
class _Local:
    """A local header, which precedes the bytes of a member; sizes in bytes."""

    flags: int
    method: int
    crc: int
    compressed: int
    decompressed: int
    name: bytes
    extra: bytes = b""

    @property
    def streamed(self) -> bool:
        """The sizes and the checksum stand behind the member, in a descriptor."""
        return bool(self.flags & _STREAMED)

    @property
    def title(self) -> str:
        """The name as text."""
        return self.name[: 4 * MAX_NAME].decode("utf-8" if self.flags & _UTF8 else "cp437", "replace")


class _Archive:
    """The state of reading one archive."""

    def __init__(self, source: Source, out: Output, limits: Limits, pick: Choice) -> None:
        self.source = source
        self.out = out
        self.limits = limits
        self.ended = False
        self._pick = pick
        self._problems = ProblemCounter()
        self._note = self._problems.add
        # {offset: (hash of the name, compressed size)} of the members read; with hashes a million names fit into memory
        self._members_read: dict[int, tuple[int, int]] = {}
        self._names: set[int] = set()
        self._members = 0
        self._locked = 0
        self._passwords = PasswordTrial(out)
        # the index: number of its entries, and offsets of members that were read and did not appear in it yet
        self._listed = 0
        # offsets in the index count from the beginning of a volume; then members are found by their names
        self._divided = False
        self._offsets: dict[int, list[int]] = {}
        self._unlisted: set[int] = set()
        # number of members according to the end record
        self._promised: int | None = None

    def report(self) -> None:
        """Report all problems, each kind once."""
        if self._locked:
            sentence = f"{self._locked} of {counted(self._members, 'member')} are encrypted and were not read"
            self.out.problem("locked", sentence, incomplete=True)
        self._problems.report(self.out)

    def read(self) -> None:
        """Read members, index and end record."""
        source = self.source
        while not self.ended:
            mark = source.peek(4)
            if mark == _LOCAL:
                self._read_member()
            elif mark == _CENTRAL:
                self._read_index_entry()
            elif mark == _END:
                self._read_end_record()
            elif mark == _END64:
                record = source.read(56)
                self._promised = int.from_bytes(record[32:40], "little")
                self._search_record(max(0, int.from_bytes(record[4:12], "little") + 12 - 56))
            elif mark == _LOCATOR64:
                source.skip(20)
            elif mark in (_SPANNED, DESCRIPTOR) and source.position == 0:
                self._divided = mark == DESCRIPTOR
                source.skip(4)
            elif mark == _EXTRA:
                self._search_record(4 + int.from_bytes(source.peek(8)[4:], "little"))
            elif mark == _SIGNATURE:
                self._search_record(4 + int.from_bytes(source.peek(6)[4:], "little"))
            elif len(mark) < 4:
                self._note("cut", "the archive ends before the end of its index")
                source.skip(len(mark))
                return
            else:
                self._note("suspicious", "bytes between the members do not belong to any of them")
                self._skip_to_signature()
        self._compare_with_index()

    def _search_field(self, data: bytes) -> None:
        """Read archives embedded in a field of a header. A comment, for example, can hold 64 KiB of anything."""
        if len(data) > _MIN_ARCHIVE:
            read_embedded(data, self.source, self.out, at=0)

    def _search_record(self, size: int) -> None:
        """Skip a record that is not needed, after reading the archives embedded in it."""
        data = self.source.read(min(size, _MAX_SEARCHED))
        self._search_field(data)
        if size > len(data) and self.source.skip(size - len(data)):
            self._note("size", "a record between the members is too large to be searched for embedded archives")

    def _skip_to_signature(self) -> None:
        """Go to the next signature of a zip, or to the end. Archives embedded on the way become members."""
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

    def _read_member(self) -> None:
        source = self.source
        offset = source.position
        taken: list[bytes] = []
        local = _local_header(self.source, taken)
        if local is None:
            self._note("cut", "the archive ends inside the header of a member")
            # with a wrong length, the bytes of another file may have been read as the name
            read_embedded(b"".join(taken), source, self.out)
            source.drain()
            return
        self._members += 1
        self._search_field(local.extra)
        begin = source.position
        self._note_name(local)
        if local.flags & _ENCRYPTED:
            if self._passwords.read_member(b"".join(taken), local.compressed, source, self.limits):
                self._skip_descriptor(local)
            else:
                self._locked += 1
                report_locked_member(self.out, local.title)
                self._skip_member(local)
        elif local.method == _DEFLATED and (local.compressed or local.streamed or not self._at_signature()):
            self._read_deflated(local, begin)
        elif local.method in (_STORED, _DEFLATED):
            self._read_stored(local)
        else:
            self._read_other(local, begin)
        self._members_read[offset] = hash(local.name), local.compressed

    def _note_name(self, local: _Local) -> None:
        name = hash(local.name)
        if name in self._names:
            self._note("suspicious", "two members have the same name", incomplete=False)
        self._names.add(name)
        if len(self._names) > self.limits.max_entries:
            raise LimitReached(f"it holds more than {self.limits.max_entries} members")

    def _at_signature(self) -> bool:
        return _ANY.match(self.source.peek(4)) is not None

    def _skip_member(self, local: _Local) -> None:
        if local.compressed or not local.streamed:
            if self.source.skip(local.compressed) < local.compressed:
                self._note("cut", "the archive ends inside a member")
            self._skip_descriptor(local)
        else:
            self._skip_to_signature()

    def _skip_descriptor(self, local: _Local) -> None:
        """Skip the descriptor of a member that was not decompressed, so that its numbers cannot be checked."""
        if local.streamed and self.source.peek(4) == DESCRIPTOR:
            self.source.skip(16)
            if not self._at_signature():
                self.source.skip(8)

    def _read_deflated(self, local: _Local, begin: int) -> None:
        source = self.source
        inflate = Inflate(source, self.limits)
        member = Source(inflate.pieces(), local.title, inflate.amplification)
        read_member(member, self.out, self._pick)
        damage = member.damage
        if damage is not None and damage.code == "ratio":
            try:
                if local.compressed and not local.streamed:
                    source.skip(begin + local.compressed - source.position)
                else:
                    inflate.find_end()
                    source.skip(descriptor_size(source, inflate.crc, inflate.compressed, inflate.decompressed))
            except Damaged as error:
                damage = error
            local.compressed = local.compressed or inflate.compressed
        elif damage is None:
            self._check(local, inflate.crc, inflate.compressed, inflate.decompressed)
        if damage is not None and damage.code != "ratio":
            # sizes in a damaged archive are not trusted: the next member is found by its header
            self._skip_to_signature()

    def _read_other(self, local: _Local, begin: int) -> None:
        """Read a member compressed by another method than deflate, up to the size in its header if there is one."""
        source = self.source
        bounded = local.compressed > 0 or not local.streamed
        body = Source(Stored(source, local.compressed).pieces(), "", source.amplification) if bounded else source
        stream = zip_methods.open_member_stream(
            local.method, body, self.limits, None if local.streamed else local.decompressed
        )
        if stream is None:
            self.out.begin(local.title, UNKNOWN)
            self.out.problem("unread", f"its compression method {local.method} is not supported", incomplete=True)
            self.out.end(0)
            self._skip_member(local)
            return
        checked = Checked(stream.pieces())
        member = Source(checked.pieces(), local.title, stream.amplification)
        read_member(member, self.out, self._pick)
        compressed = stream.compressed
        if bounded:
            body.drain()
            compressed = source.position - begin
            if body.damage is not None:
                self._note("cut", "the archive ends inside a member")
        if member.damage is None:
            self._check(local, checked.crc, compressed, stream.decompressed)
        elif bounded:
            self._skip_descriptor(local)
        else:
            self._skip_to_signature()

    def _read_stored(self, local: _Local) -> None:
        stored = Stored(self.source, None if local.streamed and not local.compressed else local.compressed)
        if local.name.endswith(b"/") and not local.compressed and not local.streamed:
            return
        member = Source(stored.pieces(), local.title, self.source.amplification)
        read_member(member, self.out, self._pick)
        if member.damage is None:
            self._check(local, stored.crc, stored.size, stored.size)

    def _check(self, local: _Local, crc: int, compressed: int, decompressed: int) -> None:
        """Compare a member that was read to its end with the numbers in its header or descriptor."""
        if local.streamed:
            local.compressed = compressed
            size = descriptor_size(self.source, crc, compressed, decompressed)
            if size:
                self.source.skip(size)
                return
            self._note("damaged", "a member does not match the sizes and checksum in its descriptor")
            if not self._at_signature():
                self._skip_to_signature()
            return
        if (local.compressed, local.decompressed) != (compressed, decompressed):
            self._note("suspicious", "the header of a member contains wrong sizes")
            local.compressed = compressed
        if local.crc != crc:
            self._note("damaged", "a member does not match the checksum in its header")

    # --- the index -----------------------------------------------------------------------------------------------

    def _read_index_entry(self) -> None:
        source = self.source
        head = source.read(_CENTRAL_HEADER.size)
        if len(head) < _CENTRAL_HEADER.size:
            return
        fields = _CENTRAL_HEADER.unpack(head)
        compressed, decompressed, name_size, extra_size, comment_size = fields[8:13]
        name, extra = source.read(name_size), source.read(extra_size)
        self._search_field(extra)
        self._search_field(source.read(comment_size))
        _, compressed, offset = _zip64(extra, decompressed, compressed, fields[16])
        if fields[1] >> 8 == _UNIX and fields[15] >> 28 in _DEVICES:
            self._note("suspicious", "a member is a device or a pipe", incomplete=False)
        if not self._listed:
            self._unlisted = set(self._members_read)
        self._listed += 1
        if self._divided:
            offset = self._offset_of(hash(name), offset)
        read = self._members_read.get(offset)
        if read is None:
            self._note("suspicious", "the index lists a member that is not in the archive")
        elif offset not in self._unlisted:
            self._note("suspicious", "the index lists a member twice")
        elif read != (hash(name), compressed):
            self._note("suspicious", "the index and the header of a member differ")
        self._unlisted.discard(offset)

    def _offset_of(self, name: int, offset: int) -> int:
        """Where the member with this hash of its name begins in the joined volumes; `offset` if there is no such member."""
        if not self._offsets:
            for place, (known, _) in self._members_read.items():
                self._offsets.setdefault(known, []).append(place)
            for places in self._offsets.values():
                places.reverse()
        known_places = self._offsets.get(name)
        return known_places.pop() if known_places else offset

    def _read_end_record(self) -> None:
        head = self.source.read(_END_HEADER.size)
        if len(head) < _END_HEADER.size:
            self._note("cut", "the archive ends inside its end record")
            return
        fields = _END_HEADER.unpack(head)
        if fields[4] != _FULL16 or self._promised is None:
            self._promised = fields[4]
        self._search_field(self.source.read(fields[7]))
        self.ended = True

    def _compare_with_index(self) -> None:
        unlisted = len(self._unlisted) if self._listed else len(self._members_read)
        if unlisted:
            sentence = f"the index lacks {counted(unlisted, 'member')} of the archive"
            self._note("suspicious", sentence, incomplete=False)
        if self._promised != self._listed:
            self._note("suspicious", "the end record contains a wrong number of members")


def open_member(source: Source, limits: Limits) -> Source | None:
    """The bytes of the member whose header comes next, for formats that need one part before the others.

    Its sizes and checksum are not checked.

    Returns:
        None if no header comes next, the member is encrypted, or its compression method is not supported.
    """
    local = _local_header(source) if source.peek(4) == _LOCAL else None
    if local is None or local.flags & _ENCRYPTED:
        return None
    if local.method == _STORED:
        stored = Stored(source, None if local.streamed and not local.compressed else local.compressed)
        return Source(stored.pieces(), local.title, source.amplification)
    stream: CompressedStream | None = Inflate(source, limits)
    if local.method != _DEFLATED:
        stream = zip_methods.open_member_stream(
            local.method, source, limits, None if local.streamed else local.decompressed
        )
    return None if stream is None else Source(stream.pieces(), local.title, stream.amplification)


def member_offsets(held: memoryview) -> dict[str, int]:
    """Offsets of the local headers in an archive in memory, by the name of the member; the first of each name.

    They come from the index at the end. If that is missing or wrong, local headers are searched for.
    """
    places = _read_index(held)
    if not places or any(held[at : at + 4] != _LOCAL for at in places.values()):
        places = {}
        for found in itertools.islice(re.finditer(_LOCAL, held), _MAX_INDEX):
            local = _local_header(Source(iter([bytes(held[found.start() : found.start() + _MAX_HEADER])])))
            if local is not None:
                places.setdefault(local.title, found.start())
    return places


def _read_index(held: memoryview) -> dict[str, int]:
    data = bytes(held[-_MAX_END:])
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
        compressed, decompressed, name_size, extra_size, comment_size = fields[8:13]
        start += _CENTRAL_HEADER.size
        name = bytes(held[start : start + name_size])
        extra = bytes(held[start + name_size : start + name_size + extra_size])
        offset = _zip64(extra, decompressed, compressed, fields[16])[2]
        places.setdefault(name.decode("utf-8" if fields[3] & _UTF8 else "cp437", "replace"), offset)
        start += name_size + extra_size + comment_size
    return places


def _local_header(source: Source, taken: list[bytes] | None = None) -> _Local | None:
    """The header that comes next, None if the archive ends inside it; its bytes are appended to `taken`."""
    taken = [] if taken is None else taken
    head = source.read(_LOCAL_HEADER.size)
    taken.append(head)
    if len(head) < _LOCAL_HEADER.size:
        return None
    _, _, flags, method, _, _, crc, compressed, decompressed, name_size, extra_size = _LOCAL_HEADER.unpack(head)
    name = source.read(name_size)
    extra = source.read(extra_size)
    taken += (name, extra)
    if len(extra) < extra_size or len(name) < name_size:
        return None
    decompressed, compressed = _zip64(extra, decompressed, compressed)
    return _Local(flags, method, crc, compressed, decompressed, name, extra)


def _zip64(extra: bytes, *values: int) -> tuple[int, ...]:
    """Sizes (and offset) of a header; those with all bits set are replaced by the next values of the zip64 field."""
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
