"""Starts processes that end with this one, also if they stand still at that time and notice nothing themselves.

The kernel ends such a process with the thread that started it (`crawler.process.privileges.die_with_parent`). A thread that
does not last as long as this process therefore has another one start it, which does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_lock = threading.Lock()
_lasting: ThreadPoolExecutor | None = None
# asks the kernel and becomes the program, which knows nothing of that; 1 is PR_SET_PDEATHSIG
_BECOME = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def start_following(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that calls `die_with_parent`, and ends with this process whatever thread calls this.

    Args:
        command: program and arguments.
        **options: of `subprocess.Popen`, whose errors are raised.
    """
    if threading.current_thread() is threading.main_thread():
        return subprocess.Popen(command, **options)
    global _lasting
    with _lock:
        if _lasting is None:
            # made as late as possible: it has the walls of the thread that first asks for it
            _lasting = ThreadPoolExecutor(1, "starts processes")
        started = _lasting.submit(_start, command, options)
    return started.result()


def _start(command: Sequence[str], options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, **options)


def start_program_following(program: str, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """As `start_following` for a program that is not ours, given by its path."""
    become = [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), program]
    return start_following([*become, *arguments], **options)


def _forget() -> None:
    """In a process that was just forked: it has none of the threads."""
    global _lock, _lasting
    _lock, _lasting = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
