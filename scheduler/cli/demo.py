"""`tocsin demo`: the whole road on an embedded story, with the real commands on a real (loopback) site and chat."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Make the demo's home here and leave it for a look around."
)
@click.option("--seed", default=2026, show_default=True, help="Another seed, other people.")
def demo(keep: Path | None, seed: int) -> int:
    """Show the whole road: a leak site, four practices, a re-post, a further release, and the message it rings.

    Everything is invented and stays on this machine. The demo runs the real commands and prints what they say.
    """
    from scheduler.demo.story import run_demo

    return run_demo(keep, seed)
