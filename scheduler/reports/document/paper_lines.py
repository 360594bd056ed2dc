"""Long tables as lines of fixed width, for paper: WeasyPrint takes about ten milliseconds for a row of a table, and a tenth for a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.reports.document.words import Words

# Characters of the columns; together they fill the width of an A4 page in the smallest type that can be read.
_CLIENT = (42, -9, -9, 24, 18, 17)
_SOURCE = (38, 14, 37, -14, 22)
_BETWEEN = "  "


def client_lines(rows: Sequence[Mapping[str, Any]], words: Words, confidence: str) -> list[str]:
    """A heading and a line for each client, of the rows that `page.client_row` makes."""
    head = [words("client_head"), words("seen_short"), words("tagged_head")]
    head += [words("share_head", confidence=confidence), words("first_head"), words("last_head")]
    return [_line(head, _CLIENT), *(_line(_client(each), _CLIENT) for each in rows)]


def _client(row: Mapping[str, Any]) -> list[str]:
    name = row["name"] if row["id"] == row["name"] else f"{row['name']} · {row['id']}"
    return [name, row["sighted"], row["tagged"], row["share"], row["first"], row["last"]]


def source_lines(rows: Sequence[Mapping[str, Any]], words: Words) -> list[str]:
    """A heading and a line for each source, of the rows that `page` makes."""
    head = [words("source_head"), "", words("watched_head"), words("crawls_head"), words("gaps_head")]
    return [_line(head, _SOURCE), *(_line(_source(each), _SOURCE) for each in rows)]


def _source(row: Mapping[str, Any]) -> list[str]:
    return [row["name"], row["state"], f"{row['first']}, {row['last']}", row["crawls"], row["gap_text"]]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _BETWEEN.join(_fitted(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _fitted(text: str, width: int) -> str:
    """A text in so many columns, to the right if the number is negative.

    A text that is too long ends with an ellipsis; a number, which stands to the right, is never cut and moves what follows.
    """
    room, kept = abs(width), ""
    if width < 0 and len(text) > room:
        return text
    for char in text:
        if _columns(char) > room:
            while not room:
                kept, room = kept[:-1], room + _columns(kept[-1])
            kept, room = f"{kept}…", room - 1
            break
        kept, room = kept + char, room - _columns(char)
    return " " * room + kept if width < 0 else kept + " " * room


def _columns(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
