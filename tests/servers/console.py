"""The real `tocsin console` on a free port of this machine."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.command import TOCSIN, environment

START_SECONDS = 60


@dataclass(frozen=True)
class RunningConsole:
    """`address` of the console, the one-time `link` that it printed, and its `process`."""

    address: str
    link: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def running_console(home: Path, *arguments: str, **extra: str) -> Iterator[RunningConsole]:
    """The command, once it has printed its link; ended by SIGTERM."""
    process = subprocess.Popen(
        [TOCSIN, "--home", str(home), "console", "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(**extra),
    )  # fmt: skip
    assert process.stdout is not None
    # a command that prints nothing in a minute has failed: it is ended, so that reading its output ends
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    said = ""
    try:
        for line in process.stdout:
            said += line
            if found := re.search(r"(http://\S+)/sign-in\?link=\S+", line):
                watchdog.cancel()
                yield RunningConsole(found[1], found[0], process)
                break
        else:
            raise AssertionError(f"the console did not start:\n{said}")
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.wait(30)
        process.stdout.close()
