"""Tables with one line for each client: the first of them, and options for all of them, for one, and for a file."""

from __future__ import annotations

import csv
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from data.errors import InputError
from data.plural import counted
from data.printable import printable, spreadsheet_cell
from scheduler.cli.common import console, note

DEFAULT_TOP = 20
"""Lines of a table without `--all` and `--top`: with the totals above them they fit on one screen."""
MAX_CELL = 48
"""Characters of a cell behind the id. A longer one is cut, so that no client takes two lines; `--csv` has all of it."""
NAME = "name"
"""Title of the column of names, the only one that becomes narrower on a narrow terminal, down to `MIN_NAME`."""
MIN_NAME = 12

Cell = str | int


@dataclass(frozen=True, slots=True)
class ClientChoice:
    """Which lines of a table of clients a person asked for.

    Attributes:
        every: all of them. top: the first so many. clients: those of these ids alone; none stands for all clients.
        csv_file: a file to which all lines are written, whatever is printed; None for no file.
        every_option: name of the option that prints all lines.
    """

    every: bool = False
    top: int = DEFAULT_TOP
    clients: tuple[str, ...] = ()
    csv_file: Path | None = None
    every_option: str = "--all"

    def select(self, rows: Sequence[Sequence[Cell]]) -> list[Sequence[Cell]]:
        """The rows of the chosen clients, before they are limited to the first of them."""
        return [row for row in rows if not self.clients or row[0] in self.clients]


def client_table_options(*, every: str = "--all") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--all`, `--top`, `--client` and `--csv` to a command, which receives them as its argument `choice`.

    Args:
        every: name of the first option, for a command whose `--all` means something else.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option(every, "every_client", is_flag=True, help="Print the lines of all clients.")
        @click.option(
            "--top",
            type=click.IntRange(1),
            default=DEFAULT_TOP,
            show_default=True,
            metavar="N",
            help="Print the lines of the first N clients.",
        )
        @click.option("--client", "only", multiple=True, metavar="ID", help="Print only this client; repeatable.")
        @click.option(
            "--csv",
            "csv_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Also write the lines of all clients to a new file, as CSV.",
        )
        @functools.wraps(function)
        def command(
            *args: Any, every_client: bool, top: int, only: tuple[str, ...], csv_file: Path | None, **kwargs: Any
        ) -> Any:
            if csv_file is not None:
                _check_is_new(csv_file)
            # ids in alerts hold invisible characters that keep chats from making links of them
            clients = tuple("".join(char for char in each if char.isprintable()) for each in only)
            return function(*args, choice=ClientChoice(every_client, top, clients, csv_file, every), **kwargs)

        return command

    return decorate


def _check_is_new(path: Path) -> None:
    """Refuse a file that cannot be created, before a command works for an hour and cannot write it."""
    if path.exists():
        raise InputError(f"{path} exists and is not overwritten", hint="name another file with --csv")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be created: there is no folder {path.parent}", hint="create the folder")


def print_clients(
    choice: ClientChoice, columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str = ""
) -> None:
    """Print a table with one line for each client, and write the CSV file if one was asked for.

    Args:
        choice: from `client_table_options`.
        columns: titles.
        rows: one for each client, those hit worst first; the first cell is the client's id. Numbers stand right.
        title: printed above the table, '' for none.
    """
    if choice.csv_file is not None:
        write_csv(choice, columns, rows)
    chosen = choice.select(rows)
    shown = chosen if choice.every or choice.clients else chosen[: choice.top]
    found = {row[0] for row in chosen}
    for client in choice.clients:
        if client not in found:
            note(f"client {printable(client)} is not in this table")
    if not shown:
        return
    if title:
        click.secho(printable(title), bold=True)
    for line in _layout(columns, shown):
        click.echo(line)
    left = len(chosen) - len(shown)
    if left:
        more = f"… and {counted(left, 'further client')}"
        click.echo(f"{more}: {choice.every_option} prints all, --client ID one, --csv FILE writes all to a file")


def _layout(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The lines of a table: titles, then one line for each row.

    Ids and numbers are never cut, because a person copies and compares them; the column of names gives way. On a terminal
    that is still too narrow, lines end at its edge. Tables of `rich` cut numbers to an ellipsis here.
    """
    from rich.cells import cell_len, set_cell_size

    cells = [list(columns), *([_cell_text(cell, number) for number, cell in enumerate(row)] for row in rows)]
    right = [all(isinstance(row[number], int) for row in rows) for number in range(len(columns))]
    widths = [max(cell_len(row[number]) for row in cells) for number in range(len(columns))]
    whole = console().width
    if NAME in columns:
        name = columns.index(NAME)
        widths[name] = max(
            min(widths[name], MIN_NAME), widths[name] - max(0, sum(widths) + 2 * len(widths) - 2 - whole)
        )

    def padded(text: str, number: int) -> str:
        width = widths[number]
        if cell_len(text) > width:
            return set_cell_size(text, width - 1) + "…"
        fill = " " * (width - cell_len(text))
        return fill + text if right[number] else text + fill

    lines = ["  ".join(padded(text, number) for number, text in enumerate(row)).rstrip() for row in cells]
    if not sys.stdout.isatty():
        return lines
    return [set_cell_size(line, whole).rstrip() if cell_len(line) > whole else line for line in lines]


def _cell_text(cell: Cell, number: int) -> str:
    if isinstance(cell, int):
        return f"{cell:,}"
    text = printable(cell)
    return text if not number or len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def write_csv(choice: ClientChoice, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write all lines to the file of `--csv`, in UTF-8, readable by the user alone.

    Raises:
        InputError: the file exists or cannot be written.
    """
    path = choice.csv_file
    if path is None:
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", newline="", encoding="utf-8") as stream:  # noqa: PTH123 - os.open sets the mode
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="name another file with --csv") from error
    note(f"{path}: {counted(len(rows), 'line')}")


def _csv_cell(cell: Cell) -> Cell:
    """A cell that no spreadsheet runs as a formula."""
    return cell if isinstance(cell, int) else spreadsheet_cell(cell)
