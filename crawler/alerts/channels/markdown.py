"""Plain text for chats that read Markdown: no formatting, link or code can form in it."""

from __future__ import annotations

import re

# All ASCII punctuation that a backslash escapes in CommonMark and that begins something: emphasis, code, links, headings,
# quotes, tables, strikethrough, spoilers, HTML, entities.
_SPECIAL = re.compile(r"[\\`*_{}\[\]()<>#~|&!]")


def escape(text: str) -> str:
    """The text with a backslash before each character that Markdown would read."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def size(text: str) -> int:
    """Characters of an escaped text as JavaScript counts them, where an emoji counts as two."""
    return len(escape(text).encode("utf-16-le")) // 2
