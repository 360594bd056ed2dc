"""Reads the file list of a 7z archive from its header, for a preview; `crawler.preview.file_list` fetches the bytes.

The first 32 bytes of the archive say where the header is, mostly at the end. The header itself is often compressed with
LZMA, or encrypted. Only names, sizes and checksums are read, and they serve for the preview alone: the archive itself
is read by `crawler.readers.archives.seven_zip`, in the sandbox.

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
"""Number of bytes at the start of an archive that say where its header is."""
_MAGIC = b"7z\xbc\xaf\x27\x1c"
# Bytes: enough for 150,000 files with names of 40 letters. Nothing is decompressed here to more than this.
_MAX_HEADER = 16 * 2**20
_END, _HEADER, _ARCHIVE, _ADDITIONAL, _STREAMS, _FILES = 0, 1, 2, 3, 4, 5
_PACK_INFO, _FOLDERS, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACK_SIZE, _COUNT = 6, 7, 8, 9, 10, 11, 12, 13
_EMPTY_STREAM, _EMPTY_FILE, _NAMES, _ENCODED = 14, 15, 17, 23
_COPY, _LZMA, _LZMA2, _AES = b"\0", b"\3\1\1", b"\x21", b"\6\xf1\7\1"
# The largest count of anything in a header: ten times the files that a zip archive without zip64 can hold.
_MAX_COUNT, _MAX_CODERS = 650_000, 32


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range of bytes of an archive (first byte, size) and its CRC-32; None if the archive does not state it."""

    start: int
    size: int
    crc: int | None

    def holds(self, data: bytes) -> bool:
        """Whether these are the bytes of the range, by size and, if it is known, by CRC-32."""
        return len(data) == self.size and (self.crc is None or crc32(data) == self.crc)


@dataclass(frozen=True, slots=True)
class CompressedHeader:
    """A header that is compressed, encrypted or both.

    Attributes:
        location: where its bytes are. size, crc: of the header once it is decompressed. coder: method id and
            properties.
        locked: it is encrypted, so that nothing is known about the files.
    """

    location: ByteRange
    size: int
    crc: int | None
    coder: tuple[bytes, bytes]
    locked: bool


@dataclass(frozen=True, slots=True)
class _Folder:
    """Files that are compressed together: its coders, and the number of streams that they give (`outputs`)."""

    coders: tuple[tuple[bytes, bytes], ...]
    outputs: int
    last: int
    """Index of the stream that is the content."""


def find_header(head: bytes, total: int) -> ByteRange | None:
    """Where the header is; None if `head` does not begin a 7z archive of `total` bytes, or the archive is empty."""
    if len(head) < HEAD or not head.startswith(_MAGIC) or crc32(head[12:HEAD]) != int.from_bytes(head[8:12], "little"):
        return None
    offset, size, crc = struct.unpack_from("<QQI", head, 12)
    return ByteRange(HEAD + offset, size, crc) if 0 < size <= _MAX_HEADER and HEAD + offset + size <= total else None


def compressed_header(header: bytes) -> CompressedHeader | None:
    """How a header is compressed; None if it is not.

    Raises:
        InputError: it is damaged, or compressed with a method that is not supported here.
    """
    if header[:1] != bytes([_ENCODED]):
        return None
    reader = _Reader(header, 1)
    start, sizes = 0, list[int]()
    folders, decompressed, crcs = list[_Folder](), list[list[int]](), list[int | None]()
    while kind := reader.number():
        if kind == _PACK_INFO:
            start, sizes = _compressed_streams(reader)
        elif kind == _FOLDERS:
            folders, decompressed, crcs = _folders(reader)
        else:
            raise _damaged()
    if not sizes or len(folders) != 1:
        raise _damaged()
    folder, size = folders[0], decompressed[0][folders[0].last]
    locked = any(method == _AES for method, _ in folder.coders)
    if not locked and (len(folder.coders) != 1 or size > _MAX_HEADER):
        raise InputError("the header of the 7z archive is compressed with a method that is not supported here")
    return CompressedHeader(ByteRange(HEAD + start, sizes[0], None), size, crcs[0], folder.coders[0], locked)


