"""What a file of the operator is, and who may write it: others must not decide what is contacted, or where alerts go."""

from __future__ import annotations

import stat
from pathlib import Path


def writable_by_others(path: Path) -> bool:
    """Whether the group or other users may write a file or folder, or what a symbolic link leads to.

    Raises:
        OSError: it does not exist or cannot be looked at.
    """
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o022)


def readable_by_others(path: Path) -> bool:
    """Whether other users of this machine may read a file; raises OSError if there is none."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def is_special(path: Path) -> bool:
    """Whether a path leads to anything but a file; to open a named pipe would wait for a writer, perhaps for ever."""
    return path.exists() and not path.is_file()


def repair_command(path: Path) -> str:
    """The command that takes that right away."""
    return f"check that nobody changed it, then run:  chmod go-w {path}"
