"""Bytes and words at addresses, for compiled loops; nothing here knows what the bytes are.

The loops take addresses of arrays, not arrays: an array that one compiled function hands to another is counted up and
down, and its indexes are checked for being negative, which made the whole pass four times slower. Whoever calls the
loops keeps the arrays alive, and `SLACK` bytes behind everything that is read or written eight bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

# numba asks for the folder of compiled code when it is imported: `data.arrays.jit` names it and imports this module then
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs are published
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SLACK = 64
Word = np.uint64
# where a loop begins to count: handed to other kernels a bare 0 is a kind of its own, for which they are all compiled once more
ZERO: int = np.int64(0)  # type: ignore[assignment] # numba has one kind of integers
_I8, _I64 = ir.IntType(8), ir.IntType(64)


def _byte(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The byte at an address, 0 to 255."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.zext(builder.load(builder.inttoptr(args[0], _I8.as_pointer())), _I64)

    return types.int64(types.int64), code


def _word(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The eight bytes at an address, of any alignment, as a little-endian number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.load(builder.inttoptr(args[0], _I64.as_pointer()), align=1)

    return types.uint64(types.int64), code


def _put_byte(typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Write the lowest byte of a number."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        builder.store(builder.trunc(args[1], _I8), builder.inttoptr(args[0], _I8.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


def _put_word(typing: Any, address: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The inverse of `word`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        builder.store(args[1], builder.inttoptr(args[0], _I64.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), code


def _signed(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The same 64 bits as a signed number; numba makes floats of the two kinds together."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return args[0]

    return types.int64(types.uint64), code


def _runs(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Of the 32 bytes at an address: which are letters or digits (bits 0 to 31), which are digits (bits 32 to 63)."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        vector, mask = ir.VectorType(_I8, 32), ir.IntType(32)
        chars = builder.load(builder.inttoptr(args[0], vector.as_pointer()), align=1)

        def within(values: Any, first: str, count: int) -> Any:
            moved = builder.sub(values, ir.Constant(vector, [ord(first)] * 32))
            return builder.icmp_unsigned("<", moved, ir.Constant(vector, [count] * 32))

        digits = within(chars, "0", 10)
        letters = within(builder.or_(chars, ir.Constant(vector, [0x20] * 32)), "a", 26)
        both = builder.zext(builder.bitcast(builder.or_(digits, letters), mask), _I64)
        return builder.or_(both, builder.shl(builder.zext(builder.bitcast(digits, mask), _I64), ir.Constant(_I64, 32)))

    return types.int64(types.int64), code


def _low_bit(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The number of the lowest bit that is set; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), code


def _bits(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """How many bits are set."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.ctpop(args[0])

    return types.int64(types.int64), code


def _prefetch(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Have the processor bring the cache line at an address, which need not be readable, while work goes on."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), number, number, number])
        declare: Any = cgutils.get_or_insert_function
        call = declare(builder.module, kind, "llvm.prefetch.p0i8")
        # for reading, to be used once, data
        builder.call(call, [builder.inttoptr(args[0], _I8.as_pointer()), number(0), number(0), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


byte = cast("Callable[[int], int]", intrinsic(_byte))
word = cast("Callable[[int], Word]", intrinsic(_word))
put_byte = cast("Callable[[int, int], None]", intrinsic(_put_byte))
put_word = cast("Callable[[int, Word], None]", intrinsic(_put_word))
signed = cast("Callable[[Word], int]", intrinsic(_signed))
runs = cast("Callable[[int], int]", intrinsic(_runs))
prefetch = cast("Callable[[int], None]", intrinsic(_prefetch))
bits_of = cast("Callable[[int], int]", intrinsic(_bits))
low_bit = cast("Callable[[int], int]", intrinsic(_low_bit))
