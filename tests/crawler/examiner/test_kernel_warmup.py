"""Compiling side by side: what the processes do that help with it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from crawler.examiner import kernel_warmup

STEPS = [getattr(step, "__name__", "") for step in kernel_warmup._steps()]


def test_the_dearest_step_is_begun_first():
    assert STEPS[0] == "_scan"


@pytest.mark.slow
def test_a_helper_does_the_steps_that_are_left_and_keeps_what_it_compiled(tmp_path):
    takes, gives = os.pipe()
    # the cheapest: all of them take half a minute of processor time
    os.write(gives, bytes([STEPS.index("_warm_cells")]))
    os.close(gives)
    done = subprocess.run(
        [sys.executable, "-m", "crawler.examiner.kernel_warmup", str(takes)],
        pass_fds=(takes,),
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert os.read(takes, 1) == b""
    os.close(takes)
    assert done.stdout == done.stderr == b""
    assert {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")} == {"packed_kernels.gather_column"}
