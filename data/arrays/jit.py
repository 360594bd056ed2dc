"""Decorators that compile kernels with numba, and the folder of the user that caches their machine code.

The cache is never in the checkout. Importing this module loads numba. Kernels check no bounds: callers must pass arrays
whose offsets they have validated.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import platformdirs
from numpy.typing import NDArray

from data.arrays.kernel_sources import remembered_sources

KEPT_VERSIONS = 4
"""How many versions of the sources keep their compiled code in the cache."""

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def prepare_cache() -> tuple[bool, list[Path]]:
    """Point numba at our own cache folder; returns whether it can be written, and the modules that define kernels.

    The folder is inside `NUMBA_CACHE_DIR` if that is set, else inside the user's cache folder.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tocsin")) / "numba"
    # a parent process may already have appended the digest to NUMBA_CACHE_DIR
    if _is_version(folder):
        folder = folder.parent
    sources, modules = remembered_sources(folder)
    folder /= sources
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _delete_old_versions(folder.parent)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        log.warning(
            "compiled code cannot be cached in %s (%s): every start compiles it again, which takes up to a minute; "
            "set NUMBA_CACHE_DIR to a writable folder",
            folder,
            error.strerror,
        )
        return False, modules
    # numba reads this variable when it is imported and again before each compilation.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True, modules


def _is_version(folder: Path) -> bool:
    return len(folder.name) == 16 and not set(folder.name) - set("0123456789abcdef")


def _delete_old_versions(folder: Path) -> None:
    """Delete the compiled code of all but the last `KEPT_VERSIONS` versions.

    A process that still runs an older version compiles in memory.
    """
    version_folders = [path for path in folder.iterdir() if _is_version(path)]
    # Another process that starts now may delete the same folders.
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(version_folders, key=lambda path: path.stat().st_mtime)[:-KEPT_VERSIONS]:
            shutil.rmtree(path, ignore_errors=True)


CACHED, MODULES = prepare_cache()

import numba  # noqa: E402 - must be imported after its cache folder is set

from data.arrays.code_cache import use_code_cache  # noqa: E402 - it imports numba


def kernel(function: F) -> F:
    """Compile a function on its first call and release the GIL while it runs; cache the code where possible."""
    compiled = numba.njit(nogil=True)(function)
    if CACHED:
        use_code_cache(compiled)
    return cast("F", compiled)


def inlined(function: F) -> F:
    """Compile a small function by inlining it into each kernel that calls it."""
    return cast("F", numba.njit(nogil=True, inline="always")(function))


@inlined
def address(array: NDArray[Any]) -> int:
    """The memory address of the first byte of an array.

    Take the address only of arrays that the kernel's caller holds or that the kernel returns. numba frees a local array
    after the last line that names it, even though code may still write to its address (tests/data/arrays/test_jit.py).
    """
    return np.int64(array.ctypes.data)  # type: ignore[return-value] # numba has a single integer type
