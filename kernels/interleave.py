"""From three planes to pixels of three codes, as images come in: the copy of a network's input, with vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from intlower.kernels.compiled import part
from intlower.kernels.isa import IsaType
from intlower.kernels.movement import share
from intlower.kernels.table import INPUT, INPUT_STRIDES, LENGTH, OUTPUT, VALUE
from intlower.kernels.vectors import (
    BYTE,
    INDEX,
    advance,
    choose,
    data_pointer,
    emitter,
    load,
    splat,
    store,
)

Array = Any

PLANES = 3
# Pixels that are put together at a time.
LANES = 16


@emitter
def interleave_pixels(
    typing_context: Any,
    isa: IsaType,
    codes: Any,
    source: Any,
    stride: Any,
    target: Any,
    chunks: Any,
    flip: Any,
) -> Any:
    """Write pixels, LANES at a time; for compiled code.

    Args:
        typing_context: Numba's.
        isa: of which every one runs this; it keeps plain loops apart.
        codes: uint8.
        source: index of the first code of the first plane.
        stride: codes from plane to plane.
        target: index of the first pixel.
        chunks: how many times LANES pixels.
        flip: what to XOR with each code.
    """
    signature = types.void(isa, codes, *[types.int64] * 5)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = data_pointer(context, builder, signature.args[1], arguments[1])
        source, stride, target, chunks, flip = arguments[2:]
        first, result = advance(builder, data, source), advance(builder, data, target)
        flips = splat(builder, builder.trunc(flip, BYTE), LANES)
        with cgutils.for_range(builder, chunks) as loop:
            pixel = advance(builder, first, builder.mul(loop.index, INDEX(LANES)))
            planes = [
                builder.xor(
                    load(
                        builder,
                        advance(builder, pixel, builder.mul(stride, INDEX(plane))),
                        ir.VectorType(BYTE, LANES),
                    ),
                    flips,
                )
                for plane in range(PLANES)
            ]
            place = advance(builder, result, builder.mul(loop.index, INDEX(LANES * PLANES)))
            for piece in range(PLANES):
                lanes = range(piece * LANES, (piece + 1) * LANES)
                # the first two planes, then the third where it belongs
                two = choose(
                    builder,
                    planes[0],
                    planes[1],
                    [i // PLANES + (LANES if i % PLANES == 1 else 0) for i in lanes],
                )
                three = choose(
                    builder,
                    two,
                    planes[2],
                    [
                        LANES + i // PLANES if i % PLANES == 2 else place_in_piece
                        for place_in_piece, i in enumerate(lanes)
                    ],
                )
                store(builder, three, advance(builder, place, INDEX(piece * LANES)))
        return context.get_dummy_value()

    return signature, generate


@part
def interleave(isa: Any, row: Array, codes: Array, thread: Any, threads: Any) -> None:
    """Copy LENGTH pixels from planes INPUT_STRIDES apart, each code XOR VALUE.

    Args:
        isa: of the vectors.
        row: the instruction.
        codes: uint8, the arena.
        thread: which of `threads` this is; each takes a share of the pixels.
        threads: how many work on the copy.
    """
    first, last = share(row[LENGTH], thread, threads)
    source, target, stride = (
        row[INPUT] + first,
        row[OUTPUT] + first * PLANES,
        row[INPUT_STRIDES],
    )
    chunks = (last - first) // LANES
    interleave_pixels(isa, codes, source, stride, target, chunks, row[VALUE])
    flip = codes.dtype.type(row[VALUE])
    for pixel in range(chunks * LANES, last - first):
        for plane in range(PLANES):
            code = codes[np.uint64(source + pixel + plane * stride)]
            codes[np.uint64(target + pixel * PLANES + plane)] = code ^ flip
