"""Compiles regular expressions with possessive repetitions correctly on every Python that we run on.

Before Python 3.11.5 a possessive repetition of a group with alternatives matches wrongly (gh-106052), and Debian 12 has
3.11.2. There the repetition is written as an atomic group instead, which takes more memory: one mark for each
repetition.
"""

from __future__ import annotations

import re
import sys
from typing import AnyStr

SOUND = sys.version_info >= (3, 11, 5)


def possessive(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, for patterns with possessive repetitions of groups."""
    return re.compile(pattern if SOUND else atomic(pattern), flags)


def atomic(pattern: AnyStr) -> AnyStr:
    """The pattern with `(?>(…)*)` for each `(…)*+`; possessive repetitions of single characters stay as they are."""
    if isinstance(pattern, bytes):
        return _atomic(pattern.decode("latin-1")).encode("latin-1")
    return _atomic(pattern)


_QUANTIFIER = re.compile(r"([*+?]|\{\d*,?\d*\})(\+?)")


def _atomic(pattern: str) -> str:
    made: list[str] = []
    # where in `made` the open groups begin
    opened: list[int] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        size = 1
        if char == "\\":
            size = 2
        elif char == "[":
            size = _set_end(pattern, at) - at
        made.append(pattern[at : at + size])
        at += size
        if char == "(":
            opened.append(len(made) - 1)
        elif char == ")":
            begin = opened.pop()
            found = _QUANTIFIER.match(pattern, at)
            if found and found[2]:
                made[begin:] = ["(?>", *made[begin:], found[1], ")"]
                at = found.end()
    return "".join(made)


def _set_end(pattern: str, at: int) -> int:
    """The place behind the character class that begins at `at`."""
    at += 2 if pattern.startswith("[^", at) else 1
    # a bracket in the first place is a character of the class
    at += pattern.startswith("]", at)
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
