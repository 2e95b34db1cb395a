"""The end of half-precision and minifloat products: sixteen sums divided, biased, limited, rounded and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from intlower.kernels.simd_half import BITS, LANES, NUMBERS, halves, rounded, word
from intlower.kernels.vectors import (
    INDEX,
    WORD,
    advance,
    data_pointer,
    emitter,
    limit,
    load,
    splat,
    store,
)


@emitter
def store_halves(
    typing_context: Any,
    sums: Any,
    total: Any,
    divisor: Any,
    floats: Any,
    bias: Any,
    low: Any,
    high: Any,
    before: Any,
    after: Any,
    over: Any,
    codes: Any,
    target: Any,
    channels: Any,
) -> Any:
    """Write LANES sums as halves: divided, plus bias, limited, rounded once.

    Args:
        typing_context: Numba's.
        sums: float32; the sums are at `total`.
        total: see sums.
        divisor: 1 for a product, which it leaves as it is; the count for a mean.
        floats: constants; biases are at `bias`, limits at `low` and `high`. A bias of -0 leaves a sum as it is.
        bias: see floats.
        low: see floats.
        high: see floats.
        before: of `half.thresholds`; after, over alike.
        after: see before.
        over: see before.
        codes: uint16; is written at `target`.
        target: see codes.
        channels: how many lanes to write.
    """
    return _storing(sums, floats, (types.uint32,) * 3, codes, _rounded_halves)


def _rounded_halves(builder: Any, value: Any, thresholds: list[Any]) -> Any:
    return halves(builder, rounded(builder, value, thresholds))


def _storing(
    sums: Any, floats: Any, words: tuple[Any, ...], codes: Any, convert: Callable[..., Any]
) -> Any:
    """Return the signature and the generator of an emitter that finishes LANES sums.

    Args:
        sums: type of the sums.
        floats: type of the constants.
        words: types of what `convert` needs to know.
        codes: type of the output.
        convert: from the builder, <LANES x float> and the words in vectors to codes.
    """
    index = types.int64
    signature = types.void(
        sums,
        index,
        types.float32,
        floats,
        index,
        index,
        index,
        *words,
        codes,
        index,
        index,
    )

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def address(array: int, place: Any, size: int) -> Any:
            data = data_pointer(context, builder, signature.args[array], arguments[array])
            return advance(builder, data, builder.mul(place, INDEX(size)))

        def less(a: Any, b: Any) -> Any:
            return builder.fcmp_ordered("<", a, b)  # false for NaN, which passes

        value = load(builder, address(0, arguments[1], 4), NUMBERS)
        value = builder.fdiv(value, splat(builder, arguments[2], LANES))
        biases, lows, highs = (
            load(builder, address(3, place, 4), NUMBERS) for place in arguments[4:7]
        )
        value = limit(builder, builder.fadd(value, biases), lows, highs, less)
        end = 7 + len(words)
        known = [splat(builder, argument, LANES) for argument in arguments[7:end]]
        result = convert(builder, value, known)
        size = result.type.element.width // 8
        begin = address(end, arguments[end + 1], size)
        channels = arguments[end + 2]
        whole = builder.icmp_signed(">=", channels, INDEX(LANES))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                store(builder, result, begin)
            with otherwise:
                for lane in range(LANES - 1):
                    with builder.if_then(builder.icmp_signed("<", INDEX(lane), channels)):
                        single = builder.extract_element(result, WORD(lane))
                        store(builder, single, advance(builder, begin, INDEX(size * lane)))
        return context.get_dummy_value()

    return signature, generate


@emitter
def store_minifloats(
    typing_context: Any,
    sums: Any,
    total: Any,
    divisor: Any,
    floats: Any,
    bias: Any,
    low: Any,
    high: Any,
    shift: Any,
    even: Any,
    origin: Any,
    greatest: Any,
    codes: Any,
    target: Any,
    channels: Any,
) -> Any:
    """Write LANES sums as minifloats, as `store_halves` does halves; `minifloat.code_of_number` is the same for one.

    Args:
        typing_context: Numba's.
        sums: see `store_halves`; total, divisor, floats, bias, low and high alike.
        total: see sums.
        divisor: see sums.
        floats: see sums.
        bias: see sums.
        low: see sums.
        high: see sums.
        shift: see `minifloat.code_of_number`; even, origin and greatest alike.
        even: see shift.
        origin: see shift.
        greatest: see shift.
        codes: uint8 or uint16; is written at `target`.
        target: see codes.
        channels: how many lanes to write.
    """
    lanes = ir.VectorType(ir.IntType(codes.dtype.bitwidth), LANES)

    def convert(builder: Any, value: Any, known: list[Any]) -> Any:
        return builder.trunc(_minifloats(builder, value, known), lanes)

    return _storing(sums, floats, (types.uint32,) * 4, codes, convert)


def _minifloats(builder: Any, value: Any, known: list[Any]) -> Any:
    """Emit the codes of float32 lanes, in offset binary, as 32-bit lanes."""
    shift, even, origin, greatest = known
    one, zero = word(1), word(0)
    bits = builder.bitcast(value, BITS)
    magnitude = builder.and_(bits, word(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, shift), one)
    up = builder.select(builder.icmp_unsigned("==", even, zero), one, odd)
    half = builder.shl(one, builder.sub(shift, one))
    below = builder.add(builder.sub(half, one), up)
    rounded_bits = builder.lshr(builder.add(magnitude, below), shift)
    code = builder.sub(rounded_bits, builder.lshr(origin, shift))
    code = builder.select(builder.icmp_signed("<", code, zero), zero, code)
    code = builder.select(builder.icmp_signed(">", code, greatest), greatest, code)
    signed = builder.select(
        builder.icmp_unsigned("==", bits, magnitude), code, builder.sub(zero, code)
    )
    return builder.add(builder.add(signed, greatest), one)
