"""The `tocsin` command: one module per noun, imported only when its command runs."""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path
from typing import IO, NoReturn, cast

import click

from data.errors import TocsinError

# The help texts are kept here, so that `tocsin --help` imports none of the command modules.
COMMANDS = {
    "init": ("init", "Create a home folder: keys, settings, an example source."),
    "demo": ("demo", "Show everything that Tocsin does, on an invented story."),
    "canary": ("canary", "Create, enrol, import and plan the canaries of clients."),
    "source": ("sources.source", "Add, list, check, enable and disable sources."),
    "crawl": ("crawl", "Crawl sources once, now, in the foreground."),
    "scan": ("scan", "Examine local files, folders or standard input."),
    "release": ("release", "Register data that is already public, and compare files with it."),
    "incident": ("incident", "Group the clients, sources and baselines that belong to one threat."),
    "report": ("report", "Write a report about an incident, for everybody or for one client."),
    "alert": ("alert", "List alerts and decide about them; test channels and retry."),
    "event": ("event", "List events, also those that rang nobody."),
    "events": ("event", "Print new events as a feed for a SIEM."),
    "evidence": ("evidence", "List, verify, export, open and expire sealed evidence."),
    "status": ("status", "Show the sources, when each last worked, and what is wrong."),
    "console": ("console", "Serve a web page that shows everything and takes decisions."),
    "daemon": ("daemon", "Crawl all enabled sources and deliver alerts, until stopped."),
    "doctor": ("doctor", "Check this installation, and say how to repair what is wrong."),
    "backup": ("backup", "Write a backup of the home, while it is in use."),
    "restore": ("backup", "Make a working home of a backup."),
    "purge": ("purge", "Delete old findings, events and evidence, or a whole case."),
}


# Objects that a command creates before it searches them for garbage. Most are modules, which stay: with Python's 700 the
# search took a tenth of the time of a short command. The daemon holds at most some megabytes more for it.
COLLECT_AFTER = 20_000


class LazyGroup(click.Group):
    """A group that imports the module of a command only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        """The names of the commands, in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        """The command of this name, or None; imports its module."""
        if cmd_name not in COMMANDS:
            return None
        import importlib

        module = importlib.import_module(f"scheduler.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"scheduler.cli.{COMMANDS[cmd_name][0]} defines no command {cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands from the help texts in `COMMANDS`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The home folder. Default: $TOCSIN_HOME, or else a folder in the user's data folder.",
)
@click.version_option(package_name="tocsin")
@click.pass_context
def tocsin(ctx: click.Context, home: Path | None) -> None:
    """Tocsin, the alarm bell for stolen data.

    Watches declared public sources for further releases of your clients' data, which it recognises by keyed hashes.
    """
    ctx.obj = home
    # a command holds samples and keys in memory: a crash, or Control-\\ at the terminal, must not write them to a disk
    from crawler.process.privileges import no_core_dumps

    no_core_dumps()


# Errors of files that are no fault of ours: whatever command met one, a person gets a sentence.
_OF_THE_MACHINE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; print every expected error as one sentence with a hint, and exit with status 2.

    Whatever a command prints passes a filter of control characters: names in it may be those of files and sites.
    """
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    from scheduler.cli.common import SafeStream

    stdout = sys.stdout
    sys.stdout = SafeStream(stdout, styles=stdout.isatty())
    try:
        _run(arguments)
    finally:
        sys.stdout = stdout


def _run(arguments: list[str] | None) -> NoReturn:
    from scheduler.cli.common import SafeStream, note

    # pydantic would search all installed packages for plug-ins, which takes time; we use none, and load none unasked
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    try:
        code = tocsin.main(args=arguments, prog_name="tocsin", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show(cast("IO[str]", SafeStream(sys.stderr, styles=False)))
        sys.exit(2)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except TocsinError as error:
        note(f"error: {error}")
        if error.hint:
            note(f"hint: {error.hint}")
        sys.exit(2)
    except BrokenPipeError:
        # the program that reads our output has ended: end without a message, as other filters do
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE or not isinstance(error.filename, str):
            raise
        note(f"error: {error.filename}: {error.strerror}")
        note(
            "hint: give the user who runs this a place where files can be written; tocsin doctor says more about the home"
        )
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)
