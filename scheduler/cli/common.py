"""Helpers of all command modules: the home folder, JSON output, tables, progress and notes to the user."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TextIO, TypeVar

import click

from data.printable import CONTROLS, printable, without_controls
from data.settings.home import Home, default_home
from scheduler.local_files.named_pipes import is_named_pipe

if TYPE_CHECKING:
    from rich.console import Console

    from data.model import Event
    from data.store.store import Store

_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")

P = ParamSpec("P")
R = TypeVar("R")


def chosen_home(ctx: click.Context) -> Home:
    """The home folder named by `--home`, `$TOCSIN_HOME` or the platform's default; not checked yet."""
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


class InputPath(click.Path):
    """The path of a file to read. A named pipe is refused: to open it waits for a writer, perhaps for ever.

    Args:
        allow_dash: `-` stands for standard input; the value is a text then.
    """

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(path_type=str if allow_dash else Path, allow_dash=allow_dash)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path."""
        if is_named_pipe(value):
            self.fail(f"{printable(str(value))} is a pipe, not a file; write its content into a file first", param, ctx)
        return super().convert(value, param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def emit_json(value: Any) -> None:
    """Print one JSON object on standard output; times become ISO 8601 in UTC."""
    import orjson

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()
    # JSON itself escapes only the control characters of ASCII
    click.echo(CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def console() -> Console:
    """A rich console on standard output.

    It is as wide as the variable COLUMNS says; without that as wide as the terminal, or 160 columns where there is none,
    so that lines stay whole in pipes.
    """
    from rich.console import Console

    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(highlight=False, soft_wrap=False, width=None if is_known else 160)


class SafeStream:
    """A text stream that passes on what is written to it without control characters; all else is as in `stream`.

    Args:
        stream: the output of the command.
        styles: whether sequences that only set colours and weight are kept, which our own tables use on a terminal.
    """

    def __init__(self, stream: TextIO, *, styles: bool) -> None:
        self._stream, self._styles = stream, styles

    def write(self, text: str) -> int:
        """Write the text, and return its length."""
        parts = _STYLE.split(text) if self._styles else [text]
        self._stream.write("".join(part if at % 2 else without_controls(part) for at, part in enumerate(parts)))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Everything else of the stream."""
        return getattr(self._stream, name)


def note(text: str) -> None:
    """Print one line for the user on standard error."""
    click.echo(without_controls(text), err=True)


def find_event(store: Store, start: str) -> tuple[Event, dict[str, Any]]:
    """The only event whose id begins with a text, and what the store knows about it; raises InputError if not one."""
    from data.errors import InputError

    found = store.events.find(start)
    if found is None:
        raise InputError(
            f"no event, or more than one, has an id that begins with '{printable(start)}'",
            hint="see: tocsin alert list",
        )
    return found


def write_new_file(path: Path, content: bytes) -> None:
    """Write a new file that the user alone can read.

    Raises:
        InputError: it exists or cannot be written.
    """
    from data.errors import InputError

    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123 - its mode
            stream.write(content)
    except FileExistsError as error:
        raise InputError(f"{path} exists and is not overwritten", hint="name a new file with --out") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", hint="choose another file with --out"
        ) from error


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with bytes, speed and remaining time while the block runs; it vanishes with the block.

    Args:
        label: what is being done.
        total: number of bytes; 0 if it is not known.

    Yields:
        A function that is called with each number of bytes that are done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total or None)
        yield lambda count: bar.advance(task, count)
