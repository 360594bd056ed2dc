"""A compiled loop: all strings one typing error away from given strings. `crawler.lineage.typo_search` uses it."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8
from data.arrays.jit import kernel


@kernel
def single_error_variants(
    blob: U8, offsets: I64, alphabet: U8, lengths_vary: bool, longest: int
) -> tuple[U8, I64, I64]:
    """All variants of n strings with one character replaced, two neighbours swapped, or one left out or added.

    Args:
        blob: the strings, one after another.
        offsets: shape (n + 1,), where each string begins, and the end of the last.
        alphabet: the characters that may be put in.
        lengths_vary: whether characters are also left out and added (names: yes, numbers of fixed length: no).
        longest: strings with more bytes have no variants.

    Returns:
        Blob and offsets of m variants, and the number of the string that each was made from, shape (m,). A variant may
        occur twice, and the string itself is among them.
    """
    count, size = 0, 0
    signs = len(alphabet)
    for item in range(len(offsets) - 1):
        length = offsets[item + 1] - offsets[item]
        if length == 0 or length > longest:
            continue
        count += length * signs + length - 1
        size += (length * signs + length - 1) * length
        if lengths_vary:
            count += length + (length + 1) * signs
            size += length * (length - 1) + (length + 1) * signs * (length + 1)
    made, cuts, owners = np.empty(size, np.uint8), np.empty(count + 1, np.int64), np.empty(count, np.int64)
    used, number = 0, 0
    cuts[0] = 0
    for item in range(len(offsets) - 1):
        start = offsets[item]
        length = offsets[item + 1] - start
        if length == 0 or length > longest:
            continue
        for at in range(length):
            for sign in alphabet:
                for place in range(length):
                    made[used + place] = blob[start + place]
                made[used + at] = sign
                used += length
                owners[number] = item
                number += 1
                cuts[number] = used
        for at in range(length - 1):
            for place in range(length):
                made[used + place] = blob[start + place]
            made[used + at], made[used + at + 1] = blob[start + at + 1], blob[start + at]
            used += length
            owners[number] = item
            number += 1
            cuts[number] = used
        if not lengths_vary:
            continue
        for at in range(length):
            for place in range(length):
                if place != at:
                    made[used] = blob[start + place]
                    used += 1
            owners[number] = item
            number += 1
            cuts[number] = used
        for at in range(length + 1):
            for sign in alphabet:
                for place in range(at):
                    made[used + place] = blob[start + place]
                made[used + at] = sign
                for place in range(at, length):
                    made[used + place + 1] = blob[start + place]
                used += length + 1
                owners[number] = item
                number += 1
                cuts[number] = used
    return made[:used], cuts[: number + 1], owners[:number]
