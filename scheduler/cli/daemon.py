"""`tocsin daemon`: crawls all enabled sources and delivers alerts, until stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scheduler.cli.common import pass_home

if TYPE_CHECKING:
    from data.settings.home import Home


@click.command()
@pass_home
def daemon(home: Home) -> None:
    """Crawl all enabled sources and deliver alerts, until SIGTERM or Ctrl-C.

    On SIGHUP the daemon reads the settings, sources and watch-list again.
    """
    import asyncio

    from data.logs import set_up
    from scheduler.daemon.daemon import Daemon, daemon_lock

    set_up()
    with daemon_lock(home):
        asyncio.run(Daemon(home).run())
