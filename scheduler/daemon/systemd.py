"""Tells systemd the states of this service (sd_notify); does nothing where systemd did not start it."""

from __future__ import annotations

import contextlib
import os
import socket
import time

# Seconds that systemd waits for a sign of life while a daemon starts, which may read a large watch-list.
START_WATCHDOG = 900


def notify_systemd(*lines: str) -> None:
    """Send assignments, `READY=1` for example, if systemd started this process and asked for them."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock,
        # a systemd that takes nothing at the moment gets the next one
        contextlib.suppress(BlockingIOError),
    ):
        sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address.startswith("@") else address)


def reloading() -> None:
    """Say that the settings are being read again (`Type=notify-reload`); `READY=1` says that it is done."""
    notify_systemd("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds(seconds: float | None) -> None:
    """Change how long systemd waits for a sign of life; None for what the unit says. No-op without a watchdog."""
    usual = os.environ.get("WATCHDOG_USEC", "")
    if usual.isdecimal():
        notify_systemd("WATCHDOG=1", f"WATCHDOG_USEC={int(usual) if seconds is None else int(seconds * 1e6)}")
