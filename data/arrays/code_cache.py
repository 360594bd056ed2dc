"""Cached code of kernels, loaded without the modules of numba that only a compilation needs."""

from __future__ import annotations

from typing import Any

from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys


class _CodeCache(FunctionCache):
    """The cached code of one kernel.

    numba imports everything that it can compile before it loads the first function: 0.15 s of processor time in each
    process. Its compiler does that by itself when something has to be compiled after all, so loading need not.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of one signature; None if it is not in the cache."""
        # what loaded code needs of it: the allocator of arrays
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba has no types


def use_code_cache(compiled: Any) -> None:
    """Let a function that numba compiles keep its code in the cache, as its option `cache` does."""
    compiled._cache = _CodeCache(compiled.py_func)  # type: ignore[no-untyped-call]  # numba has no types
