"""Keyed hashing: kinds, the keys of a case and their files, probe tags and confirm digests, one by one and in batch.

Normal forms come from `data.identifiers.normalise`; sets of tags are `data.tagsets.tagset`. The batch functions load numba on first use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from data.arrays.packed import Packed, pair_packed, read_only
from data.errors import KeyFileError

U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

SEPARATOR = b"\x1f"
MATCH_KEY_LINE = "tocsin-match-key-1"
ENROL_KEY_LINE = "tocsin-enrol-key-1"
_ENROL_SIZES = {"probe": 16, "confirm": 32, "bundle": 32}
_MASK = (1 << 64) - 1


class Kind(IntEnum):
    """What a tag is a tag of; the number is the first byte that is hashed."""

    EMAIL = 1
    PHONE = 2
    NIR = 3
    IBAN = 4
    PROFESSIONAL = 5
    TOKEN = 6
    NAME_DOB = 16
    NIR_FIRST = 17
    NIR_DOB = 18
    EMAIL_FIRST = 19
    PHONE_FIRST = 20
    PHONE_DOB = 21

    @property
    def word(self) -> str:
        """The name people and JSON see: `email`, `name+dob`."""
        return self.name.lower().replace("_", "+")


VALUE_KINDS = tuple(kind for kind in Kind if kind < 16)
RECORD_KINDS = tuple(kind for kind in Kind if kind >= 16)
"""In the order of the six columns of a record-key array."""


@dataclass(frozen=True, slots=True)
class EnrolKeys:
    """What a client needs to make tags of one case; reads none, and opens no evidence."""

    case: str
    probe: bytes = field(repr=False)
    confirm: bytes = field(repr=False)
    bundle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one case. probe: 16 bytes; confirm, bundle, post: 32 bytes; case: 16 hex digits, safe to print."""

    probe: bytes = field(repr=False)
    confirm: bytes = field(repr=False)
    bundle: bytes = field(repr=False)
    post: bytes = field(repr=False)
    case: str

    @property
    def enrol(self) -> EnrolKeys:
        """The part that clients may hold."""
        return EnrolKeys(self.case, self.probe, self.confirm, self.bundle)


@dataclass(frozen=True, slots=True)
class MatchKey:
    """The 32 secret bytes that every tag of one case hangs on."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != 32:
            raise KeyFileError(
                f"a match key has 32 bytes, this one {len(self.secret)}", hint="restore the key file from its backup"
            )

    def derive(self) -> Keys:
        """The keys of the case, by HKDF-SHA-256 with one label each."""
        return Keys(
            probe=self._expand(b"probe", 16),
            confirm=self._expand(b"confirm", 32),
            bundle=self._expand(b"bundle", 32),
            post=self._expand(b"post", 32),
            case=self._expand(b"case", 8).hex(),
        )

    def _expand(self, label: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, salt=b"tocsin match key 1", info=label).derive(self.secret)


# --- key files -------------------------------------------------------------------------------------------------------


def format_match_key(key: MatchKey) -> str:
    """The one line of a match key file."""
    return f"{MATCH_KEY_LINE} {base64.b64encode(key.secret).decode()}\n"


def parse_match_key(text: str) -> MatchKey:
    """The inverse of `format_match_key`; raises KeyFileError, which never shows the key."""
    match text.split():
        case [first, secret] if first == MATCH_KEY_LINE:
            return MatchKey(_decode(secret, "the match key"))
        case [first, *_] if first == ENROL_KEY_LINE:
            raise KeyFileError("this is an enrolment key, not a match key", hint="name the home's keys/match.key")
        case []:
            raise KeyFileError("the match key file is empty", hint="restore keys/match.key from its backup")
        case _:
            raise KeyFileError(
                f"this is not a match key file: it must be one line that begins with {MATCH_KEY_LINE}",
                hint="restore keys/match.key from its backup",
            )


def format_enrol_key(keys: Keys | EnrolKeys) -> str:
    """The text of an enrolment key file; its last line guards against damage."""
    lines = [ENROL_KEY_LINE, f"case={keys.case}"]
    lines += [f"{name}={base64.b64encode(getattr(keys, name)).decode()}" for name in _ENROL_SIZES]
    return "\n".join([*lines, f"check={_check(lines, keys.bundle)}"]) + "\n"


def parse_enrol_key(text: str) -> EnrolKeys:
    """The inverse of `format_enrol_key`; raises KeyFileError, which never shows a key."""
    hint = "ask the team that runs the monitor for a fresh copy of enrol.key"
    lines = text.split()
    if not lines or lines[0] != ENROL_KEY_LINE:
        if text.startswith(MATCH_KEY_LINE):
            raise KeyFileError(
                "this is the match key itself, which must never leave the monitor", hint="use keys/enrol.key instead"
            )
        raise KeyFileError(f"this is not an enrolment key: its first line must be {ENROL_KEY_LINE}", hint=hint)
    values = dict(line.partition("=")[::2] for line in lines[1:])
    if list(values) != ["case", *_ENROL_SIZES, "check"] or len(values) != len(lines) - 1:
        raise KeyFileError("the enrolment key lacks lines or has lines too many", hint=hint)
    keys = {name: _decode(values[name], f"the line {name} of the enrolment key") for name in _ENROL_SIZES}
    if not hmac.compare_digest(_check(lines[:-1], keys["bundle"]).encode(), values["check"].encode()):
        raise KeyFileError("the enrolment key is damaged: its check line does not agree", hint=hint)
    if any(len(keys[name]) != size for name, size in _ENROL_SIZES.items()):
        raise KeyFileError("the enrolment key holds keys of a wrong length", hint=hint)
    return EnrolKeys(values["case"], **keys)


def _check(lines: Sequence[str], bundle: bytes) -> str:
    return hmac.digest(bundle, "\n".join(lines).encode(), "sha256")[:16].hex()


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # the cause quotes nothing, but its text adds nothing either
        raise KeyFileError(f"{what} is not base64", hint="restore the file from its backup") from None


# --- hashes of single values -----------------------------------------------------------------------------------------


def probe_tag(key: bytes, kind: int, value: bytes) -> int:
    """SipHash-2-4 of kind byte and normal form under 16 key bytes; 0 means absent: only an empty value gives it.

    Source: Aumasson and Bernstein 2012, "SipHash: a fast short-input PRF".
    """
    return (siphash(key, bytes((kind,)) + value) or 1) if value else 0


def siphash(key: bytes, message: bytes) -> int:
    """Plain SipHash-2-4, which the batch is held against."""
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
    """The first 16 bytes of HMAC-SHA-256 of kind byte and normal form under 32 key bytes, by the standard library."""
    return hmac.digest(key, bytes((kind,)) + value, hashlib.sha256)[:16]


def keyed_sha256(post_key: bytes, sha256: str) -> str:
    """The form in which a sample's digest (64 hex digits) may rest: short samples could be guessed from the bare one."""
    return hmac.digest(post_key, bytes.fromhex(sha256), "sha256").hex()


