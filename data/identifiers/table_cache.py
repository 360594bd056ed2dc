"""A file cache for tables that take longer to make than to load, beside the compiled code that uses them."""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.arrays import jit
from data.identifiers import normalise


def cached_table(name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The table that `make` derives from `data.identifiers.normalise`, loaded from the file of an earlier start if any.

    The folder of compiled code is named after a digest of all modules that hold kernels. The file is named after the
    other inputs of the tables: the source of the folding rules and the version of Unicode.
    """
    if not jit.CACHED:
        return make()
    rules = Path(normalise.__file__).read_bytes() + unicodedata.unidata_version.encode()
    path = Path(os.environ["NUMBA_CACHE_DIR"]) / f"{name}-{hashlib.sha256(rules).hexdigest()[:16]}.npy"
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return] # numpy leaves open what a file holds
    except (OSError, ValueError, EOFError):
        # the file is absent or damaged
        table = make()
    _write_file(path, table)
    return table


def _write_file(path: Path, table: NDArray[Any]) -> None:
    """Write the file atomically; if that fails a warning is logged, and the next start makes the table again."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                np.save(file, table, allow_pickle=False)
                # without fsync a power cut may leave a table of zeros: all text would fold to nothing and match nothing
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                # on a full disk each start would otherwise leave one more partial file
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        jit.log.warning("cannot write a cached table to %s: %s", path.parent, error.strerror)
