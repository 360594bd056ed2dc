"""Compiling every kernel once, or loading what an earlier start compiled, so that no sample waits for it."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

# numba asks for the folder of compiled code when it is imported, and this module names it
from data.arrays import jit

# isort: split
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
import numba
import numpy as np
from numpy.typing import NDArray

from crawler.lineage.typo_kernels import single_error_variants, take_strings
from crawler.matching.byte_scanner import ByteScanner
from crawler.process import privileges
from crawler.records import text_anchors
from crawler.records.note_prints import make_prints
from crawler.records.table_sample import TableSample
from data.arrays.packed import Packed
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_keys
from data.identifiers.normalise import COLUMN_KINDS
from data.identifiers.normalise_columns import normalise_column
from data.releases.people import any_per_person, group_people
from data.tagsets.bloom_filter import BloomFilter
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import TagSet

# one of everything, so that every loop is compiled for the arguments it will get
_WARM = "a.b@c.fr 0612345678 1850578006084 FR7630006000011234567890189 é \\u00e9 <b>a</b> =\n " + 30 * "Y"
# Processes that compile side by side: each takes 350 MB, and more are not faster, for the byte pass alone is a third of it.
MOST_HELPERS = 3
# Compiling makes millions of objects that stay: looking through them for garbage as often as usual is a tenth of its time.
_COLLECT_AFTER = 200_000
_warm = threading.Event()

log = logging.getLogger(__name__)


class _Nothing:
    def lookup(self, tags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.zeros(len(tags), bool)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache; later samples then start at once."""
    if not is_compiled():
        # a process that starts without looking for garbage would keep all that compiling makes
        gc.enable()
        if jit.CACHED:
            _compile_beside()
    # what the helpers left out, whatever became of them, is compiled here
    for step in _steps():
        step()
    _warm.set()
    if jit.CACHED:
        _stamp().touch(mode=0o600)


def _steps() -> list[Callable[[], object]]:
    """What compiles the kernels, in parts that can be done in any order; the dearest stand first."""
    return [_scan, *_tag_steps(), _anchors, _releases, _prints, _second_look, _tables]


def _scan() -> None:
    for encoding in ("utf-8", "utf-16-le"):
        scanner = ByteScanner(bytes(16), _Nothing())
        scanner.feed(_WARM.encode(encoding))
        scanner.finish()


def _anchors() -> None:
    text_anchors.anchor_regions(_WARM.encode())


def _releases() -> None:
    tags = np.arange(1, 40, dtype=np.uint64) << np.uint64(40)
    held = EliasFanoSet.build(tags)
    members = held.to_array()
    held.lookup(members)
    BloomFilter([members], len(held)).candidate_rows(members.reshape(-1, 1), 0, np.zeros((len(held), 1), bool))
    rows = np.ones((2, 6), np.uint64)
    any_per_person(group_people(rows), rows != 0)


def _prints() -> None:
    make_prints(bytes(16), Packed.of([b"abcdefghij " * 12]))


def _second_look() -> None:
    """At people in doubt."""
    word = Packed.of([b"abc"])
    for lengths_vary in (True, False):
        single_error_variants(word.blob, word.offsets, word.blob, lengths_vary, 64)
    take_strings(word.blob, word.offsets, np.zeros(2, np.int64))


def _tables() -> None:
    places = np.zeros((2, 2), np.uint32)
    sample = TableSample.of_cells(np.zeros(1, np.uint8), places, places)
    sample.has_names(0, 1)


# --- side by side ----------------------------------------------------------------------------------------------------


def _compile_beside() -> None:
    """Have other processes compile into the cache, as many as there are processors.

    They halve the time, and this process, which may live for weeks, never holds what compiling takes: 200 MB.
    """
    takes, gives = os.pipe()
    # each byte is one step for whoever reads it first; the end of the pipe is the end of the work
    os.write(gives, bytes(range(len(_steps()))))
    os.close(gives)
    helpers = []
    try:
        for _ in range(min(MOST_HELPERS, len(os.sched_getaffinity(0)))):
            helpers.append(_helper(takes))  # noqa: PERF401 - those that were started are waited for
    except OSError as error:
        log.warning("a process that compiles kernels beside this one did not start: %s", error.strerror)
    finally:
        os.close(takes)
        for helper in helpers:
            if status := helper.wait():
                log.warning(
                    "a process that compiled kernels ended with status %s; what it left out is made up for", status
                )


def _helper(takes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "crawler.examiner.kernel_warmup", str(takes)],
        pass_fds=(takes,),
        env={name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _help(takes: int) -> None:
    """Do steps until none is left."""
    privileges.die_with_parent()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    steps = _steps()
    while taken := os.read(takes, 1):
        steps[taken[0]]()


# --- what is there ---------------------------------------------------------------------------------------------------


def is_compiled() -> bool:
    """Whether `warm_up` will find what an earlier start compiled, for this machine and these sources."""
    return _warm.is_set() or (jit.CACHED and _stamp().is_file())


def _stamp() -> Path:
    """A file in the cache of compiled code, named after all that makes numba compile anew."""
    parts = [numba.__version__, sys.version, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    for path in jit.kernel_modules():
        parts += [str(path), str(path.stat().st_mtime_ns), str(path.stat().st_size)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"compiled-{digest}"


def warm_up_tags() -> None:
    """Compile what makes, normalises and looks up tags: for commands and tests that match no sample."""
    for step in _tag_steps():
        step()


def _tag_steps() -> list[Callable[[], object]]:
    """The parts of `warm_up_tags`, in any order; what takes longest to compile stands first."""
    kinds = sorted(COLUMN_KINDS, key=lambda kind_word: kind_word != "dob")
    return [
        *(partial(normalise_column, kind_word, Packed.of([b"a"])) for kind_word in kinds),
        _warm_keys,
        partial(_warm_set, use_bloom_filter=True),
        partial(_warm_set, use_bloom_filter=False),
        _warm_digests,
        _warm_cells,
    ]


def _warm_keys() -> None:
    one = Packed.of([b"a"])
    record_keys(bytes(16), one, one, one)
    probe_tags(bytes(16), Kind.TOKEN, one)


def _warm_set(*, use_bloom_filter: bool) -> None:
    tags = np.arange(1, 7, dtype=np.uint64)
    held = TagSet.build(tags)
    held.use_bloom_filter = use_bloom_filter
    held.lookup(tags)


def _warm_digests() -> None:
    confirm_digests(bytes(32), Kind.TOKEN, Packed.of([b"a"]))


def _warm_cells() -> None:
    Packed.from_cells(Packed.of([b"a"]).blob, np.zeros((1, 1), np.uint32), np.ones((1, 1), np.uint32), 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _help(int(sys.argv[1]))
    else:
        warm_up()
