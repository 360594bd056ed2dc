"""Decorators that compile kernels with numba, and the folder of the user that caches their machine code.

The cache is never in the checkout. Importing this module loads numba. Kernels check no bounds: callers must pass arrays
whose offsets they have validated.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import platformdirs
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
"""The folder that contains the packages."""
KEPT_VERSIONS = 4
"""How many versions of the sources keep their compiled code in the cache."""

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def kernel_modules() -> list[Path]:
    """The source files of all modules that define kernels; all modules are read once for it."""
    return _kernel_modules(ROOT)


@functools.cache
def _kernel_modules(root: Path) -> list[Path]:
    paths = [path for folder in ("crawler", "data") for path in sorted((root / folder).rglob("*.py"))]
    return [path for path in paths if _defines_kernels(path.read_bytes())]


def _defines_kernels(source: bytes) -> bool:
    # nearly all modules are ruled out by searches that take a tenth of the expression's time
    has_word = b"@kernel" in source or b"@inlined" in source or b"intrinsic" in source
    return has_word and re.search(rb"^@(kernel|inlined)$|intrinsic\(", source, re.MULTILINE) is not None


def sources_digest() -> str:
    """16 hex digits that change whenever a module that defines kernels changes.

    numba recompiles a function when its own file changes, but not when the file of a function that it calls changes.
    Tags made by outdated code would silently match nothing.
    """
    digest = hashlib.sha256()
    for path in kernel_modules():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def prepare_cache() -> bool:
    """Point numba at our own cache folder; False if it cannot be written.

    The folder is inside `NUMBA_CACHE_DIR` if that is set, else inside the user's cache folder.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tocsin")) / "numba"
    sources = sources_digest()
    if folder.name != sources:  # a parent process may already have appended the digest to NUMBA_CACHE_DIR
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
        return False
    # numba reads this variable when it is imported and again before each compilation.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


def _delete_old_versions(folder: Path) -> None:
    """Delete the compiled code of all but the last `KEPT_VERSIONS` versions.

    A process that still runs an older version compiles in memory.
    """
    version_folders = [
        path for path in folder.iterdir() if len(path.name) == 16 and not set(path.name) - set("0123456789abcdef")
    ]
    # Another process that starts now may delete the same folders.
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(version_folders, key=lambda path: path.stat().st_mtime)[:-KEPT_VERSIONS]:
            shutil.rmtree(path, ignore_errors=True)


CACHED = prepare_cache()

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
