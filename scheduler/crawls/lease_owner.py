"""The owner of a lease, which is a process on a machine, and whether it still runs."""

from __future__ import annotations

import os
import socket


def owner_name() -> str:
    """The name of this process as the owner of leases: machine and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def owner_alive(owner: str) -> bool:
    """Whether the process that holds a lease is running; always true for a process on another machine."""
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
