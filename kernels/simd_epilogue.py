"""Requantization of a tile's accumulators with vectors: every rule of `requantization.py`, the same bits.

The channels' constants stay in registers while the rows of a block pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.requantization import requantize_channels
from intlower.kernels.simd_rules import VECTOR_RULES
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


def requantize_block(
    isa: Any,
    rule: Any,
    arena: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    channels: Any,
    constants: Any,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
    zero_point: Any,
    output: Any,
    target: Any,
    target_stride: Any,
) -> None:
    """Write the codes of a block of pixels; for compiled code.

    Args:
        isa: chooses loops or vectors.
        rule: see `table`.
        arena: uint8; holds the accumulators.
        accumulators: byte offset of the first.
        accumulator_stride: bytes from pixel to pixel.
        rows: pixels.
        channels: of a pixel.
        constants: uint8; 64 bytes past the last channel's may be read.
        multiplier: byte offset of the first channel's int32; shift, low, high alike.
        shift: see multiplier.
        low: see multiplier.
        high: see multiplier.
        scale: byte offset of the first channel's float32; low_float, high_float alike.
        low_float: see scale.
        high_float: see scale.
        zero_point: of the output.
        output: uint8 or uint16 codes.
        target: index of the first code.
        target_stride: codes from pixel to pixel.
    """
    raise NotImplementedError("callable from compiled code only")


@variants_of(requantize_block)
def _requantize_block(isa: Any, *arguments: Any) -> Any:
    return _portable_block if isa.isa.name == "portable" else _vector_block


def _portable_block(
    isa: Any,
    rule: Any,
    arena: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    channels: Any,
    constants: Any,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
    zero_point: Any,
    output: Any,
    target: Any,
    target_stride: Any,
) -> None:
    sums, integers = arena.view(np.int32), constants.view(np.int32)
    floats = constants.view(np.float32)
    for r in range(rows):
        requantize_channels(
            rule,
            sums,
            (accumulators + r * accumulator_stride) // 4,
            integers,
            floats,
            multiplier // 4,
            shift // 4,
            low // 4,
            high // 4,
            scale // 4,
            low_float // 4,
            high_float // 4,
            zero_point,
            channels,
            output,
            target + r * target_stride,
        )


def _vector_block(
    isa: Any,
    rule: Any,
    arena: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    channels: Any,
    constants: Any,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
    zero_point: Any,
    output: Any,
    target: Any,
    target_stride: Any,
) -> None:
    _emit_block(
        isa,
        arena,
        constants,
        output,
        rule,
        accumulators,
        accumulator_stride,
        rows,
        channels,
        multiplier,
        shift,
        low,
        high,
        scale,
        low_float,
        high_float,
        zero_point,
        target,
        target_stride,
    )


@emitter
def _emit_block(
    typing_context: Any,
    isa: IsaType,
    arena: Any,
    constants: Any,
    output: Any,
    rule: Any,
    accumulators: Any,
    accumulator_stride: Any,
    rows: Any,
    channels: Any,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
    zero_point: Any,
    target: Any,
    target_stride: Any,
) -> Any:
    signature = types.void(isa, arena, constants, output, *[types.int64] * 15)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code = ir.IntType(signature.args[3].dtype.bitwidth)
        sums, numbers, codes = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 3)
        )
        rule, start, stride, rows, channels, *offsets, zero, target, target_stride = arguments[
            4:
        ]
        size = INDEX(code.width // 8)
        block = _Block(
            isa=isa.isa,
            code=code,
            accumulators=advance(builder, sums, start),
            stride=stride,
            rows=rows,
            channels=channels,
            constants=[advance(builder, numbers, offset) for offset in offsets],
            zero_point=builder.trunc(zero, WORD),
            output=advance(builder, codes, builder.mul(target, size)),
            output_stride=builder.mul(target_stride, size),
        )
        done = builder.append_basic_block("requantized")
        switch = builder.switch(rule, done)
        for number, emit in VECTOR_RULES.items():
            case = builder.append_basic_block("rule")
            switch.add_case(INDEX(number), case)
            builder.position_at_end(case)
            block.emit(builder, emit)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


class _Block:
    """The operands of one block, as LLVM values, and its loops."""

    def __init__(
        self,
        *,
        isa: Isa,
        code: Any,
        accumulators: Any,
        stride: Any,
        rows: Any,
        channels: Any,
        constants: list[Any],
        zero_point: Any,
        output: Any,
        output_stride: Any,
    ) -> None:
        self.isa = isa
        self.code = code
        self.accumulators = accumulators
        self.stride = stride
        self.rows = rows
        self.channels = channels
        self.constants = constants
        self.zero_point = zero_point
        self.output = output
        self.output_stride = output_stride

    def emit(self, builder: Any, rule: Callable[..., Any]) -> None:
        """Emit the loops: 16 channels at a time, then 8, then the rest through a mask."""
        with cgutils.for_range(builder, builder.udiv(self.channels, INDEX(16))) as loop:
            self._columns(builder, rule, 16, builder.mul(loop.index, INDEX(16)), None)
        rest = builder.urem(self.channels, INDEX(16))
        first = builder.sub(self.channels, rest)
        eights = builder.udiv(rest, INDEX(8))
        with cgutils.for_range(builder, eights):
            self._columns(builder, rule, 8, first, None)
        valid = builder.urem(rest, INDEX(8))
        with builder.if_then(builder.icmp_signed(">", valid, INDEX(0))):
            last = builder.sub(self.channels, valid)
            self._columns(builder, rule, 8, last, valid)

    def _columns(
        self, builder: Any, rule: Callable[..., Any], lanes: int, first: Any, valid: Any
    ) -> None:
        """Emit all rows of a few channels; `valid` is how many of them exist where not all do."""
        offset = builder.mul(first, INDEX(4))
        numbers = [
            load(
                builder,
                advance(builder, pointer, offset),
                ir.VectorType(FLOAT if i >= 4 else WORD, lanes),
            )
            for i, pointer in enumerate(self.constants)
        ]
        zero = splat(builder, self.zero_point, lanes)
        column = builder.mul(first, INDEX(self.code.width // 8))
        with cgutils.for_range(builder, self.rows) as loop:
            source = builder.add(builder.mul(loop.index, self.stride), offset)
            value = load(
                builder,
                advance(builder, self.accumulators, source),
                ir.VectorType(WORD, lanes),
            )
            result = builder.add(rule(builder, value, *numbers), zero)
            vector = ir.VectorType(self.code, lanes)
            codes = builder.trunc(result, vector) if self.code.width < 32 else result
            target = advance(
                builder,
                self.output,
                builder.add(builder.mul(loop.index, self.output_stride), column),
            )
            if valid is None:
                store(builder, codes, target)
            else:
                self._store_some(builder, codes, target, valid)

    def _store_some(self, builder: Any, codes: Any, target: Any, valid: Any) -> None:
        for lane in range(codes.type.count - 1):
            with builder.if_then(builder.icmp_signed("<", INDEX(lane), valid)):
                pointer = advance(builder, target, INDEX(lane * self.code.width // 8))
                store(builder, builder.extract_element(codes, WORD(lane)), pointer)
