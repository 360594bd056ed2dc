"""The files that a 7z archive names in its header, from a few of its bytes alone; who fetches them is `crawler.preview.file_list`.

The first 32 bytes say where the header lies, mostly at the end. Often it is packed in its turn, by LZMA, or encrypted.
Only names, sizes and checksums are taken; nothing is believed but for an early look. The archive itself is read by
`crawler.readers.archives.seven_zip`, in the sandbox.

Source: DOC/7zFormat.txt of 7-Zip 24.
"""

from __future__ import annotations

import lzma
import struct
from dataclasses import dataclass
from zlib import crc32

from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry

HEAD = 32
"""Bytes at the start that say where the header lies."""
_MAGIC = b"7z\xbc\xaf\x27\x1c"
# 150,000 files with names of 40 letters; nothing that is unpacked here grows beyond it
_MOST_HEADER = 16 * 2**20
_END, _HEADER, _ARCHIVE, _ADDITIONAL, _STREAMS, _FILES = 0, 1, 2, 3, 4, 5
_PACKED, _FOLDERS, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACKED, _COUNT = 6, 7, 8, 9, 10, 11, 12, 13
_EMPTY_STREAM, _EMPTY_FILE, _NAMES, _ENCODED = 14, 15, 17, 23
_COPY, _LZMA, _LZMA2, _AES = b"\0", b"\3\1\1", b"\x21", b"\6\xf1\7\1"
# Of everything that is counted; ten times as many files as a zip archive could name without extensions.
_MOST, _MOST_CODERS = 650_000, 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where some bytes of an archive lie, and their checksum; None where it is not said."""

    start: int
    size: int
    crc: int | None

    def holds(self, data: bytes) -> bool:
        """Whether these are the bytes."""
        return len(data) == self.size and (self.crc is None or crc32(data) == self.crc)


@dataclass(frozen=True, slots=True)
class PackedHeader:
    """A header that is packed.

    Attributes:
        place: of its bytes. size, crc: of what they give. coder: method and properties.
        locked: whether it is encrypted: then nothing is known of the files.
    """

    place: Place
    size: int
    crc: int | None
    coder: tuple[bytes, bytes]
    locked: bool


@dataclass(frozen=True, slots=True)
class _Folder:
    """What is packed together: its coders, and how many streams come out of them."""

    coders: tuple[tuple[bytes, bytes], ...]
    outputs: int
    last: int
    """Which of these is the content."""


def find_header(head: bytes, total: int) -> Place | None:
    """Where the header lies; None where the bytes are not the first of a 7z archive of that size, or it holds no file."""
    if len(head) < HEAD or not head.startswith(_MAGIC) or crc32(head[12:HEAD]) != int.from_bytes(head[8:12], "little"):
        return None
    offset, size, crc = struct.unpack_from("<QQI", head, 12)
    return Place(HEAD + offset, size, crc) if 0 < size <= _MOST_HEADER and HEAD + offset + size <= total else None


def packed_header(header: bytes) -> PackedHeader | None:
    """How a header is packed; None where it is not.

    Raises:
        InputError: it is damaged, or packed in a way that is not read here.
    """
    if header[:1] != bytes([_ENCODED]):
        return None
    told = _Reader(header, 1)
    start, sizes = 0, list[int]()
    folders, unpacked, crcs = list[_Folder](), list[list[int]](), list[int | None]()
    while kind := told.number():
        if kind == _PACKED:
            start, sizes = _packed_streams(told)
        elif kind == _FOLDERS:
            folders, unpacked, crcs = _folders(told)
        else:
            raise _damaged()
    if not sizes or len(folders) != 1:
        raise _damaged()
    folder, size = folders[0], unpacked[0][folders[0].last]
    locked = any(method == _AES for method, _ in folder.coders)
    if not locked and (len(folder.coders) != 1 or size > _MOST_HEADER):
        raise InputError("the header of the 7z archive is packed in a way that is not read here")
    return PackedHeader(Place(HEAD + start, sizes[0], None), size, crcs[0], folder.coders[0], locked)


def unpack_header(packed: PackedHeader, data: bytes) -> bytes:
    """The header itself; raises InputError where it is damaged, or packed in a way that is not read here."""
    method, properties = packed.coder
    # what lies further back than all there is, is not asked for: what is claimed must not be what memory is taken for
    most = max(4096, packed.size)
    if method == _COPY:
        made = data[: packed.size]
    elif method == _LZMA and len(properties) == 5 and properties[0] < 225:
        rest, lc = divmod(properties[0], 9)
        pb, lp = divmod(rest, 5)
        size = max(4096, min(int.from_bytes(properties[1:], "little"), most))
        made = _unlzma({"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": lc, "lp": lp, "pb": pb}, data, packed.size)
    elif method == _LZMA2 and len(properties) == 1:
        made = _unlzma({"id": lzma.FILTER_LZMA2, "dict_size": most}, data, packed.size)
    else:
        raise InputError("the header of the 7z archive is packed in a way that is not read here")
    if len(made) != packed.size or (packed.crc is not None and crc32(made) != packed.crc):
        raise _damaged()
    return made


def _unlzma(filter_: dict[str, int], data: bytes, size: int) -> bytes:
    try:
        # such a stream need not say where it ends
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filter_]).decompress(data, size)
    except (lzma.LZMAError, ValueError) as error:
        raise _damaged() from error


def read_header(header: bytes) -> list[FileEntry]:
    """The files that a header names, folders left out; raises InputError where it is damaged."""
    told = _Reader(header, 0)
    if told.number() != _HEADER:
        raise _damaged()
    sizes, crcs = list[int](), list[int | None]()
    files: list[FileEntry] = []
    while kind := told.number():
        if kind == _ARCHIVE:
            while told.number():
                told.take(told.number())
        elif kind in (_ADDITIONAL, _STREAMS):
            some = _streams(told)
            if kind == _STREAMS:
                sizes, crcs = some
        elif kind == _FILES:
            files = _files(told, sizes, crcs)
        else:
            raise _damaged()
    return files


class _Reader:
    """Numbers and bytes of a header one after another; each raises InputError where there are none left."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def byte(self) -> int:
        """The next one."""
        return self.take(1)[0]

    def take(self, size: int) -> bytes:
        """The next so many."""
        if size > len(self._data) - self._at:
            raise _damaged()
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        """As many leading ones as bytes follow; what is left of the first byte stands above them."""
        first = self.byte()
        more = 0
        while more < 8 and first & 0x80 >> more:
            more += 1
        low = int.from_bytes(self.take(more), "little")
        return low | (first & (0x7F >> more)) << 8 * more

    def count(self) -> int:
        """A number of things each of which takes a byte or more."""
        found = self.number()
        if found > min(_MOST, len(self._data)):
            raise _damaged()
        return found

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self._data) - self._at)

    def flags(self, count: int, *, or_all: bool = True) -> list[bool]:
        """A bit for each, where one byte in front does not say that all are set."""
        if or_all and self.byte():
            return [True] * count
        bits = self.take((count + 7) // 8)
        return [bool(bits[at >> 3] & 0x80 >> (at & 7)) for at in range(count)]

    def crcs(self, count: int) -> list[int | None]:
        """Checksums of those that have one."""
        return [int.from_bytes(self.take(4), "little") if given else None for given in self.flags(count)]


def _streams(told: _Reader) -> tuple[list[int], list[int | None]]:
    """Sizes and checksums of all files that have a content."""
    folders, unpacked, crcs = list[_Folder](), list[list[int]](), list[int | None]()
    found: tuple[list[int], list[int | None]] | None = None
    while kind := told.number():
        if kind == _PACKED:
            _packed_streams(told)
        elif kind == _FOLDERS:
            folders, unpacked, crcs = _folders(told)
        elif kind == _SUBSTREAMS:
            found = _substreams(told, [sizes[each.last] for each, sizes in zip(folders, unpacked, strict=True)], crcs)
        else:
            raise _damaged()
    return found or ([sizes[each.last] for each, sizes in zip(folders, unpacked, strict=True)], crcs)


def _packed_streams(told: _Reader) -> tuple[int, list[int]]:
    """Where the first packed stream begins, and the sizes of all."""
    start, count = told.number(), told.count()
    sizes: list[int] = []
    while kind := told.number():
        if kind == _SIZE:
            sizes = [told.number() for _ in range(count)]
        elif kind == _CRC:
            told.crcs(count)
        else:
            raise _damaged()
    return start, sizes


def _folders(told: _Reader) -> tuple[list[_Folder], list[list[int]], list[int | None]]:
    """Folders, the sizes of what comes out of each of their coders, and their checksums."""
    if told.number() != _FOLDER:
        raise _damaged()
    count = told.count()
    if told.byte():
        # they would stand elsewhere, which no program writes
        raise _damaged()
    folders = [_folder(told) for _ in range(count)]
    unpacked: list[list[int]] = []
    crcs: list[int | None] = [None] * count
    while kind := told.number():
        if kind == _UNPACKED:
            unpacked = [[told.number() for _ in range(folder.outputs)] for folder in folders]
        elif kind == _CRC:
            crcs = told.crcs(count)
        else:
            raise _damaged()
    if len(unpacked) != count:
        raise _damaged()
    return folders, unpacked, crcs


def _folder(told: _Reader) -> _Folder:
    coders = []
    inputs = outputs = 0
    for _ in range(_few(told.number())):
        flags = told.byte()
        method = told.take(flags & 15)
        ins, outs = (_few(told.number()), _few(told.number())) if flags & 0x10 else (1, 1)
        properties = told.take(told.number()) if flags & 0x20 else b""
        inputs, outputs = inputs + ins, outputs + outs
        coders.append((method, properties))
    if not outputs:
        raise _damaged()
    bound = {(told.number(), told.number())[1] for _ in range(outputs - 1)}
    for _ in range(inputs - outputs + 1 if inputs > outputs else 0):
        told.number()
    free = [at for at in range(outputs) if at not in bound]
    if len(free) != 1:
        raise _damaged()
    return _Folder(tuple(coders), outputs, free[0])


def _few(count: int) -> int:
    if count > _MOST_CODERS:
        raise _damaged()
    return count


def _substreams(told: _Reader, wholes: list[int], crcs: list[int | None]) -> tuple[list[int], list[int | None]]:
    """Sizes and checksums of the files in folders of so many bytes."""
    counts = [1] * len(wholes)
    kind = told.number()
    if kind == _COUNT:
        counts = [told.count() for _ in wholes]
        kind = told.number()
    sizes: list[int] = []
    for whole, count in zip(wholes, counts, strict=True):
        # the last one is what is left; the others are said, each of them in a byte at least
        some = [told.number() for _ in range(count - 1)] if kind == _SIZE else []
        if count and (len(some) != count - 1 or sum(some) > whole):
            raise _damaged()
        sizes += [*some, whole - sum(some)] if count else []
    if kind == _SIZE:
        kind = told.number()
    # a folder of one file may have said its checksum before
    known = [crc if count == 1 else None for crc, count in zip(crcs, counts, strict=True)]
    missing = sum(count for count, crc in zip(counts, known, strict=True) if crc is None)
    told_crcs: list[int | None] = [None] * missing
    while kind:
        if kind == _CRC:
            told_crcs = told.crcs(missing)
        else:
            told.take(told.number())
        kind = told.number()
    rest = iter(told_crcs)
    found: list[int | None] = []
    for count, crc in zip(counts, known, strict=True):
        found += [next(rest) for _ in range(count)] if crc is None else [crc]
    return sizes, found


def _files(told: _Reader, sizes: list[int], crcs: list[int | None]) -> list[FileEntry]:
    count = told.count()
    names: list[str] = []
    without, empty = [False] * count, list[bool]()
    while kind := told.number():
        part = _Reader(told.take(told.number()), 0)
        if kind == _EMPTY_STREAM:
            without = part.flags(count, or_all=False)
        elif kind == _EMPTY_FILE:
            empty = part.flags(sum(without), or_all=False)
        elif kind == _NAMES:
            names = _names(part, count)
    if len(names) != count or count - sum(without) != len(sizes):
        raise _damaged()
    contents, is_file = iter(zip(sizes, crcs, strict=True)), iter(empty or [False] * sum(without))
    files = []
    for name, has_none in zip(names, without, strict=True):
        if not has_none:
            files.append(FileEntry(name, *next(contents)))
        elif next(is_file):
            files.append(FileEntry(name, 0))
    return files


def _names(part: _Reader, count: int) -> list[str]:
    if part.byte():
        raise _damaged()
    names = part.rest().decode("utf-16-le", "replace").split("\0")
    if len(names) != count + 1 or names.pop():
        raise _damaged()
    return names


def _damaged() -> InputError:
    return InputError("the header of the 7z archive is damaged")
