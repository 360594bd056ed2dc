"""`tocsin daemon`: crawls all enabled sources and delivers alerts, until stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scheduler.cli.common import pass_home

if TYPE_CHECKING:
    from data.settings.home import Home


@click.command()
@click.option(
    "--standby",
    is_flag=True,
    help="If another daemon watches this home, wait, and take over when it ends or makes no progress.",
)
@pass_home
def daemon(home: Home, standby: bool) -> None:
    """Crawl all enabled sources and deliver alerts, until SIGTERM or Ctrl-C.

    On SIGHUP the daemon reads the settings, sources and watch-list again. Of two daemons on one home the second is
    refused, or waits with --standby.
    """
    import asyncio

    from data.logs import set_up
    from scheduler.daemon.daemon import Daemon
    from scheduler.daemon.home_lock import daemon_lock
    from scheduler.daemon.systemd import notify_systemd

    settings = home.settings()
    set_up(settings.log.form)

    def waiting() -> None:
        notify_systemd("READY=1", "WATCHDOG=1", "STATUS=standing by: another daemon watches this home")

    with daemon_lock(home, standby=settings.daemon.lease if standby else None, waiting=waiting) as lock:
        asyncio.run(Daemon(home, lock).run())
