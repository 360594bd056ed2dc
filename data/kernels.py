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
Bools = NDArray[np.bool_]


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
from data.memory import ZERO, byte, prefetch, put_byte, put_word, signed, word  # noqa: E402
from data.sip_lanes import LANES, hash_eight  # noqa: E402


def kernel(function: F) -> F:
    """Compile on first call, without the interpreter lock, kept between starts where the cache can be written."""
    return cast("F", numba.njit(cache=CACHED, nogil=True)(function))


def inlined(function: F) -> F:
    """A small part of kernels, put into each of them."""
    return cast("F", numba.njit(nogil=True, inline="always")(function))


# --- SipHash-2-4 -----------------------------------------------------------------------------------------------------


_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def address(array: NDArray[Any]) -> int:
    """Where an array begins in memory.

    Only of arrays that the caller of a kernel holds, or that it gives back: numba frees an array of its own behind the
    last line that names it, while its address is still written to (tests/data/test_kernels.py).
    """
    return np.int64(array.ctypes.data)  # type: ignore[return-value] # numba has one kind of integers


# a message of the longest item that goes side by side with others, and the bytes that are read behind it
_MOST_WORDS = 34
_LANE_BYTES = 8 * (_MOST_WORDS - 2)
_BEHIND = 16


@inlined
def _lay(room: int, lane: int, kind: int, at: int, length: int) -> int:
    """Write the message of one lane: kind byte, `length` bytes at an address, length byte; returns its words.

    Up to 15 bytes behind the item are read.
    """
    total = length + 1
    place = room + 8 * lane
    # the kind byte is the first of the message
    part = (word(at) << np.uint64(8)) | np.uint64(kind)
    at += 7
    for _ in range(total >> 3):
        put_word(place, part)
        place += 8 * LANES
        part = word(at)
        at += 8
    part = (part & ~(_ONES << np.uint64(8 * (total & 7)))) | (np.uint64(total & 255) << np.uint64(56))
    put_word(place, part)
    return (total >> 3) + 1


@kernel
def lane_room() -> U64:
    """Room for the messages of all lanes, their sizes, and one group of tags."""
    return np.zeros((_MOST_WORDS + 2) * LANES, np.uint64)


@kernel
def candidate_tags(k0: np.uint64, k1: np.uint64, arena: int, metas: I64, tags: U64, count: int, room: U64) -> None:
    """The probe tags of candidates, whose forms of at most 255 bytes lie in an arena.

    Args:
        k0: first half of the key.
        k1: its second half.
        arena: address, with room for 16 bytes behind the last form.
        metas: kind (7 bits from bit 56), length (8 from 48), place in the arena (24 from 24).
        tags: filled, shape (count,) or more.
        count: of candidates.
        room: of `lane_room`.
    """
    at_room = address(room)
    sizes, out = at_room + 8 * LANES * _MOST_WORDS, at_room + 8 * LANES * (_MOST_WORDS + 1)
    for group in range(0, count, LANES):
        most = 0
        for lane in range(LANES):
            words = 0
            if group + lane < count:
                meta = metas[group + lane]
                words = _lay(at_room, lane, (meta >> 56) & 127, arena + ((meta >> 24) & 0xFFFFFF), (meta >> 48) & 255)
            put_word(sizes + 8 * lane, np.uint64(words))
            most = max(most, words)
        hash_eight(k0, k1, at_room, sizes, most, out)
        for lane in range(min(LANES, count - group)):
            tags[group + lane] = word(out + 8 * lane)


@kernel
def _copied(blob: U8, start: int, end: int, room: int) -> int:
    """An item at the end of its blob with slack behind it: its address there."""
    for at in range(0, end - start, 1):
        put_word(room + at, np.uint64(blob[start + at]))
    return room


