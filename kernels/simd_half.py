"""The tile of half-precision products: a few pixels by sixteen channels, their sums in registers.

Plain LLVM vectors: each operation is one IEEE operation in every lane, with no fast-math flag, so nothing is reordered or
fused. (Fusing could not change a bit where sums are in binary32: a product of two halves is exact there.)
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from intlower.kernels.vectors import (
    FLOAT,
    INDEX,
    advance,
    constant,
    data_pointer,
    emitter,
    load,
    splat,
    store,
)

Array = Any

# Channels and pixels of a tile: the sums take 6 of 32 registers of 512 bits, or 12 of 16 of 256.
LANES = 16
PIXELS = 6


@emitter
def add_products(
    typing_context: Any,
    images: Any,
    corners: Any,
    first: Any,
    offsets: Any,
    tap: Any,
    taps: Any,
    weights: Any,
    weight: Any,
    sums: Any,
    total: Any,
) -> Any:
    """Write sums of products of PIXELS windows and LANES filters, tap after tap, from +0.

    Args:
        typing_context: Numba's.
        images: float32; what windows lie in.
        corners: int64; at `first`, the index in `images` of each window's first element.
        first: see corners.
        offsets: int64; at `tap`, from a window's first element to each of `taps`.
        tap: see offsets.
        taps: how many.
        weights: float32; at `weight`, [taps, LANES].
        weight: see weights.
        sums: float32; at `total`, [PIXELS, LANES], is written.
        total: see sums.
    """
    index = types.int64
    signature = types.void(
        images, corners, index, offsets, index, index, weights, index, sums, index
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def address(array: int, place: Any, size: int) -> Any:
            data = data_pointer(context, builder, signature.args[array], arguments[array])
            return advance(builder, data, builder.mul(place, INDEX(size)))

        vector = ir.VectorType(FLOAT, LANES)
        begin = address(1, arguments[2], 8)
        windows = [
            address(0, load(builder, advance(builder, begin, INDEX(8 * i)), INDEX), 4)
            for i in range(PIXELS)
        ]
        steps, row = address(3, arguments[4], 8), address(6, arguments[7], 4)
        entry = builder.block
        test, body, done = (
            builder.append_basic_block(name) for name in ("test", "tap", "done")
        )
        builder.branch(test)
        builder.position_at_end(test)
        k = builder.phi(INDEX)
        k.add_incoming(INDEX(0), entry)
        totals = [builder.phi(vector) for _ in range(PIXELS)]
        for phi in totals:
            phi.add_incoming(constant(0.0, FLOAT, LANES), entry)
        builder.cbranch(builder.icmp_signed("<", k, arguments[5]), body, done)
        builder.position_at_end(body)
        step = load(builder, advance(builder, steps, builder.mul(k, INDEX(8))), INDEX)
        factor = load(builder, advance(builder, row, builder.mul(k, INDEX(4 * LANES))), vector)
        distance = builder.mul(step, INDEX(4))
        for window, phi in zip(windows, totals, strict=True):
            value = load(builder, advance(builder, window, distance), FLOAT)
            product = builder.fmul(splat(builder, value, LANES), factor)
            phi.add_incoming(builder.fadd(phi, product), body)
        k.add_incoming(builder.add(k, INDEX(1)), body)
        builder.branch(test)
        builder.position_at_end(done)
        for i, phi in enumerate(totals):
            place = builder.add(arguments[9], INDEX(i * LANES))
            store(builder, phi, address(8, place, 4))
        return context.get_dummy_value()

    return signature, generate
