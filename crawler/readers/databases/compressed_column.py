"""Values of columns that MariaDB compresses (`COMPRESSED`): a byte that tells the method, the length, the value.

Source: sql/field_comp.cc of MariaDB 10.11.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

_DEFLATE, _RAW = 0x80, 8
_MAX_VALUE = 2**24
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def uncompressed(value: bytes) -> bytes:
    """The value itself; unchanged if it is not stored as in a compressed column."""
    found = _opened(value)
    return value if found is None else found


def are_compressed(values: Sequence[bytes]) -> bool:
    """Whether all of these values, none empty, are those of a compressed column.

    A zero before a value says that it is stored as it is. Numbers begin with zeros too, so that zeros alone show nothing
    unless texts of different lengths stand behind them.
    """
    if not values or not all(value[0] in (0, *range(_DEFLATE, _DEFLATE + 16)) for value in values):
        return False
    if not any(value[0] for value in values) and (
        len({len(value) for value in values}) == 1 or any(_CONTROLS.search(value, 1) for value in values)
    ):
        return False
    return all(_opened(value) is not None for value in values)


def _opened(value: bytes) -> bytes | None:
    if len(value) < 2:
        return None
    if not value[0]:
        return value[1:]
    width = value[0] & 7
    if value[0] & 0xF0 != _DEFLATE or not 1 <= width <= 4:
        return None
    size = int.from_bytes(value[1 : 1 + width], "big")
    if not 0 < size <= _MAX_VALUE:
        return None
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if value[0] & _RAW else zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(value[1 + width :], size + 1)
    except zlib.error:
        return None
    return data if len(data) == size else None