@kernel
def probe_tags(k0: np.uint64, k1: np.uint64, kinds: U8, blob: U8, offsets: I64) -> U64:
    """The probe tag of every item, shape (n,)."""
    count = len(kinds)
    tags = np.zeros(count, np.uint64)
    longest = 0
    for item in range(count):
        longest = max(longest, offsets[item + 1] - offsets[item])
    # a long item needs a longer room; those at the end of the blob are read from a copy with something behind them
    most_words = max(_MOST_WORDS, (longest + 1 >> 3) + 2)
    room = np.zeros((most_words + 2) * LANES, np.uint64)
    copies = np.zeros(LANES * (longest + 32), np.uint8)
    _hash_items(k0, k1, kinds, blob, offsets, longest, most_words, room, copies, tags)
    return tags


@kernel
def _hash_items(
    k0: np.uint64,
    k1: np.uint64,
    kinds: U8,
    blob: U8,
    offsets: I64,
    longest: int,
    most_words: int,
    room: U64,
    copies: U8,
    tags: U64,
) -> None:
    """`probe_tags`, with room that the caller keeps alive."""
    chosen = np.zeros(LANES, np.int64)
    at_room, at_blob, at_copies = address(room), address(blob), address(copies)
    sizes, out = at_room + 8 * LANES * most_words, at_room + 8 * LANES * (most_words + 1)
    item, count = 0, len(kinds)
    while item < count:
        filled = most = 0
        while filled < LANES and item < count:
            start, end = offsets[item], offsets[item + 1]
            if end > start:
                place = at_blob + start
                if end + _BEHIND > len(blob):
                    place = _copied(blob, start, end, at_copies + filled * (longest + 32))
                words = _lay(at_room, filled, kinds[item], place, end - start)
                put_word(sizes + 8 * filled, np.uint64(words))
                most = max(most, words)
                chosen[filled] = item
                filled += 1
            item += 1
        for lane in range(filled, LANES):
            put_word(sizes + 8 * lane, np.uint64(0))
        hash_eight(k0, k1, at_room, sizes, most, out)
        for lane in range(filled):
            tags[chosen[lane]] = word(out + 8 * lane)


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


# loops, for numba compiles an assignment to a part of an array together with the text of its error: 1.5 s
@inlined
def _fill(block: U8, start: int, value: int) -> None:
    for at in range(start, len(block)):
        block[at] = value


@inlined
def _set_words(state: U32, to: U32) -> None:
    for at in range(8):
        state[at] = to[at]


@kernel
def confirm_digests(key: U8, kinds: U8, blob: U8, offsets: I64) -> U8:
    """The first 16 bytes of HMAC-SHA-256 of every item, shape (n, 16); the key has at most 64 bytes."""
    words, block = np.empty(64, np.uint32), np.zeros(64, np.uint8)
    inner, outer, state = _INITIAL.copy(), _INITIAL.copy(), np.empty(8, np.uint32)
    for pad, padded in ((0x36, inner), (0x5C, outer)):
        _fill(block, 0, pad)
        for at in range(len(key)):
            block[at] ^= key[at]
        _compress(padded, block, words)
    digests = np.empty((len(kinds), 16), np.uint8)
    for item in range(len(kinds)):
        start, length = offsets[item], offsets[item + 1] - offsets[item] + 1
        _set_words(state, inner)
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
            for place in range(4):
                block[4 * i + place] = np.uint8(state[i] >> np.uint32(24 - 8 * place))
        _set_words(state, outer)
        _finish(state, block, 32, np.uint64(96 * 8), words)
        for i in range(16):
            digests[item, i] = np.uint8(state[i >> 2] >> np.uint32(24 - 8 * (i & 3)))
    return digests


@kernel
def _finish(state: U32, block: U8, fill: int, bits: np.uint64, words: U32) -> None:
    """Pad the last `fill` bytes in `block` and take them in; `bits` is the length of everything."""
    block[fill] = 0x80
    _fill(block, fill + 1, 0)
    if fill >= 56:
        _compress(state, block, words)
        _fill(block, 0, 0)
    for place in range(8):
        block[56 + place] = np.uint8(bits >> np.uint64(56 - 8 * place))
    _compress(state, block, words)


