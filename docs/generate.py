"""Writes docs/commands.md and docs/settings.md from the code: `python docs/generate.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

DOCS = Path(__file__).parent


def commands() -> str:
    """The page of all commands with their help texts."""
    from scheduler.cli import tocsin

    lines = ["# Commands", "", "Generated from the help texts of the commands by `python docs/generate.py`.", ""]
    for path, command in _walk(tocsin, ()):
        context = click.Context(command, info_name=" ".join(path), terminal_width=110)
        lines += [f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}", "", "```", command.get_help(context), "```", ""]
    return "\n".join(lines)


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    path = (*path, command.name or "tocsin")
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _walk(child, path)


def settings() -> str:
    """The page of all settings with their defaults and meanings."""
    from data.settings.obligations import Obligation
    from data.settings.settings import Channel, Route, Settings

    lines = [
        "# Settings",
        "",
        "Generated from the code by `python docs/generate.py`.",
        "",
        "Settings are written in `tocsin.toml` in the home folder. An environment variable overrides the file:",
        "`TOCSIN_CRAWL__TIMEOUT=30s` sets `timeout` in `[crawl]`. A value `cred:NAME` is read from the systemd",
        "credential of that name. Unknown names are refused. Durations are written `90s`, `15m`, `24h`; sizes",
        "`64MiB`, `2GB`.",
        "",
    ]
    lines += _model_tables("(top level)", Settings)
    for name, model in (("[channels.NAME]", Channel), ("[[routes]]", Route), ("[[obligations]]", Obligation)):
        lines += _model_tables(name, model)
    return "\n".join(lines)


def _model_tables(title: str, model: type[BaseModel]) -> list[str]:
    lines = [f"## {title}", "", "| setting | default | meaning |", "|---|---|---|"]
    nested: list[str] = []
    from data.settings.attribute_docs import attribute_docs

    meanings = attribute_docs(model)
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested += _model_tables(f"[{name}]", field.annotation)
        else:
            default = "required" if field.is_required() else _default_text(field.get_default(call_default_factory=True))
            lines.append(f"| `{name}` | {default} | {meanings.get(name, '')} |")
    return [*lines, "", *nested]


def _default_text(value: Any) -> str:
    from scheduler.cli.sources.home_sources import span_text

    if isinstance(value, timedelta):
        return f"`{span_text(value.total_seconds())}`"
    if value in ("", None, (), {}):
        return "none"
    if isinstance(value, tuple) and isinstance(value[0], BaseModel):
        return "; ".join(str(each.name) for each in value)
    return f"`{value}`"


PAGES = {"commands.md": commands, "settings.md": settings}


def main() -> int:
    """Write the pages; with --check only name the pages that are out of date, and return 1 if there are any."""
    stale = []
    for name, make in PAGES.items():
        text = make().rstrip() + "\n"
        if (DOCS / name).exists() and (DOCS / name).read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            (DOCS / name).write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run: python docs/generate.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
