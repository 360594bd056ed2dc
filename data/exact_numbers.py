"""Replaces numbers that earlier versions stored exactly: a large one could be somebody's telephone number or birth date.

Today the crawl process and the runner round them before they are stored (`data.vocabulary.rounded`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from data.vocabulary import EXACT_IN_SENTENCE, rounded

if TYPE_CHECKING:
    from sqlite_utils import Database

# A whole number in a sentence; one in brackets is a keyed id.
_IN_SENTENCE = re.compile(r"(?<![\w.\[])(?:\d{1,3}(?:,\d{3})+|\d{5,})(?!\w)")
# What holds sentences: of findings and their lineages, and of events.
_SENTENCES = frozenset(["problems", "notes", "condition", "changed", "reason"])
_COLUMNS: tuple[tuple[str, str], ...] = (
    ("finding", "body"),
    ("event", "facts"),
    ("post", "traits"),
    ("post", "seen_traits"),
    ("post", "page_traits"),
)


def round_stored_numbers(db: Database) -> None:
    """Round the numbers in findings, events and fields of posts."""
    for table, column in _COLUMNS:
        change: Callable[[Any], Any] = with_rounded_numbers if table == "post" else _with_rounded_counts
        rows = db.execute(f"select id, {column} from {table} where {column} glob '*[0-9][0-9][0-9][0-9]*'").fetchall()  # noqa: S608 - names from above
        for row, text in rows:
            try:
                value = json.loads(text)
            except ValueError:
                # what reads it reports that
                continue
            changed = change(value)
            if changed != value:
                db.execute(f"update {table} set {column} = ? where id = ?", (json.dumps(changed), row))  # noqa: S608


def with_rounded_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a post as `crawler.pages.post_fields` makes them today."""
    return {name: _rounded_field(name, value) for name, value in fields.items()}


def _rounded_field(field: str, value: Any) -> Any:
    if field in {"size", "records", "files"} and isinstance(value, list):
        numbers = {rounded(each, EXACT_IN_SENTENCE) for each in value if isinstance(each, int)}
        return [*sorted(numbers), *(each for each in value if not isinstance(each, int))]
    if field == "price" and isinstance(value, list):
        pairs = [str(each).rpartition(" ") for each in value]
        return sorted({f"{unit} {rounded(int(amount), EXACT_IN_SENTENCE)}" for unit, _, amount in pairs})
    return value


def _with_rounded_counts(value: Any, name: str = "") -> Any:
    """A value of a finding or an event with all of its numbers rounded; `name` is that of the field that holds it."""
    if isinstance(value, dict):
        return {key: _with_rounded_counts(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_rounded_counts(each, name) for each in value]
    if type(value) is int:
        return rounded(value)
    if isinstance(value, str) and name in _SENTENCES:
        return _IN_SENTENCE.sub(_rounded_match, value)
    return value


def _rounded_match(match: re.Match[str]) -> str:
    number = int(match[0].replace(",", ""))
    return match[0] if number < EXACT_IN_SENTENCE else f"about {rounded(number, EXACT_IN_SENTENCE):,}"