# --- columns of rows -------------------------------------------------------------------------------------------------


@inlined
def _place(offset: np.uint32) -> int:
    """A place as a signed number: numba makes floats of the two kinds together."""
    return np.int64(offset)  # type: ignore[return-value] # numba has one kind of integers


@kernel
def gather(blob: U8, starts: U32, ends: U32, column: int) -> tuple[U8, I64]:
    """Blob and offsets of one column of cells (rows, columns) that lie from `starts` to `ends` in a blob."""
    count = len(starts)
    offsets = np.zeros(count + 1, np.int64)
    for row in range(count):
        offsets[row + 1] = offsets[row] + _place(ends[row, column]) - _place(starts[row, column])
    out = np.empty(offsets[count], np.uint8)
    for row in range(count):
        _copy(blob, _place(starts[row, column]), _place(ends[row, column]), out, offsets[row])
    return out, offsets


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


@kernel
def pair_tags(
    k0: np.uint64, k1: np.uint64, kind: int, a: U8, a_offsets: I64, b: U8, b_offsets: I64, keys: U64, column: int
) -> None:
    """The probe tag of every `a` + 0x1F + `b` into a column of `keys`, shape (n, …); 0 where either is empty."""
    count = len(a_offsets) - 1
    longest = 0
    for item in range(count):
        longest = max(longest, a_offsets[item + 1] - a_offsets[item] + b_offsets[item + 1] - b_offsets[item] + 1)
    most_words = (longest + 1 >> 3) + 3
    room = np.zeros((most_words + 2) * LANES, np.uint64)
    # with room behind what is read and written several bytes at a time
    text = np.zeros(longest + 64, np.uint8)
    _hash_pairs(k0, k1, kind, a, a_offsets, b, b_offsets, most_words, room, text, keys, column)


@kernel
def _hash_pairs(
    k0: np.uint64,
    k1: np.uint64,
    kind: int,
    a: U8,
    a_offsets: I64,
    b: U8,
    b_offsets: I64,
    most_words: int,
    room: U64,
    text: U8,
    keys: U64,
    column: int,
) -> None:
    """`pair_tags`, with room that the caller keeps alive."""
    chosen = np.zeros(LANES, np.int64)
    at_room, at_text = address(room), address(text)
    sizes, out = at_room + 8 * LANES * most_words, at_room + 8 * LANES * (most_words + 1)
    item, count = 0, len(a_offsets) - 1
    while item < count:
        filled = most = 0
        while filled < LANES and item < count:
            start_a, end_a, start_b, end_b = a_offsets[item], a_offsets[item + 1], b_offsets[item], b_offsets[item + 1]
            if end_a > start_a and end_b > start_b:
                length = _copy(a, start_a, end_a, text, 0)
                text[length] = 0x1F
                length = _copy(b, start_b, end_b, text, length + 1)
                words = _lay(at_room, filled, kind, at_text, length)
                put_word(sizes + 8 * filled, np.uint64(words))
                most = max(most, words)
                chosen[filled] = item
                filled += 1
            else:
                keys[item, column] = 0
            item += 1
        for lane in range(filled, LANES):
            put_word(sizes + 8 * lane, np.uint64(0))
        hash_eight(k0, k1, at_room, sizes, most, out)
        for lane in range(filled):
            keys[chosen[lane], column] = word(out + 8 * lane)


@inlined
def _copy(source: U8, start: int, end: int, target: U8, at: int) -> int:
    place = start
    if end - start <= 32 and start + 32 <= len(source) and at + 32 <= len(target):
        # what is written too much is overwritten by what comes behind it
        read, written = address(source) + start, address(target) + at
        for step in range(0, end - start, 8):
            put_word(written + step, word(read + step))
        return at + end - start
    while place < end:
        target[at + place - start] = source[place]
        place += 1
    return at + end - start


