"""`tocsin demo`: an invented story, run with the real commands against a real site and chat on loopback."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Create the demo's home folder here, and keep it for you to inspect.",
)
@click.option("--seed", default=2026, show_default=True, help="Another seed invents other people.")
def demo(keep: Path | None, seed: int) -> int:
    """Show everything on a story: a leak site, four practices, a re-post, a further release, and the alert about it.

    Everything is invented and stays on this machine. The demo runs the real commands and prints their output.
    """
    from scheduler.demo.story import run_demo

    return run_demo(keep, seed)
