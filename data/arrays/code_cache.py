"""Cached code of kernels, loaded without what only a compilation needs: modules of numba, and the bitcode of the kernels."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.runtime.nrt import rtsys


class _Library(JITCodeLibrary):
    """The code of one kernel; that of a loaded one has its bitcode parsed only when another kernel is compiled with it.

    numba parses the bitcode of every kernel that it loads and asks for the names of all its functions, one by one: half
    of the time that loading takes. Only compiling a kernel that calls this one uses either.
    """

    _code, _bitcode = b"", b""

    @classmethod
    def _unserialize(cls, codegen: Any, state: tuple[str, str, Any]) -> Any:
        """The library of what numba keeps in its cache."""
        name, kind, kept = state
        if kind != "object":
            return super()._unserialize(codegen, state)  # type: ignore[no-untyped-call]  # numba has no types
        library = codegen.create_library(name)
        library._code, library._bitcode = kept
        library.enable_object_caching()
        library._set_compiled_object(library._code)
        library._finalize_final_module()
        return library

    def get_pointer_to_function(self, name: str) -> int:
        """The address of a function, 0 if this library has none of this name."""
        # numba looks the name up among those of the bitcode, because LLVM ends the process if it asks for one in vain
        if name.encode() in self._code:
            return int(self._codegen._engine.get_function_address(name))
        return int(super().get_pointer_to_function(name))  # type: ignore[no-untyped-call]  # numba has no types

    def _get_module_for_linking(self) -> Any:
        """The bitcode, for a kernel that calls this one."""
        if self._bitcode and self._shared_module is None:
            self._shared_module = llvm.parse_bitcode(self._bitcode)
            self._codegen._engine._load_defined_symbols(self._shared_module)  # type: ignore[no-untyped-call]  # numba has no types
        return super()._get_module_for_linking()  # type: ignore[no-untyped-call]  # numba has no types


class _CodeCache(FunctionCache):
    """The cached code of one kernel.

    numba imports everything that it can compile before it loads the first function: 0.15 s of processor time in each
    process. Its compiler does that by itself when something has to be compiled after all, so loading need not.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of one signature; None if it is not in the cache."""
        # what loaded code needs of it: the allocator of arrays
        rtsys.initialize(target_context)
        target_context.codegen()._library_class = _Library
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]  # numba has no types


def use_code_cache(compiled: Any) -> None:
    """Let a function that numba compiles keep its code in the cache, as its option `cache` does."""
    compiled._cache = _CodeCache(compiled.py_func)  # type: ignore[no-untyped-call]  # numba has no types
