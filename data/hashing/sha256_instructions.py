"""One SHA-256 step by the processor's own instructions (x86-64 with SHA extensions), for compiled loops.

`AVAILABLE` says whether this processor has them; the loop that does without is in `data.hashing.hash_kernels`.
"""

from __future__ import annotations

from typing import Any

# numba asks for the folder of compiled code when it is imported: `data.arrays.jit` names it and imports this module then
import llvmlite.binding as llvm  # type: ignore[import-untyped]  # no stubs are published
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AVAILABLE: bool = bool(llvm.get_host_cpu_features().get("sha", False))

_WORD = ir.IntType(32)
_FOUR = ir.VectorType(_WORD, 4)


def _take_in(_typing: Any, state: Any, words: Any, constants: Any) -> Any:
    """Let `state` (8 words) take in the 16 message words of a block; `constants` are the 64 of the rounds.

    Source: Intel, "New Instructions Supporting the Secure Hash Algorithm", 2013: two rounds for each instruction on
    the state as (A, B, E, F) and (C, D, G, H), four words of the schedule at a time.
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
        # lanes from the lowest: F E B A and H G D C
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


# what numba calls its first argument is not given where compiled code calls it
take_in: Any = intrinsic(_take_in)
