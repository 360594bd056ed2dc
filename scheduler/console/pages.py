"""What a view gives: one page, whose data is shown as HTML and has a JSON and a CSV twin; and the arguments it gets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from data.printable import spreadsheet_cell

if TYPE_CHECKING:
    from data.store.store import Store
    from scheduler.console.access import Person
    from scheduler.console.console import Console

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as views see it.

    Attributes:
        console: what all requests share. store: the database; for a GET it can only be read. person: who asks.
        path: the variable parts of the address. query: its filters, each once, without control characters.
        now: aware UTC.
    """

    console: Console
    store: Store
    person: Person
    path: Mapping[str, str]
    query: Mapping[str, str]
    now: datetime

    def choice(self, name: str, allowed: Sequence[str], otherwise: str = "") -> str:
        """The filter of this name if it is one of the allowed values, else the default."""
        value = self.query.get(name, "")
        return value if value in allowed else otherwise

    def number(self, name: str, otherwise: int, most: int) -> int:
        """The filter of this name as a number from 1 to `most`, else the default."""
        text = self.query.get(name, "")
        return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 9 else otherwise


@dataclass(frozen=True, slots=True)
class WebPage:
    """One page.

    Attributes:
        template: name of its template. title: of the page.
        data: what it shows, as its JSON twin gives it.
        columns, rows: its main table, as its CSV twin gives it.
        more: what the template alone needs.
        status: of the answer.
    """

    template: str
    title: str
    data: Mapping[str, Any]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


class NoSuchPage(Exception):
    """A view found nothing under the address; the message says what there is not."""


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as CSV that no spreadsheet runs as formulas."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()
