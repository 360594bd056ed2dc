"""Which canaries were sighted, as bitmaps over their numbers; the values of canaries never appear here.

There is one bitmap for each bundle: 15 million canaries take less than 2 MB. `data.store.sightings` stores them.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from data.errors import WireError

if TYPE_CHECKING:
    from data.arrays.array_types import U64

# The bitmap of 2**29 canaries in one bundle, which is more than any country enrols.
MAX_BYTES = 2**26


def bitmaps_of_codes(codes: U64, bundle_of: Callable[[int], str]) -> dict[str, bytes]:
    """The bitmaps of some canaries, by bundle id.

    Args:
        codes: shape (n,), bundle number << 32 | number of the canary, in any order.
        bundle_of: gives the id of a bundle by its number.
    """
    # commands that only read the store do without numpy
    import numpy as np

    codes = np.sort(codes)
    bundles = (codes >> np.uint64(32)).astype(np.int64)
    numbers = (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
    found: dict[str, bytes] = {}
    # sorted, so that each bundle is a part of the arrays: 1,500 bundles take as long as one
    starts = np.flatnonzero(np.diff(bundles, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(codes)]):
        in_bundle = numbers[start:end]
        flags = np.zeros(int(in_bundle[-1]) + 1, np.bool_)
        flags[in_bundle] = True
        found[bundle_of(int(bundles[start]))] = np.packbits(flags, bitorder="little").tobytes()
    return found


def merge_bitmaps(one: bytes, other: bytes) -> bytes:
    """The bitmap of all canaries that are in either of two bitmaps."""
    merged = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return merged.to_bytes(max(len(one), len(other)), "little")


def merge_bitmap_sets(sets: Iterable[Mapping[str, bytes]]) -> dict[str, bytes]:
    """The bitmaps, by bundle id, of all canaries that are in any of several sets."""
    found: dict[str, bytes] = {}
    for each in sets:
        for bundle, bitmap in each.items():
            found[bundle] = merge_bitmaps(found.get(bundle, b""), bitmap)
    return found


def count_canaries(bitmap: bytes) -> int:
    """How many canaries a bitmap has."""
    return int.from_bytes(bitmap, "little").bit_count()


def encode_bitmaps(sets: Mapping[str, bytes]) -> dict[str, str]:
    """Bitmaps by bundle id as texts for JSON: compressed with zlib, then base64."""
    return {bundle: base64.b64encode(zlib.compress(bitmap)).decode() for bundle, bitmap in sets.items()}


def decode_bitmaps(sets: Mapping[str, str]) -> dict[str, bytes]:
    """The inverse of `encode_bitmaps`; raises WireError for anything that it cannot have made."""
    found = {}
    for bundle, text in sets.items():
        try:
            stream = zlib.decompressobj()
            bitmap = stream.decompress(base64.b64decode(text, validate=True), MAX_BYTES)
        except (binascii.Error, zlib.error, ValueError, TypeError) as error:
            raise WireError("a bitmap of sighted canaries cannot be decoded") from error
        if not stream.eof:
            raise WireError("a bitmap of sighted canaries is truncated or too large")
        found[bundle] = bitmap
    return found
