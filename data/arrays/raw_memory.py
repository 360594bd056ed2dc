"""Reading and writing bytes and words at memory addresses, for compiled loops.

The loops take addresses of arrays instead of arrays. When one compiled function passes an array to another, numba
updates its reference count and checks each index for being negative, which made the whole pass four times slower.
Callers of the loops must keep the arrays alive and must leave `SLACK` bytes after all memory that is read or written
eight bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

# numba reads its cache folder when it is imported: import `data.arrays.jit`, which sets the folder, before this module.
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs are published
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SLACK = 64
Word = np.uint64
# The start value of counters. numba gives a literal 0 a type of its own and would compile every kernel that receives it
# once more.
ZERO: int = np.int64(0)  # type: ignore[assignment] # numba has a single integer type
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
    """Write eight bytes, little-endian, at an address of any alignment."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        builder.store(args[1], builder.inttoptr(args[0], _I64.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), code


def _signed(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The same 64 bits as a signed number: numba converts mixed signed and unsigned arithmetic to floats."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return args[0]

    return types.int64(types.uint64), code


def _alphanumeric_bits(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Two masks of the 32 bytes at an address: bits 0 to 31 mark ASCII letters and digits, 32 to 63 digits."""

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


def _trailing_zeros(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The index of the lowest set bit; 64 for 0."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), code


def _popcount(typing: Any, value: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """The number of set bits."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        return builder.ctpop(args[0])

    return types.int64(types.int64), code


def _prefetch(typing: Any, address: Any) -> Any:  # noqa: ARG001 - numba's protocol
    """Ask the processor to load the cache line at an address, without waiting; the address need not be readable."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - numba's protocol
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), number, number, number])
        declare: Any = cgutils.get_or_insert_function
        call = declare(builder.module, kind, "llvm.prefetch.p0i8")
        # arguments: read access, no temporal locality, data cache
        builder.call(call, [builder.inttoptr(args[0], _I8.as_pointer()), number(0), number(0), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


byte = cast("Callable[[int], int]", intrinsic(_byte))
word = cast("Callable[[int], Word]", intrinsic(_word))
put_byte = cast("Callable[[int, int], None]", intrinsic(_put_byte))
put_word = cast("Callable[[int, Word], None]", intrinsic(_put_word))
signed = cast("Callable[[Word], int]", intrinsic(_signed))
alphanumeric_bits = cast("Callable[[int], int]", intrinsic(_alphanumeric_bits))
prefetch = cast("Callable[[int], None]", intrinsic(_prefetch))
popcount = cast("Callable[[int], int]", intrinsic(_popcount))
trailing_zeros = cast("Callable[[int], int]", intrinsic(_trailing_zeros))
