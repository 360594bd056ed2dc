"""A compiled loop that makes the prints of many texts; `crawler.records.note_prints` explains their use."""

from __future__ import annotations

import numpy as np

from data.arrays.array_types import I64, U8, U64
from data.arrays.jit import inlined, kernel

_BASE = np.uint64(0x9E3779B97F4A7C15)
_NEWLINE = 10
_LESS, _MORE, _AMPERSAND, _SEMICOLON = b"<>&;"
_MAX_TAG, _MAX_ENTITY = 200, 10


@inlined
def _mix(word: np.uint64, k0: np.uint64, k1: np.uint64) -> np.uint64:
    """A keyed number from a rolling hash; the finalisation of SipHash would take as long as all the rest."""
    word = (word ^ k0) * np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(29)
    word = (word ^ k1) * np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(32)
    word = (word + k0) * np.uint64(0xD6E8FEB86659FD93)
    return word ^ (word >> np.uint64(31))


@inlined
def _is_letter(char: int) -> bool:
    """Whether a byte is a letter, also outside ASCII; dates and measures would make one template look like many."""
    return 97 <= char <= 122 or char >= 128


@kernel
def winnow(k0: np.uint64, k1: np.uint64, blob: U8, gram: int, window: int, least: int, most: int) -> tuple[U64, I64]:
    """The prints of folded texts: tags, and the number of the text that each belongs to; shape (p,) both.

    Mark-up between < and >, references between & and ;, spaces and signs are ignored.

    Args:
        k0: first half of the key.
        k1: second half of the key.
        blob: folded texts, each followed by a line end.
        gram: this many letters in a row are hashed.
        window: of this many hashes in a row the least one is kept.
        least: a text with fewer letters has no prints.
        most: only so many letters at the beginning of a text are read.
    """
    power = np.uint64(1)
    for _ in range(gram):
        power *= _BASE
    room = 16 + len(blob) // 4
    tags, owners = np.empty(room, np.uint64), np.empty(room, np.int64)
    count = 0
    letters = np.empty(most, np.uint8)
    hashes = np.empty(most, np.uint64)
    item, begin = -1, 0
    while begin < len(blob):
        item += 1
        end = begin
        while blob[end] != _NEWLINE:
            end += 1
        size, at = 0, begin
        begin = end + 1
        while at < end and size < most:
            char = blob[at]
            if char in (_LESS, _AMPERSAND):
                closing = _MORE if char == _LESS else _SEMICOLON
                limit = min(end, at + (_MAX_TAG if char == _LESS else _MAX_ENTITY))
                past = at + 1
                while past < limit and blob[past] != closing:
                    past += 1
                if past < limit:
                    at = past + 1
                    continue
            if _is_letter(char):
                letters[size] = char
                size += 1
            at += 1
        if size < least or size < gram + window - 1:
            continue
        rolling = np.uint64(0)
        grams = size - gram + 1
        for place in range(size):
            rolling = rolling * _BASE + np.uint64(letters[place] + 1)
            if place >= gram:
                rolling -= power * np.uint64(letters[place - gram] + 1)
            if place >= gram - 1:
                hashes[place - gram + 1] = _mix(rolling, k0, k1)
        began, last, best = count, -1, -1
        for place in range(grams - window + 1):
            if best < place:
                # the least hash has left the window: search all of it; the last of equal hashes wins
                best = place
                for other in range(place + 1, place + window):
                    if hashes[other] <= hashes[best]:
                        best = other
            elif hashes[place + window - 1] <= hashes[best]:
                best = place + window - 1
            if best != last:
                last = best
                tag = hashes[best] | np.uint64(1)
                again = False
                for earlier in range(began, count):
                    again = again or tags[earlier] == tag
                if not again and count < room:
                    tags[count] = tag
                    owners[count] = item
                    count += 1
    return tags[:count], owners[:count]