@inlined
def _less(a: U8, at_a: int, end_a: int, b: U8, at_b: int, end_b: int) -> bool:
    shorter = min(end_a - at_a, end_b - at_b)
    for i in range(shorter):
        if a[at_a + i] != b[at_b + i]:
            return bool(a[at_a + i] < b[at_b + i])
    return end_a - at_a < end_b - at_b


# --- tag sets --------------------------------------------------------------------------------------------------------


# look-ups that are on their way to memory at once, and members that are looked at before and behind a guess
_AHEAD = 16
_AROUND = 6
# members of a bucket that are all looked at
_FEW = 4


@inlined
def _rest_at(rest: int, index: int, width: int) -> int:
    """The bits of a member behind its bucket's number."""
    value = 0
    for place in range(rest + index * width, rest + index * width + width):
        value = (value << 8) | byte(place)
    return value


@inlined
def _in_bucket(sought: int, low: int, high: int, guess: int, rest: int, width: int) -> bool:
    """Whether a bucket has a member, looked for from a guess of its place on."""
    at = guess
    while at < high and _rest_at(rest, at, width) < sought:
        at += 1
    if at == guess:
        while at > low and _rest_at(rest, at - 1, width) >= sought:
            at -= 1
    return at < high and _rest_at(rest, at, width) == sought


@inlined
def _near(sought: int, low: int, high: int, guess: int, rest: int) -> int:
    """Whether a bucket of members of three bytes has one: 1 or 0, or -1 where a look around the guess cannot say."""
    # the same bytes as they lie in memory: members are compared as the top of the word that ends with them
    wanted = (sought & 0xFF) << 16 | (sought & 0xFF00) | sought >> 16
    equal = 0
    # fixed numbers of steps: a loop whose end is not foreseen costs the processor more than all its comparisons
    if high - low <= _FEW:
        for step in range(_FEW):
            equal |= (signed(word(rest + 3 * (low + step) - 5) >> np.uint64(40)) == wanted) & (low + step < high)
        return equal
    first = max(low, min(guess - _AROUND, high - 2 * _AROUND))
    for step in range(2 * _AROUND):
        equal |= (signed(word(rest + 3 * (first + step) - 5) >> np.uint64(40)) == wanted) & (first + step < high)
    last = first + 2 * _AROUND
    if equal or (first == low and last >= high):
        return equal
    inside = (first == low or _rest_at(rest, first, 3) < sought) and (
        last >= high or _rest_at(rest, last - 1, 3) > sought
    )
    return 0 if inside else -1


@kernel
def _look_up(tags: int, count: int, bits: int, starts: U32, rest: U8, found: Bools) -> None:
    """`lookup` of `count` tags from an address on, into `found`."""
    width = (44 - bits) >> 3
    rest_bits = 44 - bits
    mask = (1 << rest_bits) - 1
    at_starts, at_rest = address(starts), address(rest)
    lows, highs, guesses = np.empty(_AHEAD, np.int64), np.empty(_AHEAD, np.int64), np.empty(_AHEAD, np.int64)
    # what stands before the members in memory is read with the first of them
    narrow = width == 3
    # memory is slow and can do many things at once: what a few tags need is asked for before any of it is used
    for group in range(0, count, _AHEAD):
        size = min(_AHEAD, count - group)
        for lane in range(size):
            prefetch(at_starts + 4 * signed(word(tags + 8 * (group + lane)) >> np.uint64(64 - bits)))
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            borders = word(at_starts + 4 * signed(tag >> np.uint64(64 - bits)))
            low, high = signed(borders) & 0xFFFFFFFF, signed(borders >> np.uint64(32))
            # members are spread evenly over a bucket
            guess = low + (((high - low) * (signed(tag >> np.uint64(20)) & mask)) >> rest_bits)
            lows[lane], highs[lane], guesses[lane] = low, high, guess
            prefetch(at_rest + guess * width)
        for lane in range(size):
            tag = word(tags + 8 * (group + lane))
            sought = signed(tag >> np.uint64(20)) & mask
            known = _near(sought, lows[lane], highs[lane], guesses[lane], at_rest) if narrow else -1
            if known < 0:
                known = int(_in_bucket(sought, lows[lane], highs[lane], guesses[lane], at_rest, width))
            found[group + lane] = known > 0 and tag != np.uint64(0)