def name_pair(surname: bytes, first: bytes) -> bytes:
    """Both names in sorted order, so that swapped columns agree; b'' if one is missing."""
    return SEPARATOR.join(sorted((surname, first))) if surname and first else b""


def record_input(kind: int, a: bytes, b: bytes) -> bytes:
    """What is hashed, after the kind byte, for a record key of two parts (`name+dob`: the `name_pair` and the dob).

    b'' if a part is missing; raises ValueError for a kind that is no record key.
    """
    if kind not in RECORD_KINDS:
        raise ValueError(f"kind {kind} is no record key")
    return a + SEPARATOR + b if a and b else b""


def record_inputs(
    first: bytes = b"", surname: bytes = b"", dob: bytes = b"", nir: bytes = b"", email: bytes = b"", phone: bytes = b""
) -> list[tuple[Kind, bytes]]:
    """The record keys that normal forms of one person give, in the order of `RECORD_KINDS`, missing ones left out."""
    pairs = zip(
        RECORD_KINDS,
        ((name_pair(surname, first), dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob)),
        strict=True,
    )
    inputs = [(kind, record_input(kind, a, b)) for kind, (a, b) in pairs]
    return [(kind, value) for kind, value in inputs if value]


# --- hashes in batch -------------------------------------------------------------------------------------------------


def probe_tags(key: bytes, kind: int | U8, packed: Packed) -> U64:
    """`probe_tag` of every item, shape (n,); `kind` is one for all or shape (n,)."""
    from data.hashing import hash_kernels

    kinds = _kinds(kind, len(packed))
    return hash_kernels.probe_tags(*_words(key), kinds, packed.blob, packed.offsets)


def confirm_digests(key: bytes, kind: int | U8, packed: Packed) -> U8:
    """`confirm_digest` of every item, shape (n, 16); `kind` is one for all or shape (n,)."""
    from data.hashing import hash_kernels

    return hash_kernels.confirm_digests(
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
    """The six record keys of n people whose normal forms stand in columns of one length n; None for no such column.

    Returns:
        Shape (n, 6), columns in the order of `RECORD_KINDS`, 0 where a part is missing.
    """
    from data.hashing import hash_kernels

    columns = [column for column in (first, surname, dob, nir, email, phone) if column is not None]
    keys = np.zeros((len(columns[0]) if columns else 0, len(RECORD_KINDS)), np.uint64)
    if any(len(column) != len(keys) for column in columns):
        raise ValueError("columns of different lengths")
    names = pair_packed(surname, first) if surname is not None and first is not None else None
    parts = ((names, dob), (nir, first), (nir, dob), (email, first), (phone, first), (phone, dob))
    for column, (kind, (a, b)) in enumerate(zip(RECORD_KINDS, parts, strict=True)):
        if a is not None and b is not None:
            hash_kernels.pair_tags(*_words(key), int(kind), a.blob, a.offsets, b.blob, b.offsets, keys, column)
    return keys


def _words(key: bytes) -> tuple[np.uint64, np.uint64]:
    return np.uint64(int.from_bytes(key[:8], "little")), np.uint64(int.from_bytes(key[8:16], "little"))


def _kinds(kind: int | U8, count: int) -> U8:
    if isinstance(kind, int):
        return read_only(np.full(count, kind), np.uint8)
    if len(kind) != count:
        raise ValueError("one kind for each item is needed")
    return read_only(kind, np.uint8)
