"""Tables that take longer to make than to load: kept beside the compiled code that reads them; what they hold is their makers'."""

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


def kept(name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The table that `make` makes of `data.identifiers.normalise`, from an earlier start where one kept it.

    The folder is named after all modules that hold kernels, the file after what they leave out: the rules of folding
    and the version of Unicode.
    """
    if not jit.CACHED:
        return make()
    rules = Path(normalise.__file__).read_bytes() + unicodedata.unidata_version.encode()
    path = Path(os.environ["NUMBA_CACHE_DIR"]) / f"{name}-{hashlib.sha256(rules).hexdigest()[:16]}.npy"
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return] # numpy leaves open what a file holds
    except (OSError, ValueError, EOFError):
        # not there, or not whole
        table = make()
    _keep(path, table)
    return table


def _keep(path: Path, table: NDArray[Any]) -> None:
    """Write a file in one step; where it cannot be written the table is made anew by each start, as before."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                np.save(file, table, allow_pickle=False)
                # a table of zeros after a power cut would fold all text to nothing, and nothing would hit
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                # a full disk must not be filled by what is left of each start
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        jit.log.warning("a table cannot be kept in %s: %s", path.parent, error.strerror)
