"""Helper processes that compile kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.examiner import kernel_warmup

STEPS = [getattr(step, "__name__", "") for step in kernel_warmup._steps()]


def test_the_most_expensive_step_begins_first():
    assert STEPS[0] == "_warm_byte_scanner"


@pytest.mark.slow
def test_a_helper_does_the_steps_that_are_left_and_caches_what_it_compiled(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    read_end, write_end = os.pipe()
    # only the cheapest step: all of them take half a minute of processor time
    os.write(write_end, bytes([STEPS.index("_warm_cells")]))
    os.close(write_end)
    done = subprocess.run(
        [sys.executable, "-m", "crawler.examiner.kernel_warmup", str(read_end)],
        pass_fds=(read_end,),
        env=environment,
        capture_output=True,
        check=True,
    )
    assert os.read(read_end, 1) == b""
    os.close(read_end)
    assert done.stdout == done.stderr == b""
    assert {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")} == {
        "packed_kernels.gather_column",
        "packed_kernels.take_items",
    }
    # who loads it does not load what only a compilation needs: neither modules nor the bitcode of the kernels
    code = (
        "import sys; from crawler.examiner import kernel_warmup; kernel_warmup._warm_cells();"
        "from data.arrays.packed_kernels import take_items; print(sum(take_items.stats.cache_misses.values()),"
        "'numba.typed.dictimpl' in sys.modules, [each.library._shared_module for each in take_items.overloads.values()])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", "[None]"]


_CALLER = """
import sys
import numpy as np
from data.arrays import jit

@jit.kernel
def doubled(value):
    return 2 * value

@jit.kernel
def caller(value):
    return doubled(value) + 1

assert doubled(np.int64(3)) == 6
if sys.argv[1] == "call":
    assert caller(np.int64(3)) == 7
loaded, = doubled.overloads.values()
print(sum(doubled.stats.cache_hits.values()), loaded.library._shared_module is not None)
print(bool(loaded.library.get_pointer_to_function(loaded.fndesc.llvm_func_name)),
      loaded.library.get_pointer_to_function("no_such_function"))
"""


@pytest.mark.slow
def test_a_kernel_that_was_loaded_can_be_called_by_one_that_is_compiled(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(_CALLER)
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}

    def run(what: str) -> list[str]:
        command = [sys.executable, str(script), what]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert run("alone")[0] == "0"
    # from the cache now; its bitcode is parsed when the caller is compiled, and not before
    assert run("alone") == ["1", "False", "True", "0"]
    assert run("call") == ["1", "True", "True", "0"]
