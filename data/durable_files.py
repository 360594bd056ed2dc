"""Files that are either absent, old or complete: reading, replacing and creating them, locks, errors as ours.

After a power cut or `kill -9` a reader finds the earlier content or the new one, never a part. All files have mode 0600.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from data.errors import StoreError, StoreFull


def is_disk_full(error: OSError) -> bool:
    """Whether the error says that no space, or no quota, is left."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def read_file(path: Path) -> bytes:
    """The content of a file; a named pipe or a device in its place is refused, because reading it may never end.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    with open_file(path) as stream:
        return stream.read()


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that is open for reading; a named pipe or a device in its place is refused, as by `read_file`.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:  # noqa: PTH123 - opened without waiting above
        require_file(stream.fileno())
        yield stream


def require_file(descriptor: int) -> None:
    """Raise OSError unless a descriptor is of a file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is not a file")


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk.

    Raises:
        OSError: the folder cannot be opened or flushed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def completed_file(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file that replaces `path` once it is complete and on the disk; deleted after an error.

    Raises:
        OSError: it cannot be written; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with new_file(temporary) as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        # where nothing can be written this fails too, and is not the error that matters
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Replace a file atomically; the parts are written one after the other.

    Raises:
        OSError: it cannot be written; `path` is as it was.
    """
    with completed_file(path) as stream:
        for part in parts:
            stream.write(part)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file, which is on the disk when the block ends; a file that could not be completed is left behind.

    Raises:
        FileExistsError: the file exists.
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - opened with its mode above
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process writes in the folder, and keep others out.

    Raises:
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_file_held(file: Path, seconds: float) -> Iterator[bool]:
    """Hold a lock file if no other process does; whether this one may go on.

    It may as well if the other one has held the file for longer than that many seconds, because it hangs or was stopped,
    and if the file cannot be used. The kernel releases the lock when its holder ends.
    """
    with ExitStack() as opened:
        is_free = True
        # a lock that cannot be had, because the disk is full for example, must not keep the work from being done
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            opened.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.utime(descriptor)
            except BlockingIOError:
                # after a step of the clock two may go on, rather than none
                is_free = abs(time.time() - os.fstat(descriptor).st_mtime) > seconds
        yield is_free


@contextmanager
def file_errors_as_ours(what: str, folder: Path, unchanged: str = "nothing was changed") -> Iterator[None]:
    """Turn errors of the file system into ours.

    Args:
        what: is written, for the sentence: `the watch-list`.
        folder: whose permissions the hint names.
        unchanged: what holds after the error, for the hint.

    Raises:
        StoreFull: no space is left.
        StoreError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise StoreFull(
                f"no space is left on the disk for {what}", hint=f"free some space and try again; {unchanged}"
            ) from error
        raise StoreError(
            f"{what} cannot be written: {error.strerror}",
            hint=f"check the permissions of {folder} and try again; {unchanged}",
        ) from error
