"""`tocsin daemon`: crawls all enabled sources and delivers alerts, until stopped."""

from __future__ import annotations

import click

from scheduler.cli.common import chosen_home


@click.command()
@click.option(
    "--standby",
    is_flag=True,
    help="If another daemon watches this home, wait, and take over when it ends or makes no progress.",
)
@click.pass_context
def daemon(context: click.Context, standby: bool) -> None:
    """Crawl all enabled sources and deliver alerts, until SIGTERM or Ctrl-C.

    On SIGHUP the daemon reads the settings, sources and watch-list again. Of two daemons on one home the second is
    refused, or waits with --standby. A daemon that cannot start ends with status 2, and tells the channels why.
    """
    # before anything is imported: modules copy the environment, which holds the key
    home = chosen_home(context)

    import asyncio

    from data.logs import set_up
    from scheduler.daemon.daemon import Daemon
    from scheduler.daemon.failed_start import told_if_it_fails
    from scheduler.daemon.home_lock import daemon_lock
    from scheduler.daemon.systemd import notify_systemd

    def waiting() -> None:
        notify_systemd("READY=1", "WATCHDOG=1", "STATUS=standing by: another daemon watches this home")

    set_up()
    with told_if_it_fails(home):
        settings = home.require().settings()
        set_up(settings.log.form)
        with daemon_lock(home, standby=settings.daemon.lease if standby else None, waiting=waiting) as lock:
            asyncio.run(Daemon(home, lock).run())
