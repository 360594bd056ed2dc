"""Programs that follow a process end with it, also if they stand still, whatever thread started them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys

import pytest

PARENT = """
import os, shutil, signal, sys, threading, time
from pathlib import Path
from crawler.process.following import start_program_following

program, found = shutil.which("sleep"), []

def start():
    found.append(start_program_following(program, ["600"]))

if sys.argv[1] == "main":
    start()
else:
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
[process] = found
while Path(f"/proc/{process.pid}/comm").read_text().strip() != "sleep":
    assert process.poll() is None
    time.sleep(0.01)
process.send_signal(signal.SIGSTOP)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("thread", ["main", "other"])
def test_a_program_that_stands_still_ends_with_the_process_that_started_it(thread):
    assert shutil.which("sleep")
    with subprocess.Popen([sys.executable, "-c", PARENT, thread], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        try:
            handle = os.pidfd_open(int(parent.stdout.readline()))
            ready = select.poll()
            ready.register(handle, select.POLLIN)
            assert not ready.poll(0), "it lasts as long as the process, and not only as the thread"
        finally:
            parent.kill()
    gone = ready.poll(30_000)
    if not gone:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    assert gone
