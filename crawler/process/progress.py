"""Tells a process that works from one that is frozen: one that works uses processor time, or lets itself be heard."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def processor_ticks(pid: int) -> int:
    """Clock ticks that a process and all that descend from it have used, those included that they waited for."""
    total = 0
    for each in _tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            # It has just ended.
            continue
        # user, system, and both of the children that ended: fields 14 to 17 of proc(5)
        total += sum(map(int, fields[11:15]))
    return total


def kill_tree(pid: int) -> None:
    """End a process and all that descend from it with SIGKILL."""
    for each in list(_tree(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _tree(pid: int) -> Iterator[int]:
    """The process and all that descend from it; only the process itself where the kernel does not list children."""
    yield pid
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return
    for child in children:
        yield from _tree(child)


class Progress:
    """Whether a process makes progress.

    Attributes:
        seconds: without any sign of work after which the process counts as frozen.
    """

    def __init__(self, pid: int, seconds: float, *, by_ticks: bool = True) -> None:
        """Begin to watch.

        Args:
            pid: of the process.
            seconds: as above.
            by_ticks: whether processor time is a sign of work; without it the process has to be heard of.
        """
        self._pid, self.seconds, self._by_ticks = pid, seconds, by_ticks
        self._ticks = processor_ticks(pid) if by_ticks else 0
        self._since = time.monotonic()

    def note_sign(self) -> None:
        """Note that the process was heard of."""
        self._since = time.monotonic()

    def has_stopped(self) -> bool:
        """Whether the process was not heard of, and used no processor time, for too long."""
        if self._by_ticks:
            ticks = processor_ticks(self._pid)
            if ticks != self._ticks:
                self._ticks = ticks
                self.note_sign()
        return time.monotonic() - self._since > self.seconds
