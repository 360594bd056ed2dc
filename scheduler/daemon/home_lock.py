"""One daemon for one home: a lock that the kernel holds, and a count by which another process sees progress.

The kernel releases the lock when its holder ends, whatever ends it. A holder that hangs or was suspended never would, so
it counts its progress in a page of the lock file that both processes map: no system call, no disk and no clock is
needed for that, and a clock that is set makes no holder look dead. A daemon that waits measures by its own monotonic
clock for how long the count stays as it is; then it ends the holder, and only after that gets the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import structlog

from data.errors import AlreadyRunning
from data.settings.home import Home

log = structlog.get_logger("daemon")

# `tocsin status` holds the lock for a moment to see whether a daemon does: a start tries for so many seconds.
TRY_SECONDS = 1.0
WAIT_STEP = 0.5
# Seconds for the start of a daemon, in which a large watch-list is read; it counts no progress meanwhile.
START_SECONDS = 900.0
_SIZE, _COUNT, _OWNER = 4096, struct.Struct("=Q"), slice(8, 256)


class HeldLock:
    """The lock of a home, held by this process."""

    def __init__(self, page: mmap.mmap | None, *, had_holder: bool = False) -> None:
        """Held; `page` is the mapped lock file, None if the disk had no room for it; a daemon may have held it before."""
        self._page, self._count, self.had_holder = page, 0, had_holder

    def count_progress(self) -> None:
        """Show that this process makes progress."""
        self._count += 1
        if self._page is not None:
            self._page[: _COUNT.size] = _COUNT.pack(self._count)


@contextlib.contextmanager
def daemon_lock(
    home: Home, *, standby: timedelta | None = None, waiting: Callable[[], None] = lambda: None
) -> Iterator[HeldLock]:
    """Hold the daemon lock of a home.

    Args:
        home: to lock.
        standby: wait for the lock, and end a holder that makes no progress for so long; without it, do not wait.
        waiting: is called about twice a second while this process waits.

    Raises:
        AlreadyRunning: another daemon holds the lock.
        OSError: the lock file cannot be opened.
    """
    path = home.path / "daemon.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor, TRY_SECONDS):
            if standby is None:
                raise AlreadyRunning(
                    f"another daemon is already running for {home.path}",
                    hint="stop it first (see: tocsin status), or start this one with --standby: it waits and takes over",
                )
            _wait(descriptor, path, standby.total_seconds(), waiting)
        had_holder = os.fstat(descriptor).st_size > 0
        yield HeldLock(_own_page(descriptor), had_holder=had_holder)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        else:
            return True


def _own_page(descriptor: int) -> mmap.mmap | None:
    """The first page of the lock file, with this process as the owner; None if the disk is full."""
    content = _COUNT.pack(0) + _owner_text(os.getpid()).encode().ljust(_SIZE - _COUNT.size, b"\0")
    try:
        # written, not only mapped: a hole in the file would need room on the disk later
        os.pwrite(descriptor, content, 0)
        return mmap.mmap(descriptor, _SIZE)
    except OSError as error:
        log.error("a daemon in --standby could not see whether this one hangs", error=error.strerror)
        return None


def _owner_text(pid: int) -> str:
    """A process and what tells it from another one with its id: when it began, and whose ids they are.

    Raises:
        OSError: there is no such process.
    """
    # the name, in brackets, may hold spaces; of the fields behind it the twentieth is the start time
    began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{pid} {began} {boot} {Path('/proc/self/ns/pid').readlink()}"


def _wait(descriptor: int, path: Path, lease: float, waiting: Callable[[], None]) -> None:
    """Wait until the lock is free, and take it."""
    log.info("standing by: another daemon watches this home", home=str(path.parent))
    seen, since = (b"", -1), time.monotonic()
    while not _lock(descriptor, 0):
        now = _progress(descriptor)
        if now != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > (lease if now[1] else max(lease, START_SECONDS)):
            _end_holder(now[0].decode(errors="replace"), lease)
            since = time.monotonic()
        waiting()
        time.sleep(WAIT_STEP)
    log.info("the other daemon has ended; this one takes over", home=str(path.parent))


def _progress(descriptor: int) -> tuple[bytes, int]:
    """Owner and count in the lock file; an empty owner if nothing is written there."""
    content = os.pread(descriptor, _OWNER.stop, 0).ljust(_OWNER.stop, b"\0")
    return content[_OWNER].rstrip(b"\0"), _COUNT.unpack(content[: _COUNT.size])[0]


def _end_holder(owner: str, lease: float) -> None:
    """End a holder that makes no progress, if it is certain which process that is."""
    try:
        pid = int(owner.split()[0])
        handle = os.pidfd_open(pid)
    except (OSError, ValueError, IndexError):
        log.error("the other daemon makes no progress, and cannot be found among the processes here; end it by hand")
        return
    try:
        # asked after the handle was opened: from now on it means this very process
        if _owner_text(pid) != owner:
            log.error("the other daemon makes no progress, and its process id is not one of here; end it by hand")
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        log.error("the other daemon was ended: it made no progress", pid=pid, seconds=round(lease))
    except OSError as error:
        log.error("the other daemon makes no progress and cannot be ended", pid=pid, error=error.strerror)
    finally:
        os.close(handle)
