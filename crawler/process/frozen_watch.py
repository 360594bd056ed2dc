"""Ends an examiner that makes no progress while a blocking client waits for it, as `scan` does.

The daemon asks its examiner at intervals whether it still answers. A command in the foreground only examines: it would
wait for ever for a process that was stopped or hangs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from crawler.process.progress import Progress

LOOK_SECONDS = 0.5


class FrozenWatch:
    """Looks at a process from a thread of its own, which ends with `close`.

    Attributes:
        has_ended_it: whether the process was found frozen and ended.
    """

    def __init__(self, pid: int, seconds: float, end: Callable[[], None]) -> None:
        """Watch a process.

        Args:
            pid: of the process.
            seconds: that clients wait without any sign of work before it counts as frozen.
            end: ends the process; called once at most.
        """
        self.has_ended_it = False
        self._progress, self._end = Progress(pid, seconds), end
        self._waiting, self._lock = 0, threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._look, name="frozen watch", daemon=True).start()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """A client waits for the process inside this block; its end is a sign of work."""
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._progress.note_sign()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._progress.note_sign()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            with self._lock:
                if not self._waiting or not self._progress.has_stopped():
                    continue
                self.has_ended_it = True
            self._end()
            return
