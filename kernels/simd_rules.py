"""The requantization rules as vector code: from accumulators to integers within limits, zero point not yet added.

Each rule takes the accumulators, then the channels' constants in the order of `simd_epilogue.requantize_block`, and is
the compiled function of `requantization.py` lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from intlower.kernels.requantization import MAGIC
from intlower.kernels.table import (
    F32BIAS,
    F32EVEN,
    MUL31DOUBLE,
    MUL31SINGLE,
    POWERAWAY,
    POWEREVEN,
    POWERUP,
)
from intlower.kernels.vectors import FLOAT, WORD, constant, limit

LONG = ir.IntType(64)
MAGIC_BITS = int(MAGIC.view(np.int32))


def float_rule(
    builder: Any,
    value: Any,
    multiplier: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
) -> Any:
    """Emit `requantization.scale_float`: the sum with MAGIC holds the rounded integer in its low bits."""
    single = builder.sitofp(value, ir.VectorType(FLOAT, value.type.count))
    return rounded(builder, builder.fmul(single, scale), low_float, high_float)


def biased_rule(
    builder: Any,
    value: Any,
    bias: Any,
    shift: Any,
    low: Any,
    high: Any,
    scale: Any,
    low_float: Any,
    high_float: Any,
) -> Any:
    """Emit `requantization.scale_float_biased`; the biases stand where other rules have multipliers."""
    kind = ir.VectorType(FLOAT, value.type.count)
    total = builder.fadd(builder.sitofp(value, kind), builder.sitofp(bias, kind))
    return rounded(builder, builder.fmul(total, scale), low_float, high_float)


def rounded(builder: Any, product: Any, low_float: Any, high_float: Any) -> Any:
    """Emit float32 numbers limited to [low, high] and rounded to int32, ties to even."""
    lanes = product.type.count
    limited = limit(
        builder, product, low_float, high_float, lambda a, b: builder.fcmp_ordered("<", a, b)
    )
    rounded = builder.fadd(limited, constant(float(MAGIC), FLOAT, lanes))
    bits = builder.bitcast(rounded, ir.VectorType(WORD, lanes))
    return builder.sub(bits, constant(MAGIC_BITS, WORD, lanes))


def double_rule(
    builder: Any, value: Any, multiplier: Any, shift: Any, low: Any, high: Any, *floats: Any
) -> Any:
    """Emit `requantization.scale_doubled`."""
    lanes = value.type.count
    zero, one = constant(0, WORD, lanes), constant(1, WORD, lanes)
    exponent = builder.sub(constant(31, WORD, lanes), shift)
    left = builder.select(builder.icmp_signed(">", exponent, zero), exponent, zero)
    right = builder.sub(left, exponent)
    wide = ir.VectorType(LONG, lanes)
    product = builder.mul(
        builder.sext(builder.shl(value, left), wide), builder.sext(multiplier, wide)
    )
    nudged = builder.add(product, constant(1 << 30, LONG, lanes))
    high_half = builder.trunc(
        builder.lshr(nudged, constant(31, LONG, lanes)), ir.VectorType(WORD, lanes)
    )
    mask = builder.sub(builder.shl(one, right), one)
    negative = builder.lshr(high_half, constant(31, WORD, lanes))
    threshold = builder.add(builder.lshr(mask, one), negative)
    past = builder.icmp_signed(">", builder.and_(high_half, mask), threshold)
    carry = builder.zext(past, ir.VectorType(WORD, lanes))
    scaled = builder.add(builder.ashr(high_half, right), carry)
    return limit(builder, scaled, low, high, lambda a, b: builder.icmp_signed("<", a, b))


def single_rule(
    builder: Any, value: Any, multiplier: Any, shift: Any, low: Any, high: Any, *floats: Any
) -> Any:
    """Emit `requantization.scale_single`: equation (12) in 64 bits."""
    lanes = value.type.count
    wide = ir.VectorType(LONG, lanes)
    product = builder.mul(builder.sext(value, wide), builder.sext(multiplier, wide))
    bits = builder.zext(shift, wide)
    one = constant(1, LONG, lanes)
    half = builder.lshr(builder.shl(one, bits), one)
    return _limited(builder, builder.ashr(builder.add(product, half), bits), low, high)


def up_rule(
    builder: Any, value: Any, power: Any, shift: Any, low: Any, high: Any, *floats: Any
) -> Any:
    """Emit `requantization.scale_power`, ties up."""
    scaled, half, bits = _power_terms(builder, value, power, shift)
    return _limited(builder, builder.ashr(builder.add(scaled, half), bits), low, high)


def away_rule(
    builder: Any, value: Any, power: Any, shift: Any, low: Any, high: Any, *floats: Any
) -> Any:
    """Emit `requantization.scale_power`, ties away from zero: one less where a number below zero is rounded."""
    scaled, half, bits = _power_terms(builder, value, power, shift)
    zero = constant(0, LONG, value.type.count)
    lower = builder.and_(
        builder.icmp_signed("<", scaled, zero), builder.icmp_signed(">", bits, zero)
    )
    nudged = builder.sub(builder.add(scaled, half), builder.zext(lower, scaled.type))
    return _limited(builder, builder.ashr(nudged, bits), low, high)


def even_rule(
    builder: Any, value: Any, power: Any, shift: Any, low: Any, high: Any, *floats: Any
) -> Any:
    """Emit `requantization.scale_power`, ties to even: one less where the quotient's floor is even."""
    scaled, half, bits = _power_terms(builder, value, power, shift)
    lanes = value.type.count
    zero, one = constant(0, LONG, lanes), constant(1, LONG, lanes)
    odd = builder.and_(builder.ashr(scaled, bits), one)
    lower = builder.and_(
        builder.icmp_signed("==", odd, zero), builder.icmp_signed(">", bits, zero)
    )
    nudged = builder.sub(builder.add(scaled, half), builder.zext(lower, scaled.type))
    return _limited(builder, builder.ashr(nudged, bits), low, high)


def _power_terms(builder: Any, value: Any, power: Any, shift: Any) -> tuple[Any, Any, Any]:
    """Return accumulator * power, half of 2**shift, and shift, in 64 bits."""
    wide = ir.VectorType(LONG, value.type.count)
    scaled = builder.mul(builder.sext(value, wide), builder.sext(power, wide))
    bits = builder.zext(shift, wide)
    one = constant(1, LONG, value.type.count)
    return scaled, builder.lshr(builder.shl(one, bits), one), bits


def _limited(builder: Any, scaled: Any, low: Any, high: Any) -> Any:
    """Return 64-bit integers limited to [low, high], as 32-bit ones."""
    wide = scaled.type
    limited = limit(
        builder,
        scaled,
        builder.sext(low, wide),
        builder.sext(high, wide),
        lambda a, b: builder.icmp_signed("<", a, b),
    )
    return builder.trunc(limited, ir.VectorType(WORD, wide.count))


VECTOR_RULES: dict[int, Callable[..., Any]] = {
    F32EVEN: float_rule,
    MUL31DOUBLE: double_rule,
    MUL31SINGLE: single_rule,
    F32BIAS: biased_rule,
    POWERUP: up_rule,
    POWERAWAY: away_rule,
    POWEREVEN: even_rule,
}
