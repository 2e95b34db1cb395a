"""Addition of two tensors of different scales with vectors: the float rule of `elementwise.add`, the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.compiled import part
from intlower.kernels.isa import IsaType
from intlower.kernels.requantization import clamp_float, round_half_even
from intlower.kernels.simd_rules import rounded
from intlower.kernels.vectors import (
    FLOAT,
    INDEX,
    WORD,
    advance,
    data_pointer,
    emitter,
    load,
    splat,
    store,
    variants_of,
)

# Codes that are added together.
LANES = 16


def add_single(
    isa: Any,
    inputs: Any,
    outputs: Any,
    a: Any,
    b: Any,
    d: Any,
    count: Any,
    zero_a: Any,
    zero_b: Any,
    zero: Any,
    scale_a: Any,
    scale_b: Any,
    low: Any,
    high: Any,
) -> None:
    """Add codes by equation (9) in the float unit; for compiled code.

    Args:
        isa: chooses loops or vectors.
        inputs: uint8 or uint16 codes.
        outputs: alike.
        a: index of the first code of the first input; b, of the second; d, of the output.
        b: see a.
        d: see a.
        count: of codes.
        zero_a: int32 zero point of the first input; zero_b, of the second; zero, of the output.
        zero_b: see zero_a.
        zero: see zero_a.
        scale_a: float32 scale of the first input over that of the output; scale_b alike.
        scale_b: see scale_a.
        low: float32, least sum that is kept; high alike.
        high: see low.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(add_single)
def _add_single(isa: Any, *arguments: Any) -> Any:
    return _portable_add if isa.isa.name == "portable" else _vector_add


def _portable_add(
    isa: Any,
    inputs: Any,
    outputs: Any,
    a: Any,
    b: Any,
    d: Any,
    count: Any,
    zero_a: Any,
    zero_b: Any,
    zero: Any,
    scale_a: Any,
    scale_b: Any,
    low: Any,
    high: Any,
) -> None:
    first, second, target = np.uint64(a), np.uint64(b), np.uint64(d)
    for i in range(count):
        j = np.uint64(i)
        x = np.float32(np.int32(inputs[first + j]) - zero_a) * scale_a
        y = np.float32(np.int32(inputs[second + j]) - zero_b) * scale_b
        outputs[target + j] = round_half_even(clamp_float(x + y, low, high)) + zero


_remainder = part(_portable_add)


def _vector_add(
    isa: Any,
    inputs: Any,
    outputs: Any,
    a: Any,
    b: Any,
    d: Any,
    count: Any,
    zero_a: Any,
    zero_b: Any,
    zero: Any,
    scale_a: Any,
    scale_b: Any,
    low: Any,
    high: Any,
) -> None:
    whole = count // LANES * LANES
    _emit_add(
        isa,
        inputs,
        outputs,
        a,
        b,
        d,
        count // LANES,
        zero_a,
        zero_b,
        zero,
        scale_a,
        scale_b,
        low,
        high,
    )
    _remainder(
        isa,
        inputs,
        outputs,
        a + whole,
        b + whole,
        d + whole,
        count - whole,
        zero_a,
        zero_b,
        zero,
        scale_a,
        scale_b,
        low,
        high,
    )


@emitter
def _emit_add(
    typing_context: Any,
    isa: IsaType,
    inputs: Any,
    outputs: Any,
    a: Any,
    b: Any,
    d: Any,
    chunks: Any,
    zero_a: Any,
    zero_b: Any,
    zero: Any,
    scale_a: Any,
    scale_b: Any,
    low: Any,
    high: Any,
) -> Any:
    signature = types.void(
        isa,
        inputs,
        outputs,
        *[types.int64] * 4,
        *[types.int32] * 3,
        *[types.float32] * 4,
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, results = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
        )
        kinds = [ir.IntType(signature.args[i].dtype.bitwidth) for i in (1, 2)]
        a, b, d, chunks = arguments[3:7]
        zero_a, zero_b, zero, scale_a, scale_b, low, high = (
            splat(builder, value, LANES) for value in arguments[7:]
        )

        def term(index: Any, start: Any, zero_point: Any, scale: Any) -> Any:
            place = builder.mul(builder.add(start, index), INDEX(kinds[0].width // 8))
            pointer = advance(builder, codes, place)
            loaded = load(builder, pointer, ir.VectorType(kinds[0], LANES))
            wide = builder.zext(loaded, ir.VectorType(WORD, LANES))
            single = builder.sitofp(builder.sub(wide, zero_point), ir.VectorType(FLOAT, LANES))
            return builder.fmul(single, scale)

        with cgutils.for_range(builder, chunks) as loop:
            index = builder.mul(loop.index, INDEX(LANES))
            total = builder.fadd(
                term(index, a, zero_a, scale_a), term(index, b, zero_b, scale_b)
            )
            code = builder.add(rounded(builder, total, low, high), zero)
            place = builder.mul(builder.add(d, index), INDEX(kinds[1].width // 8))
            narrow = (
                builder.trunc(code, ir.VectorType(kinds[1], LANES))
                if kinds[1].width < WORD.width
                else code
            )
            store(builder, narrow, advance(builder, results, place))
        return context.get_dummy_value()

    return signature, generate
