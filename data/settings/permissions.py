"""Who may write a file: what other users may write must not decide what is contacted, or where alerts go."""

from __future__ import annotations

import stat
from pathlib import Path


def writable_by_others(path: Path) -> bool:
    """Whether the group or other users may write a file or folder, or what a symbolic link leads to.

    Raises:
        OSError: it does not exist or cannot be looked at.
    """
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o022)


def repair_command(path: Path) -> str:
    """The command that takes that right away."""
    return f"check that nobody changed it, then run:  chmod go-w {path}"
