"""`tocsin doctor`: checks this installation, and says how to repair what is wrong."""

from __future__ import annotations

import os

import click

from scheduler.cli.common import chosen_home, console, emit_json, json_option

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "wrong": "[bold red]WRONG[/]"}


@click.command()
@click.option("--restore-enrol-key", is_flag=True, help="First write keys/enrol.key anew from the match key.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, restore_enrol_key: bool, as_json: bool) -> int:
    """Check this installation, and say how to repair what is wrong. Exit status 2 if anything is wrong."""
    # before anything is imported: modules copy the environment, which may hold the key
    home = chosen_home(ctx)

    from rich.markup import escape
    from rich.table import Table

    from scheduler.reports.doctor import examine_home

    if restore_enrol_key:
        from data.hashing.case_keys import format_enrol_key, parse_match_key

        text = format_enrol_key(parse_match_key(home.require().match_key_text()).derive())
        home.enrol_key_path.unlink(missing_ok=True)
        with open(os.open(home.enrol_key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:  # noqa: PTH123
            stream.write(text)
    checks = examine_home(home)
    if as_json:
        emit_json({"checks": [check.to_json() for check in checks]})
    else:
        table = Table("", "check", "result", "how to repair it", box=None)
        for check in checks:
            table.add_row(MARKS[check.state], escape(check.name), escape(check.result), escape(check.repair))
        console().print(table)
    return 2 if any(check.state == "wrong" for check in checks) else 0
