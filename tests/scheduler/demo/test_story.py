"""The end of the demo: on a terminal the console is offered, elsewhere nobody is asked."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests.command import heed_interrupts, must

OFFER = "import sys; from pathlib import Path; from scheduler.demo.story import offer_console; offer_console(Path(sys.argv[1]))"


def at_a_terminal() -> None:
    """Make the terminal on standard input the one that sends interrupts to all processes of this session."""
    heed_interrupts()
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def read_until(terminal: int, words: str) -> str:
    """What a terminal shows until these words."""
    shown, end = "", time.monotonic() + 120
    while words not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 4096).decode()
    return shown


@pytest.mark.slow
@pytest.mark.servers
def test_the_console_is_offered_on_a_terminal_and_ends_with_ctrl_c(tmp_path):
    home = tmp_path / "home"
    must(None, "init", home)
    ours, theirs = pty.openpty()
    offer = subprocess.Popen(
        [sys.executable, "-c", OFFER, str(home)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=at_a_terminal,
    )
    os.close(theirs)
    try:
        read_until(ours, "Look at all this in the web console? [y/N]")
        os.write(ours, b"y\n")
        read_until(ours, "/sign-in?link=")
        os.write(ours, b"\x03")
        assert offer.wait(60) == 0
    finally:
        offer.kill()
        os.close(ours)


@pytest.mark.slow
def test_nobody_is_asked_where_there_is_no_terminal(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", OFFER, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
