"""Packing of activations with vectors: sixteen codes at a time, also for runs of nine as first layers have them."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.isa import IsaType
from intlower.kernels.vectors import (
    BYTE,
    INDEX,
    advance,
    data_pointer,
    emitter,
    load,
    splat,
    store,
    variants_of,
)

LANES = 16


def convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    """Pack consecutive codes, each less `center`; for compiled code.

    Args:
        isa: chooses loops or vectors.
        codes: uint8 or uint16.
        source: index of the first code; up to 15 codes past the last may be read.
        packed: int16 or uint8 operands.
        target: index of the first operand; up to 15 operands past the last may be overwritten.
        count: of codes.
        center: subtracted modulo the operand's width.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(convert)
def _convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> Any:
    portable = isa.isa.name == "portable" or codes.dtype.bitwidth != 8
    return _portable_convert if portable else _vector_convert


def _portable_convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    s, d, c = np.uint64(source), np.uint64(target), np.int32(center)
    for i in range(count):
        j = np.uint64(i)
        packed[d + j] = np.int32(codes[s + j]) - c


def _vector_convert(
    isa: Any, codes: Any, source: Any, packed: Any, target: Any, count: Any, center: Any
) -> None:
    _emit_convert(isa, codes, packed, source, target, count, center)


@emitter
def _emit_convert(
    typing_context: Any,
    isa: IsaType,
    codes: Any,
    packed: Any,
    source: Any,
    target: Any,
    count: Any,
    center: Any,
) -> Any:
    signature = types.void(isa, codes, packed, *[types.int64] * 4)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target, count, center = arguments[3:]
        operand = ir.IntType(signature.args[2].dtype.bitwidth)
        size = INDEX(operand.width // 8)
        codes, packed = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2)
        )
        first = advance(builder, codes, source)
        result = advance(builder, packed, builder.mul(target, size))
        centers = splat(builder, builder.trunc(center, operand), LANES)
        chunks = builder.udiv(builder.add(count, INDEX(LANES - 1)), INDEX(LANES))
        with cgutils.for_range(builder, chunks) as loop:
            offset = builder.mul(loop.index, INDEX(LANES))
            values = load(builder, advance(builder, first, offset), ir.VectorType(BYTE, LANES))
            if operand.width > 8:
                values = builder.zext(values, ir.VectorType(operand, LANES))
            pointer = advance(builder, result, builder.mul(offset, size))
            store(builder, builder.sub(values, centers), pointer)
        return context.get_dummy_value()

    return signature, generate
