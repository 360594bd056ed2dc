"""Compiled loops that hash packed items: SipHash-2-4, eight items at a time, and HMAC-SHA-256.

The reference implementations are in `data.hashing.tags`.
"""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U32, U64
from data.arrays.jit import address, inlined, kernel
from data.arrays.packed_kernels import copy_cell
from data.arrays.raw_memory import put_word, word
from data.hashing import sha256_instructions
from data.hashing.siphash_kernels import LANES, siphash_eight

# --- SipHash-2-4 -----------------------------------------------------------------------------------------------------


_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)

# words of the longest message (items of up to 255 bytes) for which `lane_buffer` has space
_MAX_WORDS = 34
# how many bytes after an item may be read
_READ_AHEAD = 16


@inlined
def _write_message(buffer: int, lane: int, kind: int, at: int, length: int) -> int:
    """Write the message of one lane: kind byte, then `length` bytes from an address, then the length byte.

    Up to 15 bytes after the item are read.

    Returns:
        The size of the message in words.
    """
    total = length + 1
    place = buffer + 8 * lane
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
def lane_buffer() -> U64:
    """A buffer for the messages of all lanes, their sizes, and one group of tags."""
    return np.zeros((_MAX_WORDS + 2) * LANES, np.uint64)


@kernel
def candidate_tags(k0: np.uint64, k1: np.uint64, arena: int, metas: I64, tags: U64, count: int, buffer: U64) -> None:
    """Compute the probe tags of candidates, whose normal forms of at most 255 bytes lie in an arena.

    Args:
        k0: first half of the key.
        k1: second half of the key.
        arena: address of the arena, with at least 16 bytes after the last form.
        metas: for each candidate its kind (7 bits from bit 56), length (8 bits from 48) and place in the arena (24 bits
            from 24).
        tags: the output, shape (count,) or longer.
        count: number of candidates.
        buffer: made by `lane_buffer`.
    """
    at_buffer = address(buffer)
    sizes, out = at_buffer + 8 * LANES * _MAX_WORDS, at_buffer + 8 * LANES * (_MAX_WORDS + 1)
    for group in range(0, count, LANES):
        longest_words = 0
        for lane in range(LANES):
            words = 0
            if group + lane < count:
                meta = metas[group + lane]
                words = _write_message(
                    at_buffer, lane, (meta >> 56) & 127, arena + ((meta >> 24) & 0xFFFFFF), (meta >> 48) & 255
                )
            put_word(sizes + 8 * lane, np.uint64(words))
            longest_words = max(longest_words, words)
        siphash_eight(k0, k1, at_buffer, sizes, longest_words, out)
        for lane in range(min(LANES, count - group)):
            tags[group + lane] = word(out + 8 * lane)


@kernel
def _copy_with_padding(blob: U8, start: int, end: int, buffer: int) -> int:
    """Copy an item from the end of its blob to `buffer`, where bytes after it may be read; returns its new address."""
    for at in range(0, end - start, 1):
        put_word(buffer + at, np.uint64(blob[start + at]))
    return buffer


@kernel
def probe_tags_loop(k0: np.uint64, k1: np.uint64, kinds: U8, blob: U8, offsets: I64) -> U64:
    """The probe tag of each item, shape (n,); 0 for an empty item."""
    count = len(kinds)
    tags = np.zeros(count, np.uint64)
    longest = 0
    for item in range(count):
        longest = max(longest, offsets[item + 1] - offsets[item])
    # A long item needs a larger buffer. Items at the end of the blob are copied, because bytes after them are read.
    max_words = max(_MAX_WORDS, (longest + 1 >> 3) + 2)
    buffer = np.zeros((max_words + 2) * LANES, np.uint64)
    copies = np.zeros(LANES * (longest + 32), np.uint8)
    _hash_items(k0, k1, kinds, blob, offsets, longest, max_words, buffer, copies, tags)
    return tags


@kernel
def _hash_items(
    k0: np.uint64,
    k1: np.uint64,
    kinds: U8,
    blob: U8,
    offsets: I64,
    longest: int,
    max_words: int,
    buffer: U64,
    copies: U8,
    tags: U64,
) -> None:
    """The body of `probe_tags_loop`; the caller keeps `buffer` and `copies` alive."""
    chosen = np.zeros(LANES, np.int64)
    at_buffer, at_blob, at_copies = address(buffer), address(blob), address(copies)
    sizes, out = at_buffer + 8 * LANES * max_words, at_buffer + 8 * LANES * (max_words + 1)
    item, count = 0, len(kinds)
    while item < count:
        filled = longest_words = 0
        while filled < LANES and item < count:
            start, end = offsets[item], offsets[item + 1]
            if end > start:
                place = at_blob + start
                if end + _READ_AHEAD > len(blob):
                    place = _copy_with_padding(blob, start, end, at_copies + filled * (longest + 32))
                words = _write_message(at_buffer, filled, kinds[item], place, end - start)
                put_word(sizes + 8 * filled, np.uint64(words))
                longest_words = max(longest_words, words)
                chosen[filled] = item
                filled += 1
            item += 1
        for lane in range(filled, LANES):
            put_word(sizes + 8 * lane, np.uint64(0))
        siphash_eight(k0, k1, at_buffer, sizes, longest_words, out)
        for lane in range(filled):
            tags[chosen[lane]] = word(out + 8 * lane)


