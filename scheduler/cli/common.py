"""Helpers of all command modules: the home folder, JSON output, tables and notes to the user."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from data.settings.home import Home, default_home

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")
R = TypeVar("R")


def chosen_home(ctx: click.Context) -> Home:
    """The home folder named by `--home`, `$TOCSIN_HOME` or the platform's default; not checked yet."""
    import os

    from data.settings.key_keeper import KeyKeeper

    # first of all: a copy of the environment would hold the key
    keeper = KeyKeeper.from_environment()
    given: Path | None = ctx.find_root().obj
    home = Home(given if given is not None else default_home(os.environ), keeper=keeper)
    # `Home` has copied the environment: remove keys and tokens from it, so that no child process inherits them
    for name in [name for name in os.environ if name.startswith("TOCSIN_") and name != "TOCSIN_HOME"]:
        del os.environ[name]
    return home


def pass_home(function: Callable[Concatenate[Home, P], R]) -> Callable[P, R]:
    """Pass the home folder to a command as its first argument, after `Home.require` has accepted it."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(chosen_home(click.get_current_context()).require(), *args, **kwargs)

    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def emit_json(value: Any) -> None:
    """Print one JSON object on standard output; times become ISO 8601 in UTC."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def console() -> Console:
    """A rich console on standard output; 160 columns wide if that is no terminal, so that lines stay whole in pipes."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 160)


def printable(text: str) -> str:
    """Text that others wrote, without characters that control a terminal or change the direction of writing."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def note(text: str) -> None:
    """Print one line for the user on standard error."""
    click.echo(text, err=True)
