"""Text that others wrote, without characters that control a terminal, a page or a spreadsheet."""

from __future__ import annotations

import re

# Control characters but line feed and tab, marks of the direction of writing, other line ends, halves of surrogate pairs.
CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# Spreadsheets run a cell that begins with one of these as a formula.
# Source: OWASP, "CSV Injection".
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Text of one line, without characters that control a terminal or change the direction of writing."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def without_controls(text: str) -> str:
    """Text of one or more lines without characters that control a terminal or change the direction of writing."""
    return CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def spreadsheet_cell(text: str) -> str:
    """Text of one line that no spreadsheet runs as a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown
