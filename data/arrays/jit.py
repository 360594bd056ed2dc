"""What makes a function a compiled loop, and where machine code is kept: in the user's cache folder, never in the checkout.

Importing this module loads numba. Kernels check no bounds: callers hand over arrays whose offsets they know to be sound.
"""

from __future__ import annotations

import contextlib
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
"""Where the packages are."""
KEPT_VERSIONS = 4

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
Word = np.uint64


def files() -> list[Path]:
    """The modules that hold kernels."""
    found = [path for folder in ("crawler", "data") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if re.search(rb"^@(kernel|inlined)$|intrinsic\(", path.read_bytes(), re.MULTILINE)]


def sources_digest() -> str:
    """16 hex digits that change with every module that holds kernels.

    numba compiles anew when the file of a function changes, but not when that of a function it calls does; and tags
    made by outdated code would silently match nothing.
    """
    digest = hashlib.sha256()
    for path in files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def prepare_cache() -> bool:
    """Point numba at a folder of ours, in `NUMBA_CACHE_DIR` if that is set; False if it cannot be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tocsin")) / "numba"
    sources = sources_digest()
    if folder.name != sources:  # the environment may come from a parent process that has been here
        folder /= sources
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_old(folder.parent)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        log.warning(
            "compiled code cannot be cached in %s (%s): every start compiles anew, for up to a minute; "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            folder,
            error.strerror,
        )
        return False
    # numba reads the environment when it is imported and again before each compilation
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


def _forget_old(folder: Path) -> None:
    """Keep what the last few versions compiled; a process that still uses an older one compiles in memory."""
    ours = [path for path in folder.iterdir() if len(path.name) == 16 and not set(path.name) - set("0123456789abcdef")]
    with contextlib.suppress(FileNotFoundError):  # another process that starts now does the same
        for path in sorted(ours, key=lambda path: path.stat().st_mtime)[:-KEPT_VERSIONS]:
            shutil.rmtree(path, ignore_errors=True)


CACHED = prepare_cache()

import numba  # noqa: E402 - only after its cache folder is set


def kernel(function: F) -> F:
    """Compile on first call, without the interpreter lock, kept between starts where the cache can be written."""
    return cast("F", numba.njit(cache=CACHED, nogil=True)(function))


def inlined(function: F) -> F:
    """A small part of kernels, put into each of them."""
    return cast("F", numba.njit(nogil=True, inline="always")(function))


@inlined
def address(array: NDArray[Any]) -> int:
    """Where an array begins in memory.

    Only of arrays that the caller of a kernel holds, or that it gives back: numba frees an array of its own behind the
    last line that names it, while its address is still written to (tests/data/arrays/test_jit.py).
    """
    return np.int64(array.ctypes.data)  # type: ignore[return-value] # numba has one kind of integers
