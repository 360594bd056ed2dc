"""The process that answers browsers: it holds no key, cannot open one, and cannot connect to anything.

It is started as `python -m scheduler.console.server_process LISTENING BROKER` with two inherited descriptors: the
listening socket, and the connection to the process that started it, whose first line holds what it must know.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from crawler.process import landlock, privileges
from data.logs import set_up
from data.settings.home import Home
from data.store.store import Store
from scheduler.console.application import application
from scheduler.console.broker_client import BrokerClient
from scheduler.console.connections import MAX_CONNECTIONS, BoundedConnection
from scheduler.console.console import Console, Given, KnownChannel
from scheduler.crawls.definitions import platforms

# What lies in a home and is not for the console: keys, and the settings, which hold the secrets of channels.
CLOSED = frozenset({"keys", "tocsin.toml", "rules"})
DATABASE = ("tocsin.db", "tocsin.db-wal", "tocsin.db-shm")
MAX_FIRST_LINE = 1024 * 1024
FILES = 512


def confine(home: Path) -> str:
    """Give up everything but reading the home without its keys, and writing its database; returns what was reached.

    The database must be open, so that its files beside `tocsin.db` exist and stay.
    """
    privileges.no_core_dumps()
    privileges.limit_resources(files=FILES)
    readable = [str(path) for path in home.iterdir() if path.name not in {*CLOSED, *DATABASE}]
    files = landlock.restrict(
        [*landlock.SYSTEM_PATHS, *landlock.import_folders(home), *readable],
        writable=[str(home / name) for name in DATABASE],
        ports=(),
    )
    # Landlock knows TCP alone: no datagrams, and no Unix sockets by path such as those of other services
    if privileges.only_an_inherited_listener():
        return f"{files}; no sockets but those of browsers"
    return f"{files}; degraded: this machine supports no filter of system calls, so that datagrams can be sent"


def main() -> None:
    """Serve until SIGTERM, or until the starting process ends."""
    privileges.die_with_parent()
    os.umask(0o077)
    set_up()
    listening = socket.socket(fileno=int(sys.argv[1]))
    broker = socket.socket(fileno=int(sys.argv[2]))
    given = json.loads(_first_line(broker))
    home = Home(Path(given["home"]), environ={})
    # while it is open, no other process removes the files beside the database, which cannot be made again from here
    with contextlib.closing(Store.open(home.db_path)) as held:
        held.audit.head()
        # asks another process once, which cannot be started later
        platforms()
        walls = confine(home.path)
        console = Console(
            home,
            Given(
                given["case"],
                tuple(KnownChannel(**each) for each in given["channels"]),
                given["version"],
                walls,
                tuple(given["term"] or ("", 0.0)),
            ),
            tuple(given["origins"]),
            BrokerClient(broker),
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        config = uvicorn.Config(
            application(console),
            http=BoundedConnection,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS + 1,
            h11_max_incomplete_event_size=16 * 1024,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        uvicorn.Server(config).run(sockets=[listening])


def _first_line(broker: socket.socket) -> bytes:
    """The line up to its end, and no byte of the next one."""
    line = b""
    while not line.endswith(b"\n") and len(line) < MAX_FIRST_LINE:
        got = broker.recv(1)
        if not got:
            raise SystemExit(2)
        line += got
    return line


if __name__ == "__main__":
    main()
