"""The `tocsin` command: one module per noun, imported only when its command is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from data.errors import TocsinError

# Help texts stand here, so that `tocsin --help` imports none of the command modules.
COMMANDS = {
    "init": ("init", "Make a home folder: keys, settings, an example source."),
    "demo": ("demo", "Show the whole road on an embedded story."),
    "canary": ("canary", "Make, enrol, import and plan the canaries of clients."),
    "source": ("source", "Add, check and switch the watched places."),
    "crawl": ("crawl", "Crawl sources once, now, in the foreground."),
    "scan": ("scan", "Examine local files, folders or standard input."),
    "release": ("release", "Register and compare what is already out."),
    "incident": ("incident", "Tie clients, sources and baselines to one threat."),
    "alert": ("alert", "List, show, acknowledge, test and retry alerts."),
    "evidence": ("evidence", "List, verify, export and expire sealed evidence."),
    "status": ("status", "What is watched, and how long ago it last worked."),
    "daemon": ("daemon", "Do everything, until stopped."),
    "doctor": ("doctor", "Find what is wrong with this installation, and how to mend it."),
    "purge": ("purge", "Delete what is past its time, or a whole case."),
}


class LazyGroup(click.Group):
    """A group that imports the module of a command only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        """The commands in the order of a first reading."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        """The command object, its module imported now."""
        if cmd_name not in COMMANDS:
            return None
        import importlib

        module = importlib.import_module(f"scheduler.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"scheduler.cli.{COMMANDS[cmd_name][0]} defines no command {cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table of commands, from the texts above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The home folder; else $TOCSIN_HOME, else the user's data folder.",
)
@click.version_option(package_name="tocsin")
@click.pass_context
def tocsin(ctx: click.Context, home: Path | None) -> None:
    """Tocsin, the alarm bell for stolen data.

    Watches declared public sources for further releases of your clients' data, by keyed hashes alone.
    """
    ctx.obj = home


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every expected error becomes one sentence, a hint, and exit status 2."""
    try:
        code = tocsin.main(args=arguments, prog_name="tocsin", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except TocsinError as error:
        click.echo(f"error: {error}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # the reader of our output went away: leave quietly, as other filters do
        sys.stderr.close()
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
