"""Compiled loops that tag packed items: SipHash-2-4 in lanes and HMAC-SHA-256; their plain twins are in `tags`."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, U64
from data.arrays.jit import address, inlined, kernel
from data.arrays.packed_kernels import copy
from data.arrays.raw_memory import put_word, word
from data.hashing import sha256_instructions
from data.hashing.siphash_kernels import LANES, hash_eight

# --- SipHash-2-4 -----------------------------------------------------------------------------------------------------


_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

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
    text = np.zeros(LANES * (longest + 64), np.uint8)
    _hash_pairs(k0, k1, kind, a, a_offsets, b, b_offsets, longest + 64, most_words, room, text, keys, column)


@kernel
def _hash_pairs(
    k0: np.uint64,
    k1: np.uint64,
    kind: int,
    a: U8,
    a_offsets: I64,
    b: U8,
    b_offsets: I64,
    lane_size: int,
    most_words: int,
    room: U64,
    text: U8,
    keys: U64,
    column: int,
) -> None:
    """`pair_tags`, with room that the caller keeps alive."""
    chosen, ends = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    at_room, at_text = address(room), address(text)
    sizes, out = at_room + 8 * LANES * most_words, at_room + 8 * LANES * (most_words + 1)
    item, count = 0, len(a_offsets) - 1
    while item < count:
        filled = most = 0
        while filled < LANES and item < count:
            start_a, end_a, start_b, end_b = a_offsets[item], a_offsets[item + 1], b_offsets[item], b_offsets[item + 1]
            if end_a > start_a and end_b > start_b:
                end = copy(a, start_a, end_a, text, filled * lane_size)
                text[end] = 0x1F
                ends[filled] = copy(b, start_b, end_b, text, end + 1)
                chosen[filled] = item
                filled += 1
            else:
                keys[item, column] = 0
            item += 1
        # all lanes are copied first: what was just written in other words than it is read in is waited for
        for lane in range(filled):
            words = _lay(at_room, lane, kind, at_text + lane * lane_size, ends[lane] - lane * lane_size)
            put_word(sizes + 8 * lane, np.uint64(words))
            most = max(most, words)
        for lane in range(filled, LANES):
            put_word(sizes + 8 * lane, np.uint64(0))
        hash_eight(k0, k1, at_room, sizes, most, out)
        for lane in range(filled):
            keys[chosen[lane], column] = word(out + 8 * lane)


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
    sha256_instructions.take_in(state, words, _ROUND)


_compress = compress_by_instructions if sha256_instructions.AVAILABLE else compress_by_hand


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