@kernel
def lookup(tags: U64, bits: int, starts: U32, rest: U8) -> Bools:
    """Which tags a set has, shape (n,).

    Args:
        tags: 64 bits each; 0 is in no set.
        bits: of the bucket number.
        starts: shape (2**bits + 1,), of the buckets in `rest`.
        rest: shape (members * width,), the next bits of every member, big-endian, `width` = (44 - bits) / 8 bytes.
    """
    found = np.empty(len(tags), np.bool_)
    _look_up(address(tags), len(tags), bits, starts, rest, found)
    return found


@kernel
def fill_sieve(bits: int, starts: U32, rest: U8, sieve_bits: int, sieve: U8) -> None:
    """Set the bit of every member's first `sieve_bits` bits; the set as for `lookup`."""
    width = (44 - bits) >> 3
    at_rest, at_sieve = address(rest), address(sieve)
    for bucket in range(len(starts) - 1):
        for member in range(starts[bucket], starts[bucket + 1]):
            place = (bucket << (44 - bits) | _rest_at(at_rest, member, width)) >> (44 - sieve_bits)
            put_byte(at_sieve + (place >> 3), byte(at_sieve + (place >> 3)) | 1 << (place & 7))


# tags that are sifted before those that are left are looked up
_SIFTED = 2048
# how far ahead the bits of tags are asked for
_BITS_AHEAD = 32


@kernel
def sifted_lookup(tags: U64, bits: int, starts: U32, rest: U8, sieve_bits: int, sieve: U8) -> Bools:
    """As `lookup`, of a set with a sieve: nearly all tags of a dump are strangers, which one bit tells."""
    found = np.zeros(len(tags), np.bool_)
    left, places = np.empty(_SIFTED, np.uint64), np.empty(_SIFTED, np.int64)
    _sift(tags, bits, starts, rest, sieve_bits, sieve, left, places, found)
    return found


@kernel
def _sift(
    tags: U64,
    bits: int,
    starts: U32,
    rest: U8,
    sieve_bits: int,
    sieve: U8,
    left: U64,
    places: I64,
    found: Bools,
) -> None:
    """`sifted_lookup`, with room that the caller keeps alive."""
    hits = np.empty(_SIFTED, np.bool_)
    at_tags, at_left, at_places, at_sieve = address(tags), address(left), address(places), address(sieve)
    shift = np.uint64(64 - sieve_bits)
    for group in range(0, len(tags), _SIFTED):
        size = min(_SIFTED, len(tags) - group)
        ahead = at_tags + 8 * group
        for lane in range(min(size, _BITS_AHEAD)):
            prefetch(at_sieve + (signed(word(ahead + 8 * lane) >> shift) >> 3))
        count = ZERO
        for lane in range(size):
            if lane + _BITS_AHEAD < size:
                prefetch(at_sieve + (signed(word(ahead + 8 * (lane + _BITS_AHEAD)) >> shift) >> 3))
            tag = word(ahead + 8 * lane)
            place = signed(tag >> shift)
            # written always and counted where its bit is set: nothing has to be foreseen
            put_word(at_left + 8 * count, tag)
            put_word(at_places + 8 * count, np.uint64(group + lane))
            count += byte(at_sieve + (place >> 3)) >> (place & 7) & 1
        _look_up(at_left, count, bits, starts, rest, hits)
        for lane in range(count):
            found[places[lane]] = hits[lane]