def decompress_header(compressed: CompressedHeader, data: bytes) -> bytes:
    """The header itself; raises InputError if it is damaged, or compressed with a method that is not supported here."""
    method, properties = compressed.coder
    # no dictionary needs to be larger than the header: a claimed size must not decide how much memory is allocated
    max_dictionary = max(4096, compressed.size)
    if method == _COPY:
        made = data[: compressed.size]
    elif method == _LZMA and len(properties) == 5 and properties[0] < 225:
        rest, lc = divmod(properties[0], 9)
        pb, lp = divmod(rest, 5)
        size = max(4096, min(int.from_bytes(properties[1:], "little"), max_dictionary))
        made = _unlzma(
            {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": lc, "lp": lp, "pb": pb}, data, compressed.size
        )
    elif method == _LZMA2 and len(properties) == 1:
        made = _unlzma({"id": lzma.FILTER_LZMA2, "dict_size": max_dictionary}, data, compressed.size)
    else:
        raise InputError("the header of the 7z archive is compressed with a method that is not supported here")
    if len(made) != compressed.size or (compressed.crc is not None and crc32(made) != compressed.crc):
        raise _damaged()
    return made


def _unlzma(filter_: dict[str, int], data: bytes, size: int) -> bytes:
    try:
        # `size` bounds the output: a raw stream need not have an end mark
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filter_]).decompress(data, size)
    except (lzma.LZMAError, ValueError) as error:
        raise _damaged() from error


def read_header(header: bytes) -> list[FileEntry]:
    """The files that a header names, without folders; raises InputError if the header is damaged."""
    reader = _Reader(header, 0)
    if reader.number() != _HEADER:
        raise _damaged()
    sizes, crcs = list[int](), list[int | None]()
    files: list[FileEntry] = []
    while kind := reader.number():
        if kind == _ARCHIVE:
            while reader.number():
                reader.take(reader.number())
        elif kind in (_ADDITIONAL, _STREAMS):
            some = _streams(reader)
            if kind == _STREAMS:
                sizes, crcs = some
        elif kind == _FILES:
            files = _files(reader, sizes, crcs)
        else:
            raise _damaged()
    return files


