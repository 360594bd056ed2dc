"""Compiling every kernel once, or loading what an earlier start compiled, so that no sample waits for it."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path

# numba asks for the folder of compiled code when it is imported, and this module names it
from data import kernels

# isort: split
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
import numba
import numpy as np
from numpy.typing import NDArray

from crawler import text_anchors
from crawler.notes import prints_of
from crawler.repair_kernels import variants
from crawler.scan import ByteScanner
from data import columns
from data.people import any_per_person, group_people
from data.tags import Packed
from data.tightset import TightSet

# one of everything, so that every loop is compiled for the arguments it will get
_WARM = "a.b@c.fr 0612345678 1850578006084 FR7630006000011234567890189 é \\u00e9 <b>a</b> =\n " + 30 * "Y"
_warm = threading.Event()


class _Nothing:
    def lookup(self, tags: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.zeros(len(tags), bool)


def warm_up() -> None:
    """Compile the kernels, or load them from the cache; later samples then start at once."""
    for encoding in ("utf-8", "utf-16-le"):
        scanner = ByteScanner(bytes(16), _Nothing())
        scanner.feed(_WARM.encode(encoding))
        scanner.finish()
    text_anchors.regions(_WARM.encode())
    columns.warm_up()
    _warm_releases()
    _warm.set()
    if kernels.CACHED:
        _stamp().touch(mode=0o600)


def _warm_releases() -> None:
    """Sets of releases, and the second look at unmatched people."""
    tags = np.arange(1, 40, dtype=np.uint64) << np.uint64(40)
    held = TightSet.build(tags)
    held.lookup(held.to_array())
    rows = np.ones((2, 6), np.uint64)
    any_per_person(group_people(rows), rows != 0)
    prints_of(bytes(16), Packed.of([b"abcdefghij " * 12]))
    word = Packed.of([b"abc"])
    for lengths_vary in (True, False):
        variants(word.blob, word.offsets, word.blob, lengths_vary, 64)


def is_compiled() -> bool:
    """Whether `warm_up` will find what an earlier start compiled, for this machine and these sources."""
    return _warm.is_set() or (kernels.CACHED and _stamp().is_file())


def _stamp() -> Path:
    """A file in the cache of compiled code, named after all that makes numba compile anew."""
    parts = [numba.__version__, sys.version, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    for path in kernels.files():
        parts += [str(path), str(path.stat().st_mtime_ns), str(path.stat().st_size)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"compiled-{digest}"


if __name__ == "__main__":
    warm_up()
