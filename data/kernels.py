"""Compiled loops over packed bytes and tags; what they mean is said by their plain twins in `tags` and `tagset`.

Importing this module loads numba. Machine code is cached in the user's cache folder, never in the checkout.
Kernels check no bounds: callers hand over arrays whose offsets they know to be sound.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import platformdirs
from numpy.typing import NDArray

KEPT_VERSIONS = 4

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Word = np.uint64
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]


def files() -> list[Path]:
    """The modules that hold kernels."""
    root = Path(__file__).parent.parent
    found = [path for folder in ("crawler", "data") for path in sorted((root / folder).glob("*.py"))]
    return [path for path in found if re.search(rb"^@(kernel|inlined)$|intrinsic\(", path.read_bytes(), re.MULTILINE)]


def _sources() -> str:
    """16 hex digits that change with every module that holds kernels.

    numba compiles anew when the file of a function changes, but not when that of a function it calls does; and tags
    made by outdated code would silently match nothing.
    """
    digest = hashlib.sha256()
    for path in files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def prepare_cache() -> bool:
    """Point numba at a folder of ours, in `NUMBA_CACHE_DIR` if that is set; False if it cannot be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tocsin")) / "numba"
    sources = _sources()
    if folder.name != sources:  # the environment may come from a parent process that has been here
        folder /= sources
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_old(folder.parent)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        log.warning(
            "compiled code cannot be cached in %s (%s): every start compiles anew, for up to a minute; "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            folder,
            error.strerror,
        )
        return False
    # numba reads the environment when it is imported and again before each compilation
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


def _forget_old(folder: Path) -> None:
    """Keep what the last few versions compiled; a process that still uses an older one compiles in memory."""
    ours = [path for path in folder.iterdir() if len(path.name) == 16 and not set(path.name) - set("0123456789abcdef")]
    with contextlib.suppress(FileNotFoundError):  # another process that starts now does the same
        for path in sorted(ours, key=lambda path: path.stat().st_mtime)[:-KEPT_VERSIONS]:
            shutil.rmtree(path, ignore_errors=True)


CACHED = prepare_cache()

import numba  # noqa: E402 - only after its cache folder is set

from data import sha_instructions  # noqa: E402


def kernel(function: F) -> F:
    """Compile on first call, without the interpreter lock, kept between starts where the cache can be written."""
    return cast("F", numba.njit(cache=CACHED, nogil=True)(function))


def inlined(function: F) -> F:
    """A small part of kernels, put into each of them."""
    return cast("F", numba.njit(nogil=True, inline="always")(function))


# --- SipHash-2-4 -----------------------------------------------------------------------------------------------------


