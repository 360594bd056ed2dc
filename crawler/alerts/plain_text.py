"""Text that others wrote, in a form that no chat turns into a link, a mention, a command or something invisible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

JOINER = "\N{WORD JOINER}"
"""Invisible and without width: it separates what a chat would join to a link or a mention."""
# More marks above and below one letter than any language writes cover the lines around it.
MAX_MARKS = 2
# Letters that show nothing although they count as letters: Hangul fillers, the empty Braille cell, Khmer inherent vowels.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5")
# A dot before a letter makes a domain name, which chats link even without a scheme.
_DOT_OF_DOMAIN = re.compile(r"(?<=[\w-])\.(?=[^\W\d_])")
# Schemes without slashes (`mailto:`, `matrix:`) make links as well.
_COLON_OF_SCHEME = re.compile(r"(?<=[A-Za-z]):(?=[^\s/])")


def defang(url: str) -> str:
    """An address in a form that no chat turns into a link."""
    return re.sub(r"^http", "hxxp", url).replace("://", "[://]").replace(".", "[.]").replace("@", "[at]")


def sanitize(text: str, limit: int = 300) -> str:
    """Text on one line, without control and direction characters, in which no mention and no link can form.

    Args:
        text: anything.
        limit: most characters; longer text ends with an ellipsis.
    """
    kept = visible_text(text[: 4 * limit])
    kept = kept.replace("@", f"@{JOINER}").replace("#", f"#{JOINER}").replace("<!", "< !").replace("](", f"]{JOINER}(")
    # an address that `defang` has written keeps its form
    kept = re.sub(r"(?<!\[)://", "[://]", kept)
    kept = _DOT_OF_DOMAIN.sub(f".{JOINER}", _COLON_OF_SCHEME.sub(f":{JOINER}", kept))
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def visible_text(text: str) -> str:
    """Text on one line without control and direction characters, blank letters, and more marks than a letter has."""
    return re.sub(r" {2,}", " ", "".join(_visible_characters(text))).strip()


def _visible_characters(text: str) -> Sequence[str]:
    kept: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category[0] == "M" else 0
        if char in "\r\n\t" or category[0] == "Z" or char in _BLANK_LETTERS:
            kept.append(" ")
        elif category[0] != "C" and marks <= MAX_MARKS:
            kept.append(char)
    return kept
