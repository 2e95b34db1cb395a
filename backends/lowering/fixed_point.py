"""TFLite's fixed-point softmax: its table of exponentials."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from intlower.backends.lowering.builder import ProgramBuilder
from intlower.compiler.errors import ScaleOutOfRange, UnsupportedByTarget
from intlower.compiler.graph import Node
from intlower.compiler.grids import UniformGrid
from intlower.compiler.operators import known
from intlower.kernels.numerics import clamp, doubling_high_multiply, shift_half_away
from intlower.kernels.numerics_fixed import SUM_INTEGER_BITS

# Differences of logits are Q5.26: five integer bits, kScaledDiffIntegerBits.
_FRACTION_BITS = 26
_LEAST, _GREATEST = -(1 << 31), (1 << 31) - 1

# exp(-1/8) and 1/3 in Q31; exp(-2**n) in Q31 for n = -2 .. 4. Source: exp_on_negative_values, gemmlowp fixedpoint.h.
_EXP_MINUS_EIGHTH, _THIRD = 1895147668, 715827883
_EXP_MINUS_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def lower_fixed_softmax(builder: ProgramBuilder, node: Node, axis: int) -> None:
    """Emit `softmax_fixed`; the output is defined already.

    Raises:
        UnsupportedByTarget: it has more classes than the sum of exponentials holds.
        ScaleOutOfRange: see `fixed_exponential_table`.
    """
    source = node.inputs[0]
    classes = known(builder.shape(source)[axis])
    if classes >= 1 << SUM_INTEGER_BITS:
        raise UnsupportedByTarget(
            f"{node.name}: a softmax over {classes} classes; TFLite's sum of exponentials holds "
            f"{(1 << SUM_INTEGER_BITS) - 1}",
            "remove the softmax: the class with the greatest logit is the same",
        )
    builder.emit(
        "softmax_fixed",
        name=node.name,
        inputs=(source,),
        output=node.output,
        constants={"table": fixed_exponential_table(builder.grid(source), node.name)},
        attributes={"axis": axis},
    )


def fixed_exponential_table(grid: UniformGrid, where: str) -> NDArray[np.int32]:
    """Return exp(-scale * d) in Q31 for every difference of 8-bit codes d, as TFLite computes it; 0 beyond Q5.26.

    Source: PreprocessSoftmaxScaling and CalculateInputRadius, tensorflow/lite/kernels/internal/quantization_util.cc;
    Softmax, tensorflow/lite/kernels/internal/reference/softmax.h.

    Args:
        grid: of the logits.
        where: for messages.

    Raises:
        ScaleOutOfRange: the scale is below 2**-26, the step of Q5.26.
    """
    factor = min(grid.step * (1 << _FRACTION_BITS), float(_GREATEST))
    if factor <= 1:
        raise ScaleOutOfRange(
            f"{where}: logits of scale {grid.step:.3g} are too fine for TFLite's softmax",
            "check the calibration: the logits hardly differ",
        )
    fraction, exponent = math.frexp(factor)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, exponent = 1 << 30, exponent + 1
    farthest = (31 << _FRACTION_BITS) >> exponent
    return np.array(
        [
            _exponential(doubling_high_multiply(-difference << exponent, multiplier))
            if difference <= farthest
            else 0
            for difference in range(256)
        ],
        np.int32,
    )


def _exponential(x: int) -> int:
    """Return exp(x) in Q31 of a Q5.26 number in [-31, 0]: by bits of -x, and a polynomial on (-1/4, 0)."""
    if x == 0:
        return _GREATEST
    quarter = 1 << (_FRACTION_BITS - 2)
    small = (x & (quarter - 1)) - quarter
    result = _small_exponential(small << 5)
    rest = small - x
    for place, factor in enumerate(_EXP_MINUS_POWERS):
        if rest >> (_FRACTION_BITS - 2 + place) & 1:
            result = doubling_high_multiply(result, factor)
    return int(result)


def _small_exponential(x: int) -> int:
    """Return exp(x) in Q31 of a Q31 number in [-1/4, 0), by Taylor's series about -1/8."""
    d = x + (1 << 28)
    square = doubling_high_multiply(d, d)
    cube, fourth = (doubling_high_multiply(square, other) for other in (d, square))
    sixth = doubling_high_multiply(shift_half_away(fourth, 2) + cube, _THIRD)
    series = d + shift_half_away(sixth + square, 1)
    total = _EXP_MINUS_EIGHTH + doubling_high_multiply(_EXP_MINUS_EIGHTH, series)
    return int(clamp(total, _LEAST, _GREATEST))
