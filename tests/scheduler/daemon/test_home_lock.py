"""One daemon for one home: the second is refused or waits, a holder that hangs is ended, and one that works never is."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from data.errors import ConfigError
from scheduler.daemon import home_lock
from scheduler.daemon.home_lock import daemon_lock

# Holds the lock of a home and counts progress until it is stopped.
HOLDER = """\
import sys, time
from pathlib import Path
from data.settings.home import Home
from scheduler.daemon.home_lock import daemon_lock
with daemon_lock(Home(Path(sys.argv[1]))) as lock:
    lock.count_progress()
    print("held", flush=True)
    while True:
        time.sleep(0.02)
        lock.count_progress()
"""


@contextlib.contextmanager
def holder(home):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(home.path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(home_lock, "WAIT_STEP", 0.02)
    monkeypatch.setattr(home_lock, "TRY_SECONDS", 0.1)


@pytest.mark.slow
def test_the_second_daemon_is_refused_and_told_of_standby(home):
    with holder(home), pytest.raises(ConfigError, match="another daemon is already running") as refused:
        daemon_lock(home).__enter__()
    assert "--standby" in refused.value.hint
    with daemon_lock(home):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("end", ["it ends", "it hangs"])
def test_a_daemon_in_standby_takes_over_once_the_other_ends_or_hangs(home, end):
    """It holds the lock only when the other process is gone: never do two of them watch."""
    with holder(home) as other:
        waited = []

        def waiting() -> None:
            waited.append(other.poll())
            if len(waited) == 3:
                other.send_signal(signal.SIGKILL if end == "it ends" else signal.SIGSTOP)

        with daemon_lock(home, standby=timedelta(seconds=1), waiting=waiting):
            assert len(waited) >= 3
            assert other.wait(0.5 if end == "it hangs" else 5) == -signal.SIGKILL


@pytest.mark.slow
def test_a_daemon_that_makes_progress_is_never_ended(home):
    class EnoughError(Exception):
        pass

    with holder(home) as other:
        end = time.monotonic() + 3.0

        def waiting() -> None:
            if time.monotonic() > end:
                raise EnoughError

        with pytest.raises(EnoughError), daemon_lock(home, standby=timedelta(seconds=2), waiting=waiting):
            pass
        assert other.poll() is None


def test_a_holder_that_cannot_be_the_process_of_that_id_is_not_ended(home):
    """The id in the file may be that of another container, or have been given to another process."""
    page = home_lock._COUNT.pack(1) + b"1 12345 another-boot pid:[1]"
    (home.path / "daemon.lock").write_bytes(page.ljust(4096, b"\0"))
    with (home.path / "daemon.lock").open("rb") as stream:
        owner, count = home_lock._progress(stream.fileno())
    assert count == 1
    home_lock._end_holder(owner.decode(), 1.0)  # process 1 of this machine lives on, and nothing is raised
    home_lock._end_holder("", 1.0)
