"""Compiles every kernel once, or loads those that an earlier start compiled, so that no sample waits for it."""

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

# numba reads the folder for compiled code when it is imported, and this module sets it
from data.arrays import jit

# isort: split
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
import numba
import numpy as np
from numpy.typing import NDArray

from crawler.lineage.typo_kernels import single_error_variants
from crawler.matching.byte_scanner import ByteScanner
from crawler.process import privileges
from crawler.records import text_anchors
from crawler.records.note_prints import make_prints
from crawler.records.table_sample import TableSample
from data.arrays.packed import Packed
from data.case.watchlist import ENTRY_DTYPE, Watchlist
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_keys
from data.identifiers.normalise import COLUMN_KINDS
from data.identifiers.normalise_columns import normalise_column
from data.releases.people import any_per_person, group_people
from data.tagsets.bloom_filter import BloomFilter
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import TagSet

# one value of everything, so that every loop is compiled for the types of arguments that it will get
_WARM_UP_TEXT = "a.b@c.fr 0612345678 1850578006084 FR7630006000011234567890189 é \\u00e9 <b>a</b> =\n " + 30 * "Y"
# So many processes compile at the same time. Each takes 350 MB, and more would not be faster, because the byte pass
# alone takes a third of the work.
MAX_HELPERS = 3
# Compiling creates millions of objects that stay. With the usual threshold, garbage collection takes a tenth of the
# time.
_COLLECT_AFTER = 200_000
_is_warm = threading.Event()

log = logging.getLogger(__name__)


class _EmptyWatchList:
    def lookup(self, tags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.zeros(len(tags), bool)


def warm_up() -> None:
    """Compile all kernels, or load them from the cache, so that samples need not wait for it."""
    compiles = not is_compiled()
    if compiles:
        # a process that starts with garbage collection off would keep all objects that compiling creates
        gc.enable()
        if jit.CACHED:
            _compile_in_helpers()
    # this loads what the helpers compiled, and compiles what they did not, whatever the reason
    for step in _steps():
        step()
    if compiles:
        # the caller freezes what there is once it has started, and compiling leaves much garbage
        gc.collect()
    _is_warm.set()
    if jit.CACHED:
        _stamp().touch(mode=0o600)


def _steps() -> list[Callable[[], object]]:
    """Calls that compile all kernels, in any order; the most expensive ones come first, so that they begin first."""
    return [
        _warm_byte_scanner,
        *_tag_steps(),
        _warm_text_anchors,
        _warm_releases,
        _warm_note_prints,
        _warm_typo_search,
        _warm_tables,
    ]


def _warm_byte_scanner() -> None:
    for encoding in ("utf-8", "utf-16-le"):
        scanner = ByteScanner(bytes(16), _EmptyWatchList())
        scanner.feed(_WARM_UP_TEXT.encode(encoding))
        scanner.finish()


def _warm_text_anchors() -> None:
    text_anchors.anchor_regions(_WARM_UP_TEXT.encode())


def _warm_releases() -> None:
    tags = np.arange(1, 40, dtype=np.uint64) << np.uint64(40)
    held = EliasFanoSet.build(tags)
    members = held.to_array()
    held.lookup(members)
    BloomFilter([members], len(held)).candidate_rows(members.reshape(-1, 1), 0, np.zeros((len(held), 1), bool))
    rows = np.ones((2, 6), np.uint64)
    any_per_person(group_people(rows), rows != 0)


def _warm_note_prints() -> None:
    make_prints(bytes(16), Packed.of([b"abcdefghij " * 12]))


def _warm_typo_search() -> None:
    word = Packed.of([b"abc"])
    for lengths_vary in (True, False):
        single_error_variants(word.blob, word.offsets, word.blob, lengths_vary, 64)


def _warm_tables() -> None:
    places = np.zeros((2, 2), np.uint32)
    sample = TableSample.of_cells(np.zeros(1, np.uint8), places, places)
    sample.has_names(0, 1)


# --- helper processes ------------------------------------------------------------------------------------------------


def _compile_in_helpers() -> None:
    """Let other processes compile into the cache, one for each processor, up to `MAX_HELPERS`.

    That halves the time. It also saves this process, which may run for weeks, the 200 MB that compiling takes.
    """
    read_end, write_end = os.pipe()
    # each byte is the number of a step, which is done by the helper that reads it; the end of the pipe ends the work
    os.write(write_end, bytes(range(len(_steps()))))
    os.close(write_end)
    helpers = []
    try:
        for _ in range(min(MAX_HELPERS, len(os.sched_getaffinity(0)))):
            helpers.append(_start_helper(read_end))  # noqa: PERF401 - after an error, those that started are waited for
    except OSError as error:
        log.warning("a helper process that compiles kernels did not start: %s", error.strerror)
    finally:
        os.close(read_end)
        for helper in helpers:
            if status := helper.wait():
                log.warning(
                    "a helper process that compiled kernels ended with status %s; this process compiles the rest",
                    status,
                )


def _start_helper(steps: int) -> subprocess.Popen[bytes]:
    """Start a helper that reads the numbers of steps from the descriptor `steps`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "crawler.examiner.kernel_warmup", str(steps)],
        pass_fds=(steps,),
        env={name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _run_helper(numbers: int) -> None:
    """In a helper: do the steps whose numbers come from the descriptor `numbers`, until none is left."""
    privileges.die_with_parent()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    steps = _steps()
    while number := os.read(numbers, 1):
        steps[number[0]]()


# --- the cache -------------------------------------------------------------------------------------------------------


def is_compiled() -> bool:
    """Whether an earlier `warm_up` compiled all kernels on this machine from the same sources."""
    return _is_warm.is_set() or (jit.CACHED and _stamp().is_file())


def _stamp() -> Path:
    """A file in the cache that marks it as complete; its name depends on everything that makes numba compile anew."""
    parts = [numba.__version__, sys.version, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    for path in jit.MODULES:
        parts += [str(path), str(path.stat().st_mtime_ns), str(path.stat().st_size)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"compiled-{digest}"


def warm_up_tags() -> None:
    """Compile the kernels that make, normalise and look up tags, for commands and tests that examine no sample."""
    for step in _tag_steps():
        step()


def _tag_steps() -> list[Callable[[], object]]:
    """The parts of `warm_up_tags`, in any order; the most expensive one comes first."""
    kinds = sorted(COLUMN_KINDS, key=lambda kind_word: kind_word != "dob")
    return [
        *(partial(normalise_column, kind_word, Packed.of([b"a"])) for kind_word in kinds),
        _warm_keys,
        partial(_warm_set, use_bloom_filter=True),
        partial(_warm_set, use_bloom_filter=False),
        _warm_digests,
        _warm_cells,
        _warm_watchlist,
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


def _warm_watchlist() -> None:
    entries = np.zeros(1, ENTRY_DTYPE)
    entries["tags"], entries["kinds"] = 1 << 40, Kind.TOKEN
    watchlist = Watchlist.in_memory(entries, "warm-up")
    watchlist.probe_values.lookup(entries["tags"].copy())
    watchlist.resolve(entries["tags"].copy(), entries["digests"].copy(), entries["kinds"].copy())


def _warm_digests() -> None:
    confirm_digests(bytes(32), Kind.TOKEN, Packed.of([b"a"]))


def _warm_cells() -> None:
    one = Packed.of([b"a"])
    Packed.from_cells(one.blob, np.zeros((1, 1), np.uint32), np.ones((1, 1), np.uint32), 0)
    one.take(np.zeros(1, np.int64))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run_helper(int(sys.argv[1]))
    else:
        warm_up()
