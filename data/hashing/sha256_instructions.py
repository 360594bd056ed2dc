"""The SHA-256 compression function in the processor's SHA instructions (x86-64), for compiled loops.

`AVAILABLE` is true if this processor has these instructions; `data.hashing.hash_kernels` has the portable version.
"""

from __future__ import annotations

from typing import Any

# numba reads its cache folder when it is imported: import `data.arrays.jit`, which sets the folder, before this module.
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AVAILABLE: bool = bool(llvm.get_host_cpu_features().get("sha", False))

_WORD = ir.IntType(32)
_FOUR = ir.VectorType(_WORD, 4)


def _compress_block(_typing: Any, state: Any, words: Any, constants: Any) -> Any:
    """Update `state` (8 words) with the 16 message words of a block; `constants` are the 64 round constants.

    Source: Intel, "New Instructions Supporting the Secure Hash Algorithm", 2013: each instruction does two rounds on
    the state as (A, B, E, F) and (C, D, G, H), and four words of the message schedule at a time.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        state_at, words_at, constants_at = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args, arguments, strict=True)
        )

        def call(name: str, *values: Any) -> Any:
            kind = ir.FunctionType(_FOUR, [_FOUR] * len(values))
            declare: Any = cgutils.get_or_insert_function
            return builder.call(declare(builder.module, kind, f"llvm.x86.{name}"), values)

        def load(base: Any, at: int) -> Any:
            place = builder.bitcast(builder.gep(base, [_WORD(at)]), _FOUR.as_pointer())
            return builder.load(place, align=4)

        def pick(a: Any, b: Any, *lanes: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_WORD, 4), list(lanes)))

        low, high = load(state_at, 0), load(state_at, 4)
        # lanes, lowest first: F E B A and H G D C
        abef, cdgh = first_abef, first_cdgh = pick(low, high, 5, 4, 1, 0), pick(low, high, 7, 6, 3, 2)
        schedule = [load(words_at, at) for at in (0, 4, 8, 12)]
        for step in range(16):
            if step >= 4:
                a, b, c, d = schedule[-4:]
                sum_ = builder.add(call("sha256msg1", a, b), pick(c, d, 1, 2, 3, 4))
                schedule.append(call("sha256msg2", sum_, d))
            now = builder.add(schedule[step], load(constants_at, 4 * step))
            cdgh = call("sha256rnds2", cdgh, abef, now)
            abef = call("sha256rnds2", abef, cdgh, pick(now, now, 2, 3, 2, 3))
        abef, cdgh = builder.add(abef, first_abef), builder.add(cdgh, first_cdgh)
        for base, vector in ((0, pick(abef, cdgh, 3, 2, 7, 6)), (4, pick(abef, cdgh, 1, 0, 5, 4))):
            place = builder.bitcast(builder.gep(state_at, [_WORD(base)]), _FOUR.as_pointer())
            builder.store(vector, place, align=4)
        return context.get_dummy_value()

    return types.void(state, words, constants), generate


# Compiled code calls this without the first argument, which numba itself passes.
compress_block: Any = intrinsic(_compress_block)
