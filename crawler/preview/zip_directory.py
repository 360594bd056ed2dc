"""Reads the file list of a zip archive from the central directory at its end, for a preview.

`crawler.preview.file_list` fetches the bytes. Only names, sizes and checksums are read, with plain arithmetic and
without decompressing anything, and they serve for the preview alone: the archive itself is read by
`crawler.readers.archives.zip_archive`, in the sandbox.

Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from data.hashing.file_fingerprints import FileEntry

_END, _END64, _LOCATOR, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_ENTRY_SIZE = 46
_IN_EXTRA, _IN_EXTRA16 = 0xFFFFFFFF, 0xFFFF


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the central directory of an archive is: first byte, size, and number of entries."""

    start: int
    size: int
    entries: int


def find_directory(tail: bytes, total: int) -> Directory | None:
    """Where the central directory is; None if the bytes do not hold the end of a zip archive.

    Args:
        tail: the last bytes of the archive.
        total: size of the archive.
    """
    at = len(tail)
    while (at := tail.rfind(_END, 0, at)) >= 0:
        if at + 22 <= len(tail) and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return _directory(tail, at, total)
    return None


def _directory(tail: bytes, at: int, total: int) -> Directory | None:
    entries, size, offset = struct.unpack_from("<HII", tail, at + 10)
    # its place is counted back from its end: bytes in front of an archive shift all offsets that the archive states
    end = total - len(tail) + at
    if entries == _IN_EXTRA16 or _IN_EXTRA in (size, offset):
        if at < 20 or tail[at - 20 : at - 16] != _LOCATOR:
            return None
        record = tail.rfind(_END64, 0, at - 20)
        if record < 0 or record + 56 > at:
            return None
        entries, size = struct.unpack_from("<QQ", tail, record + 32)
        end = total - len(tail) + record
    start = end - size
    return Directory(start, size, entries) if start >= 0 and entries * _ENTRY_SIZE <= size else None


def read_directory(data: bytes, entries: int) -> tuple[list[FileEntry], bool]:
    """The files of a central directory, without folders, and whether it could be read to its last entry."""
    files: list[FileEntry] = []
    at = 0
    for _ in range(entries):
        if at + _ENTRY_SIZE > len(data) or data[at : at + 4] != _ENTRY:
            return files, False
        flags, method = struct.unpack_from("<HH", data, at + 8)
        crc, _compressed, size, name_size, extra_size, comment_size = struct.unpack_from("<IIIHHH", data, at + 16)
        name = data[at + _ENTRY_SIZE : at + _ENTRY_SIZE + name_size]
        extra_at = at + _ENTRY_SIZE + name_size
        at = extra_at + extra_size + comment_size
        if at > len(data):
            return files, False
        if size == _IN_EXTRA:
            size = _long_size(data[extra_at : extra_at + extra_size])
            if size is None:
                return files, False
        if name.endswith(b"/"):
            continue
        text = name.decode("utf-8" if flags & 0x800 else "cp437", "replace")
        # encryption AE-2 (method 99) leaves the checksum out, because it would reveal something about the content
        files.append(FileEntry(text, size, None if method == 99 and not crc else crc))
    return files, True


def _long_size(extra: bytes) -> int | None:
    """The size in the zip64 extra field; None if there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 8 and at + 12 <= len(extra):
            return int.from_bytes(extra[at + 4 : at + 12], "little")
        at += 4 + length
    return None
