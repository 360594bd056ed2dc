"""The process that holds a match key which came by the environment, so that the runner can forget it.

The runner has to give the key to each examiner that it starts, and an examiner may have to be started again after days.
So the first thing a command does is to hand the key over to a small process with no other task, and to overwrite its own
copies. On request that process writes the key into a pipe, whose other end the runner passes on without reading it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

from data.errors import KeyFileError
from data.locked_memory import LockedBytes, overwrite

VARIABLE = "TOCSIN_MATCH_KEY"
# In the environment of an examiner: the descriptor from which it reads the match key.
DESCRIPTOR_VARIABLE = "TOCSIN_MATCH_KEY_FD"
# A match key file has 65 bytes.
MAX_BYTES = 4096
_LENGTH = struct.Struct("=H")
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_ROOT = str(Path(__file__).parents[2])
# isolated, without site packages: it starts in 15 ms and holds nothing but the key
_CODE = f"import sys; sys.path.insert(0, {_ROOT!r}); from data.settings.key_keeper import keep; keep()"


class KeyKeeper:
    """The runner's end: the key itself never comes back to the process that asks, unless it reads the pipe."""

    def __init__(self, process: subprocess.Popen[bytes], requests: int, answers: int) -> None:
        self._process, self._requests, self._answers = process, requests, answers

    @classmethod
    def from_environment(cls) -> KeyKeeper | None:
        """Start the process with the key in `$TOCSIN_MATCH_KEY`, and forget the key; None if there is none.

        Raises:
            KeyFileError: the variable is too long to be a match key.
        """
        value = os.environb.get(VARIABLE.encode())
        if not value:
            return None
        if len(value) > MAX_BYTES:
            raise KeyFileError(f"{VARIABLE} is too long for a match key", hint="set it to the line of keys/match.key")
        requests_in, requests = os.pipe()
        answers, answers_in = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE],
            stdin=requests_in,
            stdout=answers_in,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
        )
        os.close(requests_in)
        os.close(answers_in)
        os.write(requests, _LENGTH.pack(len(value)))
        os.write(requests, value)
        _forget(value)
        return cls(process, requests, answers)

    def descriptor(self) -> int:
        """A descriptor from which one process can read the key once, with `read_frame`; the caller closes it.

        Raises:
            KeyFileError: the process that held the key has ended.
        """
        try:
            os.write(self._requests, b"k")
        except OSError as error:
            raise KeyFileError(
                "the process that held the match key has ended", hint="start this command again with TOCSIN_MATCH_KEY"
            ) from error
        return os.dup(self._answers)

    @property
    def pid(self) -> int:
        """Id of the process that holds the key."""
        return self._process.pid

    def __del__(self) -> None:
        """End the process."""
        for descriptor in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._process.kill()
        self._process.wait()


def read_frame(descriptor: int) -> LockedBytes:
    """The key that a descriptor of `KeyKeeper.descriptor` gives, in locked memory; closes the descriptor.

    Raises:
        KeyFileError: the process that held the key has ended.
    """
    try:
        length = LockedBytes(_LENGTH.size)
        _read_exactly(descriptor, length.view)
        (size,) = _LENGTH.unpack(length.view)
        key = LockedBytes(max(1, size))
        key.shrink(size)
        _read_exactly(descriptor, key.view)
    except (EOFError, OSError) as error:
        raise KeyFileError(
            "the process that held the match key has ended", hint="start this command again with TOCSIN_MATCH_KEY"
        ) from error
    finally:
        os.close(descriptor)
    return key


def frame_descriptor(value: bytes) -> int:
    """A descriptor from which `read_frame` reads a value, for a key that this process holds anyway."""
    descriptor, other_end = os.pipe()
    os.write(other_end, _LENGTH.pack(len(value)) + value)
    os.close(other_end)
    return descriptor


def _read_exactly(descriptor: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        got = os.readv(descriptor, [view[done:]])
        if got == 0:
            raise EOFError
        done += got


def _forget(value: bytes) -> None:
    """Remove the variable, and overwrite the copies of it that CPython and the C library hold.

    What stays is outside this process: the environment of the process that started it.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    # the string on the stack of this process, which /proc/PID/environ shows
    address = libc.getenv(VARIABLE.encode())
    if address:
        ctypes.memset(address, 0, len(value))
    del os.environ[VARIABLE]
    overwrite(value)


def keep() -> None:
    """Run the process: read the key from standard input, and write it to standard output once for each further byte."""
    import resource

    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Ctrl-C at the terminal is for the command, which may still need the key while it stops
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    length = LockedBytes(_LENGTH.size)
    try:
        _read_exactly(0, length.view)
        (size,) = _LENGTH.unpack(length.view)
        key = LockedBytes(max(1, size))
        key.shrink(size)
        _read_exactly(0, key.view)
        while os.read(0, 1):
            os.writev(1, [length.view, key.view])
    except (EOFError, OSError):
        # the command has ended
        return
