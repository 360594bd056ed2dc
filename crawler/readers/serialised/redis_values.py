"""The compact encodings in which Redis stores small lists, sets and hashes inside one string, and its compression.

Source: listpack.c, ziplist.c, intset.c, zipmap.c and lzf_d.c of Redis.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.core.limits import Damaged
from crawler.readers.serialised.cursor import Cursor

_END = 0xFF
_LISTPACK_INTEGERS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}
_ZIPLIST_INTEGERS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}
_LONG_LENGTH = 0xFE


def decompress_lzf(data: bytes, size: int) -> bytes:
    """The decompressed bytes.

    Args:
        data: compressed by LZF.
        size: of the decompressed bytes, as the file states it.

    Raises:
        Damaged: the data does not decompress to `size` bytes.
    """
    found = bytearray()
    at, end = 0, len(data)
    try:
        while at < end and len(found) <= size:
            control = data[at]
            at += 1
            if control < 32:
                found += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            distance = ((control & 31) << 8 | data[at]) + 1
            at += 1
            length += 2
            start = len(found) - distance
            if start < 0:
                break
            part = found[start : start + length]
            # a part that overlaps itself repeats
            found += part if len(part) == length else (part * (length // distance + 1))[:length]
    except IndexError:
        raise Damaged("damaged", "a compressed value is damaged") from None
    if len(found) != size:
        raise Damaged("damaged", "a compressed value is damaged")
    return bytes(found)


def listpack(data: bytes) -> Iterator[bytes]:
    """The elements of a listpack; numbers as digits.

    Raises:
        Damaged: it is damaged.
    """
    cursor = Cursor(data, 6)
    while (kind := cursor.byte()) != _END:
        start = cursor.at - 1
        if kind < 0x80:
            element = str(kind).encode()
        elif kind < 0xC0:
            element = cursor.take(kind & 63)
        elif kind < 0xE0:
            number = (kind & 31) << 8 | cursor.byte()
            element = str(number - 8192 if number >= 4096 else number).encode()
        elif kind < 0xF0:
            element = cursor.take((kind & 15) << 8 | cursor.byte())
        elif kind == 0xF0:
            element = cursor.take(cursor.number("<I"))
        elif kind in _LISTPACK_INTEGERS:
            element = _integer(cursor.take(_LISTPACK_INTEGERS[kind]))
        else:
            raise Damaged("damaged", "a list of values is damaged")
        # the length of the element follows it, for reading backwards
        length = cursor.at - start
        cursor.take(1 + (length > 127) + (length > 16_383) + (length > 2_097_151) + (length > 268_435_455))
        yield element


def ziplist(data: bytes) -> Iterator[bytes]:
    """The elements of a ziplist, which Redis wrote before version 7; numbers as digits.

    Raises:
        Damaged: it is damaged.
    """
    cursor = Cursor(data, 10)
    while (before := cursor.byte()) != _END:
        if before == _LONG_LENGTH:
            cursor.take(4)
        kind = cursor.byte()
        if kind < 0x40:
            yield cursor.take(kind)
        elif kind < 0x80:
            yield cursor.take((kind & 63) << 8 | cursor.byte())
        elif kind < 0xC0:
            yield cursor.take(cursor.number(">I"))
        elif kind in _ZIPLIST_INTEGERS:
            yield _integer(cursor.take(_ZIPLIST_INTEGERS[kind]))
        elif 0xF1 <= kind <= 0xFD:
            yield str((kind & 15) - 1).encode()
        else:
            raise Damaged("damaged", "a list of values is damaged")


def intset(data: bytes) -> Iterator[bytes]:
    """The numbers of an intset, as digits.

    Raises:
        Damaged: it is damaged.
    """
    cursor = Cursor(data)
    size, count = cursor.number("<I"), cursor.number("<I")
    if size not in (2, 4, 8) or count * size > cursor.left:
        raise Damaged("damaged", "a list of values is damaged")
    for _ in range(count):
        yield _integer(cursor.take(size))


def zipmap(data: bytes) -> Iterator[bytes]:
    """The names and values of a zipmap in turn, in which Redis stored hashes before version 2.6.

    Raises:
        Damaged: it is damaged.
    """
    cursor = Cursor(data, 1)
    while (size := cursor.byte()) != _END:
        yield cursor.take(cursor.number("<I") if size == _LONG_LENGTH else size)
        size = cursor.byte()
        size = cursor.number("<I") if size == _LONG_LENGTH else size
        free = cursor.byte()
        yield cursor.take(size)
        cursor.take(free)


def stream_entries(elements: Iterator[bytes]) -> Iterator[dict[bytes, bytes]]:
    """The entries of one node of a stream, from the elements of its listpack.

    Raises:
        Damaged: it is damaged.
    """
    try:
        next(elements), next(elements)
        names = [next(elements) for _ in range(_count(next(elements)))]
        next(elements)
        while (flags := next(elements, None)) is not None:
            next(elements), next(elements)
            if _count(flags) & 2:
                entry = {name: next(elements) for name in names}
            else:
                entry = {next(elements): next(elements) for _ in range(_count(next(elements)))}
            next(elements)
            yield entry
    except (StopIteration, RuntimeError) as error:
        raise Damaged("damaged", "a stream is damaged") from error


def _count(element: bytes) -> int:
    if not element.isdigit() or len(element) > 9:
        raise Damaged("damaged", "a stream is damaged")
    return int(element)


def _integer(data: bytes) -> bytes:
    return str(int.from_bytes(data, "little", signed=True)).encode()
