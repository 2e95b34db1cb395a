"""The requantization rules as vector code: from accumulators to integers within limits, zero point not yet added.

Each rule takes the accumulators, then the channels' constants in the order of `simd_epilogue.requantize_block`, and is
the compiled function of `requantization.py` lane by lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from intlower.kernels.requantization import MAGIC
from intlower.kernels.table import F32EVEN, MUL31DOUBLE, MUL31SINGLE
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
    lanes = value.type.count
    product = builder.fmul(builder.sitofp(value, ir.VectorType(FLOAT, lanes)), scale)
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
    scaled = builder.ashr(builder.add(product, half), bits)
    limited = limit(
        builder,
        scaled,
        builder.sext(low, wide),
        builder.sext(high, wide),
        lambda a, b: builder.icmp_signed("<", a, b),
    )
    return builder.trunc(limited, ir.VectorType(WORD, lanes))


VECTOR_RULES = {F32EVEN: float_rule, MUL31DOUBLE: double_rule, MUL31SINGLE: single_rule}
