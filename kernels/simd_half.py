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
    HALF,
    INDEX,
    WORD,
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

NUMBERS = ir.VectorType(FLOAT, LANES)
BITS = ir.VectorType(WORD, LANES)


def rounded(builder: Any, value: Any, thresholds: list[Any]) -> Any:
    """Emit float32 lanes rounded to binary16; `half.round_half` is the same for one number, and says why.

    Args:
        builder: llvmlite's.
        value: <LANES x float>.
        thresholds: `half.thresholds`, each <LANES x i32>.
    """
    before, after, over = thresholds
    half, dropped = constant(0.5, FLOAT, LANES), word(0x1FFF)
    bits = builder.bitcast(value, BITS)
    magnitude = builder.and_(bits, word(0x7FFFFFFF))
    sign = builder.and_(bits, word(0x80000000))
    odd = builder.and_(builder.lshr(magnitude, word(13)), word(1))
    carried = builder.add(builder.add(magnitude, word(0x0FFF)), odd)
    normal = builder.and_(carried, builder.not_(dropped))
    shifted = builder.fsub(builder.fadd(builder.bitcast(magnitude, NUMBERS), half), half)
    small = builder.icmp_unsigned("<", magnitude, word(0x38800000))
    result = builder.select(small, builder.bitcast(shifted, BITS), normal)
    result = builder.select(
        builder.icmp_unsigned(">=", magnitude, word(0x477FF000)), over, result
    )
    zero = word(0)
    result = builder.select(builder.icmp_unsigned("<", magnitude, before), zero, result)
    result = builder.select(builder.icmp_unsigned("<", result, after), zero, result)
    result = builder.or_(result, sign)
    nan = builder.icmp_unsigned(">", magnitude, word(0x7F800000))
    return builder.bitcast(builder.select(nan, word(0x7FC00000), result), NUMBERS)


def halves(builder: Any, value: Any) -> Any:
    """Emit the 16 bits of float32 lanes that are binary16 numbers; see `half.half_bits`."""
    bits = builder.bitcast(value, BITS)
    magnitude = builder.and_(bits, word(0x7FFFFFFF))
    sign = builder.and_(builder.lshr(bits, word(16)), word(0x8000))
    normal = builder.lshr(builder.sub(magnitude, word(112 << 23)), word(13))
    shifted = builder.fadd(builder.bitcast(magnitude, NUMBERS), constant(0.5, FLOAT, LANES))
    subnormal = builder.and_(builder.bitcast(shifted, BITS), word(0x3FF))
    small = builder.icmp_unsigned("<", magnitude, word(0x38800000))
    finite = builder.select(small, subnormal, normal)
    quiet = builder.and_(builder.lshr(magnitude, word(13)), word(0x200))
    beyond = builder.icmp_unsigned(">=", magnitude, word(0x7F800000))
    half = builder.select(beyond, builder.or_(quiet, word(0x7C00)), finite)
    return builder.trunc(builder.or_(half, sign), ir.VectorType(HALF, LANES))


def _tile(across: bool, rounding: bool) -> Any:
    """Return the emitter of one kind of tile.

    Args:
        across: lanes read channels of their own (depthwise); otherwise all lanes read the same number.
        rounding: every product and every sum is rounded to binary16.
    """

    def tile(
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
        before: Any,
        after: Any,
        over: Any,
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
            before: of `half.thresholds`; after, over alike.
            after: see before.
            over: see before.
        """
        index, mask = types.int64, types.uint32
        signature = types.void(
            images,
            corners,
            index,
            offsets,
            index,
            index,
            weights,
            index,
            sums,
            index,
            mask,
            mask,
            mask,
        )

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def address(array: int, place: Any, size: int) -> Any:
                data = data_pointer(context, builder, signature.args[array], arguments[array])
                return advance(builder, data, builder.mul(place, INDEX(size)))

            limits = [splat(builder, value, LANES) for value in arguments[10:]]

            def once(value: Any) -> Any:
                return rounded(builder, value, limits) if rounding else value

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
            totals = [builder.phi(NUMBERS) for _ in range(PIXELS)]
            for phi in totals:
                phi.add_incoming(constant(0.0, FLOAT, LANES), entry)
            builder.cbranch(builder.icmp_signed("<", k, arguments[5]), body, done)
            builder.position_at_end(body)
            step = load(builder, advance(builder, steps, builder.mul(k, INDEX(8))), INDEX)
            place = advance(builder, row, builder.mul(k, INDEX(4 * LANES)))
            factor = load(builder, place, NUMBERS)
            distance = builder.mul(step, INDEX(4))
            for window, phi in zip(windows, totals, strict=True):
                here = advance(builder, window, distance)
                if across:
                    value = load(builder, here, NUMBERS)
                else:
                    value = splat(builder, load(builder, here, FLOAT), LANES)
                product = once(builder.fmul(value, factor))
                phi.add_incoming(once(builder.fadd(phi, product)), body)
            k.add_incoming(builder.add(k, INDEX(1)), body)
            builder.branch(test)
            builder.position_at_end(done)
            for i, phi in enumerate(totals):
                place = builder.add(arguments[9], INDEX(i * LANES))
                store(builder, phi, address(8, place, 4))
            return context.get_dummy_value()

        return signature, generate

    return emitter(tile)


add_products = _tile(across=False, rounding=False)
add_rounded_products = _tile(across=False, rounding=True)
add_products_across = _tile(across=True, rounding=False)
add_rounded_products_across = _tile(across=True, rounding=True)


def word(value: int) -> Any:
    """Return LANES of a 32-bit integer."""
    return constant(value, WORD, LANES)
