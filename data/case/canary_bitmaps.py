"""Sets of canaries that were sighted: which of a client's canaries, by number, and never what they are.

A set is one bitmap for each bundle, so that the whole of 15 million canaries takes under 2 MB. What is kept of them is
`data.store.sightings`'s.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from data.arrays.array_types import U64
from data.errors import WireError

# Canaries of one bundle: 2**29, ten times the people of a large country.
MAX_BYTES = 2**26


def of_codes(codes: U64, bundle_of: Callable[[int], str]) -> dict[str, bytes]:
    """Bitmaps by bundle id.

    Args:
        codes: shape (n,), bundle number << 32 | canary, any order.
        bundle_of: id of a bundle by its number.
    """
    bundles = codes >> np.uint64(32)
    numbers = (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)
    found: dict[str, bytes] = {}
    for bundle in np.unique(bundles).tolist():
        mine = numbers[bundles == bundle]
        flags = np.zeros(int(mine.max()) + 1, np.bool_)
        flags[mine] = True
        found[bundle_of(bundle)] = np.packbits(flags, bitorder="little").tobytes()
    return found


def union(one: bytes, other: bytes) -> bytes:
    """The canaries of either of two bitmaps."""
    short, long = sorted((one, other), key=len)
    whole = np.frombuffer(long, np.uint8).copy()
    whole[: len(short)] |= np.frombuffer(short, np.uint8)
    return whole.tobytes()


def unions(sets: Iterable[Mapping[str, bytes]]) -> dict[str, bytes]:
    """The canaries of any of several sets."""
    found: dict[str, bytes] = {}
    for each in sets:
        for bundle, bitmap in each.items():
            found[bundle] = union(found.get(bundle, b""), bitmap)
    return found


def count(bitmap: bytes) -> int:
    """How many canaries are in a bitmap."""
    return int(np.bitwise_count(np.frombuffer(bitmap, np.uint8)).sum())


def packed(sets: Mapping[str, bytes]) -> dict[str, str]:
    """A set as text for JSON."""
    return {bundle: base64.b64encode(zlib.compress(bitmap)).decode() for bundle, bitmap in sets.items()}


def unpacked(sets: Mapping[str, str]) -> dict[str, bytes]:
    """The inverse of `packed`; raises WireError for anything else."""
    found = {}
    for bundle, text in sets.items():
        try:
            stream = zlib.decompressobj()
            bitmap = stream.decompress(base64.b64decode(text, validate=True), MAX_BYTES)
        except (binascii.Error, zlib.error, ValueError, TypeError) as error:
            raise WireError("a set of sighted canaries cannot be understood") from error
        if not stream.eof:
            raise WireError("a set of sighted canaries is cut, or too large")
        found[bundle] = bitmap
    return found
