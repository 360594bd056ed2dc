"""Archives of formats that nothing here can write, made by hand, and those that libarchive writes."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import zlib
from binascii import crc32

import libarchive

Members = list[tuple[str, bytes]]


def written(kind: str, members: Members, filter_: str | None = None, **options: str) -> bytes:
    """What libarchive writes."""
    parts: list[bytes] = []

    def take(data: bytes) -> int:
        parts.append(bytes(data))
        return len(data)

    text = ",".join(f"{key}={value}" for key, value in options.items())
    with libarchive.custom_writer(take, kind, filter_, options=text) as archive:
        for name, data in members:
            archive.add_file_from_memory(name, len(data), data)
    return b"".join(parts)


def tar(members: Members, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def tar_entry(
    name: bytes, data: bytes = b"", *, kind: bytes = b"0", size: bytes | None = None, target: bytes = b"", at: int = 0
) -> bytes:
    """One header and body with whatever stands in them; `at` moves the checksum, which makes it wrong."""
    head = bytearray(512)
    head[: len(name)] = name
    head[100:124] = b"0000644\0" + b"0000000\0" * 2
    head[124:136] = b"%011o\0" % len(data) if size is None else size
    head[136:148] = b"%011o\0" % 0
    head[148:156] = b" " * 8
    head[156:157] = kind
    head[157 : 157 + len(target)] = target
    head[257:265] = b"ustar\x0000"
    head[148:156] = b"%06o\0 " % (sum(head) + at)
    return bytes(head) + data + bytes(-len(data) % 512)


TAR_END = bytes(1024)


# --- RAR ---------------------------------------------------------------------------------------------------------


def _vint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _rar5_block(kind: int, body: bytes, data: bytes | None = None, extra: bytes = b"") -> bytes:
    flags = (1 if extra else 0) | (2 if data is not None else 0)
    head = _vint(kind) + _vint(flags) + (_vint(len(extra)) if extra else b"")
    head += (_vint(len(data)) if data is not None else b"") + body + extra
    sized = _vint(len(head)) + head
    return struct.pack("<I", crc32(sized)) + sized + (data or b"")


def rar5(members: Members, *, locked: bool = False, crc: int | None = None, sealed: bool = False) -> bytes:
    """A RAR 5 archive of stored members; `sealed` encrypts its headers."""
    parts = [b"Rar!\x1a\x07\x01\0"]
    if sealed:
        parts.append(_rar5_block(4, _vint(0) + _vint(0) + bytes([15]) + bytes(16)))
        return b"".join(parts) + bytes(range(256)) * 4
    parts.append(_rar5_block(1, _vint(0)))
    for name, data in members:
        title = name.encode()
        body = _vint(4) + _vint(len(data)) + _vint(0o644) + struct.pack("<I", crc32(data) if crc is None else crc)
        body += _vint(0) + _vint(1) + _vint(len(title)) + title
        extra = _vint(1) + _vint(0) + _vint(0) + bytes([15]) + bytes(32) if locked else b""
        parts.append(_rar5_block(2, body, data, _vint(len(extra)) + extra if locked else b""))
    parts.append(_rar5_block(5, _vint(0)))
    return b"".join(parts)


def rar4(members: Members, *, locked: bool = False, sealed: bool = False) -> bytes:
    """A RAR 4 archive of stored members."""

    def block(kind: int, flags: int, body: bytes) -> bytes:
        rest = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", crc32(rest) & 0xFFFF) + rest

    parts = [b"Rar!\x1a\x07\0", block(0x73, 0x80 if sealed else 0, bytes(6))]
    for name, data in members:
        title = name.encode()
        body = struct.pack("<IIBIIBBHI", len(data), len(data), 3, crc32(data), 0, 29, 0x30, len(title), 0o100644)
        parts.append(block(0x74, 0x8000 | (4 if locked else 0), body + title) + data)
    return b"".join(parts) + block(0x7B, 0x4000, b"")


# --- others ------------------------------------------------------------------------------------------------------


def cab(members: Members) -> bytes:
    """A cabinet of one folder that is not compressed."""
    whole = b"".join(data for _, data in members)
    blocks = [whole[start : start + 32768] for start in range(0, len(whole), 32768)]
    files, at = b"", 0
    for name, data in members:
        files += struct.pack("<IIHHHH", len(data), at, 0, 0x21, 0, 0x20) + name.encode() + b"\0"
        at += len(data)
    first = 36 + 8 + len(files)
    body = b"".join(struct.pack("<IHH", 0, len(block), len(block)) + block for block in blocks)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, first + len(body), 0, 44, 0, 3, 1, 1, len(members), 0, 1, 0)
    return head + struct.pack("<IHH", first, len(blocks), 0) + files + body


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def lha(members: Members) -> bytes:
    """An LHA archive of stored members, headers of level 0."""
    parts = []
    for name, data in members:
        title = name.encode()
        body = b"-lh0-" + struct.pack("<IIIBB", len(data), len(data), 0x21 << 16, 0x20, 0)
        body += bytes([len(title)]) + title + struct.pack("<H", _crc16(data))
        parts.append(bytes([len(body), sum(body) & 0xFF]) + body + data)
    return b"".join(parts) + b"\0"


def seven_zip(
    name: str, packed: bytes, unpacked: int, coder: bytes, properties: bytes, crc: int | None = None
) -> bytes:
    """A 7z archive of one member, packed by one coder of whatever kind; all sizes below 2 MiB."""

    def number(value: int) -> bytes:
        if value < 0x80:
            return bytes([value])
        if value < 0x4000:
            return bytes([0x80 | value >> 8, value & 0xFF])
        return bytes([0xC0 | value >> 16]) + struct.pack("<H", value & 0xFFFF)

    title = name.encode("utf-16-le") + b"\0\0"
    digest = b"" if crc is None else b"\x0a\x01" + struct.pack("<I", crc)
    header = b"\x01\x04\x06\0\x01\x09" + number(len(packed)) + b"\0\x07\x0b\x01\0\x01"
    header += bytes([len(coder) | 0x20]) + coder + number(len(properties)) + properties
    header += b"\x0c" + number(unpacked) + b"\0\x08" + digest + b"\0\0"
    header += b"\x05\x01\x11" + number(1 + len(title)) + b"\0" + title + b"\0\0"
    start = struct.pack("<QQI", len(packed), len(header), crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start)) + start + packed + header


def seven_zip_locked(before: bytes = b"") -> bytes:
    """A 7z archive whose names are encrypted, as `7z -mhe=on` makes them; what is encrypted is noise."""
    noise = before + bytes(range(0x50))
    # packed from `before` on, by AES and in front of it LZMA, each of which gives one size
    header = b"\x17\x06\xf0" + len(before).to_bytes(8, "little")[:4] + b"\1\x09\x50\0\x07\x0b\1\0\2"
    header += b"\x24\6\xf1\7\1\2\x13\0" + b"\x23\3\1\1\5\x5d\0\x10\0\0" + b"\1\0" + b"\x0c\x50\x48\x0a\1ABCD\0\0"
    start = struct.pack("<QQI", len(noise), len(header), crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start)) + start + noise + header


def lzma2(data: bytes) -> bytes:
    """A raw LZMA2 stream, as 7-Zip packs by default."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**20}])


def seven_zip2(name: str, data: bytes, crc: int | None = None) -> bytes:
    """As 7-Zip packs by default."""
    return seven_zip(name, lzma2(data), len(data), b"\x21", b"\x14", crc32(data) if crc is None else crc)


def xar(toc: bytes, heap: bytes = b"", size: int | None = None) -> bytes:
    """An xar archive with any table of contents."""
    packed = zlib.compress(toc)
    head = struct.pack(">4sHHQQI", b"xar!", 28, 1, len(packed), len(toc) if size is None else size, 0)
    return head + packed + heap