@inlined
def _sip_round(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    v0 = v0 + v1
    v2 = v2 + v3
    v1 = ((v1 << np.uint64(13)) | (v1 >> np.uint64(51))) ^ v0
    v3 = ((v3 << np.uint64(16)) | (v3 >> np.uint64(48))) ^ v2
    v0 = (v0 << np.uint64(32)) | (v0 >> np.uint64(32))
    v2 = v2 + v1
    v0 = v0 + v3
    v1 = ((v1 << np.uint64(17)) | (v1 >> np.uint64(47))) ^ v2
    v3 = ((v3 << np.uint64(21)) | (v3 >> np.uint64(43))) ^ v0
    v2 = (v2 << np.uint64(32)) | (v2 >> np.uint64(32))
    return v0, v1, v2, v3


@kernel
def probe_tag(k0: np.uint64, k1: np.uint64, kind: np.uint8, blob: U8, start: int, end: int) -> np.uint64:
    """The probe tag of `blob[start:end]`; other kernels may call it."""
    if end <= start:
        return np.uint64(0)
    v0 = k0 ^ np.uint64(0x736F6D6570736575)
    v1 = k1 ^ np.uint64(0x646F72616E646F6D)
    v2 = k0 ^ np.uint64(0x6C7967656E657261)
    v3 = k1 ^ np.uint64(0x7465646279746573)
    # the kind byte is the first of the message
    word = np.uint64(kind)
    shift = np.uint64(8)
    for at in range(start, end):
        word |= np.uint64(blob[at]) << shift
        shift += np.uint64(8)
        if shift == np.uint64(64):
            v3 ^= word
            v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
            v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
            v0 ^= word
            word = np.uint64(0)
            shift = np.uint64(0)
    word |= (np.uint64(end - start + 1) & np.uint64(255)) << np.uint64(56)
    v3 ^= word
    v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= np.uint64(0xFF)
    for _ in range(4):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    tag = v0 ^ v1 ^ v2 ^ v3
    return tag if tag != np.uint64(0) else np.uint64(1)


@kernel
def probe_tags(k0: np.uint64, k1: np.uint64, kinds: U8, blob: U8, offsets: I64) -> U64:
    """The probe tag of every item, shape (n,)."""
    tags = np.empty(len(kinds), np.uint64)
    for item in range(len(kinds)):
        tags[item] = probe_tag(k0, k1, kinds[item], blob, offsets[item], offsets[item + 1])
    return tags


# --- HMAC-SHA-256 ----------------------------------------------------------------------------------------------------

_INITIAL = np.array(
    [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19], np.uint32
)
# FIPS 180-4: the first 32 bits of the fractional parts of the cube roots of the first 64 primes
_ROUND = np.frombuffer(bytes.fromhex(
        "428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 "
        "d807aa98 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174 "
        "e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da "
        "983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967 "
        "27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85 "
        "a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 "
        "19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 "
        "748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2"
    ), ">u4").astype(np.uint32)  # fmt: skip


@inlined
def _rotate(word: np.uint32, by: int) -> np.uint32:
    return np.uint32((word >> np.uint32(by)) | (word << np.uint32(32 - by)))


@kernel
def _message(block: U8, words: U32) -> None:
    """The first 16 of `words` from the 64 bytes of `block`."""
    for i in range(16):
        words[i] = np.uint32(
            (np.uint32(block[4 * i]) << np.uint32(24))
            | (np.uint32(block[4 * i + 1]) << np.uint32(16))
            | (np.uint32(block[4 * i + 2]) << np.uint32(8))
            | np.uint32(block[4 * i + 3])
        )


@kernel
def compress_by_hand(state: U32, block: U8, words: U32) -> None:
    """One SHA-256 step: `state` (8 words) takes in `block` (64 bytes); `words` is 64 words of room."""
    _message(block, words)
    for i in range(16, 64):
        x, y = words[i - 15], words[i - 2]
        s0 = _rotate(x, 7) ^ _rotate(x, 18) ^ (x >> np.uint32(3))
        s1 = _rotate(y, 17) ^ _rotate(y, 19) ^ (y >> np.uint32(10))
        words[i] = np.uint32(words[i - 16] + s0 + words[i - 7] + s1)
    a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    for i in range(64):
        s1 = _rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25)
        choice = g ^ (e & (f ^ g))
        t1 = np.uint32(h + s1 + choice + _ROUND[i] + words[i])
        s0 = _rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22)
        majority = (a & b) | (c & (a | b))
        h, g, f, e = g, f, e, np.uint32(d + t1)
        d, c, b, a = c, b, a, np.uint32(t1 + s0 + majority)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@kernel
def compress_by_instructions(state: U32, block: U8, words: U32) -> None:
    """As `compress_by_hand`, on processors that have instructions for it."""
    _message(block, words)
    sha_instructions.take_in(state, words, _ROUND)


_compress = compress_by_instructions if sha_instructions.AVAILABLE else compress_by_hand


@kernel
def confirm_digests(key: U8, kinds: U8, blob: U8, offsets: I64) -> U8:
    """The first 16 bytes of HMAC-SHA-256 of every item, shape (n, 16); the key has at most 64 bytes."""
    words, block = np.empty(64, np.uint32), np.zeros(64, np.uint8)
    inner, outer, state = _INITIAL.copy(), _INITIAL.copy(), np.empty(8, np.uint32)
    for pad, padded in ((np.uint8(0x36), inner), (np.uint8(0x5C), outer)):
        block[:] = pad
        for at in range(len(key)):
            block[at] ^= key[at]
        _compress(padded, block, words)
    digests = np.empty((len(kinds), 16), np.uint8)
    for item in range(len(kinds)):
        start, length = offsets[item], offsets[item + 1] - offsets[item] + 1
        state[:] = inner
        block[0] = kinds[item]
        fill, at = 1, start
        while True:
            take = min(64 - fill, offsets[item + 1] - at)
            for i in range(take):
                block[fill + i] = blob[at + i]
            fill, at = fill + take, at + take
            if fill < 64:
                break
            _compress(state, block, words)
            fill = 0
        _finish(state, block, fill, np.uint64(64 + length) << np.uint64(3), words)
        for i in range(8):
            for byte in range(4):
                block[4 * i + byte] = np.uint8(state[i] >> np.uint32(24 - 8 * byte))
        state[:] = outer
        _finish(state, block, 32, np.uint64(96 * 8), words)
        for i in range(16):
            digests[item, i] = np.uint8(state[i >> 2] >> np.uint32(24 - 8 * (i & 3)))
    return digests


