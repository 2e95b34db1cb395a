"""Depthwise convolution with vectors: two taps at a time, channels in lanes, sums in registers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.isa import Isa, IsaType
from intlower.kernels.vectors import (
    BYTE,
    HALF,
    INDEX,
    WORD,
    advance,
    choose,
    data_pointer,
    emitter,
    load,
    store,
    sum_products,
)


@emitter
def depthwise_pixels(
    typing_context: Any,
    isa: IsaType,
    arena: Any,
    constants: Any,
    taps: Any,
    source: Any,
    source_stride: Any,
    tap: Any,
    pairs: Any,
    weights: Any,
    bias: Any,
    pixels: Any,
    channels: Any,
    sums: Any,
) -> Any:
    """Write the int32 sums of a run of output pixels; for compiled code.

    Args:
        typing_context: Numba's.
        isa: chooses the instruction.
        arena: uint8; holds codes and sums.
        constants: uint8; holds weights and biases.
        taps: uint8; holds the offsets of the taps.
        source: byte offset in the arena of the first pixel's window.
        source_stride: bytes from window to window.
        tap: byte offset in `taps` of an int64 for each tap: bytes from the window's beginning to the tap's channels.
        pairs: of taps.
        weights: byte offset of int16 [pairs][channels][2].
        bias: byte offset of int32 [channels].
        pixels: how many.
        channels: a multiple of 8; as many codes are read at each tap.
        sums: byte offset in the arena of int32 [pixels][channels].
    """
    signature = types.void(isa, arena, constants, taps, *[types.int64] * 9)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, numbers, offsets = (
            data_pointer(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 3)
        )
        source, stride, tap, pairs, weights, bias, pixels, channels, sums = arguments[4:]
        window = advance(builder, codes, source)
        panel = advance(builder, numbers, weights)
        biases = advance(builder, numbers, bias)
        result = advance(builder, codes, sums)
        table = advance(builder, offsets, tap)

        def columns(lanes: int, first: Any) -> None:
            offset = builder.mul(first, INDEX(4))
            initial = load(
                builder, advance(builder, biases, offset), ir.VectorType(WORD, lanes)
            )
            weight_stride = builder.mul(channels, INDEX(4))
            first_weights = advance(builder, panel, offset)
            first_code = advance(builder, window, first)
            with cgutils.for_range(builder, pixels) as loop:
                pixel = advance(builder, first_code, builder.mul(loop.index, stride))
                total = _sum_taps(
                    builder,
                    isa.isa,
                    lanes,
                    initial,
                    pixel,
                    table,
                    pairs,
                    first_weights,
                    weight_stride,
                )
                target = builder.add(builder.mul(loop.index, weight_stride), offset)
                store(builder, total, advance(builder, result, target))

        with cgutils.for_range(builder, builder.udiv(channels, INDEX(16))) as loop:
            columns(16, builder.mul(loop.index, INDEX(16)))
        rest = builder.urem(channels, INDEX(16))
        with builder.if_then(builder.icmp_signed(">", rest, INDEX(0))):
            columns(8, builder.sub(channels, INDEX(8)))
        return context.get_dummy_value()

    return signature, generate


def _sum_taps(
    builder: Any,
    isa: Isa,
    lanes: int,
    initial: Any,
    pixel: Any,
    table: Any,
    pairs: Any,
    weights: Any,
    weight_stride: Any,
) -> Any:
    """Emit the loop over pairs of taps for one pixel and `lanes` channels."""
    start = builder.block
    loop = builder.append_basic_block("taps")
    end = builder.append_basic_block("taps_done")
    builder.branch(loop)
    builder.position_at_end(loop)
    remaining, entry, panel = (builder.phi(v.type) for v in (pairs, table, weights))
    total = builder.phi(initial.type)
    for phi, value in ((remaining, pairs), (entry, table), (panel, weights), (total, initial)):
        phi.add_incoming(value, start)
    codes = []
    for tap in range(2):
        offset = load(builder, advance(builder, entry, INDEX(8 * tap)), INDEX)
        codes.append(load(builder, advance(builder, pixel, offset), ir.VectorType(BYTE, lanes)))
    order = [lane // 2 + lane % 2 * lanes for lane in range(2 * lanes)]
    pair = choose(builder, codes[0], codes[1], order)
    operands = builder.bitcast(
        builder.zext(pair, ir.VectorType(HALF, 2 * lanes)), ir.VectorType(WORD, lanes)
    )
    factors = load(builder, panel, ir.VectorType(WORD, lanes))
    width = min(isa.lanes, lanes)
    parts = [
        sum_products(
            builder,
            replace(isa, lanes=width),
            False,
            *(
                choose(builder, value, value, range(first, first + width))
                for value in (total, operands, factors)
            ),
        )
        for first in range(0, lanes, width)
    ]
    while len(parts) > 1:
        parts = [
            choose(builder, a, b, range(2 * a.type.count))
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    total.add_incoming(parts[0], loop)
    entry.add_incoming(advance(builder, entry, INDEX(16)), loop)
    panel.add_incoming(advance(builder, panel, weight_stride), loop)
    following = builder.sub(remaining, INDEX(1))
    remaining.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("!=", following, INDEX(0)), loop, end)
    builder.position_at_end(end)
    return parts[0]
