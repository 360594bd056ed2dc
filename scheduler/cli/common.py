"""What the command modules share: the home, JSON output, tables and progress."""

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
    """The home that `--home`, the environment or the platform names; not yet checked."""
    import os

    given: Path | None = ctx.find_root().obj
    home = Home(given if given is not None else default_home(os.environ))
    # the home has its own copy: no process that starts from here on finds a key or a token in its environment
    for name in [name for name in os.environ if name.startswith("TOCSIN_") and name != "TOCSIN_HOME"]:
        del os.environ[name]
    return home


def pass_home(function: Callable[Concatenate[Home, P], R]) -> Callable[P, R]:
    """Give a command its home as first argument, once `Home.require` accepted it."""

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
    """A rich console on standard output: wide where nobody watches, so that pipes get whole lines."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 160)


def note(text: str) -> None:
    """One line for the person at the terminal, on standard error."""
    click.echo(text, err=True)