class _Reader:
    """Reads numbers and bytes of a header one after another; each method raises InputError at the end of the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > len(self._data) - self._at:
            raise _damaged()
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        """A number of variable length.

        The leading one bits of the first byte count the bytes that follow, little-endian; the other bits of the first
        byte are the most significant part.
        """
        first = self.byte()
        more = 0
        while more < 8 and first & 0x80 >> more:
            more += 1
        low = int.from_bytes(self.take(more), "little")
        return low | (first & (0x7F >> more)) << 8 * more

    def count(self) -> int:
        """A count of things of which each takes a byte or more, so that it can be at most the size of the data."""
        found = self.number()
        if found > min(_MAX_COUNT, len(self._data)):
            raise _damaged()
        return found

    def rest(self) -> bytes:
        """All remaining bytes."""
        return self.take(len(self._data) - self._at)

    def flags(self, count: int, *, or_all: bool = True) -> list[bool]:
        """A bit for each of `count` things; with `or_all` a byte precedes the bits, and if it is not 0 all are set."""
        if or_all and self.byte():
            return [True] * count
        bits = self.take((count + 7) // 8)
        return [bool(bits[at >> 3] & 0x80 >> (at & 7)) for at in range(count)]

    def crcs(self, count: int) -> list[int | None]:
        """The CRC-32 of each of `count` things, None for those without one."""
        return [int.from_bytes(self.take(4), "little") if given else None for given in self.flags(count)]


def _streams(reader: _Reader) -> tuple[list[int], list[int | None]]:
    """Sizes and checksums of all files that are not empty."""
    folders, decompressed, crcs = list[_Folder](), list[list[int]](), list[int | None]()
    found: tuple[list[int], list[int | None]] | None = None
    while kind := reader.number():
        if kind == _PACK_INFO:
            _compressed_streams(reader)
        elif kind == _FOLDERS:
            folders, decompressed, crcs = _folders(reader)
        elif kind == _SUBSTREAMS:
            found = _substreams(
                reader, [sizes[each.last] for each, sizes in zip(folders, decompressed, strict=True)], crcs
            )
        else:
            raise _damaged()
    return found or ([sizes[each.last] for each, sizes in zip(folders, decompressed, strict=True)], crcs)


def _compressed_streams(reader: _Reader) -> tuple[int, list[int]]:
    """Where the first compressed stream begins, and the sizes of all compressed streams."""
    start, count = reader.number(), reader.count()
    sizes: list[int] = []
    while kind := reader.number():
        if kind == _SIZE:
            sizes = [reader.number() for _ in range(count)]
        elif kind == _CRC:
            reader.crcs(count)
        else:
            raise _damaged()
    return start, sizes


def _folders(reader: _Reader) -> tuple[list[_Folder], list[list[int]], list[int | None]]:
    """Folders, per folder the sizes of the streams that its coders give, and the checksums of the folders."""
    if reader.number() != _FOLDER:
        raise _damaged()
    count = reader.count()
    if reader.byte():
        # the folders would be in another stream, which no known program writes
        raise _damaged()
    folders = [_folder(reader) for _ in range(count)]
    decompressed: list[list[int]] = []
    crcs: list[int | None] = [None] * count
    while kind := reader.number():
        if kind == _UNPACK_SIZE:
            decompressed = [[reader.number() for _ in range(folder.outputs)] for folder in folders]
        elif kind == _CRC:
            crcs = reader.crcs(count)
        else:
            raise _damaged()
    if len(decompressed) != count:
        raise _damaged()
    return folders, decompressed, crcs


def _folder(reader: _Reader) -> _Folder:
    coders = []
    inputs = outputs = 0
    for _ in range(_coder_count(reader.number())):
        flags = reader.byte()
        method = reader.take(flags & 15)
        ins, outs = (_coder_count(reader.number()), _coder_count(reader.number())) if flags & 0x10 else (1, 1)
        properties = reader.take(reader.number()) if flags & 0x20 else b""
        inputs, outputs = inputs + ins, outputs + outs
        coders.append((method, properties))
    if not outputs:
        raise _damaged()
    bound = {(reader.number(), reader.number())[1] for _ in range(outputs - 1)}
    for _ in range(inputs - outputs + 1 if inputs > outputs else 0):
        reader.number()
    free = [at for at in range(outputs) if at not in bound]
    if len(free) != 1:
        raise _damaged()
    return _Folder(tuple(coders), outputs, free[0])


def _coder_count(count: int) -> int:
    if count > _MAX_CODERS:
        raise _damaged()
    return count


def _substreams(reader: _Reader, wholes: list[int], crcs: list[int | None]) -> tuple[list[int], list[int | None]]:
    """Sizes and checksums of the files in folders whose decompressed sizes are `wholes`."""
    counts = [1] * len(wholes)
    kind = reader.number()
    if kind == _COUNT:
        counts = [reader.count() for _ in wholes]
        kind = reader.number()
    sizes: list[int] = []
    for whole, count in zip(wholes, counts, strict=True):
        # the sizes of all files of a folder but the last are given; the last file is the rest of the folder
        some = [reader.number() for _ in range(count - 1)] if kind == _SIZE else []
        if count and (len(some) != count - 1 or sum(some) > whole):
            raise _damaged()
        sizes += [*some, whole - sum(some)] if count else []
    if kind == _SIZE:
        kind = reader.number()
    # the checksum of a folder with a single file is that of the file
    known = [crc if count == 1 else None for crc, count in zip(crcs, counts, strict=True)]
    missing = sum(count for count, crc in zip(counts, known, strict=True) if crc is None)
    given_crcs: list[int | None] = [None] * missing
    while kind:
        if kind == _CRC:
            given_crcs = reader.crcs(missing)
        else:
            reader.take(reader.number())
        kind = reader.number()
    rest = iter(given_crcs)
    found: list[int | None] = []
    for count, crc in zip(counts, known, strict=True):
        found += [next(rest) for _ in range(count)] if crc is None else [crc]
    return sizes, found


def _files(reader: _Reader, sizes: list[int], crcs: list[int | None]) -> list[FileEntry]:
    count = reader.count()
    names: list[str] = []
    without, empty = [False] * count, list[bool]()
    while kind := reader.number():
        part = _Reader(reader.take(reader.number()), 0)
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
    for name, is_empty in zip(names, without, strict=True):
        if not is_empty:
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