@kernel
def _finish(state: U32, block: U8, fill: int, bits: np.uint64, words: U32) -> None:
    """Pad the last `fill` bytes in `block` and take them in; `bits` is the length of everything."""
    block[fill] = 0x80
    block[fill + 1 :] = 0
    if fill >= 56:
        _compress(state, block, words)
        block[:] = 0
    for byte in range(8):
        block[56 + byte] = np.uint8(bits >> np.uint64(56 - 8 * byte))
    _compress(state, block, words)


# --- joining columns -------------------------------------------------------------------------------------------------


@kernel
def join(a: U8, a_offsets: I64, b: U8, b_offsets: I64, ordered: bool) -> tuple[U8, I64]:
    """Blob and offsets of `a` + 0x1F + `b`, empty where either is; `ordered` puts the smaller of the two first."""
    count = len(a_offsets) - 1
    offsets = np.zeros(count + 1, np.int64)
    for item in range(count):
        length_a = a_offsets[item + 1] - a_offsets[item]
        length_b = b_offsets[item + 1] - b_offsets[item]
        offsets[item + 1] = offsets[item] + (length_a + length_b + 1 if length_a and length_b else 0)
    blob = np.empty(offsets[count], np.uint8)
    for item in range(count):
        if offsets[item + 1] == offsets[item]:
            continue
        at_a, end_a, at_b, end_b = a_offsets[item], a_offsets[item + 1], b_offsets[item], b_offsets[item + 1]
        if ordered and _less(b, at_b, end_b, a, at_a, end_a):
            out = _copy(b, at_b, end_b, blob, offsets[item])
            _copy(a, at_a, end_a, blob, out + 1)
        else:
            out = _copy(a, at_a, end_a, blob, offsets[item])
            _copy(b, at_b, end_b, blob, out + 1)
        blob[out] = 0x1F
    return blob, offsets


@inlined
def _copy(source: U8, start: int, end: int, target: U8, at: int) -> int:
    for i in range(end - start):
        target[at + i] = source[start + i]
    return at + end - start


@inlined
def _less(a: U8, at_a: int, end_a: int, b: U8, at_b: int, end_b: int) -> bool:
    shorter = min(end_a - at_a, end_b - at_b)
    for i in range(shorter):
        if a[at_a + i] != b[at_b + i]:
            return bool(a[at_a + i] < b[at_b + i])
    return end_a - at_a < end_b - at_b


# --- tag sets --------------------------------------------------------------------------------------------------------


@kernel
def contains(tag: np.uint64, bits: int, starts: U32, rest: U8) -> bool:
    """Whether a tag set has a tag; other kernels may call it.

    Args:
        tag: 64 bits; 0 is in no set.
        bits: of the bucket number.
        starts: shape (2**bits + 1,), of the buckets in `rest`.
        rest: shape (members * width,), the next bits of every member, big-endian, `width` = (44 - bits) / 8 bytes.
    """
    if tag == np.uint64(0):
        return False
    width = (44 - bits) >> 3
    bucket = np.int64(tag >> np.uint64(64 - bits))
    sought = np.int64((tag >> np.uint64(20)) & ((np.uint64(1) << np.uint64(44 - bits)) - np.uint64(1)))
    low, high = np.int64(starts[bucket]), np.int64(starts[bucket + 1])
    while low < high:
        middle = (low + high) >> 1
        value = np.int64(0)
        for byte in range(middle * width, middle * width + width):
            value = (value << 8) | np.int64(rest[byte])
        if value == sought:
            return True
        if value < sought:
            low = middle + 1
        else:
            high = middle
    return False


@kernel
def lookup(tags: U64, bits: int, starts: U32, rest: U8) -> NDArray[np.bool_]:
    """Which tags a set has, shape (n,)."""
    found = np.empty(len(tags), np.bool_)
    for i in range(len(tags)):
        found[i] = contains(tags[i], bits, starts, rest)
    return found
