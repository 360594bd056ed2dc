"""Builds compound files (OLE), and the records of old workbooks (xls)."""

from __future__ import annotations

import struct

END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def compound(streams: dict[str, bytes], cutoff: int = 4096) -> bytes:
    """A compound file of at most 60,000 sectors of 512 bytes; streams shorter than `cutoff` lie in small sectors."""
    sectors: list[bytes] = []
    table: list[int] = []

    def store(data: bytes) -> int:
        if not data:
            return END
        first = len(sectors)
        count = -(-len(data) // 512)
        for number in range(count):
            sectors.append(data[number * 512 : (number + 1) * 512].ljust(512, b"\0"))
            table.append(first + number + 1 if number + 1 < count else END)
        return first

    small, small_table = b"", []
    entries = []
    for name, data in streams.items():
        if len(data) >= cutoff:
            entries.append((name, 2, store(data), len(data)))
            continue
        first, count = len(small_table), -(-len(data) // 64)
        small += data.ljust(count * 64, b"\0")
        small_table += [first + number + 1 if number + 1 < count else END for number in range(count)]
        entries.append((name, 2, first if count else END, len(data)))
    entries.insert(0, ("Root Entry", 5, store(small), len(small)))
    small_start = store(struct.pack(f"<{len(small_table)}I", *small_table))
    folder = b""
    for name, kind, start, size in entries:
        title = name.encode("utf-16-le")
        folder += (
            title.ljust(64, b"\0")
            + struct.pack("<HBB", len(title) + 2, kind, 1)
            + struct.pack("<III", FREE, FREE, FREE)
        )
        folder += bytes(36) + struct.pack("<IQ", start, size)
    folder_start = store(folder)
    needed = -(-(len(table) + 1) // 127)
    places = []
    for _ in range(needed):
        places.append(len(sectors))
        sectors.append(b"")
        table.append(FAT)
    table += [FREE] * (needed * 128 - len(table))
    for number, place in enumerate(places):
        sectors[place] = struct.pack("<128I", *table[number * 128 : (number + 1) * 128])
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 0, needed, folder_start, 0, cutoff, small_start, 1, END, 0)
    head += struct.pack("<109I", *places, *[FREE] * (109 - needed))
    return head + b"".join(sectors)


def record(kind: int, body: bytes) -> bytes:
    """A record of an old workbook."""
    return struct.pack("<HH", kind, len(body)) + body


def wide(text: str, size: int = 2) -> bytes:
    """A string of BIFF 8 in UTF-16."""
    return len(text).to_bytes(size, "little") + b"\1" + text.encode("utf-16-le")


def narrow(text: str) -> bytes:
    """A string of BIFF 8 in Latin-1."""
    return struct.pack("<HB", len(text), 0) + text.encode("latin-1")


def sheets(*bodies: bytes, head: bytes = b"") -> bytes:
    """The stream of a workbook: the records of the workbook itself, then those of each sheet."""
    start = record(0x809, struct.pack("<HHHHII", 0x600, 5, 0, 0, 0, 0))
    sheet = record(0x809, struct.pack("<HHHHII", 0x600, 16, 0, 0, 0, 0))
    end = record(0x0A, b"")
    return start + head + end + b"".join(sheet + body + end for body in bodies)
