"""SipHash-2-4 of eight messages side by side in vector registers, for compiled loops; the plain twin is `tags.siphash`."""

from __future__ import annotations

from typing import Any

# numba asks for the folder of compiled code when it is imported: `data.arrays.jit` names it and imports this module then
from llvmlite import ir  # type: ignore[import-untyped]  # no stubs are published
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_WORD = ir.IntType(64)
_EIGHT = ir.VectorType(_WORD, LANES)
_START = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573


def _all(value: int) -> Any:
    return ir.Constant(_EIGHT, [value] * LANES)


def _round(builder: Any, v: list[Any]) -> list[Any]:
    def rotate(value: Any, bits: int) -> Any:
        return builder.or_(builder.shl(value, _all(bits)), builder.lshr(value, _all(64 - bits)))

    v0, v1, v2, v3 = v
    v0, v2 = builder.add(v0, v1), builder.add(v2, v3)
    v1, v3 = builder.xor(rotate(v1, 13), v0), builder.xor(rotate(v3, 16), v2)
    v0 = rotate(v0, 32)
    v2, v0 = builder.add(v2, v1), builder.add(v0, v3)
    v1, v3 = builder.xor(rotate(v1, 17), v2), builder.xor(rotate(v3, 21), v0)
    return [v0, v1, rotate(v2, 32), v3]


def _hash_eight(  # numba reads the names
    _typing: Any,
    k0: Any,  # noqa: ARG001 - numba's protocol
    k1: Any,  # noqa: ARG001 - numba's protocol
    messages: Any,  # noqa: ARG001 - numba's protocol
    sizes: Any,  # noqa: ARG001 - numba's protocol
    words: Any,  # noqa: ARG001 - numba's protocol
    out: Any,  # noqa: ARG001 - numba's protocol
) -> Any:
    """Hash eight messages that lie word by word beside each other.

    Args of the compiled function: k0, k1, the key; messages, address of `words` times eight words; sizes, address of
    the eight lengths in words, the last of which holds the length byte as SipHash wants it; out, address of room for
    eight words, which get the tags: the hash, or 1 for a hash of 0.
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
        state = [alloca(builder, builder.xor(keys[at & 1], _all(start))) for at, start in enumerate(_START)]
        length = load(sizes_at)
        with cgutils.for_range(builder, count, intp=_WORD) as loop:
            part = load(builder.add(messages_at, builder.mul(loop.index, _WORD(8 * LANES))))
            before = [builder.load(place) for place in state]
            after = [*before[:3], builder.xor(before[3], part)]
            after = _round(builder, _round(builder, after))
            after[0] = builder.xor(after[0], part)
            goes_on = builder.icmp_unsigned("<", spread(loop.index), length)
            for place, old, new in zip(state, before, after, strict=True):
                builder.store(builder.select(goes_on, new, old), place)
        last = [builder.load(place) for place in state]
        last[2] = builder.xor(last[2], _all(0xFF))
        for _ in range(4):
            last = _round(builder, last)
        tags = builder.xor(builder.xor(last[0], last[1]), builder.xor(last[2], last[3]))
        tags = builder.select(builder.icmp_unsigned("==", tags, _all(0)), _all(1), tags)
        builder.store(tags, builder.inttoptr(out_at, _EIGHT.as_pointer()), align=8)
        return _context.get_dummy_value()

    kinds = types.uint64, types.uint64, types.int64, types.int64, types.int64, types.int64
    return types.void(*kinds), generate


# what numba calls its first argument is not given where compiled code calls it
hash_eight: Any = intrinsic(_hash_eight)
