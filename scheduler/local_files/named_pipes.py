"""Recognises named pipes, which are not opened: opening one waits for a writer, perhaps for ever."""

from __future__ import annotations

import os
import stat

# `<(command)` of a shell gives such paths; their writer has been started already.
_OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/")


def is_named_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a named pipe, other than one that the shell has opened for this command."""
    if os.fspath(path).startswith(_OPEN_ALREADY):
        return False
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116 - a path of any kind
    except (OSError, ValueError):
        # opening the file will report the reason
        return False
