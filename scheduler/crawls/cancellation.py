"""Tells the two meanings of `CancelledError` apart."""

from __future__ import annotations

import asyncio


def is_being_cancelled() -> bool:
    """Whether somebody asked the current task to end, rather than something in it having been cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
