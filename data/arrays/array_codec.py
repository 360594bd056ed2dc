"""Nested values with arrays as bytes, and back: the state of an examination that another process continues.

Only numbers, texts, lists, mappings with text keys and arrays of plain numbers are written; nothing is executed when they
are read. The bytes are not checked against forgery: whoever stores them seals them (`data.hashing.sealed_states`).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.errors import WireError

_ARRAY = "\0array"
_HEADER = struct.Struct("<Q")
_TYPES = frozenset({"|u1", "|i1", "|b1", "<i4", "<u4", "<i8", "<u8"})


def encode(value: Any) -> bytes:
    """A value as bytes; arrays must be of plain numbers."""
    arrays: list[NDArray[Any]] = []

    def plain(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            array = np.ascontiguousarray(item)
            if array.dtype.str not in _TYPES:
                raise TypeError(f"an array of {array.dtype} cannot be written")
            arrays.append(array)
            return {_ARRAY: [array.dtype.str, list(array.shape)]}
        if isinstance(item, dict):
            return {str(name): plain(each) for name, each in item.items()}
        if isinstance(item, list | tuple):
            return [plain(each) for each in item]
        return item

    head = orjson.dumps(plain(value))
    return b"".join([_HEADER.pack(len(head)), head, *(array.data for array in arrays)])


def decode(data: bytes | bytearray | memoryview) -> Any:
    """The inverse of `encode`; arrays are read-only views of the bytes, and tuples become lists.

    Raises:
        WireError: the bytes are not what `encode` made.
    """
    view = memoryview(data)
    try:
        (size,) = _HEADER.unpack_from(view)
        at = _HEADER.size + size
        head = orjson.loads(view[_HEADER.size : at])
    except (struct.error, orjson.JSONDecodeError) as error:
        raise WireError("a stored state is damaged") from error

    def built(item: Any) -> Any:
        nonlocal at
        if isinstance(item, list):
            return [built(each) for each in item]
        if not isinstance(item, dict):
            return item
        if _ARRAY not in item:
            return {name: built(each) for name, each in item.items()}
        kind, shape = item[_ARRAY]
        if kind not in _TYPES:
            raise WireError("a stored state has an array of an unknown type")
        count = int(np.prod(shape, dtype=np.int64))
        try:
            # a copy where the place is not a multiple of the number's size would cost less than it saves
            array = np.frombuffer(view, np.dtype(kind), count, at).reshape(shape)
        except ValueError as error:
            raise WireError("a stored state is damaged") from error
        at += array.nbytes
        return array

    return built(head)
