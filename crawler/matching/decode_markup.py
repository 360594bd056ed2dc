"""A compiled loop that takes out comments and the tags that occur inside of words, in HTML and BBCode.

Arguments and results are those of `crawler.matching.fold_bytes.fold_bytes`, with a table of its own. The result has one
number more: how many tags the loop took out; 0 means that the view equals its source.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.arrays.jit import kernel
from data.arrays.raw_memory import byte, put_byte, put_word, word

_INLINE_TAGS = (
    "a abbr b big bdi bdo cite code color center del dfn em email font i ins kbd left mark q right s samp "
    "small size span strike strong sub sup tt u url var wbr"
)


def _inline_tags() -> NDArray[np.uint64]:
    """The names of tags that occur inside words and values, each as eight bytes padded with NUL; a 0 ends the table."""
    names = _INLINE_TAGS.split()
    return np.array([*(int.from_bytes(name.encode(), "little") for name in names), 0], np.uint64)


INLINE_TAGS = _inline_tags()
_TAG_MAX = 256


@kernel
def _tag_end(i: int, limit: int, inline: int) -> int:
    """The place after the inline tag or comment that begins at `i`, or `i` if there is none."""
    close = 62 if byte(i) == 60 else 93
    at = i + 1
    last = min(limit, i + _TAG_MAX)
    if close == 62 and at + 3 < last and byte(at) == 33 and byte(at + 1) == 45 and byte(at + 2) == 45:
        at += 3
        while at + 2 < last:
            if byte(at) == 45 and byte(at + 1) == 45 and byte(at + 2) == 62:
                return at + 3
            at += 1
        return i
    if at < last and byte(at) == 47:
        at += 1
    name = np.uint64(0)
    size = 0
    while at < last and size < 8 and (byte(at) | 32) >= 97 and (byte(at) | 32) <= 122:
        name |= np.uint64(byte(at) | 32) << np.uint64(8 * size)
        size += 1
        at += 1
    if size == 0 or at >= last:
        return i
    entry = word(inline)
    while entry != np.uint64(0) and entry != name:
        inline += 8
        entry = word(inline)
    char = byte(at)
    if entry == np.uint64(0) or not (char == close or char == 32 or char == 47 or char == 61 or char == 10):
        return i
    while at < last and byte(at) != close:
        if byte(at) == 60:
            return i
        at += 1
    return at + 1 if at < last else i


@kernel
def markup(
    source: int, n: int, low: int, high: int, out: int, marks_out: int, marks_in: int, inline: int
) -> tuple[int, int, int, int, int]:
    """Leave out comments and the tags that occur inside of words: `<b>` and `[b]`, but not `<td>`."""
    i, o, marks = source, out, 0
    limit, low, high = source + n, source + low, source + high
    low_out = high_out = -1
    while i < limit:
        if low_out < 0 and i >= low:
            low_out = o - out
        if high_out < 0 and i >= high:
            high_out = o - out
        char = byte(i)
        after = _tag_end(i, limit, inline) if char == 60 or char == 91 else i
        if after == i:
            put_byte(o, char)
            i += 1
            o += 1
            continue
        i = after
        put_word(marks_out + 8 * marks, np.uint64(o - out))
        put_word(marks_in + 8 * marks, np.uint64(i - source))
        marks += 1
    if low_out < 0:
        low_out = o - out
    if high_out < 0:
        high_out = o - out
    return o - out, marks, low_out, high_out, marks
