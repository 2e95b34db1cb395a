"""Convolutions and matrix products of logarithmic codes: weight codes, bias, and the read-out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from intlower.backends.logarithmic import WIDE_BIAS_BITS
from intlower.backends.lowering.correction import corrected_bias
from intlower.backends.lowering_log.builder import LogBuilder, linear_number
from intlower.backends.lowering_log.drift import bias_without_drift
from intlower.backends.lowering_log.rounding import round_to_levels
from intlower.compiler.graph import Node
from intlower.compiler.grids import LogGrid
from intlower.compiler.operators import Conv, activation_bounds
from intlower.compiler.program import Attribute
from intlower.kernels.numerics_log import (
    MANTISSA_BITS,
    floor_power,
    mantissas,
    read_out_scale,
)
from intlower.kernels.reference_log import BIAS_DIGIT_BITS

# Fraction bits of the power of two by which a bias is divided.
_POWER_BITS = 128


def lower_weighted(builder: LogBuilder, node: Node) -> None:
    """Emit `log_conv2d` or `log_gemm` for a Conv or Gemm with its fused activation."""
    weights = builder.constant(node, 1).array.astype(np.float64)
    outputs = len(weights)
    bias = np.zeros(outputs)
    if len(node.inputs) == 3:
        bias = builder.constant(node, 2).array.astype(np.float64)
    source, grid = builder.codes(node.inputs[0])
    weight_grid = choose_weight_grid(weights, bias, grid)
    codes = round_to_levels(weights, weight_grid, builder.recipe.rounding)
    if builder.recipe.correct_bias:
        levels = weight_grid.dequantize(codes).astype(np.float64)
        bias = corrected_bias(builder.graph, node, builder.moments, bias, levels - weights)
        bias = bias_without_drift(builder, node, bias, levels, grid)
    layout, z = grid.layout, grid.z + weight_grid.z
    integers = [bias_code(float(b), grid, weight_grid) for b in bias]
    digits = [
        divmod(integer, 1 << BIAS_DIGIT_BITS)
        for integer in narrowed(integers, builder.bias_bits)
    ]
    mantissa, shift = read_out_scale(layout, z)
    low, high = (
        np.broadcast_to(linear_number(bound), (outputs,)).astype(np.int32)
        for bound in activation_bounds(node.activation)
    )
    operator = node.operator
    window: dict[str, Attribute] = (
        {
            "strides": operator.strides,
            "pads": operator.pads,
            "dilations": operator.dilations,
            "groups": operator.groups,
        }
        if isinstance(operator, Conv)
        else {}
    )
    builder.emit(
        "log_conv2d" if isinstance(operator, Conv) else "log_gemm",
        name=node.name,
        inputs=(source,),
        output=builder.define_linear(node.output),
        constants={
            "weights": codes,
            "bias_low": np.array([low for _, low in digits], np.int32),
            "bias_high": np.array([high for high, _ in digits], np.int32),
            "mantissas": np.array(mantissas(layout), np.int32),
            "minimum": low,
            "maximum": high,
        },
        attributes={
            **window,
            "product_shift": layout.product_shift,
            "mantissa": mantissa,
            "shift": shift,
        },
        weight_grid=weight_grid,
    )


def choose_weight_grid(
    weights: NDArray[np.float64], bias: NDArray[np.float64], source: LogGrid
) -> LogGrid:
    """Return the grid of a layer's weights: its greatest level is the one nearest to max|w|.

    It is never so small that a bias, in units of the products, would need more than 59 bits (our definition; it matters
    for layers whose weights are all but 0).

    Args:
        weights: [O, ...].
        bias: [O].
        source: grid of the input's codes.
    """
    layout = source.layout
    grid = LogGrid.reaching(source.bits, float(np.abs(weights).max()))
    greatest = float(np.abs(bias).max())
    if greatest == 0:
        return grid
    octaves = math.log2(greatest) - WIDE_BIAS_BITS + MANTISSA_BITS - layout.product_shift
    least = math.ceil(layout.steps * octaves) - source.z
    return LogGrid(bits=source.bits, z=max(grid.z, least))


def bias_code(bias: float, source: LogGrid, weights: LogGrid) -> int:
    """Return a bias in units of the products, ties away from zero.

        B = half_away(bias / 2**((z_a + z_w) / S - 14 + product_shift))

    A float is an integer times a power of two, and the quotient's power is taken with 128 fraction bits: no float
    rounds.
    """
    numerator, denominator = abs(bias).as_integer_ratio()
    layout = source.layout
    octaves = MANTISSA_BITS - layout.product_shift - (denominator.bit_length() - 1)
    exponent = layout.steps * octaves - source.z - weights.z
    power = floor_power(exponent, layout.step_bits, _POWER_BITS)
    magnitude = (numerator * power + (1 << (_POWER_BITS - 1))) >> _POWER_BITS
    return -magnitude if bias < 0 else magnitude


def narrowed(integers: Sequence[int], bits: int) -> list[int]:
    """Return a layer's biases as multiples of one power of two, the least with which their quotients fit a width.

        B' = half_away(B / 2**g) * 2**g,    -2**(bits - 1) <= half_away(B / 2**g) < 2**(bits - 1)

    Args:
        integers: biases in units of the products.
        bits: of the quotients, 2 or more.

    >>> narrowed([-1000, 300, 5], 8)
    [-1000, 304, 8]
    """
    limit = 1 << (bits - 1)

    def quotients(shift: int) -> list[int]:
        half = 1 << shift >> 1
        return [((abs(b) + half) >> shift) * (-1 if b < 0 else 1) for b in integers]

    shift = 0
    while not all(-limit <= q < limit for q in quotients(shift)):
        shift += 1
    return [q << shift for q in quotients(shift)]
