"""Who holds a lease: this machine and process, and whether another holder still lives."""

from __future__ import annotations

import os
import socket


def owner_name() -> str:
    """Who holds a lease: machine and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def owner_alive(owner: str) -> bool:
    """Whether the process that holds a lease still runs; one on another machine is taken to."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