@kernel
def pair_tags(
    k0: np.uint64, k1: np.uint64, kind: int, a: U8, a_offsets: I64, b: U8, b_offsets: I64, keys: U64, column: int
) -> None:
    """Write the probe tag of each `a` + 0x1F + `b` to a column of `keys`, shape (n, columns); 0 if either is empty."""
    count = len(a_offsets) - 1
    longest = 0
    for item in range(count):
        longest = max(longest, a_offsets[item + 1] - a_offsets[item] + b_offsets[item + 1] - b_offsets[item] + 1)
    max_words = (longest + 1 >> 3) + 3
    buffer = np.zeros((max_words + 2) * LANES, np.uint64)
    # with padding, because several bytes are read and written at a time
    text = np.zeros(LANES * (longest + 64), np.uint8)
    _hash_pairs(k0, k1, kind, a, a_offsets, b, b_offsets, longest + 64, max_words, buffer, text, keys, column)


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
    max_words: int,
    buffer: U64,
    text: U8,
    keys: U64,
    column: int,
) -> None:
    """The body of `pair_tags`; the caller keeps `buffer` and `text` alive."""
    chosen, ends = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    at_buffer, at_text = address(buffer), address(text)
    sizes, out = at_buffer + 8 * LANES * max_words, at_buffer + 8 * LANES * (max_words + 1)
    item, count = 0, len(a_offsets) - 1
    while item < count:
        filled = longest_words = 0
        while filled < LANES and item < count:
            start_a, end_a, start_b, end_b = a_offsets[item], a_offsets[item + 1], b_offsets[item], b_offsets[item + 1]
            if end_a > start_a and end_b > start_b:
                end = copy_cell(a, start_a, end_a, text, filled * lane_size)
                text[end] = 0x1F
                ends[filled] = copy_cell(b, start_b, end_b, text, end + 1)
                chosen[filled] = item
                filled += 1
            else:
                keys[item, column] = 0
            item += 1
        # All items are copied before any message is written: reading memory right after it was written in words of
        # other sizes would stall the processor.
        for lane in range(filled):
            words = _write_message(at_buffer, lane, kind, at_text + lane * lane_size, ends[lane] - lane * lane_size)
            put_word(sizes + 8 * lane, np.uint64(words))
            longest_words = max(longest_words, words)
        for lane in range(filled, LANES):
            put_word(sizes + 8 * lane, np.uint64(0))
        siphash_eight(k0, k1, at_buffer, sizes, longest_words, out)
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
def _load_block(block: U8, words: U32) -> None:
    """Write the 64 bytes of `block` to the first 16 of `words`, big-endian."""
    for i in range(16):
        words[i] = np.uint32(
            (np.uint32(block[4 * i]) << np.uint32(24))
            | (np.uint32(block[4 * i + 1]) << np.uint32(16))
            | (np.uint32(block[4 * i + 2]) << np.uint32(8))
            | np.uint32(block[4 * i + 3])
        )


@kernel
def _compress_words_portable(state: U32, words: U32) -> None:
    """Update the SHA-256 `state` (8 words) with the first 16 of 64 `words`; the others are a buffer."""
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
def compress_portable(state: U32, block: U8, words: U32) -> None:
    """Update the SHA-256 `state` (8 words) with `block` (64 bytes); `words` is a buffer of 64 words."""
    _load_block(block, words)
    _compress_words_portable(state, words)


@kernel
def _compress_words_with_instructions(state: U32, words: U32) -> None:
    """As `_compress_words_portable`, by the processor's SHA instructions."""
    sha256_instructions.compress_block(state, words, _ROUND)


@kernel
def compress_with_instructions(state: U32, block: U8, words: U32) -> None:
    """As `compress_portable`, by the processor's SHA instructions, where `sha256_instructions.AVAILABLE`."""
    _load_block(block, words)
    sha256_instructions.compress_block(state, words, _ROUND)


_compress, _compress_words = (
    (compress_with_instructions, _compress_words_with_instructions)
    if sha256_instructions.AVAILABLE
    else (compress_portable, _compress_words_portable)
)


# Loops instead of slice assignments, for which numba also compiles the text of their errors, which takes 1.5 s.
@inlined
def _fill(block: U8, start: int, value: int) -> None:
    for at in range(start, len(block)):
        block[at] = value


@inlined
def _set_words(state: U32, to: U32) -> None:
    for at in range(8):
        state[at] = to[at]


@kernel
def confirm_digests_loop(key: U8, kinds: U8, blob: U8, offsets: I64) -> U8:
    """The first 16 bytes of the HMAC-SHA-256 of each item, shape (n, 16); the key may have up to 64 bytes."""
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
        # the outer message is the inner digest, whose words are those of the state, and the padding of 96 bytes
        for i in range(8):
            words[i], words[8 + i] = state[i], np.uint32(0)
        words[8], words[15] = np.uint32(0x80000000), np.uint32(96 * 8)
        _set_words(state, outer)
        _compress_words(state, words)
        for i in range(16):
            digests[item, i] = np.uint8(state[i >> 2] >> np.uint32(24 - 8 * (i & 3)))
    return digests


@kernel
def _finish(state: U32, block: U8, fill: int, bits: np.uint64, words: U32) -> None:
    """Update `state` with the last `fill` bytes in `block` and the padding; `bits` is the whole message's length."""
    block[fill] = 0x80
    _fill(block, fill + 1, 0)
    if fill >= 56:
        _compress(state, block, words)
        _fill(block, 0, 0)
    for place in range(8):
        block[56 + place] = np.uint8(bits >> np.uint64(56 - 8 * place))
    _compress(state, block, words)
