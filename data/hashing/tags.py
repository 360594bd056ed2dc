"""Keyed hashing: kinds of tags, and probe tags and confirm digests of single values and in batch.

Normal forms come from `data.identifiers.normalise`, the keys of a case from `data.hashing.case_keys`; sets of tags are
in `data.tagsets.tagset`. The batch functions load numba on first use.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import IntEnum

import numpy as np

from data.arrays.array_types import U8, U64
from data.arrays.packed import Packed, pair_packed, read_only

SEPARATOR = b"\x1f"
_MASK = (1 << 64) - 1


class Kind(IntEnum):
    """The kind of value or record key that a tag stands for; the number is the first byte that is hashed."""

    EMAIL = 1
    PHONE = 2
    NIR = 3
    IBAN = 4
    PROFESSIONAL = 5
    TOKEN = 6
    NAME_ADDRESS = 7
    NAME_DOB = 16
    NIR_FIRST = 17
    NIR_DOB = 18
    EMAIL_FIRST = 19
    PHONE_FIRST = 20
    PHONE_DOB = 21

    @property
    def word(self) -> str:
        """The name in messages and JSON: `email`, `name+dob`."""
        return self.name.lower().replace("_", "+")


VALUE_KINDS = tuple(kind for kind in Kind if kind < 16)
"""Single values; `name+address` stands among them, because it is looked up only in tables that give no record key."""
RECORD_KINDS = tuple(kind for kind in Kind if kind >= 16)
"""In the order of the six columns of a record-key array."""

# --- hashes of single values -----------------------------------------------------------------------------------------


def probe_tag(key: bytes, kind: int, value: bytes) -> int:
    """SipHash-2-4 of kind byte and normal form under a key of 16 bytes; 0 (absent) if and only if `value` is empty.

    Source: Aumasson and Bernstein 2012, "SipHash: a fast short-input PRF".
    """
    return (siphash(key, bytes((kind,)) + value) or 1) if value else 0


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 in plain Python, the reference for the compiled batch version."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    v0, v1, v2, v3 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(message) & ~7
    words = [int.from_bytes(message[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(message[whole:], "little") | (len(message) & 255) << 56)
    for word in (*words, None):
        v3 ^= word or 0
        v2 ^= 0xFF if word is None else 0
        for _ in range(4 if word is None else 2):
            v0 = (v0 + v1) & _MASK
            v2 = (v2 + v3) & _MASK
            v1 = (v1 << 13 | v1 >> 51) & _MASK ^ v0
            v3 = (v3 << 16 | v3 >> 48) & _MASK ^ v2
            v0 = (v0 << 32 | v0 >> 32) & _MASK
            v2 = (v2 + v1) & _MASK
            v0 = (v0 + v3) & _MASK
            v1 = (v1 << 17 | v1 >> 47) & _MASK ^ v2
            v3 = (v3 << 21 | v3 >> 43) & _MASK ^ v0
            v2 = (v2 << 32 | v2 >> 32) & _MASK
        v0 ^= word or 0
    return v0 ^ v1 ^ v2 ^ v3


def confirm_digest(key: bytes, kind: int, value: bytes) -> bytes:
    """The first 16 bytes of HMAC-SHA-256 of kind byte and normal form under a key of 32 bytes."""
    return hmac.digest(key, bytes((kind,)) + value, hashlib.sha256)[:16]


def keyed_sha256(post_key: bytes, sha256: str) -> str:
    """A sample's SHA-256 (64 hex digits), hashed under the post key, which is the form that may be stored.

    A short sample could be guessed from its plain SHA-256.
    """
    return hmac.digest(post_key, bytes.fromhex(sha256), "sha256").hex()


def name_pair(surname: bytes, first: bytes) -> bytes:
    """Both names in sorted order, so that swapped columns give the same result; b'' if one is missing."""
    return SEPARATOR.join(sorted((surname, first))) if surname and first else b""


def record_input(kind: int, a: bytes, b: bytes) -> bytes:
    """The hash input, after the kind byte, for a record key of two parts (`name+dob`: the `name_pair` and the dob).

    b'' if a part is missing; raises ValueError if `kind` is not a record key.
    """
    if kind not in RECORD_KINDS:
        raise ValueError(f"kind {kind} is not a record key")
    return a + SEPARATOR + b if a and b else b""


def record_inputs(
    first: bytes = b"", surname: bytes = b"", dob: bytes = b"", nir: bytes = b"", email: bytes = b"", phone: bytes = b""
) -> list[tuple[Kind, bytes]]:
    """Kind and hash input of each record key of one person, given normal forms, in the order of `RECORD_KINDS`.

    Record keys of which a part is missing are left out.
    """
    pairs = zip(
        RECORD_KINDS,
        ((name_pair(surname, first), dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob)),
        strict=True,
    )
    inputs = [(kind, record_input(kind, a, b)) for kind, (a, b) in pairs]
    return [(kind, value) for kind, value in inputs if value]


# --- hashes in batch -------------------------------------------------------------------------------------------------


def probe_tags(key: bytes, kind: int | U8, packed: Packed) -> U64:
    """`probe_tag` of every item, shape (n,); `kind` is one kind for all items, or shape (n,)."""
    from data.hashing import hash_kernels

    kinds = _kinds(kind, len(packed))
    return hash_kernels.probe_tags_loop(*_key_halves(key), kinds, packed.blob, packed.offsets)


def confirm_digests(key: bytes, kind: int | U8, packed: Packed) -> U8:
    """`confirm_digest` of every item, shape (n, 16); `kind` is one kind for all items, or shape (n,)."""
    from data.hashing import hash_kernels

    return hash_kernels.confirm_digests_loop(
        np.frombuffer(key, np.uint8), _kinds(kind, len(packed)), packed.blob, packed.offsets
    )


def record_keys(
    key: bytes,
    first: Packed | None = None,
    surname: Packed | None = None,
    dob: Packed | None = None,
    nir: Packed | None = None,
    email: Packed | None = None,
    phone: Packed | None = None,
) -> U64:
    """The six record keys of n people, whose normal forms are in columns of length n; None for an absent column.

    Returns:
        Shape (n, 6), columns in the order of `RECORD_KINDS`, 0 where a part is missing.
    """
    from data.hashing import hash_kernels

    columns = [column for column in (first, surname, dob, nir, email, phone) if column is not None]
    keys = np.zeros((len(columns[0]) if columns else 0, len(RECORD_KINDS)), np.uint64)
    if any(len(column) != len(keys) for column in columns):
        raise ValueError("the columns have different lengths")
    names = pair_packed(surname, first) if surname is not None and first is not None else None
    parts = ((names, dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob))
    for column, (kind, (a, b)) in enumerate(zip(RECORD_KINDS, parts, strict=True)):
        if a is not None and b is not None:
            hash_kernels.pair_tags(*_key_halves(key), int(kind), a.blob, a.offsets, b.blob, b.offsets, keys, column)
    return keys


def _key_halves(key: bytes) -> tuple[np.uint64, np.uint64]:
    return np.uint64(int.from_bytes(key[:8], "little")), np.uint64(int.from_bytes(key[8:16], "little"))


def _kinds(kind: int | U8, count: int) -> U8:
    if isinstance(kind, int):
        return read_only(np.full(count, kind), np.uint8)
    if len(kind) != count:
        raise ValueError("one kind for each item is required")
    return read_only(kind, np.uint8)
