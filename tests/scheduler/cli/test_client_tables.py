"""Tables of clients: the first lines, the options that show the rest, and one line for each client."""

from __future__ import annotations

import csv

import click
import pytest
from click.testing import CliRunner

from data.errors import InputError
from scheduler.cli.client_tables import client_table_options, print_clients

COLUMNS = ("client", "name", "canaries", "share")
HOSTILE = "=HYPERLINK(1)\x1b[31m\u202e[bold]@all" + "n" * 300


def rows(count: int) -> list[tuple[str | int, ...]]:
    return [(f"practice-{n:04}", HOSTILE, 2_000 - n, "3 %") for n in range(count)]


def run(count: int, *arguments: str):
    @click.command()
    @client_table_options()
    def command(choice):
        print_clients(choice, COLUMNS, rows(count), title="HITS")

    return CliRunner().invoke(command, arguments)


def clients_in(text: str) -> list[str]:
    return [word for word in text.split() if word.startswith("practice-")]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [((), 20), (("--top", "3"), 3), (("--all",), 1_500), (("--client", "practice-0007"), 1)],
)
def test_a_table_has_one_line_for_each_client_and_only_the_first_ones_unless_asked(arguments, count):
    done = run(1_500, *arguments)
    assert done.exit_code == 0
    assert len(clients_in(done.stdout)) == count
    rest = "… and" in done.stdout
    assert len(done.stdout.splitlines()) == count + 2 + rest
    assert rest == (count in (3, 20))


def test_an_id_with_the_invisible_characters_of_a_chat_is_understood():
    assert clients_in(run(9, "--client", "practice-\u20600007").stdout) == ["practice-0007"]


def test_a_client_that_is_not_in_the_table_is_named():
    done = run(3, "--client", "nobody")
    assert done.stdout == ""
    assert done.stderr == "client nobody is not in this table\n"


def test_neither_the_terminal_nor_a_spreadsheet_runs_what_a_name_holds(tmp_path):
    target = tmp_path / "clients.csv"
    done = run(1_500, "--csv", str(target))
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[bold]" in done.stdout
    with target.open(newline="", encoding="utf-8") as stream:
        head, *body = csv.reader(stream)
    assert tuple(head) == COLUMNS
    assert len(body) == 1_500
    assert body[0][2] == "2000"
    assert body[0][1].startswith("'=HYPERLINK(1)\ufffd[31m\ufffd[bold]@alln")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_file_that_exists_is_refused_before_the_work_begins(tmp_path):
    target = tmp_path / "clients.csv"
    target.write_text("mine")
    done = run(3, "--csv", str(target))
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""
    assert isinstance(run(3, "--csv", str(tmp_path / "none" / "x.csv")).exception, InputError)
    assert target.read_text() == "mine"


def test_no_row_prints_no_table():
    assert run(0).stdout == ""
