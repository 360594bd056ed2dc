"""SipHash-2-4 of eight messages in parallel in vector registers, for compiled loops.

The reference implementation is `data.hashing.tags.siphash`.
"""

from __future__ import annotations

from typing import Any

# numba reads its cache folder when it is imported: import `data.arrays.jit`, which sets the folder, before this module.
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs are published
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_WORD = ir.IntType(64)
_EIGHT = ir.VectorType(_WORD, LANES)
_START = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573


def _constant(value: int) -> Any:
    return ir.Constant(_EIGHT, [value] * LANES)


def _round(builder: Any, v: list[Any]) -> list[Any]:
    def rotate(value: Any, bits: int) -> Any:
        return builder.or_(builder.shl(value, _constant(bits)), builder.lshr(value, _constant(64 - bits)))

    v0, v1, v2, v3 = v
    v0, v2 = builder.add(v0, v1), builder.add(v2, v3)
    v1, v3 = builder.xor(rotate(v1, 13), v0), builder.xor(rotate(v3, 16), v2)
    v0 = rotate(v0, 32)
    v2, v0 = builder.add(v2, v1), builder.add(v0, v3)
    v1, v3 = builder.xor(rotate(v1, 17), v2), builder.xor(rotate(v3, 21), v0)
    return [v0, v1, rotate(v2, 32), v3]


def _siphash_eight(  # numba reads the parameter names
    _typing: Any,
    k0: Any,  # noqa: ARG001 - numba's protocol
    k1: Any,  # noqa: ARG001 - numba's protocol
    messages: Any,  # noqa: ARG001 - numba's protocol
    sizes: Any,  # noqa: ARG001 - numba's protocol
    words: Any,  # noqa: ARG001 - numba's protocol
    out: Any,  # noqa: ARG001 - numba's protocol
) -> Any:
    """Hash eight messages whose words are interleaved: the first words of all eight, then the second words, and so on.

    Args of the compiled function:
        k0, k1: the two halves of the key.
        messages: address of `words` times eight words.
        sizes: address of the eight message lengths in words; the last word of each message contains the length byte, as
            SipHash requires.
        words: number of words of the longest message.
        out: address of eight words, to which the tags are written: the hash, or 1 if the hash is 0.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        key0, key1, messages_at, sizes_at, count, out_at = arguments

        alloca: Any = cgutils.alloca_once_value

        def spread(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(_EIGHT, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, one, zeros)

        def load(address: Any) -> Any:
            return builder.load(builder.inttoptr(address, _EIGHT.as_pointer()), align=8)

        keys = spread(key0), spread(key1)
        state = [alloca(builder, builder.xor(keys[at & 1], _constant(start))) for at, start in enumerate(_START)]
        length = load(sizes_at)
        with cgutils.for_range(builder, count, intp=_WORD) as loop:
            part = load(builder.add(messages_at, builder.mul(loop.index, _WORD(8 * LANES))))
            before = [builder.load(place) for place in state]
            after = [*before[:3], builder.xor(before[3], part)]
            after = _round(builder, _round(builder, after))
            after[0] = builder.xor(after[0], part)
            is_longer = builder.icmp_unsigned("<", spread(loop.index), length)
            for place, old, new in zip(state, before, after, strict=True):
                builder.store(builder.select(is_longer, new, old), place)
        last = [builder.load(place) for place in state]
        last[2] = builder.xor(last[2], _constant(0xFF))
        for _ in range(4):
            last = _round(builder, last)
        tags = builder.xor(builder.xor(last[0], last[1]), builder.xor(last[2], last[3]))
        tags = builder.select(builder.icmp_unsigned("==", tags, _constant(0)), _constant(1), tags)
        builder.store(tags, builder.inttoptr(out_at, _EIGHT.as_pointer()), align=8)
        return _context.get_dummy_value()

    kinds = types.uint64, types.uint64, types.int64, types.int64, types.int64, types.int64
    return types.void(*kinds), generate


# Compiled code calls this without the first argument, which numba itself passes.
siphash_eight: Any = intrinsic(_siphash_eight)
